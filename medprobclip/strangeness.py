"""Was anything like it seen in training? A density of the encoders' inner features; no label, no gradient.

Ambiguous and strange are two things. A Gaussian embedding's variance, or the entropy of its scores, says
that many answers would fit; it says nothing of an input that no training was about, where an encoder may be
as sure as anywhere. The distance from the training inputs does (Lee 2018, arXiv 1807.03888).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from medprobclip.support.files import replaced_file

FILE = "strangeness.safetensors"  # beside the weights of the model whose features it knows
# Of the mean variance, added to every direction: keeps the inverse finite where features are fewer than
# dimensions, or depend on one another. Between 1e-4 and Oracle Approximating Shrinkage nothing changes
# (benchmarks/strangeness.csv).
SHRINKAGE = 1e-3


@dataclass(frozen=True, eq=False)
class FeatureDensity:
    """One Gaussian of features: `mean` `[G]` and `whitening` W `[G, G]` with W Wᵀ the inverse covariance."""

    mean: Tensor
    whitening: Tensor

    @staticmethod
    def fit(parts: Iterable[Tensor]) -> FeatureDensity:
        """Fit to features `[n, G]` that come in parts of any size; only their moments are kept.

        The covariance is shrunk towards the identity by `SHRINKAGE` of its mean variance. Raises ValueError
        for fewer than two features, features that are not finite, or that are all the same.
        """
        count, total, products = 0, 0.0, 0.0
        origin: Tensor | float = 0.0  # near the mean: far from it, squares would eat the digits
        for part in parts:
            part = part.detach().to("cpu", torch.float64)
            if not count:
                origin = part.mean(0)
            part = part - origin
            count += len(part)
            total = total + part.sum(0)
            products = products + part.T @ part
        if count < 2:
            raise ValueError(f"a density needs at least two inputs, got {count}")
        mean = total / count
        covariance = (products - count * torch.outer(mean, mean)) / (count - 1)
        spread = covariance.diagonal().mean()
        if not torch.isfinite(covariance).all() or not spread > 0:
            raise ValueError("features are not finite, or the same for every input: no density can be fitted")
        covariance = covariance + SHRINKAGE * spread * torch.eye(len(mean), dtype=torch.float64)
        # covariance = L Lᵀ, so L⁻ᵀ L⁻¹ is its inverse
        whitening = torch.linalg.inv(torch.linalg.cholesky(covariance)).T
        return FeatureDensity((origin + mean).float(), whitening.float().contiguous())

    def strangeness(self, features: Tensor) -> Tensor:
        """Mahalanobis distance from the training inputs over √G: `[*, G]` -> `[*]`, on the CPU.

        About 1 for what is like them (its mean square over them is 1). −log of the density up to a factor
        and a constant, so the order is that of improbability. Raises ValueError for another G.
        """
        if features.shape[-1] != len(self.mean):
            raise ValueError(
                f"features of {features.shape[-1]} dimensions, the density knows {len(self.mean)}"
            )
        # Not in autocast's half precision: whitening subtracts large numbers from one another.
        with torch.autocast("cpu", enabled=False):
            off = features.detach().to("cpu", torch.float32) - self.mean
            return (off @ self.whitening).norm(dim=-1) / len(self.mean) ** 0.5


@dataclass(frozen=True, eq=False)
class Strangeness:
    """The densities of a model's training radiographs and report sections, saved beside its weights."""

    image: FeatureDensity
    report: FeatureDensity

    def save(self, folder: Path) -> None:
        """Write `FILE` into the folder of a saved model, whole or not at all."""
        tensors = {
            f"{side}_{name}": getattr(getattr(self, side), name)
            for side in ("image", "report")
            for name in ("mean", "whitening")
        }
        with replaced_file(Path(folder) / FILE) as temporary:
            save_file(tensors, temporary)

    @classmethod
    def load(cls, folder: Path) -> Strangeness:
        """Inverse of `save`. Raises FileNotFoundError when the folder has none."""
        with safe_open(Path(folder) / FILE, framework="pt") as file:
            return cls(
                *(
                    FeatureDensity(file.get_tensor(f"{side}_mean"), file.get_tensor(f"{side}_whitening"))
                    for side in ("image", "report")
                )
            )
