"""Large JPEGs, decoded each time or once into the cache: studies a second, pixels, memory.

.venv/bin/python benchmarks/image_cache.py

Makes films of 2544 x 3056 px in a temporary folder and reads them as pairs. What each epoch costs with the
originals: `grey` is Pillow's decoding and resizing and nothing else, `colour` the same in RGB, as loaders for
pretrained vision models do, `checked` is `read_image`, which refuses damaged and blank pictures. Then the
first epoch through the cache (which checks, too) and the later ones, at the same number of threads. Best of
several rounds in turn. Studies a second are by the clock, so run it with nothing else on the machine;
`times_...`, how often a way does in the same time what another does once, are by processor time.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from medprobclip.data import images as cache
from medprobclip.data.radiographs import read_image, resize_square
from medprobclip.support.flags import HelpWithDefaults
from medprobclip.support.progress import progress_bar, with_progress

WIDTH, HEIGHT, A_STUDY = 2544, 3056, 2
GREY, COLOUR, CHECKED = "grey, each time", "colour, each time", "checked, each time"
FIRST, LATER = "cache, first epoch", "cache, later epochs"


def write_film(path: Path, seed: int, quality: int, noise: float) -> None:
    """Body, lungs, ribs and grain, each film a little different."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    y, x = y / HEIGHT + generator.normal(0, 0.02), x / WIDTH + generator.normal(0, 0.02)
    grey = 30 + 160 * np.exp(-(((x - 0.5) / 0.36) ** 4) - ((y - 0.55) / 0.5) ** 4)
    for side in (0.31, 0.69):
        grey -= 95 * np.exp(-(((x - side) / 0.13) ** 2) - ((y - 0.45) / 0.26) ** 2)
    grey += 8 * np.sin(70 * y + 3 * np.cos(8 * x))
    grey += noise * generator.standard_normal(grey.shape, dtype=np.float32)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path, quality=quality)


def decoded(path: Path, size_px: int, mode: str) -> np.ndarray:
    """What a loader without a cache does with a file."""
    with Image.open(path) as image:
        scale = size_px / max(image.size)
        size = tuple(round(side * scale) for side in image.size)
        return np.asarray(image.convert(mode).resize(size, Image.Resampling.BILINEAR))


def ways(files: list[Path], size_px: int, threads: int, folder: Path) -> dict[str, Callable[[], object]]:
    """One epoch over the files in each way; the later ones find what the first left."""

    def each_time(read: Callable[[Path], np.ndarray]) -> Callable[[], object]:
        def epoch() -> None:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(read, files):  # used and forgotten
                    pass

        return epoch

    made: list[cache.ImageCache] = []

    def first() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            cache.cache_images(files, size_px, place).rows(files)

    def later() -> None:
        made[0].rows(files)

    cache._THREADS = threads
    made.append(cache.cache_images(files, size_px, folder / f"{size_px}"))
    return {
        GREY: each_time(lambda path: decoded(path, size_px, "L")),
        COLOUR: each_time(lambda path: decoded(path, size_px, "RGB")),
        CHECKED: each_time(lambda path: resize_square(read_image(path), size_px)),
        FIRST: first,
        LATER: later,
    }


def timed(epoch: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of all processors together, a mean over several short epochs."""
    clock, cpu, epochs = time.perf_counter(), time.process_time(), 0
    while epochs == 0 or time.perf_counter() - clock < 0.05:
        epoch()
        epochs += 1
    return (time.perf_counter() - clock) / epochs, (time.process_time() - cpu) / epochs


def difference(files: list[Path], size_px: int, folder: Path) -> float:
    """Mean difference of the cached pixels from those read in full, grey levels."""
    found = cache.cache_images(files, size_px, folder / f"{size_px}").rows(files).astype(int)
    return float(np.abs(found - [resize_square(read_image(path), size_px) for path in files]).mean())


def peak(files: list[Path], count: int, folder: Path) -> float:
    """MB that a new process takes at most for a cache of `count` films: the files under as many names."""
    names = folder / f"names{count}"
    names.mkdir()
    for i in range(count):
        (names / f"{i}.jpg").hardlink_to(files[i % len(files)])
    command = [sys.executable, __file__, "--peak", str(names)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def print_peak(names: Path) -> None:
    """What `peak` reads: of this process, beyond what it takes for the first films."""
    files = sorted(names.iterdir())
    cache.cache_images(files[:8], 128, names.parent / f"{names.name}-first")
    before = most_mb()
    cache.cache_images(files, 128, names.parent / f"{names.name}-cache")
    print(most_mb() - before)


def most_mb() -> float:
    """The most memory that this process has had, MB; `getrusage` would count that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    command = ArgumentParser(description=__doc__, formatter_class=HelpWithDefaults)
    command.add_argument("--films", type=int, default=24, help="different ones, two a study")
    command.add_argument("--sizes", type=int, nargs="+", default=[128, 224], help="edges in the cache, px")
    command.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="at once")
    command.add_argument("--rounds", type=int, default=5, help="of which the best counts")
    command.add_argument("--many", type=int, nargs="*", default=[1000, 4000], help="films in the memory test")
    command.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"), help="CSV file")
    command.add_argument("--peak", type=Path, help="of a process of its own: measure this folder's memory")
    arguments = command.parse_args()
    if arguments.peak:
        print_peak(arguments.peak)
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {}
        for quality, noise in ((90, 2.0), (95, 2.0)):
            files[quality] = [folder / f"{quality}-{i}.jpg" for i in range(arguments.films)]
            for i, path in enumerate(with_progress(files[quality], "making films", "film")):
                write_film(path, i, quality, noise)
        settings = [(q, s, t) for q in files for s in arguments.sizes for t in arguments.threads]
        with progress_bar(len(settings) * arguments.rounds, "timing", "round") as bar:
            for quality, size_px, threads in settings:
                films = files[quality]
                epochs = ways(films, size_px, threads, folder)
                best = dict.fromkeys(epochs, (math.inf, math.inf))
                for _ in range(arguments.rounds):
                    for what, epoch in epochs.items():
                        spent = timed(epoch)
                        best[what] = tuple(map(min, best[what], spent))
                    bar.update()
                off = difference(films, size_px, folder)
                size = sum(path.stat().st_size for path in films) / len(films) / 1e6
                rows += [
                    {
                        "quality": quality,
                        "mb_a_film": size,
                        "size_px": size_px,
                        "threads": threads,
                        "what": what,
                        "studies_per_s": len(films) / A_STUDY / seconds,
                        "cpu_ms_a_study": 1000 * A_STUDY * cpu / len(films),
                        "times_grey": best[GREY][1] / cpu,
                        "times_colour": best[COLOUR][1] / cpu,
                        "times_checked": best[CHECKED][1] / cpu,
                        "difference": off if what == FIRST else float("nan"),
                    }
                    for what, (seconds, cpu) in best.items()
                ]
        table = pd.DataFrame(rows)
        table.to_csv(arguments.out, index=False, float_format="%.4g")
        print(table.to_string(index=False, na_rep="", float_format=lambda x: f"{x:.3g}"))
        for count in arguments.many:
            print(f"{count} films: {peak(files[90], count, folder):.0f} MB beyond those for the first 8")


if __name__ == "__main__":
    main()
