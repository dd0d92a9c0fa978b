"""Pairwise scores between two sets of Gaussians: `f(x[N, D], y[M, D]) -> [N, M]`, larger is closer."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medprobclip.gaussian import Gaussian
from medprobclip.support import kernels

# Elements of the [rows, M, D] intermediate held at once; 16 M floats are 64 MB.
TILE_ELEMENTS = 16 * 2**20


def expected_likelihood(x: Gaussian, y: Gaussian) -> Tensor:
    """Log expected likelihood of two diagonal Gaussians, up to a constant: `[N, D], [M, D] -> [N, M]`.

    −d(x, y) = −½ Σ_d [(μx − μy)² / s + log s],  s = σx² + σy².

    Adding −(D/2) log 2π gives exactly log ∫ N(z; x) N(z; y) dz (Jebara & Kondor 2004; the mutual
    likelihood score of Shi & Jain 2019; the published score of arXiv 2602.16019). Sums of D terms are
    taken in float32 at least, in tiles (`kernels`). Raises ValueError when the dimensions differ.
    """
    x, y = prepared(x, y)
    return kernels.expected_likelihood(x.mean, x.log_var, y.mean, y.log_var)


def csd(x: Gaussian, y: Gaussian) -> Tensor:
    """Negative closed-form sampled distance of PCME++ (Chun 2024): `[N, D], [M, D] -> [N, M]`.

    −(‖μx − μy‖² + Σ_d (σx² + σy²)): the expected squared distance of a sample of x and one of y.
    """
    x, y = prepared(x, y)
    return -(squared_distance(x.mean, y.mean) + x.total_variance()[:, None] + y.total_variance())


def wasserstein(x: Gaussian, y: Gaussian) -> Tensor:
    """Negative squared 2-Wasserstein distance: `[N, D], [M, D] -> [N, M]`.

    −(‖μx − μy‖² + ‖σx − σy‖²), exact for diagonal covariances (Dowson & Landau 1982).
    """
    x, y = prepared(x, y)
    x_std, y_std = (0.5 * x.log_var).exp(), (0.5 * y.log_var).exp()
    return -(squared_distance(x.mean, y.mean) + squared_distance(x_std, y_std))


def bhattacharyya(x: Gaussian, y: Gaussian) -> Tensor:
    """Log Bhattacharyya coefficient log ∫ √(N(z; x) N(z; y)) dz ≤ 0: `[N, D], [M, D] -> [N, M]`.

    −Σ_d [¼ (μx − μy)² / s + ½ log(s / (2 σx σy))],  s = σx² + σy² (Bhattacharyya 1943; Kailath 1967).
    Unlike the expected likelihood it is 0 for identical Gaussians, whatever their variance.
    """

    def term(a: Gaussian, b: Gaussian) -> Tensor:
        # s / (2 σx σy) is the hyperbolic cosine of half the difference of the log variances; log cosh t =
        # |t| + log(1 + e^(−2|t|)) − log 2 neither overflows nor cancels.
        gap = (0.5 * (a.log_var - b.log_var)).abs()
        log_cosh = gap + (-2 * gap).exp().log1p() - math.log(2)
        return 0.25 * (a.mean - b.mean).square() / (a.var + b.var) + 0.5 * log_cosh

    return -in_tiles(term, x, y)


def hellinger(x: Gaussian, y: Gaussian) -> Tensor:
    """Negative squared Hellinger distance −(1 − BC) in [−1, 0]: `[N, D], [M, D] -> [N, M]`.

    BC = ∫ √(N(z; x) N(z; y)) dz, the Bhattacharyya coefficient (Hellinger 1909). In many dimensions BC of
    Gaussians that differ underflows to 0; `bhattacharyya`, its logarithm, keeps their order.
    """
    return bhattacharyya(x, y).expm1()


def kl(x: Gaussian, y: Gaussian) -> Tensor:
    """−KL(x ‖ y) in nats: `[N, D], [M, D] -> [N, M]` (Kullback & Leibler 1951)."""

    def term(a: Gaussian, b: Gaussian) -> Tensor:
        gap = a.log_var - b.log_var
        return (a.mean - b.mean).square() / b.var + gap.expm1() - gap

    return -0.5 * in_tiles(term, x, y)


def reverse_kl(x: Gaussian, y: Gaussian) -> Tensor:
    """−KL(y ‖ x) in nats: `[N, D], [M, D] -> [N, M]`."""
    return kl(y, x).T


def symmetric_kl(x: Gaussian, y: Gaussian) -> Tensor:
    """−½ [KL(x ‖ y) + KL(y ‖ x)], half of Jeffreys' divergence, in nats: `[N, D], [M, D] -> [N, M]`."""
    return 0.5 * (kl(x, y) + reverse_kl(x, y))


