"""Held-out studies embedded by all processes together."""

from __future__ import annotations

import torch
from torch import Tensor

from medprobclip.data.dataset import StudyDataset
from medprobclip.evaluation.embedding import EVALUATION_SECTION, Embeddings, embed
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.strangeness import Strangeness
from medprobclip.training.processes import Team


def embed_together(
    model: MedProbCLIPModel,
    dataset: StudyDataset,
    team: Team,
    strangeness: Strangeness | None = None,
    progress: bool = False,
) -> Embeddings:
    """`embed`, shared out over the processes and joined in the order of the table: all have all of it."""
    if team.number == 1 or len(dataset) < team.number:
        return embed(model, dataset, strangeness, progress=progress and team.leads)
    studies = len(dataset)
    own = embed(model, dataset.part(team.part(studies)), strangeness, progress=progress and team.leads)

    def joined(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else team.joined(tensor.to(model.device), studies).cpu()

    image, report = (Gaussian(joined(of.mean), joined(of.log_var)) for of in (own.image, own.report))
    text_ids = torch.from_numpy(dataset.text_ids[EVALUATION_SECTION])
    told = joined(own.image_strangeness), joined(own.report_strangeness)
    return Embeddings(dataset.study_ids, image, report, text_ids, *told)
