"""The compiled tiles against the plain formula in float64: scores, gradients, odd sizes, extremes, memory."""

from dataclasses import replace

import pytest
import torch
from counting import most_held
from hypothesis import given, settings, strategies as st

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import expected_likelihood
from medprobclip.support import cpu_kernel, kernels

SHAPES = [(1, 1, 1), (7, 1, 7), (1, 7, 513), (13, 150, 64), (130, 129, 64)]


def plain(x: Gaussian, y: Gaussian) -> torch.Tensor:
    s = x.var[:, None] + y.var[None]
    return -0.5 * ((x.mean[:, None] - y.mean[None]).square() / s + s.log()).sum(-1)


def draw(n: int, dim: int, seed: int, spread: float = 1.0) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    mean, log_var = torch.randn(2, n, dim, generator=generator)
    return Gaussian(mean, (spread * log_var).clamp(-6, 6))


def with_gradients(score, x: Gaussian, y: Gaussian):
    """Scores, and the gradients of a weighted sum of them for the four tensors."""
    leaves = [t.detach().clone().requires_grad_() for t in (x.mean, x.log_var, y.mean, y.log_var)]
    scores = score(Gaussian(*leaves[:2]), Gaussian(*leaves[2:]))
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return scores.detach(), torch.autograd.grad(scores, leaves, weights.to(scores.dtype))


def check(x: Gaussian, y: Gaussian, gradient_tolerance: float = 1e-4) -> None:
    scores, gradients = with_gradients(expected_likelihood, x, y)
    exact, expected = with_gradients(plain, x.to(torch.float64), y.to(torch.float64))
    torch.testing.assert_close(scores.double(), exact, rtol=1e-5, atol=1e-5)
    for ours, truth in zip(gradients, expected, strict=True):
        error = (ours.double() - truth).abs().max() / truth.abs().max().clamp(min=1e-9)
        assert float(error) < gradient_tolerance


@pytest.fixture(params=["eager", "cpu kernel", "compiled"])
def mode(request, monkeypatch):
    """Every size in one mode; gradients, and what is not safe, in eager mode beside the CPU kernel."""
    limit = 0 if request.param == "compiled" else 2**62
    own = 0 if request.param == "cpu kernel" else 2**62
    config = replace(kernels.CONFIG, cpu_kernel_from=own, compile_from=limit, compile_gradients_from=limit)
    monkeypatch.setattr(kernels, "CONFIG", config)
    if own == 0 and cpu_kernel.library() is None:
        pytest.skip("no compiler on this machine makes the CPU kernel")
    if request.param == "compiled":
        request.getfixturevalue("compiler")
    return request.param


@pytest.mark.parametrize("spread", [1.0, 100.0], ids=["usual", "both clamps"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scores_and_gradients(mode, shape, spread):
    n, m, dim = shape
    check(draw(n, dim, 0, spread), draw(m, dim, 1, spread))


def test_bfloat16_inputs(mode):
    """Summed in float32; the gradients that come back are rounded to bfloat16, 8 bits."""
    check(*(draw(n, 64, n).to(torch.bfloat16) for n in (13, 150)), gradient_tolerance=2**-8)


def test_identical_pairs(mode):
    """The quadratic part is exactly 0, what is left is −½ Σ log 2σ²."""
    x = draw(13, 64, 0)
    scores = expected_likelihood(x, x[[3] * 5])
    torch.testing.assert_close(scores[3], (-0.5 * (2 * x.var[3]).log().sum()).expand(5), rtol=1e-5, atol=1e-5)
    check(x, x)


@pytest.mark.parametrize("log_var", [20.0, -20.0])
def test_beyond_the_safe_range_the_plain_formula_is_used(mode, log_var):
    x, y = draw(13, 64, 0), draw(13, 64, 1)
    check(
        Gaussian(x.mean, torch.full_like(x.mean, log_var)), Gaussian(y.mean, torch.full_like(y.mean, log_var))
    )
    check(Gaussian(1e6 * x.mean, x.log_var), y)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_shows(mode, value):
    x, y = draw(13, 64, 0), draw(13, 64, 1)
    x.mean[4, 5] = value
    broken = ~expected_likelihood(x, y).isfinite()
    assert broken[4].all()
    assert int(broken.sum()) == len(y)


def test_an_item_scores_the_same_wherever_it_stands(mode):
    """Bit for bit, so that duplicates tie: whatever block, row or neighbour."""
    dim = 64 if mode == "compiled" else 513  # more than 128: a sum over so many may change its order
    x, y = draw(37, dim, 0), draw(300, dim, 1)
    whole = expected_likelihood(x, y)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2))
    assert torch.equal(expected_likelihood(x, y[order]), whole[:, order])
    assert torch.equal(expected_likelihood(x[5:6], y[17:18]), whole[5:6, 17:18])
    assert torch.equal(expected_likelihood(x, y[torch.tensor([7] * 150)]), whole[:, 7:8].expand(-1, 150))


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_compare(mode, n, m):
    x, y = draw(n, 8, 0), draw(m, 8, 1)
    x.mean.requires_grad_()
    scores = expected_likelihood(x, y)
    assert scores.shape == (n, m)
    scores.sum().backward()
    assert torch.equal(x.mean.grad, torch.zeros(n, 8))


@pytest.mark.parametrize("frozen", ["x", "y"])
def test_only_what_learns_gets_a_gradient(frozen):
    x, y = draw(3, 8, 0), draw(4, 8, 1)
    (y if frozen == "x" else x).mean.requires_grad_()
    expected_likelihood(x, y).sum().backward()
    assert (x.mean.grad is None) == (frozen == "x")
    assert (y.mean.grad is None) == (frozen == "y")


@given(n=st.integers(1, 40), m=st.integers(1, 40), dim=st.integers(1, 80), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_any_shape_in_eager_tiles(n, m, dim, seed):
    small = replace(kernels.CONFIG, eager_elements=500, eager_gradient_elements=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "CONFIG", small)
        check(draw(n, dim, seed, 3.0), draw(m, dim, seed + 1, 3.0))


def test_gradients_pass_gradcheck():
    leaves = [
        t.double().requires_grad_() for g in (draw(3, 5, 0), draw(4, 5, 1)) for t in (g.mean, g.log_var)
    ]
    assert torch.autograd.gradcheck(lambda *t: kernels.expected_likelihood(*t), leaves)


def test_autocast_does_not_reach_the_sums(mode):
    x, y = draw(13, 64, 0), draw(150, 64, 1)
    with torch.autocast("cpu", torch.bfloat16):
        inside = expected_likelihood(x, y)
    assert torch.equal(inside, expected_likelihood(x, y))


def test_a_tile_is_all_that_is_held(mode):
    """Scores of 2048 × 2048 × 64 pairs, 17 MB: the broadcast would take 1 GB a temporary."""
    x, y = draw(2048, 64, 0), draw(2048, 64, 1)
    expected_likelihood(x, y)  # compiled, if it is to be
    outputs = 2048 * 2048 * 4
    most = 4e6 if mode == "cpu kernel" else 64e6  # beyond torch's book a tile in each thread
    assert outputs <= most_held(lambda: expected_likelihood(x, y)) < outputs + most


@pytest.mark.parametrize(
    ("dim", "expected"), [(512, (32, 16)), (128, (16, 8)), (64, (8, 8)), (1, (8, 8))], ids=str
)
def test_unrolled_dimensions_fill_whole_registers(dim, expected, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    kernels.unrolled.cache_clear()
    assert kernels.unrolled(dim, torch.float32, "cpu") == expected
    kernels.unrolled.cache_clear()
