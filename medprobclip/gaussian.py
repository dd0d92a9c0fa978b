"""A diagonal Gaussian: what an image or a report becomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils._pytree import register_pytree_node
from torch.utils.data._utils.collate import default_collate_fn_map

from medprobclip.support.files import replaced_file


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, diag(exp(log_var))), one distribution per row.

    `mean` and `log_var` (log of the variance, natural logarithm) share one shape `[*, D]`, device and
    dtype. Raises ValueError when they do not. Compared by identity, as tensors are compared by element.
    """

    mean: Tensor
    log_var: Tensor

    def __post_init__(self) -> None:
        mean, log_var = (f"{tuple(t.shape)} {t.dtype} {t.device}" for t in (self.mean, self.log_var))
        if mean != log_var or self.mean.ndim == 0:
            raise ValueError(
                f"mean and log_var need one shape [*, D], dtype and device, got {mean} and {log_var}"
            )

    def __len__(self) -> int:
        """Number of distributions, the size of the first axis."""
        return self.mean.shape[0]

    @property
    def shape(self) -> torch.Size:
        """`[*, D]`."""
        return self.mean.shape

    @property
    def dim(self) -> int:
        """D, the number of embedding dimensions."""
        return self.mean.shape[-1]

    @property
    def var(self) -> Tensor:
        """Variance σ² `[*, D]`."""
        return self.log_var.exp()

    def map(self, function: Callable[[Tensor], Tensor]) -> Gaussian:
        """Apply one function to mean and log variance that keeps or reorders elements.

        Such as indexing, `Tensor.cpu`, or gathering across processes: `g.map(accelerator.gather)`.
        """
        return Gaussian(function(self.mean), function(self.log_var))

    def __getitem__(self, index) -> Gaussian:
        return self.map(lambda t: t[index])

    def to(self, *args, **kwargs) -> Gaussian:
        """Move or cast, as `Tensor.to`."""
        return self.map(lambda t: t.to(*args, **kwargs))

    def float(self) -> Gaussian:
        return self.map(Tensor.float)

    def wide(self) -> Gaussian:
        """In float32 at least, for sums over D."""
        return self.to(torch.promote_types(self.mean.dtype, torch.float32))

    def detach(self) -> Gaussian:
        return self.map(Tensor.detach)

    @staticmethod
    def stack(parts: Sequence[Gaussian]) -> Gaussian:
        """Stack along a new first axis: n of `[*, D] -> [n, *, D]`, as a DataLoader collates them."""
        return Gaussian(torch.stack([p.mean for p in parts]), torch.stack([p.log_var for p in parts]))

    @staticmethod
    def cat(parts: Sequence[Gaussian]) -> Gaussian:
        """Concatenate along the first axis: `[N1, D], [N2, D], … -> [ΣN, D]`."""
        return Gaussian(torch.cat([p.mean for p in parts]), torch.cat([p.log_var for p in parts]))

    def chunk(self, n: int) -> tuple[Gaussian, ...]:
        """Split the first axis into n equal parts, the inverse of `cat`. Raises ValueError if uneven."""
        if len(self) % n:
            raise ValueError(f"{len(self)} rows do not split into {n} equal parts")
        size = len(self) // n
        return tuple(self[i * size : (i + 1) * size] for i in range(n))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n samples of each distribution, differentiable in both parameters: `[n, *, D]`."""
        noise = torch.randn(
            (n, *self.shape), generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + (0.5 * self.log_var).exp() * noise

    def kl_to_standard_normal(self) -> Tensor:
        """KL(N(μ, σ²) ‖ N(0, I)) in nats, summed over D: `[*]`.

        ½ Σ (σ² + μ² − 1 − log σ²); the variational information bottleneck of arXiv 2602.16019.
        """
        g = self.wide()
        return 0.5 * (g.var + g.mean.square() - 1 - g.log_var).sum(-1)

    def kl(self, other: Gaussian) -> Tensor:
        """KL(self ‖ other) in nats, element by element over the rows, summed over D: `[*]`.

        ½ Σ [(σ² + (μ − μ')²) / σ'² − 1 − log σ² + log σ'²]. Shapes broadcast.
        """
        p, q = self.wide(), other.wide()
        gap = p.log_var - q.log_var
        return 0.5 * ((p.mean - q.mean).square() / q.var + gap.expm1() - gap).sum(-1)

    def inclusion(self, other: Gaussian) -> Tensor:
        """H, how far self lies inside other rather than other inside self, in nats over D: `[*]`.

        log ∫ p² q − log ∫ p q² = ½ Σ [log(w/v) − log((v + 2w) / (2v + w))] − Σ Δ² [1/(v + 2w) − 1/(2v + w)]
        with the variances v of self and w of other: positive where other is wider. The inclusion of ProLIP
        (Chun 2025, arXiv 2410.18857). Shapes broadcast.
        """
        p, q = self.wide(), other.wide()
        outer, inner = p.var + 2 * q.var, 2 * p.var + q.var
        spread = q.log_var - p.log_var - outer.log() + inner.log()
        gap = (p.mean - q.mean).square()
        return (0.5 * spread - gap * (1 / outer - 1 / inner)).sum(-1)

    def total_variance(self) -> Tensor:
        """Σ σ², the trace of the covariance: `[*]`. The uncertainty that PCME++ reports for an item."""
        return self.wide().var.sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy ½ Σ (1 + log 2π + log σ²) in nats: `[*]`."""
        return 0.5 * (self.wide().log_var + 1.0 + math.log(2 * math.pi)).sum(-1)

    def save(self, path: Path) -> None:
        """Write as safetensors with the tensors `mean` and `log_var`, whole or not at all."""
        with replaced_file(Path(path)) as temporary:
            save_file({"mean": self.mean.contiguous(), "log_var": self.log_var.contiguous()}, temporary)

    @classmethod
    def load(cls, path: Path) -> Gaussian:
        """Inverse of `save`, mapped into memory: a row is read from disk when it is used.

        Raises FileNotFoundError when there is no such file.
        """
        with safe_open(path, framework="pt") as file:
            return cls(file.get_tensor("mean"), file.get_tensor("log_var"))


# At home in torch: a DataLoader collates Gaussians, and functions over trees of tensors find the two inside.
default_collate_fn_map[Gaussian] = lambda batch, *, collate_fn_map=None: Gaussian.stack(batch)
register_pytree_node(
    Gaussian,
    lambda g: ([g.mean, g.log_var], None),
    lambda tensors, _: Gaussian(*tensors),
    serialized_type_name="medprobclip.Gaussian",
)
