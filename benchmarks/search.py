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
from trained import training_radiographs, varied_sections

from medprobclip.evaluation.scaling import cosine_top_k, draw, measure
from medprobclip.gaussian import Gaussian
from medprobclip.search import top_k


def row(queries: Gaussian, path: Path, k: int) -> dict:
    """Cost of one gallery, mapped from its file."""
    gallery = Gaussian.load(path)
    size = len(gallery)
    ours = measure(lambda: top_k(queries, gallery, k), repeats=1)
    penalty = torch.linspace(0, 1, size)
    penalised = measure(lambda: top_k(queries, gallery, k, penalty=penalty), repeats=1)
    cosine = measure(lambda: cosine_top_k(queries, gallery, k), repeats=3)
    return {
        "gallery": size,
        "queries": len(queries),
        "seconds": ours.seconds,
        "microseconds_per_item": 1e6 * ours.seconds / size,
        "memory_mb": ours.memory_mb,
        "penalised": penalised.seconds / ours.seconds,
        "cosine_s": cosine.seconds,
        "ratio_to_cosine": ours.seconds / cosine.seconds,
        "billion_elements_per_s": len(queries) * size * queries.dim / ours.seconds / 1e9,
    }


def drawn_row(queries: Gaussian, size: int, k: int) -> dict:
    """Cost of a drawn gallery of one size."""
    with tempfile.TemporaryDirectory() as folder:
        draw(size, queries.dim, seed=1).save(path := Path(folder) / "gallery.safetensors")
        return row(queries, path, k)


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("--queries", type=int, default=2000, help="N, queries (default 2000)")
    command.add_argument(
        "--galleries", type=int, nargs="+", default=[12_500, 25_000, 50_000, 100_000], help="M, items"
    )
    command.add_argument("--dim", type=int, default=512, help="D, dimensions of an embedding (default 512)")
    command.add_argument("--k", type=int, default=10, help="best items kept (default 10)")
    command.add_argument("--run", type=Path, help="measure a trained run's embeddings instead of drawn ones")
    command.add_argument("--table", type=Path, help="its training table, of whose texts the gallery is made")
    arguments = command.parse_args()
    if arguments.run:
        paths = [varied_sections(arguments.run, arguments.table, size) for size in arguments.galleries]
        queries = training_radiographs(arguments.run)[: arguments.queries]
        rows = [row(queries, path, arguments.k) for path in paths]
    else:
        queries = draw(arguments.queries, arguments.dim, seed=0)
        rows = [drawn_row(queries, size, arguments.k) for size in arguments.galleries]
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{torch.get_num_threads()} threads, {capability}, {queries.dim} dimensions")
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda v: f"{v:.3g}"))


if __name__ == "__main__":
    main()
