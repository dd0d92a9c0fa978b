"""The expected likelihood in tiles, forward and backward, compiled where it pays: no [N, M, D] ever exists.

Two ideas make it fast. Fractions are added before they are divided, Σ aᵢ/sᵢ = A / Π sᵢ, and their common
denominator Π sᵢ is also what the logarithm needs, Σ log sᵢ = log Π sᵢ: eight dimensions share one division.
And torch.compile turns the whole sum into one loop, so that nothing is written but the scores. The backward
pass computes every tile again instead of keeping it. CPU and GPU are compiled from this one source; scores on
a CPU have a faster one beside it, `cpu_kernel`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from medprobclip.support import cpu_kernel
from medprobclip.support.compiling import COMPILER


@dataclass(frozen=True)
class KernelConfig:
    """What is compiled, and how large a tile is."""

    cpu_kernel_from: int = field(
        default=2**23,
        metadata={"help": "N·M·D from which scores come from the CPU kernel; half a second to compile"},
    )
    compile_from: int = field(
        default=2**28, metadata={"help": "N·M·D from which scores are compiled; eager takes about a second"}
    )
    compile_gradients_from: int = field(
        default=2**25, metadata={"help": "the same where gradients are needed: training repeats the call"}
    )
    eager_elements: int = field(
        default=2**22, metadata={"help": "N·M·D of a tile of scores in eager mode; 32 small steps each"}
    )
    eager_gradient_elements: int = field(
        default=2**18, metadata={"help": "the same of a tile of gradients; few steps, in a core's cache"}
    )
    block_rows: int = field(default=128, metadata={"help": "rows that stay in a CPU core's cache"})


CONFIG = KernelConfig()
_WHOLE: ContextVar[int] = ContextVar("whole", default=0)  # N·M·D of what a call is a part of
# Product of this many s = σx² + σy² before one logarithm. With log variances in ±8 and means in ±1e4 no
# product or numerator leaves the type's range; beyond, every term is divided and logged by itself.
PRODUCT = {torch.float32: 8, torch.float64: 32}
SAFE_LOG_VAR, SAFE_MEAN = 8.0, 1e4


@contextmanager
def part_of(size: int) -> Iterator[None]:
    """`with part_of(N·M·D):` scores are parts of so large a whole, which decides how they are computed."""
    token = _WHOLE.set(size)
    try:
        yield
    finally:
        _WHOLE.reset(token)


def way(size: int, like: Tensor, safe: bool, learning: bool = False) -> str:
    """How scores are computed of which there are N·M·D = `size` in all: "cpu kernel", "compiled", "eager".

    `like`: a tensor of their type and device; `safe`: all `in_safe_range`; `learning`: are these calls
    repeated, so that compiling pays earlier? float64 is for checks and always eager.
    """
    if like.dtype != torch.float32:
        return "eager"
    size = max(size, _WHOLE.get())
    if like.device.type == "cpu" and safe and size >= CONFIG.cpu_kernel_from and cpu_kernel.library():
        return "cpu kernel"
    pays = size >= (CONFIG.compile_gradients_from if learning else CONFIG.compile_from)
    return "compiled" if pays and not COMPILER.unavailable else "eager"


def fraction(terms: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Σ aᵢ/sᵢ as one fraction, pairwise: a list of (a, s) -> (A, Π s)."""
    while len(terms) > 1:
        pairs = [(a * t + b * s, s * t) for (a, s), (b, t) in zip(terms[::2], terms[1::2], strict=True)]
        terms = pairs
    return terms[0]


def score_tile(
    x_mean: Tensor, x_var: Tensor, y_mean: Tensor, y_var: Tensor, product: int, axis: int
) -> Tensor:
    """−½ Σ [(μx − μy)² / s + log s] over D = U·K dimensions -> `[n, m]`.

    The first axis of all four holds the U unrolled dimensions; the others broadcast to n, m and, at `axis`,
    K, the loop. Each `product` of the U share division and logarithm. In float32 the product's binary
    exponent is split off as an integer, so that the mantissas of all U can be multiplied without overflow and
    one logarithm serves U dimensions.
    """
    total, exponent, mantissa = 0.0, 0, 1.0
    for start in range(0, len(x_mean), product):
        terms = []
        for u in range(start, start + product):
            gap = x_mean[u] - y_mean[u]
            terms.append((gap * gap, x_var[u] + y_var[u]))
        a, p = fraction(terms)
        total = total + a / p
        if product == 1 or p.dtype == torch.float64:
            total = total + p.log()
        else:
            bits = p.view(torch.int32)
            exponent = exponent + ((bits >> 23) - 127)
            mantissa = mantissa * ((bits & 0x7FFFFF) | 0x3F800000).view(torch.float32)
    if isinstance(mantissa, Tensor):
        total = total + exponent * math.log(2) + mantissa.log()
    if axis == 0:  # eager: a reduction would add in another order by the place in the tile
        return -0.5 * functools.reduce(torch.add, total.unbind())
    return -0.5 * total.sum(axis)


