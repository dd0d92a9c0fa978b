"""What exact search costs as the gallery grows: `python benchmarks/search.py --help`

Searches a gallery that is mapped into memory, and the same gallery by brute-force cosine of the means; prints
seconds, memory beyond the gallery, and the ratio of both times; `penalised` is the time of a search with a
number to take from every item's score (the bank's term against hubs), relative to that without.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch

from medprobclip.evaluation.scaling import cosine_top_k, draw, measure
from medprobclip.gaussian import Gaussian
from medprobclip.search import top_k


def row(queries: Gaussian, size: int, k: int, folder: Path) -> dict:
    """Cost of one gallery size."""
    path = folder / f"{size}.safetensors"
    draw(size, queries.dim, seed=1).save(path)
    gallery = Gaussian.load(path)
    ours = measure(lambda: top_k(queries, gallery, k), repeats=1)
    penalty = torch.linspace(0, 1, size)
    penalised = measure(lambda: top_k(queries, gallery, k, penalty=penalty), repeats=1)
    cosine = measure(lambda: cosine_top_k(queries, gallery, k), repeats=3)
    path.unlink()
    return {
        "gallery": size,
        "seconds": ours.seconds,
        "microseconds_per_item": 1e6 * ours.seconds / size,
        "memory_mb": ours.memory_mb,
        "penalised": penalised.seconds / ours.seconds,
        "cosine_s": cosine.seconds,
        "ratio_to_cosine": ours.seconds / cosine.seconds,
        "billion_elements_per_s": len(queries) * size * queries.dim / ours.seconds / 1e9,
    }


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("--queries", type=int, default=2000, help="N, queries (default 2000)")
    command.add_argument(
        "--galleries", type=int, nargs="+", default=[12_500, 25_000, 50_000, 100_000], help="M, items"
    )
    command.add_argument("--dim", type=int, default=512, help="D, dimensions of an embedding (default 512)")
    command.add_argument("--k", type=int, default=10, help="best items kept (default 10)")
    arguments = command.parse_args()
    queries = draw(arguments.queries, arguments.dim, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(queries, size, arguments.k, Path(folder)) for size in arguments.galleries]
    print(f"{torch.get_num_threads()} threads, {arguments.queries} queries, {arguments.dim} dimensions")
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda v: f"{v:.3g}"))


if __name__ == "__main__":
    main()
