"""Studies to be found, drawn at random."""

import torch

from medprobclip.gaussian import Gaussian
from medprobclip.retriever.gallery import Studies


def drawn_studies(ids, seed: int = 0, dim: int = 3, texts: bool = False, wordings: int = 5) -> Studies:
    """One study an id (a number: so many of them), a few wordings shared by many."""
    ids = [f"s{i}" for i in range(ids)] if isinstance(ids, int) else list(ids)
    generator = torch.Generator().manual_seed(seed)
    mean, log_var, other, other_log_var = torch.randn(4, len(ids), dim, generator=generator)
    wording = torch.randint(wordings, (len(ids),), generator=generator)
    said = [f"text of {i}" for i in ids] if texts else None
    return Studies(ids, Gaussian(mean, log_var), Gaussian(other, other_log_var), wording, said)


def rows(gallery) -> list[tuple]:
    """All that a gallery holds, one tuple a study in their order, by its public readers."""
    sides = [
        torch.cat([torch.cat([block.mean, block.log_var], 1) for _, block in gallery.blocks(side, 7)])
        for side in ("image", "report")
    ] if len(gallery) else [torch.empty(0, 1)] * 2  # fmt: skip
    numbers = torch.cat(sides, 1).tolist()
    return [(*gallery.study(i), int(gallery.wording[i]), *numbers[i]) for i in range(len(gallery))]


def rows_of(studies, texts: bool = False) -> list[tuple]:
    """The same of studies."""
    numbers = torch.cat([
        studies.image.mean, studies.image.log_var, studies.report.mean, studies.report.log_var
    ], 1).tolist()  # fmt: skip
    said = studies.texts if texts else [None] * len(studies)
    return [
        (study_id, text, int(key), *row)
        for study_id, text, key, row in zip(studies.study_ids, said, studies.wording, numbers, strict=True)
    ]
