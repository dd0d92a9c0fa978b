"""Every objective's terms and gradients on one made-up batch, by however many processes were started.

`python tests/contrasted.py FOLDER`: the first process writes them, name -> tensors, as `whole.pt`; and as
`chunks.pt` those of encoding three studies at a time.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from tiny import TEXT, VIT, build
from transformers import BertConfig

from medprobclip.data.dataset import Batch, Texts
from medprobclip.settings import OBJECTIVES, ObjectiveConfig
from medprobclip.support import precision
from medprobclip.training.chunks import backward_in_chunks
from medprobclip.training.mixing import Mix
from medprobclip.training.processes import Team
from medprobclip.training.steps import BatchLoss, answers

STUDIES = 7  # uneven for two and for three
CASES: dict[str, ObjectiveConfig] = {
    **OBJECTIVES,
    "duplicates ignored": ObjectiveConfig(duplicates="ignored", equal_coding="ignored"),
    "sigmoid": ObjectiveConfig(loss="sigmoid", pseudo_positive_weight=0.3),
}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # what is drawn differs by process


class Alike:
    """Made-up similarities of the studies' reports."""

    def between(self, rows: torch.Tensor) -> torch.Tensor:
        drawn = torch.rand(STUDIES, STUDIES, generator=torch.Generator().manual_seed(5))
        return ((drawn + drawn.T) / 2)[rows][:, rows]


def whole_batch() -> tuple[Batch, torch.Tensor]:
    """Seven studies, some worded and coded alike, texts of unequal lengths; and their pixels."""
    generator = torch.Generator().manual_seed(3)
    sections = []
    for longest in (9, 6):
        lengths = torch.randint(3, longest + 1, (STUDIES,), generator=generator)
        mask = (torch.arange(longest) < lengths[:, None]).long()
        sections.append(Texts(torch.randint(4, 50, (STUDIES, longest), generator=generator) * mask, mask))
    texts = torch.tensor([0, 1, 2, 0, 4, 5, 6]), torch.tensor([0, 1, 2, 3, 1, 5, 5])
    coding = torch.tensor([0, 1, 0, 3, 4, 4, 6])
    images = torch.zeros(2, STUDIES, 1, 1, dtype=torch.uint8)  # the pixels are given
    pixels = torch.randn(3, STUDIES, 1, 32, 32, generator=generator)
    return Batch(torch.arange(STUDIES), images, tuple(sections), texts, coding), pixels


def measured(
    name: str, objective: ObjectiveConfig, team: Team, accelerator: Accelerator | None, chunk: int = 0
) -> dict:
    """The terms, and every parameter's gradient."""
    model = build(VIT, BertConfig(**{**TEXT.to_dict(), **STILL}), **objective.model_settings())
    batch, pixels = whole_batch()
    spoilt = objective.inclusion_weight > 0
    pixels = pixels[: objective.views + spoilt]
    targets = answers(batch, objective, Alike() if objective.soft != "none" else None)
    if objective.mixed_share:
        torch.manual_seed(1)
        mix = Mix.draw(STUDIES, 0.5, 32)
        pixels, targets = mix.images(pixels), mix.targets(targets)
    part = team.part(STUDIES)
    own = replace(
        batch, sections=tuple(Texts(t.input_ids[part], t.attention_mask[part]) for t in batch.sections)
    )
    bare = BatchLoss(model, objective, team)
    loss = accelerator.prepare(bare) if accelerator else bare
    if chunk:  # of the bare one, though the other is there, as in training
        terms = backward_in_chunks(bare, own, pixels[:, part], targets, spoilt, chunk)
    else:
        terms = loss(own, pixels[:, part], targets, spoilt)
        terms["loss"].backward()
    gradients = {f"grad {key}": p.grad for key, p in model.named_parameters() if p.grad is not None}
    return {f"{name}: {key}": of.detach() for key, of in {**terms, **gradients}.items()}


def main() -> None:
    precision.has_bfloat16 = lambda device: False
    team = Team.here()
    static = DistributedDataParallelKwargs(static_graph=True)  # as in training
    accelerator = Accelerator(kwargs_handlers=[static]) if team.number > 1 else None
    for file, chunk in {"whole.pt": 0, "chunks.pt": 3}.items():
        found = {"processes": torch.tensor(team.number)}
        for name, objective in CASES.items():
            found |= measured(name, objective, team, accelerator, chunk)
        if team.leads:
            torch.save(found, Path(sys.argv[1]) / file)
    team.wait()


if __name__ == "__main__":
    main()
