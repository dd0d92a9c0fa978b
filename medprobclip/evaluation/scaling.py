"""What scoring a gallery costs in time and memory: broadcasts, tiles, search, brute-force cosine."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from medprobclip.gaussian import Gaussian
from medprobclip.search import BLOCK, top_k
from medprobclip.settings import ScalingConfig
from medprobclip.similarity import TILE_ELEMENTS, cosine, expected_likelihood
from medprobclip.support import kernels
from medprobclip.support.progress import with_progress

TEMPORARIES = 4  # tensors [N, M, D] that `broadcast` holds at its peak: s, gap² / s, log s and their sum


@dataclass(frozen=True)
class Cost:
    """Seconds of the fastest call, and the most memory a call held beyond what was there before, in MB.

    1 MB is 10⁶ bytes. Memory is known on Linux only, else NaN; files mapped into memory do not count.
    """

    seconds: float
    memory_mb: float


def broadcast(x: Gaussian, y: Gaussian) -> Tensor:
    """The expected likelihood as published (arXiv 2602.16019): temporaries `[N, M, D]`."""
    s = x.var[:, None] + y.var[None]
    return -0.5 * ((x.mean[:, None] - y.mean[None]).square() / s + s.log()).sum(-1)


def chunked_broadcast(x: Gaussian, y: Gaussian) -> Tensor:
    """The plain remedy: the same, a few rows at a time, 64 MB in each temporary."""
    rows = max(1, TILE_ELEMENTS // (len(y) * y.dim))
    return torch.cat([broadcast(x[i : i + rows], y) for i in range(0, len(x), rows)])


@torch.no_grad()
def cosine_top_k(x: Gaussian, y: Gaussian, k: int) -> tuple[Tensor, Tensor]:
    """Brute-force search by cosine of the means in blocks of the gallery: scores and ids `[N, k]`."""
    best = x.mean.new_empty(len(x), 0)
    ids = torch.empty(len(x), 0, dtype=torch.int64, device=best.device)
    for start in range(0, len(y), BLOCK):
        scores, places = cosine(x, y[start : start + BLOCK]).topk(min(k, len(y) - start))
        best, ids = torch.cat([best, scores], 1), torch.cat([ids, start + places], 1)
        best, order = best.topk(min(k, best.shape[1]))
        ids = ids.gather(1, order)
    return best, ids


def draw(n: int, dim: int, seed: int) -> Gaussian:
    """n Gaussians like those of a model: means around 0 with spread 1, log variances with spread ½."""
    generator = torch.Generator().manual_seed(seed)
    mean, log_var = (torch.randn(n, dim, generator=generator) for _ in range(2))
    return Gaussian(mean, log_var.mul_(0.5))


def measure(call: Callable[[], object], repeats: int = 3) -> Cost:
    """Time the fastest of several calls; one before is for compilers and caches, one after for memory.

    Short calls are repeated more often, up to 20 times in 0.2 s: other programs disturb them most.
    """
    call()
    seconds = []
    while len(seconds) < repeats or (sum(seconds) < 0.2 and len(seconds) < 20):
        started = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - started)
        del result
    return Cost(min(seconds), peak_memory(call))


def peak_memory(call: Callable[[], object]) -> float:
    """Most memory held in a call beyond what was there before it, without mapped files, in MB, or NaN.

    The system keeps the peak of all memory. How much of it is mapped files is looked up every millisecond,
    for a mapping may be gone when the call returns.
    """
    if not (before := forget_peak()):
        return float("nan")
    most, done = dict(before), threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            look()

    def look() -> None:
        for name, value in memory_now().items():
            most[name] = max(most[name], value)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        result = call()  # held until after the last look
    finally:
        done.set()
        watcher.join()
    look()
    del result
    grown = {name: most[name] - value for name, value in before.items()}
    peak = most["VmHWM"] - before["VmRSS"]
    return max(0.0, grown["RssAnon"], peak - grown["RssFile"])


def forget_peak() -> dict[str, float]:
    """Give freed memory back and start a new peak; returns `memory_now`, nothing where it is not told."""
    if not (switch := Path("/proc/self/clear_refs")).exists():  # not Linux
        return {}
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    switch.write_text("5")
    return memory_now()


def memory_now() -> dict[str, float]:
    """Memory of this process by kind, in MB (Linux: /proc/self/status, in units of 1024 bytes)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kinds = ("VmHWM", "VmRSS", "RssAnon", "RssFile")
    pairs = (line.split(":") for line in lines if line.startswith(kinds))
    return {name: int(value.split()[0]) * 1024 / 1e6 for name, value in pairs}


def scaling_table(config: ScalingConfig | None = None, methods: Iterable[str] | None = None) -> pd.DataFrame:
    """Cost of every method for growing galleries, one row a method and size.

    Columns `method, gallery, queries, dim, compiled, seconds, memory_mb`; `compiled` is true where the size
    made compiling worth while. The published broadcast is left out where it would need more than `most_mb`.
    """
    config = config or ScalingConfig()
    calls: dict[str, Callable[[Gaussian, Gaussian], object]] = {
        "broadcast": broadcast,
        "tiles": expected_likelihood,
        "search": lambda x, y: top_k(x, y, min(config.k, len(y))),
        "cosine search": lambda x, y: cosine_top_k(x, y, min(config.k, len(y))),
    }
    rows = []
    queries = draw(config.queries, config.dim, seed=0)
    chosen = list(methods or calls)
    for size in with_progress(config.galleries, "measuring time and memory", "gallery size"):
        gallery = draw(size, config.dim, seed=1)
        elements = config.queries * size * config.dim
        how = kernels.way(elements, queries.mean, safe=True)
        for name in chosen:
            if name != "broadcast" or TEMPORARIES * elements * 4e-6 <= config.most_mb:
                cost = measure(lambda call=calls[name], y=gallery: call(queries, y))
                compiled = name in ("tiles", "search") and how != "eager"
                rows.append({"method": name, "gallery": size, "queries": len(queries), "dim": config.dim,
                             "compiled": compiled, **asdict(cost)})  # fmt: skip
    return pd.DataFrame(rows)