def cosine(x: Gaussian, y: Gaussian) -> Tensor:
    """Cosine of the means, in [−1, 1]; variances play no part: `[N, D], [M, D] -> [N, M]`."""
    x, y = prepared(x, y)
    with torch.autocast(x.mean.device.type, enabled=False):
        return F.normalize(x.mean, dim=-1) @ F.normalize(y.mean, dim=-1).T


Score = Callable[[Gaussian, Gaussian], Tensor]

SCORES: dict[str, Score] = {
    f.__name__: f
    for f in (
        expected_likelihood, csd, wasserstein, bhattacharyya, hellinger, kl, reverse_kl, symmetric_kl, cosine,
    )
}  # fmt: skip


def prepared(x: Gaussian, y: Gaussian) -> tuple[Gaussian, Gaussian]:
    """Both in one floating type, float32 at least. Raises ValueError unless they are `[N, D]`, `[M, D]`."""
    if x.mean.ndim != 2 or y.mean.ndim != 2 or x.dim != y.dim:
        raise ValueError(f"need Gaussians [N, D] and [M, D], got {tuple(x.shape)} and {tuple(y.shape)}")
    dtype = torch.promote_types(torch.promote_types(x.mean.dtype, y.mean.dtype), torch.float32)
    return x.to(dtype), y.to(dtype)


def in_tiles(term: Score, x: Gaussian, y: Gaussian) -> Tensor:
    """Σ_d term(x, y), a few rows at a time: `term` maps `[n, 1, D], [M, D] -> [n, M, D]`."""
    x, y = prepared(x, y)
    with torch.autocast(x.mean.device.type, enabled=False):
        rows = max(1, TILE_ELEMENTS // max(1, len(y) * y.dim))

        def tile(x_mean: Tensor, x_log_var: Tensor, y_mean: Tensor, y_log_var: Tensor) -> Tensor:
            return term(Gaussian(x_mean, x_log_var), Gaussian(y_mean, y_log_var)).sum(-1)

        parts = [x[i : i + rows, None] for i in range(0, max(1, len(x)), rows)]
        # Where gradients are needed a tile is computed again in the backward pass, not kept.
        tiles = [checkpoint(tile, p.mean, p.log_var, y.mean, y.log_var, use_reentrant=False) for p in parts]
        return torch.cat(tiles)


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """‖x − y‖² ≥ 0 by one matrix product: `[N, D], [M, D] -> [N, M]`."""
    with torch.autocast(x.device.type, enabled=False):
        centre = y.detach().mean(0)  # less to cancel where all lie on one side of the origin
        x, y = x - centre, y - centre
        return (x.square().sum(-1)[:, None] + y.square().sum(-1) - 2 * x @ y.T).clamp(min=0)


class ScaledSimilarity(nn.Module):
    """Logits ℓ = a · score + b with learnable a > 0 and b, from one of `SCORES`.

    With the expected likelihood this is the published ℓ = −a·d + b of arXiv 2602.16019, a₀ = 1, b₀ = 0;
    with cosine and a₀ = 1/0.07 CLIP's temperature; with CSD and a₀ = b₀ = 5 PCME++. a is stored as its
    logarithm, so that it stays positive: a negative one would prefer the farthest. Under a softmax b gets
    no gradient; it matters to sigmoid objectives and calibration, which read ℓ as a logit of a match.
    Raises ValueError on an unknown score.
    """

    def __init__(
        self,
        score: str = "expected_likelihood",
        a: float = 1.0,
        b: float = 0.0,
        max_a: float | None = None,
    ) -> None:
        super().__init__()
        if score not in SCORES:
            raise ValueError(f"no score '{score}'; choose one of {', '.join(SCORES)}")
        self.score, self.max_a = score, max_a
        self.log_a = nn.Parameter(torch.tensor(math.log(a)))
        self.b = nn.Parameter(torch.tensor(float(b)))

    @property
    def a(self) -> Tensor:
        """The scale, at most `max_a` where one is set (CLIP: 100)."""
        if self.max_a is not None:
            with torch.no_grad():  # the parameter itself, as in CLIP: it does not wind up beyond the limit
                self.log_a.clamp_(max=math.log(self.max_a))
        return self.log_a.exp()

    def forward(self, x: Gaussian, y: Gaussian) -> Tensor:
        """`[N, D], [M, D] -> logits [N, M]`."""
        return self.a * SCORES[self.score](x, y) + self.b

    def extra_repr(self) -> str:
        return f"{self.score}, a={float(self.a.detach()):.4g}, b={float(self.b.detach()):.4g}"
