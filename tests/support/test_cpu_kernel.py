"""The CPU kernel against densities of `torch.distributions`: tiles, threads, extremes, no compiler."""

import math
import tempfile
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import expected_likelihood
from medprobclip.support import cpu_kernel, kernels


@pytest.fixture(autouse=True)
def _compiled(request):
    """All but the tests of no compiler need one."""
    if "no_compiler" not in request.fixturenames and cpu_kernel.library() is None:
        pytest.skip("no compiler on this machine makes the CPU kernel")


@pytest.fixture
def no_compiler(monkeypatch):
    """A machine where nothing compiles, and a process that has not tried yet."""
    monkeypatch.setattr(cpu_kernel, "COMPILERS", ("no-such-compiler",))
    monkeypatch.delenv("CXX", raising=False)
    cpu_kernel.library.cache_clear()
    yield
    cpu_kernel.library.cache_clear()


def draw(n: int, dim: int, seed: int, spread: float = 1.0) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    mean, log_var = torch.randn(2, n, dim, generator=generator)
    return Gaussian(spread * mean, (spread * log_var).clamp(-8, 8))


def ours(x: Gaussian, y: Gaussian) -> torch.Tensor:
    return cpu_kernel.scores(x.mean, x.var, y.mean, y.var)


def density(x: Gaussian, y: Gaussian) -> torch.Tensor:
    """log N(μx; μy, σx² + σy²) without its (D/2) log 2π, in float64."""
    x, y = x.to(torch.float64), y.to(torch.float64)
    spread = (x.var[:, None] + y.var).sqrt()
    log = torch.distributions.Normal(y.mean.expand_as(spread), spread).log_prob(x.mean[:, None])
    return log.sum(-1) + x.dim / 2 * math.log(2 * math.pi)


def error(x: Gaussian, y: Gaussian) -> float:
    """Largest error, relative to the score or, where that is nearly 0, to a nat a dimension."""
    exact = density(x, y)
    return float(((ours(x, y) - exact).abs() / exact.abs().clamp(min=x.dim / 2)).max())


@pytest.mark.parametrize("dim", [1, 7, 8, 9, 64])
@pytest.mark.parametrize(
    ("n", "m"), [(1, 1), (63, 255), (64, 256), (65, 257), (130, 513), (300, 3), (3, 300)]
)
def test_scores_of_every_shape(n, m, dim):
    """Blocks are of 64 queries, tiles of 256 items, steps of eight dimensions."""
    assert error(draw(n, dim, 0), draw(m, dim, 1)) < 1e-6


@given(n=st.integers(1, 70), m=st.integers(1, 270), dim=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_scores_of_any_shape(n, m, dim, seed):
    assert error(draw(n, dim, seed, 2.0), draw(m, dim, seed + 1, 2.0)) < 1e-6


@pytest.mark.parametrize(("dim", "most"), [(512, 2.5e-7), (4099, 2.5e-7)])
def test_many_dimensions_neither_overflow_nor_lose_precision(dim, most):
    """A product of 512 mantissas, one of each eight dimensions, would reach 2^512."""
    assert error(draw(20, dim, 0), draw(30, dim, 1)) < most


@pytest.mark.parametrize("y_log_var", [-8.0, 0.0, 8.0])
@pytest.mark.parametrize("x_log_var", [-8.0, 8.0])
@pytest.mark.parametrize("far", [0.0, 1e-20, 1.0, 1e4])
def test_the_ends_of_the_safe_range(x_log_var, y_log_var, far):
    """No product of eight s and no numerator leaves float32: e⁸ each, means 2·10⁴ apart."""
    x = Gaussian(torch.full((2, 64), far), torch.full((2, 64), x_log_var))
    y = Gaussian(torch.full((3, 64), -far), torch.full((3, 64), y_log_var))
    assert kernels.in_safe_range(x.mean, x.log_var)
    assert error(x, y) < 1e-6
    mixed = Gaussian(x.mean, x.log_var * torch.tensor([1.0, -1.0]).repeat(32))
    assert error(mixed, y) < 1e-6


def test_variances_whose_sum_is_a_power_of_two():
    """There the mantissa is 1 exactly, or just below 2."""
    for s in (0.25, 0.5, 1.0, 2.0, 4.0):
        for nudge in (1 - 2**-24, 1.0, 1 + 2**-23):
            x, y = torch.zeros(1, 8), torch.full((1, 8), s / 2 * nudge)
            expected = -0.5 * 8 * math.log(float(y[0, 0].double()) * 2)
            assert float(cpu_kernel.scores(x, y, x, y)) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_pair_has_the_same_score_wherever_it_stands():
    x, y = draw(70, 61, 0), draw(600, 61, 1)
    whole = ours(x, y)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(2))
    assert torch.equal(ours(x, y[order]), whole[:, order])
    assert torch.equal(ours(x.map(lambda t: t.flip(0)), y), whole.flip(0))
    for i, j in ((0, 0), (69, 599), (64, 256), (63, 255)):
        assert torch.equal(ours(x[i : i + 1], y[j : j + 1]), whole[i : i + 1, j : j + 1])
    assert torch.equal(ours(x, y[[17] * 300]), whole[:, 17:18].expand(-1, 300))


