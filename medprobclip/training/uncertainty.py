"""How unsure a batch is: the mean and the spread of σ, of radiographs and of reports."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medprobclip.gaussian import Gaussian


@torch.no_grad()
def sigma_statistics(images: Sequence[Gaussian], reports: Sequence[Gaussian]) -> dict[str, Tensor]:
    """σ = exp(log σ² / 2) of the views and of the sections, each `[B, D]` -> 0-dim tensors without gradient.

    `sigma/image_mean` is the mean over studies, views and dimensions; `sigma/image_spread` the standard
    deviation over the studies of each study's mean σ, 0 where all are equally unsure. Likewise `report`.
    """
    found = {}
    for side, parts in {"image": images, "report": reports}.items():
        log_vars = torch.stack([part.wide().log_var for part in parts], dim=1)  # [B, views, D]
        of_studies = (0.5 * log_vars).exp().mean(dim=(1, 2))
        found[f"sigma/{side}_mean"] = of_studies.mean()
        found[f"sigma/{side}_spread"] = of_studies.std(correction=0)
    return found
