"""Compiling: what is said the first time, and what happens where there is no compiler."""

import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import torch

from medprobclip import search
from medprobclip.gaussian import Gaussian
from medprobclip.search import top_k
from medprobclip.similarity import expected_likelihood
from medprobclip.support import compiling, kernels


def draw(n: int, dim: int, seed: int) -> Gaussian:
    return Gaussian(*torch.randn(2, n, dim, generator=torch.Generator().manual_seed(seed)))


def agrees(x: Gaussian, y: Gaussian) -> None:
    """Scores and gradients are those of float64, which is never compiled."""
    results = []
    for dtype in (torch.float32, torch.float64):
        leaf = x.mean.to(dtype).requires_grad_()
        scores = expected_likelihood(Gaussian(leaf, x.log_var.to(dtype)), y.to(dtype))
        results.append((scores.detach().double(), *torch.autograd.grad(scores.sum(), leaf)))
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.fixture
def no_compiler(monkeypatch):
    """torch.compile, which every size asks for, finds no compiler."""
    config = replace(kernels.CONFIG, cpu_kernel_from=2**62, compile_from=0, compile_gradients_from=0)
    monkeypatch.setattr(kernels, "COMPILER", compiling.Compiler())
    monkeypatch.setattr(kernels, "CONFIG", config)

    def compiled(function):
        def call(*args):
            raise RuntimeError("InvalidCxxCompiler: no g++\nmore")

        return call

    monkeypatch.setattr(compiling, "compiled", compiled)


def test_without_a_compiler_the_tiles_run_in_eager_mode_and_it_is_said_once(no_compiler, capsys):
    x, y = draw(9, 20, 0), draw(8, 20, 1)
    with pytest.warns(RuntimeWarning, match=r"no working compiler \(InvalidCxxCompiler: no g\+\+\)") as said:
        agrees(x, y)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agrees(x, y)
    assert "not possible" in capsys.readouterr().err


def test_a_search_finds_out_in_its_first_block(no_compiler, monkeypatch):
    """How scores are computed is decided for all blocks, before that is known."""
    monkeypatch.setattr(search, "BLOCK", 3)
    x, y = draw(9, 20, 0), draw(8, 20, 1)
    with pytest.warns(RuntimeWarning, match="no working compiler") as said:
        hits = top_k(x, y, 8)
    assert len(said) == 1
    assert torch.equal(hits.scores, expected_likelihood(x, y).sort(descending=True).values)


def test_the_first_call_says_what_takes_so_long(monkeypatch, compiler, capsys):
    monkeypatch.setattr(kernels, "CONFIG", replace(kernels.CONFIG, compile_from=0))
    x, y = draw(13, 64, 0), draw(150, 64, 1)
    expected_likelihood(x, y)
    first = capsys.readouterr().err
    assert first.startswith("Compiling the expected likelihood (scores, 64 dimensions, cpu) …")
    assert "s; kept for later processes" in first
    expected_likelihood(y, x)
    assert capsys.readouterr().err == ""


def test_the_compiler_can_be_switched_off():
    """TORCHDYNAMO_DISABLE=1 turns torch.compile off: then blocks must have the size of eager tiles."""
    code = "from medprobclip.support import compiling; print(compiling.COMPILER.unavailable)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={"TORCHDYNAMO_DISABLE": "1"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True"]


def test_kept_code_is_known_by_the_processor_s_vectors(monkeypatch):
    """Code of wider vectors leaves out half of the elements, which PyTorch's own key does not know."""
    seen = []

    def compile_(function, **_):
        def run(*args):
            seen.append(torch.compiler.config.cache_key_tag)
            return function(*args)

        return run

    monkeypatch.setattr(torch, "compile", compile_)
    with torch.compiler.config.patch(cache_key_tag="mine-"):  # which it undoes; monkeypatch would delete it
        for width in ("AVX2", "AVX512"):
            monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda width=width: width)
            assert compiling.compiled.__wrapped__(lambda x: x + 1)(1) == 2
        assert torch.compiler.config.cache_key_tag == "mine-"
    assert seen == ["mine-AVX2", "mine-AVX512"]
