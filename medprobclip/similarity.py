"""Pairwise scores between two sets of Gaussians: `f(x[N, D], y[M, D]) -> [N, M]`, larger is closer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medprobclip.gaussian import Gaussian

# Elements of the [rows, M, D] intermediate held at once; 16 M floats are 64 MB.
TILE_ELEMENTS = 16 * 2**20


def expected_likelihood(x: Gaussian, y: Gaussian) -> Tensor:
    """Log expected likelihood of two diagonal Gaussians, up to a constant: `[N, D], [M, D] -> [N, M]`.

    −d(x, y) = −½ Σ_d [(μx − μy)² / s + log s],  s = σx² + σy².

    Adding −(D/2) log 2π gives exactly log ∫ N(z; x) N(z; y) dz (Jebara & Kondor 2004; the mutual
    likelihood score of Shi & Jain 2019; the published score of arXiv 2602.16019). Sums of D terms are
    taken in float32 at least. Raises ValueError when the dimensions differ.
    """
    if x.dim != y.dim:
        raise ValueError(f"the two sets have {x.dim} and {y.dim} dimensions")
    dtype = torch.promote_types(torch.promote_types(x.mean.dtype, y.mean.dtype), torch.float32)
    x, y = x.to(dtype), y.to(dtype)
    with torch.autocast(x.mean.device.type, enabled=False):
        y_mean, y_var = y.mean, y.var
        rows = max(1, TILE_ELEMENTS // max(1, len(y) * y.dim))
        tiles = []
        for mean, var in zip(x.mean.split(rows), x.var.split(rows), strict=True):
            s = var[:, None, :] + y_var
            distance = (mean[:, None, :] - y_mean).square() / s + s.log()
            tiles.append(-0.5 * distance.sum(-1))
        return torch.cat(tiles)


class ScaledSimilarity(nn.Module):
    """Logits ℓ = −max(a, 1e-3)·d + b from the expected likelihood, with learnable a and b.

    a₀ = 1 and b₀ = 0 as published. Under a softmax b gets no gradient (it moves every logit alike); it is
    there for objectives and calibration fits that read ℓ as the logit of a match probability.
    """

    MIN_SCALE = 1e-3  # keeps the order of matches: a negative scale would prefer the farthest

    def __init__(self, a: float = 1.0, b: float = 0.0) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(float(a)))
        self.b = nn.Parameter(torch.tensor(float(b)))

    def forward(self, x: Gaussian, y: Gaussian) -> Tensor:
        """`[N, D], [M, D] -> logits [N, M]`."""
        return self.a.clamp(min=self.MIN_SCALE) * expected_likelihood(x, y) + self.b
