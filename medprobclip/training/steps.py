"""One step: a batch -> its Gaussians, joined over all processes -> the terms of the objective."""

from __future__ import annotations

import torch
from torch import nn

from medprobclip.data.dataset import SECTIONS, Batch, Texts
from medprobclip.data.report_similarity import ReportSimilarity
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.objectives import Views, batch_targets, objective_terms
from medprobclip.settings import ObjectiveConfig
from medprobclip.support.precision import autocast
from medprobclip.targets import BatchTargets
from medprobclip.training.processes import Team
from medprobclip.training.uncertainty import sigma_statistics
from medprobclip.training_settings import Precision

TEXT_GROUPS = 4  # of a section's texts in a batch, by length: 4 were quicker than 2 or 8


def answers(batch: Batch, objective: ObjectiveConfig, reports: ReportSimilarity | None) -> BatchTargets:
    """What is right, partly right or left out in a batch.

    `reports` are those of the batch's dataset, for soft targets. Raises ValueError when the objective asks
    for a coding or a similarity that is not there.
    """
    similarity = None if reports is None else reports.between(batch.rows).to(batch.images.device)
    return batch_targets(objective, batch.text_ids, batch.coding, similarity)


def encode_views(
    model: MedProbCLIPModel,
    batch: Batch,
    pixels: torch.Tensor,
    targets: BatchTargets | None = None,
    sections: int = len(SECTIONS),
    spoilt: bool = False,
    precision: Precision = "auto",
) -> Views:
    """One forward for all views and one for each of the first sections: pixels `[V, B, 1, S, S]` -> Views.

    With `spoilt` the last of the V are copies of the first for the inclusion term. The sections differ in
    length (an impression is short), so each is padded to its own longest text.
    """
    with autocast(pixels.device, precision):
        images = model.encode_image(pixels.flatten(0, 1))
        reports = tuple(encode_texts(model, texts) for texts in batch.sections[:sections])
    *images, copies = images.chunk(len(pixels)) if spoilt else (*images.chunk(len(pixels)), None)
    return Views(tuple(images), reports, targets, copies)


def encode_texts(model: MedProbCLIPModel, texts: Texts) -> Gaussian:
    """As `encode_text` of all together; on a CPU in groups of similar length, each padded to its longest.

    Most of a batch's tokens are padding otherwise: a third less time. A GPU would wait for its launches.
    """
    if texts.input_ids.device.type != "cpu":
        return model.encode_text(texts.input_ids, texts.attention_mask)
    lengths = texts.attention_mask.sum(1)
    order = lengths.argsort(stable=True)
    parts = []
    for rows in order.chunk(TEXT_GROUPS):
        longest = int(lengths[rows].max())
        parts.append(model.encode_text(texts.input_ids[rows, :longest], texts.attention_mask[rows, :longest]))
    return Gaussian.cat(parts)[order.argsort()]


class BatchLoss(nn.Module):
    """A model's terms on a batch, one forward, so that DistributedDataParallel sees all of it.

    With several processes each encodes its own part of the studies; all have the Gaussians of the whole
    batch, and with them the same terms as one process alone.
    """

    def __init__(
        self, model: MedProbCLIPModel, objective: ObjectiveConfig, team: Team, precision: Precision = "auto"
    ) -> None:
        super().__init__()
        self.model, self.objective, self.team, self.precision = model, objective, team, precision

    def forward(
        self, batch: Batch, pixels: torch.Tensor, targets: BatchTargets, spoilt: bool
    ) -> dict[str, torch.Tensor]:
        """pixels `[V, m, 1, S, S]` of this process's m studies, targets of all B -> `terms`."""
        own = self.encoded(batch, pixels, spoilt)
        studies = len(batch.rows)
        images, reports = (
            tuple(self.team.gaussian(of, studies) for of in side) for side in (own.images, own.reports)
        )
        copies = None if own.spoilt is None else self.team.gaussian(own.spoilt, studies)
        return self.terms(Views(images, reports, targets, copies))

    def encoded(self, batch: Batch, pixels: torch.Tensor, spoilt: bool) -> Views:
        """This process's own studies."""
        of, precision = self.objective, self.precision
        return encode_views(self.model, batch, pixels, None, of.sections, spoilt, precision)

    def terms(self, views: Views) -> dict[str, torch.Tensor]:
        """`objective_terms` of the whole batch, and beside them `sigma_statistics`."""
        told = sigma_statistics(views.images, views.reports)
        return objective_terms(views, self.model.similarity, self.objective) | told
