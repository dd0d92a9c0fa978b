"""What one question costs: `python benchmarks/retriever.py --help`

Asks a trained, calibrated run (by default the demo's, left by `make run`): a film and a phrase against 3,000
studies in memory, and against an index of 1,000,000 drawn studies on disk. Prints seconds of a question, from
the picture file or the words to the table of answers, and the memory that it holds beyond what was there
(files mapped into memory do not count). Once, when an index has grown, the calibration queries are asked in
it: that time is its own row.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from medprobclip.data.studies import read_studies
from medprobclip.evaluation.scaling import draw, measure
from medprobclip.retriever import Retriever, Studies

PART = 50_000  # studies drawn and appended at once


def drawn(first: int, count: int, dim: int) -> Studies:
    """Studies with Gaussians like a model's, numbered from `first` on."""
    names = [f"drawn-{number}" for number in range(first, first + count)]
    image, report = (draw(count, dim, seed=2 * first + side) for side in (0, 1))
    return Studies(names, image, report, torch.arange(first, first + count))


def fill(retriever: Retriever, studies: int) -> None:
    """Drawn studies, appended part by part."""
    for first in tqdm(range(0, studies, PART), "drawing", unit="part"):
        retriever.gallery.append(drawn(first, min(PART, studies - first), retriever.gallery.dim))


def rows(retriever: Retriever, where: str, film: str, phrase: str) -> list[dict]:
    """Cost of bringing the calibration queries up to date, and of a question of either kind."""
    started = time.perf_counter()
    retriever.search([film, phrase + " and nothing else that would be a phrase any more"])
    first = {"index": where, "what": "calibration queries, once", "seconds": time.perf_counter() - started}
    questions: dict[str, Callable[[], object]] = {
        "a film": lambda: retriever.search(film), "a phrase": lambda: retriever.search(phrase),
    }  # fmt: skip
    costs = {what: measure(ask) for what, ask in questions.items()}
    return [first] + [
        {"index": where, "what": what, "seconds": cost.seconds, "memory_mb": cost.memory_mb}
        for what, cost in costs.items()
    ]


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("--run", type=Path, default=Path("runs/demo/medprobclip"), help="a calibrated run")
    command.add_argument(
        "--table", type=Path, default=Path("data/openi-sim-128px/test.csv"), help="its first film is asked"
    )
    command.add_argument("--studies", type=int, nargs="+", default=[3000, 1_000_000], help="sizes of indexes")
    arguments = command.parse_args()
    film = read_studies(arguments.table)["image_paths"][0][0]
    found = []
    for studies in arguments.studies:
        retriever = Retriever.from_run(arguments.run)
        with tempfile.TemporaryDirectory() as folder:
            if studies > PART:
                retriever.save(Path(folder) / "index")
            fill(retriever, studies)
            where = f"{studies:,} {'on disk' if studies > PART else 'in memory'}"
            found += rows(retriever, where, film, "right pleural effusion")
    print(f"{torch.get_num_threads()} threads, {retriever.gallery.dim} dimensions")
    print(pd.DataFrame(found).to_string(index=False, na_rep="", float_format=lambda v: f"{v:.3g}"))


if __name__ == "__main__":
    main()