def gradient_tile(
    x_mean: Tensor, x_var: Tensor, y_mean: Tensor, y_var: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for μx and σx²: x `[D, n]`, y `[D, m]`, the scores' gradient `[n, m]` -> two of `[D, n]`.

    ∂/∂μx = Σ_m g (μy − μx)/s,  ∂/∂σx² = ½ Σ_m g [(μx − μy)²/s² − 1/s].
    """
    inverse = 1 / (x_var[:, :, None] + y_var[:, None])
    gap = y_mean[:, None] - x_mean[:, :, None]
    g = grad[None] * inverse
    weighted = gap * g
    return weighted.sum(-1), 0.5 * (weighted * (gap * inverse) - g).sum(-1)


@functools.cache
def unrolled(dim: int, dtype: torch.dtype, compiled_for: str = "") -> tuple[int, int]:
    """(U, K) for D dimensions: how many are unrolled, and the length of the loop; U·K ≥ D.

    Compiled for a CPU the loop runs over whole vector registers; more unrolling means fewer logarithms (the
    weights are measured), fewer dimensions leave no room for it. On CUDA logarithms are cheap, and a compiler
    that is given 32 dimensions at once works for half a minute and more (`benchmarks/README.md`).
    """
    if dtype == torch.float64:
        return 32, -(-dim // 32)
    if compiled_for == "cuda":
        return 16, -(-dim // 16)
    lanes = 1
    if compiled_for == "cpu":
        lanes = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
    cost = {32: 1.0, 16: 1.2, 8: 1.5}
    loops = {u: lanes * -(-dim // (u * lanes)) for u in cost}
    best = min(cost, key=lambda u: u * loops[u] * cost[u])
    return best, loops[best]


def arranged(mean: Tensor, var: Tensor, shape: tuple[int, int], order: str) -> list[Tensor]:
    """`[n, D]` each -> both with the axes of `order`: u unrolled, k loop, n rows, 1 to broadcast.

    Dimensions are added to fill U·K: with s = ½ + ½ they contribute log 1 = 0.
    """
    extra = shape[0] * shape[1] - mean.shape[1]
    parts = []
    for tensor, fill in ((mean, 0.0), (var, 0.5)):
        whole = F.pad(tensor, (0, extra), value=fill) if extra else tensor
        whole = whole.view(-1, *shape).permute(*("nuk".index(c) for c in order if c != "1"))
        parts.append(whole.unsqueeze(order.index("1")))
    return parts


@torch.compiler.disable  # a caller's own graph breaks here: this compiles by itself
def scores(x_mean: Tensor, x_var: Tensor, y_mean: Tensor, y_var: Tensor, safe: bool, how: str) -> Tensor:
    """`[N, D], [M, D] -> [N, M]`; `safe`: both `in_safe_range`; `how`: what `way` says.

    With the same `safe` and `how` a pair has the same score, bit for bit, whatever stands beside it; compiled
    for CUDA this was seen at 512 dimensions and not with every unrolling at 128: there up to rounding.
    """
    n, m, dim, device = len(x_mean), len(y_mean), x_mean.shape[1], x_mean.device
    if how == "cpu kernel" and n and m:
        return cpu_kernel.scores(x_mean, x_var, y_mean, y_var)
    out = x_mean.new_empty(n, m)
    if not out.numel():
        return out
    product = PRODUCT[out.dtype] if safe else 1
    fast = how == "compiled" and not COMPILER.unavailable  # an earlier tile may have found that out
    what = f"scores, {dim} dimensions, {device.type}"
    shape = unrolled(dim, out.dtype, device.type if fast else "")
    # Compiled, the inner loop runs over dimensions; in eager mode over the items, which are many.
    (x_order, y_order), axis = (("un1k", "u1nk"), 2) if fast else (("ukn1", "uk1n"), 0)
    x, y = arranged(x_mean, x_var, shape, x_order), arranged(y_mean, y_var, shape, y_order)
    if fast:
        columns = CONFIG.block_rows if device.type == "cpu" else m
        for j in range(0, m, columns):
            tile = [at_least_two(t, 1) for t in x] + [at_least_two(t[:, :, j : j + columns], 2) for t in y]
            block = COMPILER(score_tile, what, tile, [(1,), (1,), (2,), (2,)], product, axis)
            if block is None:
                return scores(x_mean, x_var, y_mean, y_var, safe, "eager")
            out[:, j : j + columns] = block[:n, : m - j]
        return out
    columns = max(1, min(m, CONFIG.eager_elements // (dim * min(n, 64))))
    rows = max(1, CONFIG.eager_elements // (dim * columns))
    y = [t.contiguous() for t in y]
    for j in range(0, m, columns):
        for i in range(0, n, rows):
            tile = [t[:, :, i : i + rows] for t in x] + [t[:, :, :, j : j + columns] for t in y]
            out[i : i + rows, j : j + columns] = score_tile(*tile, product, axis)
    return out


def gradients(
    x_mean: Tensor, x_var: Tensor, y_mean: Tensor, y_var: Tensor, grad: Tensor, fast: bool
) -> tuple[Tensor, Tensor]:
    """Gradients for μx and σx² `[N, D]` each, from that of the scores `[N, M]`."""
    n, dim = x_mean.shape
    m, device = len(y_mean), x_mean.device
    out = torch.zeros_like(x_mean), torch.zeros_like(x_var)
    if not grad.numel():
        return out
    fast = fast and not COMPILER.unavailable
    what = f"gradients, {dim} dimensions, {device.type}"
    y = y_mean.T.contiguous(), y_var.T.contiguous()
    rows = max(1, CONFIG.eager_gradient_elements // (dim * m))
    if fast:
        rows = CONFIG.block_rows if device.type == "cpu" else n
    for i in range(0, n, rows):
        x = x_mean[i : i + rows].T.contiguous(), x_var[i : i + rows].T.contiguous()
        g = grad[i : i + rows].contiguous()
        if fast:
            tile = [*(at_least_two(t, 1) for t in (*x, *y)), at_least_two(at_least_two(g), 1)]
            if m == 1:  # the second column only makes the axis two long: it must not count
                tile[4][:, 1] = 0
            parts = COMPILER(gradient_tile, what, tile, [(1,)] * 4 + [(0, 1)])
            if parts is None:
                return gradients(x_mean, x_var, y_mean, y_var, grad, fast=False)
        else:
            parts = gradient_tile(*x, *y, g)
        for whole, part in zip(out, parts, strict=True):
            whole[i : i + rows] = part.T[: n - i]
    return out


def at_least_two(tensor: Tensor, axis: int = 0) -> Tensor:
    """A copy with a single row doubled: torch.compile takes sizes 0 and 1 for constants."""
    return tensor if tensor.shape[axis] > 1 else tensor.repeat_interleave(2, axis)


def in_safe_range(mean: Tensor, log_var: Tensor) -> bool:
    """May several s be multiplied? `[n, D]` each. False for NaN, too: the plain formula lets it show."""
    if not mean.numel():
        return True
    limits = (mean.aminmax(), SAFE_MEAN), (log_var.aminmax(), SAFE_LOG_VAR)  # one pass each, no copies
    return all(bool((found.min >= -limit) & (found.max <= limit)) for found, limit in limits)


class ExpectedLikelihood(torch.autograd.Function):
    """−½ Σ [(μx − μy)² / s + log s] of means and log variances `[N, D]`, `[M, D]` -> `[N, M]`.

    Nothing is kept for the backward pass but these four.
    """

    @staticmethod
    def forward(ctx, x_mean, x_log_var, y_mean, y_log_var, learning):
        ctx.save_for_backward(x_mean, x_log_var, y_mean, y_log_var)
        size = len(x_mean) * y_mean.numel()
        ctx.fast = way(size, x_mean, safe=False, learning=True) == "compiled"
        with torch.autocast(x_mean.device.type, enabled=False):
            safe = in_safe_range(x_mean, x_log_var) and in_safe_range(y_mean, y_log_var)
            how = way(size, x_mean, safe, learning)
            return scores(x_mean, x_log_var.exp(), y_mean, y_log_var.exp(), safe, how)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x_mean, x_log_var, y_mean, y_log_var = ctx.saved_tensors
        needs = ctx.needs_input_grad
        x, y = (None, None), (None, None)
        with torch.autocast(grad.device.type, enabled=False):
            x_var, y_var = x_log_var.exp(), y_log_var.exp()
            if needs[0] or needs[1]:
                x = gradients(x_mean, x_var, y_mean, y_var, grad, ctx.fast)
                x[1].mul_(x_var)  # ∂σ² / ∂ log σ² = σ²
            if needs[2] or needs[3]:
                y = gradients(y_mean, y_var, x_mean, x_var, grad.T, ctx.fast)
                y[1].mul_(y_var)
        return *x, *y, None


@torch.compiler.disable
def expected_likelihood(x_mean: Tensor, x_log_var: Tensor, y_mean: Tensor, y_log_var: Tensor) -> Tensor:
    """The score of means and log variances `[N, D]` and `[M, D]` of one floating type, float32 or float64.

    Compiled from a size on at which this pays (`KernelConfig`), else in eager mode.
    """
    tensors = (x_mean, x_log_var, y_mean, y_log_var)
    learning = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return ExpectedLikelihood.apply(*tensors, learning)
