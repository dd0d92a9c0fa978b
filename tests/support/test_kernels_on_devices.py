"""Scores and their gradients on every device, tiled and compiled, against float64 on the CPU."""

from dataclasses import replace

import pytest
import torch

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import SCORES, expected_likelihood
from medprobclip.support import compiling, kernels

SHAPES = [(1, 1, 1), (7, 1, 7), (13, 150, 64), (130, 129, 513)]


def draw(n: int, dim: int, seed: int, spread: float = 1.0) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    mean, log_var = torch.randn(2, n, dim, generator=generator)
    return Gaussian(mean, (spread * log_var).clamp(-6, 6))


def plain(x: Gaussian, y: Gaussian) -> torch.Tensor:
    s = x.var[:, None] + y.var[None]
    return -0.5 * ((x.mean[:, None] - y.mean[None]).square() / s + s.log()).sum(-1)


def with_gradients(score, x: Gaussian, y: Gaussian) -> list[torch.Tensor]:
    """Scores, and the gradients of a weighted sum of them for the four tensors; all back on the CPU."""
    leaves = [t.detach().clone().requires_grad_() for t in (x.mean, x.log_var, y.mean, y.log_var)]
    scores = score(Gaussian(*leaves[:2]), Gaussian(*leaves[2:]))
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    found = torch.autograd.grad(scores, leaves, weights.to(scores), allow_unused=True)
    found = [torch.zeros_like(t) if g is None else g for g, t in zip(found, leaves, strict=True)]
    assert {t.device.type for t in (scores, *found)} == {x.mean.device.type}
    return [t.detach().cpu().double() for t in (scores, *found)]


def error(ours: torch.Tensor, truth: torch.Tensor) -> float:
    """Largest difference over the largest entry."""
    return float((ours - truth).abs().max() / truth.abs().max().clamp(min=1e-9))


def check(score, exact, x: Gaussian, y: Gaussian, device, limit: float = 1e-4) -> None:
    ours = with_gradients(score, x.to(device), y.to(device))
    truth = with_gradients(exact, x.to(torch.float64), y.to(torch.float64))
    names = ("scores", "x mean", "x log variance", "y mean", "y log variance")
    errors = {name: error(a, b) for name, a, b in zip(names, ours, truth, strict=True)}
    assert {name: e for name, e in errors.items() if not e < limit} == {}


@pytest.fixture
def mode(request, device, monkeypatch):
    """The tiles as they are ("eager"), or compiled; what cannot be compiled fails the test."""
    limit = 0 if request.param == "compiled" else 2**62
    fresh = compiling.Compiler()
    monkeypatch.setattr(kernels, "COMPILER", fresh)
    config = replace(kernels.CONFIG, cpu_kernel_from=2**62, compile_from=limit, compile_gradients_from=limit)
    monkeypatch.setattr(kernels, "CONFIG", config)
    yield request.param
    assert not fresh.unavailable  # it gave up; the warning says why


# Compiled for the CPU they are tested in `test_kernels.py`.
everywhere = pytest.mark.parametrize(
    ("device", "mode"),
    [
        ("cpu", "eager"),
        pytest.param("cuda", "eager", marks=pytest.mark.gpu),
        pytest.param("cuda", "compiled", marks=pytest.mark.gpu),
    ],
    indirect=True,
)


@everywhere
@pytest.mark.parametrize("spread", [1.0, 100.0], ids=["usual", "both clamps"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_expected_likelihood(device, mode, shape, spread):
    n, m, dim = shape
    check(expected_likelihood, plain, draw(n, dim, 0, spread), draw(m, dim, 1, spread), device)


@pytest.mark.parametrize("name", sorted(SCORES.keys() - {"expected_likelihood"}))
def test_every_other_score(device, name):
    """The formulas themselves are `test_similarity.py`'s business: here float32 there, float64 here."""
    check(SCORES[name], SCORES[name], draw(33, 8, 0, 0.5), draw(70, 8, 1, 0.5), device)


@everywhere
def test_bfloat16_inputs_are_summed_in_float32(device, mode):
    x, y = (draw(n, 64, n).to(torch.bfloat16) for n in (13, 150))
    check(expected_likelihood, plain, x, y, device, limit=2**-7)  # the gradients come back in bfloat16


@everywhere
def test_beyond_the_safe_range(device, mode):
    x, y = draw(13, 64, 0), draw(13, 64, 1)
    check(expected_likelihood, plain, Gaussian(1e6 * x.mean, x.log_var), y, device)


@everywhere
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_shows(device, mode, value):
    x, y = draw(13, 64, 0).to(device), draw(13, 64, 1).to(device)
    x.mean[4, 5] = value
    broken = ~expected_likelihood(x, y).isfinite().cpu()
    assert broken[4].all()
    assert int(broken.sum()) == len(y)


@everywhere
def test_an_item_scores_the_same_wherever_it_stands(device, mode):
    """Bit for bit, so that duplicates tie: whatever block, row or neighbour."""
    x, y = draw(37, 512, 0).to(device), draw(300, 512, 1).to(device)
    whole = expected_likelihood(x, y)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2)).to(device)
    assert torch.equal(expected_likelihood(x, y[order]), whole[:, order])
    assert torch.equal(expected_likelihood(x[5:6], y[17:18]), whole[5:6, 17:18])
    assert torch.equal(expected_likelihood(x[5:6], y), whole[5:6])


@everywhere
@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0)])
def test_nothing_to_compare(device, mode, n, m):
    x, y = draw(n, 8, 0).to(device), draw(m, 8, 1).to(device)
    x.mean.requires_grad_()
    expected_likelihood(x, y).sum().backward()
    assert x.mean.grad.tolist() == torch.zeros(n, 8).tolist()


@everywhere
def test_under_autocast_sums_stay_in_float32(device, mode):
    x, y = draw(20, 64, 0).to(device), draw(30, 64, 1).to(device)
    without = expected_likelihood(x, y)
    with torch.autocast(device.type, torch.bfloat16):
        assert torch.equal(expected_likelihood(x, y), without)


@pytest.mark.gpu
def test_a_large_one_is_compiled_by_itself_and_makes_no_cube(monkeypatch):
    """2²⁹ = 1024 · 1024 · 512 elements, with the settings as they are: the cube would take 2 GB.

    Beyond scores and gradients (4 MB, 8 MB) a small part of that is held, forward and backward.
    """
    big = [draw(1024, 512, seed).to("cuda") for seed in (0, 1)]
    fresh = compiling.Compiler()
    monkeypatch.setattr(kernels, "COMPILER", fresh)
    leaves = [t.clone().requires_grad_() for g in big for t in (g.mean, g.log_var)]
    for _ in range(2):  # compiling itself may take more
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        scores = expected_likelihood(Gaussian(*leaves[:2]), Gaussian(*leaves[2:]))
        found = torch.autograd.grad(scores.sum(), leaves)
        torch.cuda.synchronize()
        held = torch.cuda.max_memory_allocated() - before
    assert len(fresh.seen) == 2  # scores and gradients
    assert held < 100e6
    wide = [t.detach().double().requires_grad_() for t in leaves]
    rows = slice(0, 32)
    exact = plain(Gaussian(wide[0][rows], wide[1][rows]), Gaussian(*wide[2:]))
    assert error(scores[rows].detach().double(), exact.detach()) < 1e-5
    truth = torch.autograd.grad(exact.sum(), wide[:2])
    for ours, full in zip(found, truth, strict=False):
        assert error(ours[rows].double(), full[rows]) < 1e-4
