"""How fast and exact the compiled score is: `python benchmarks/expected_likelihood.py --help`

Compares with the plain implementation (the published broadcast, in chunks of 64 MB) in the same run: forward,
forward and backward, memory beyond inputs and outputs, error against float64, time to compile.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import pandas as pd
import torch

from medprobclip.evaluation.scaling import chunked_broadcast, draw, measure
from medprobclip.gaussian import Gaussian
from medprobclip.similarity import expected_likelihood

FIRST_CALL = """
import time, torch
from medprobclip.evaluation.scaling import draw
from medprobclip.similarity import expected_likelihood
x = draw(1024, {dim}, 0)
for gradients in (False, True):
    x.mean.requires_grad_(gradients)
    started = time.perf_counter()
    scores = expected_likelihood(x, x)
    if gradients:
        scores.sum().backward()
    print(time.perf_counter() - started)
"""


def learning(x: Gaussian) -> Gaussian:
    """The same numbers, as parameters."""
    return x.map(lambda t: t.clone().requires_grad_())


def with_gradients(score, x: Gaussian, y: Gaussian, weights: torch.Tensor) -> list[torch.Tensor]:
    """The scores and the gradients of their weighted sum, for both means and log variances."""
    scores = score(x, y)
    return [scores, *torch.autograd.grad(scores, (x.mean, x.log_var, y.mean, y.log_var), weights)]


def speed(size: int, dim: int, gradients: bool) -> dict:
    """One row: ours and the plain implementation on size × size pairs."""
    x, y = draw(size, dim, 0), draw(size, dim, 1)
    calls = [lambda f=f: f(x, y) for f in (expected_likelihood, chunked_broadcast)]
    if gradients:
        x, y, weights = learning(x), learning(y), torch.randn(size, size)
        calls = [
            lambda f=f: with_gradients(f, x, y, weights) for f in (expected_likelihood, chunked_broadcast)
        ]
    ours, plain = measure(calls[0], repeats=5), measure(calls[1], repeats=2)
    return {
        "what": "forward and backward" if gradients else "forward",
        "pairs": f"{size} x {size} x {dim}",
        "ours_s": ours.seconds,
        "plain_s": plain.seconds,
        "ratio": plain.seconds / ours.seconds,
        "billion_elements_per_s": size * size * dim / ours.seconds / 1e9,
    }


def memory(size: int, dim: int, gradients: bool) -> dict:
    """One row: most memory beyond inputs and outputs, MB, on size × size pairs."""
    x, y = draw(size, dim, 0), draw(size, dim, 1)
    outputs = size * size * 4e-6
    if gradients:
        x, y, weights = learning(x), learning(y), torch.randn(size, size)
        cost = measure(lambda: with_gradients(expected_likelihood, x, y, weights), repeats=2)
        outputs += 4 * size * dim * 4e-6
    else:
        cost = measure(lambda: expected_likelihood(x, y), repeats=2)
    return {
        "what": "forward and backward" if gradients else "forward",
        "pairs": f"{size} x {size} x {dim}",
        "seconds": cost.seconds,
        "extra_memory_mb": cost.memory_mb - outputs,
    }


def errors(n: int, m: int, dim: int, spread: float, dtype: torch.dtype) -> dict:
    """One row: largest relative error of scores and gradients (over its largest entry) against float64."""
    x, y = (draw(k, dim, seed) for k, seed in ((n, 0), (m, 1)))
    x, y = (learning(Gaussian(g.mean, (g.log_var * spread).clamp(-6, 6)).to(dtype)) for g in (x, y))
    weights = torch.randn(n, m, generator=torch.Generator().manual_seed(2))
    ours = with_gradients(expected_likelihood, x, y, weights)
    exact = with_gradients(
        chunked_broadcast, *(learning(g.detach().to(torch.float64)) for g in (x, y)), weights.double()
    )
    gradient = max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours[1:], exact[1:], strict=True)
    )
    return {
        "pairs": f"{n} x {m} x {dim}",
        "log_variance": "both clamps" if spread > 10 else "spread 0.5",
        "inputs": str(dtype).removeprefix("torch."),
        "score_error": float(((ours[0] - exact[0]).abs() / exact[0].abs()).max().detach()),
        "gradient_error": gradient,
    }


def first_calls(dim: int) -> list[dict]:
    """Rows: seconds of the first calls of a new process, without and with what an earlier one compiled."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": folder}
        command = [sys.executable, "-c", FIRST_CALL.format(dim=dim)]
        rows = []
        for what in ("first process", "later process"):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            scores, gradients = map(float, done.stdout.split())
            rows.append({"first call": what, "scores_s": scores, "gradients_s": gradients})
    return rows


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("--dim", type=int, default=512, help="D, dimensions of an embedding (default 512)")
    dim = command.parse_args().dim
    tables = {
        "Speed": [speed(1024, dim, gradients=False), speed(256, dim, gradients=True)],
        "Memory": [memory(4096, dim, gradients) for gradients in (False, True)],
        "Error against float64": [
            errors(*shape, spread, dtype)
            for shape in ((1024, 1024, dim), (257, 129, 513))
            for spread in (1.0, 100.0)
            for dtype in (torch.float32, torch.bfloat16)
        ],
        "First call": first_calls(dim),
    }
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {capability}")
    for title, rows in tables.items():
        print(f"\n{title}\n{pd.DataFrame(rows).to_string(index=False, float_format=lambda v: f'{v:.3g}')}")


if __name__ == "__main__":
    main()
