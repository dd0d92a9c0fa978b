"""How fast the simulator is, and how much memory it takes: `python benchmarks/simulation.py --help`

Renders OpenI studies with both views by one process a core, as `make run` does, and prints studies a second,
time a study, and peak memory. The start of the processes is included.
"""

import argparse
import resource
import tempfile
import time

import pandas as pd

from medprobclip.data.openi import load_reports
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.corpus import _cores, simulate_corpus
from medprobclip.simulator.simulate import SimulationConfig


def measure(size_px: int, count: int, workers: int) -> dict[str, float]:
    """Render `count` studies spread over the archive; one row of the table."""
    config = SimulationConfig(size_px=size_px)
    load_anatomy(config.pixel_mm)  # prepared and cached before the clock starts
    studies = load_reports(count).drop(columns="views")  # both films of every study
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        simulate_corpus(studies, folder, config, workers)
        seconds = time.perf_counter() - start
    own, child = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)  # of children: the largest
    )
    return {
        "size_px": size_px,
        "studies": count,
        "workers": workers,
        "studies_per_s": count / seconds,
        "ms_per_study": 1000 * seconds / count,
        "peak_memory_mb": own + workers * child,
    }


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("--sizes", type=int, nargs="+", default=[128, 224], help="edges of the pictures, px")
    command.add_argument("--studies", type=int, default=640, help="studies at 128 px; fewer at larger sizes")
    command.add_argument("--workers", type=int, default=_cores(), help="processes (default: one a core)")
    arguments = command.parse_args()
    rows = [
        measure(size, max(32, round(arguments.studies * (128 / size) ** 3)), arguments.workers)
        for size in sorted(arguments.sizes)  # peak memory only grows, so the small ones come first
    ]
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda x: f"{x:.1f}"))


if __name__ == "__main__":
    main()