def test_the_score_is_symmetric_bit_for_bit():
    """So few items may change places with many queries."""
    x, y = draw(300, 61, 0), draw(270, 61, 1)
    assert torch.equal(ours(x, y), ours(y, x).T)
    assert torch.equal(ours(x, y[:5]), ours(x, y)[:, :5])


@pytest.mark.parametrize("threads", [2, 3, 64])
def test_threads_share_the_tiles(threads):
    """Also when there are more of them than tiles."""
    x, y, before = draw(130, 20, 0), draw(700, 20, 1), torch.get_num_threads()
    alone = ours(x, y)
    try:
        torch.set_num_threads(threads)
        assert torch.equal(ours(x, y), alone)
    finally:
        torch.set_num_threads(before)


def test_rows_and_columns_of_larger_tensors():
    """A slice of dimensions, every other item, a transposed matrix are read rightly."""
    x, y = draw(20, 40, 0), draw(600, 40, 1)
    parts = x[:, 3:23], Gaussian(y.mean.T.contiguous().T, y.log_var)[::2, 3:23]
    assert torch.equal(ours(*parts), ours(*(g.map(torch.clone) for g in parts)))
    assert error(*parts) < 1e-6


def test_large_scores_come_from_it(monkeypatch):
    """From N·M·D = 2^23 on, in the safe range, in float32, on a CPU; search asks with its whole gallery."""
    x = draw(2, 8, 0)
    size = kernels.CONFIG.cpu_kernel_from
    assert kernels.way(size, x.mean, safe=True) == "cpu kernel"
    assert kernels.way(size - 1, x.mean, safe=True) == "eager"
    assert kernels.way(size, x.mean, safe=False) == "eager"
    assert kernels.way(size, x.mean.double(), safe=True) == "eager"
    assert kernels.way(2**40, x.mean.to("meta"), safe=True) != "cpu kernel"
    monkeypatch.setattr(kernels, "CONFIG", replace(kernels.CONFIG, cpu_kernel_from=0))
    assert torch.equal(expected_likelihood(x, x), ours(x, x))


def test_nothing_is_left_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cpu_kernel.library.cache_clear()
    assert cpu_kernel.library() is not None
    assert list(tmp_path.iterdir()) == []
    assert error(draw(3, 8, 0), draw(4, 8, 1)) < 1e-6


@pytest.mark.parametrize("flags", [["-march=native", "-mno-avx512f"], []], ids=["AVX2", "any processor"])
def test_narrower_vectors(flags, monkeypatch):
    """Half a register, and what is compiled for any processor: four items at once, no fused multiply-add."""
    monkeypatch.setattr(cpu_kernel, "processor_flags", lambda: [flags, []])
    cpu_kernel.library.cache_clear()
    try:
        x, y = draw(70, 61, 0), draw(300, 61, 1)
        assert error(x, y) < 1e-6
        assert torch.equal(ours(x[7:8], y[290:291]), ours(x, y)[7:8, 290:291])
    finally:
        cpu_kernel.library.cache_clear()


def test_vectors_are_those_of_pytorch(monkeypatch):
    """ATEN_CPU_CAPABILITY holds for the kernel, too; the last flags fit every processor."""
    found = {}
    for capability in ("AVX512", "AVX2", "DEFAULT"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda name=capability: name)
        found[capability] = cpu_kernel.processor_flags()
    assert found["AVX512"][0] == ["-march=native", "-mprefer-vector-width=512"]
    assert found["AVX2"][0] == ["-march=native", "-mno-avx512f"]
    assert all(flags[-1] == [] for flags in found.values())


def test_a_compiler_that_fails_is_passed_over(monkeypatch):
    monkeypatch.setenv("CXX", "false")
    cpu_kernel.library.cache_clear()
    assert cpu_kernel.library() is not None


def test_without_a_compiler_scores_are_computed_as_before(no_compiler, monkeypatch):
    x, y = draw(9, 20, 0), draw(8, 20, 1)
    with pytest.raises(RuntimeError, match="no compiler makes the CPU kernel"):
        ours(x, y)
    monkeypatch.setattr(kernels, "CONFIG", replace(kernels.CONFIG, cpu_kernel_from=0))
    assert kernels.way(2**27, x.mean, safe=True) == "eager"
    torch.testing.assert_close(expected_likelihood(x, y).double(), density(x, y), rtol=1e-5, atol=1e-5)
