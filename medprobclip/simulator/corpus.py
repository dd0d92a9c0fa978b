"""A corpus of simulated studies on disk: rendered in parallel, resumable, the same bytes for any number of
workers."""

import json
import os
import shutil
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context, parent_process
from pathlib import Path

import pandas as pd
import torch
from PIL import Image

from medprobclip.simulator.chest.anatomy import Anatomy
from medprobclip.simulator.chest.preparation import PREPARATION_VERSION, load_anatomy
from medprobclip.simulator.findings import count_coverage
from medprobclip.simulator.projection import VIEWS
from medprobclip.simulator.simulate import SimulationConfig, simulate_study
from medprobclip.simulator.truth import RenderedFinding
from medprobclip.support.files import replaced_file
from medprobclip.support.progress import progress_bar

CHUNK = 16  # studies handed to a worker at a time

_worker: dict[str, Anatomy] = {}  # the prepared chest of this process


@dataclass(frozen=True)
class Job:
    """One study to render."""

    study_id: str
    codes: tuple[str, ...]
    sex: str = ""  # "female", "male" or "": not known
    views: tuple[str, ...] = VIEWS


def image_paths(folder: Path, study_id: str, views: tuple[str, ...] = VIEWS) -> tuple[Path, ...]:
    """Where the radiographs of a study are."""
    return tuple(Path(folder) / f"{study_id}_{view}.png" for view in views)


def simulate_corpus(
    studies: pd.DataFrame, folder: Path, config: SimulationConfig | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Radiographs of every study as `folder/<study_id>_{pa,lateral}.png`, one for each view taken.

    Finished studies are recognised and kept; a folder made with another configuration or simulator version
    is rebuilt. Beside the pictures: `truth/<study_id>.json` (what was drawn), `coverage.csv` (drawn and
    undrawn codings per heading, see `count_coverage`) and `simulation.json` (what the folder was made with).

    Args:
        studies: needs the columns `study_id` and `codes` (tuple of expert codes); `sex` and `views` (tuple
            of "pa", "lateral") are used where they are given.
        workers: processes; default one per available core.

    Returns:
        the rendered truth, one row per finding and side, in the order of the studies; the columns are the
        fields of `RenderedFinding`.

    Raises:
        AssetError: the CT cannot be fetched.
    """
    config = config or SimulationConfig()
    folder = Path(folder)
    _claim(folder, config)
    jobs = [
        Job(str(row["study_id"]), tuple(row["codes"]), row.get("sex", ""), tuple(row.get("views", VIEWS)))
        for row in studies.to_dict("records")
    ]
    count_coverage(code for job in jobs for code in job.codes).to_csv(folder / "coverage.csv", index=False)
    todo = [job for job in jobs if _finished(folder, job) is None]
    if todo:
        load_anatomy(config.pixel_mm)  # prepared once, before the workers ask for it
        _render_all(todo, folder, config, workers or available_cores(), len(jobs))
    rows = []
    for job in jobs:
        rows += _finished(folder, job)
    return pd.DataFrame(rows, columns=[f.name for f in fields(RenderedFinding)])


def _render_all(todo: list, folder: Path, config: SimulationConfig, workers: int, total: int) -> None:
    with progress_bar(total, "simulating radiographs", "study", total - len(todo)) as bar:
        if workers == 1 or len(todo) <= CHUNK:
            start_worker(config, threads=None)
            for job in todo:
                bar.update(_render_some([job], folder, config))
            return
        # spawned, not forked: a parent that has used torch threads cannot be forked safely
        pool = ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=start_worker, initargs=(config,)
        )
        try:
            chunks = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
            for done in as_completed([pool.submit(_render_some, chunk, folder, config) for chunk in chunks]):
                bar.update(done.result())
        finally:
            pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_worker(config: SimulationConfig, threads: int | None = 1) -> None:
    """Make a process ready to render: its threads, its chest, and its end when its parent ends."""
    if threads:
        torch.set_num_threads(threads)
    if (parent := parent_process()) is not None:  # a killed parent must not leave its workers behind
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _worker["anatomy"] = load_anatomy(config.pixel_mm)


def _render_some(jobs: list[Job], folder: Path, config: SimulationConfig) -> int:
    for job in jobs:
        result = simulate_study(job.study_id, job.codes, config, _worker["anatomy"], job.sex, job.views)
        sizes = []
        for path, view in zip(image_paths(folder, job.study_id, job.views), job.views, strict=True):
            with replaced_file(path) as temporary:
                Image.fromarray(result.pictures[view]).save(temporary, format="PNG")
                sizes.append(temporary.stat().st_size)
        truth = {**asdict(job), "bytes": sizes, "rendered": [asdict(r) for r in result.rendered]}
        with replaced_file(_truth_path(folder, job.study_id)) as temporary:
            temporary.write_text(json.dumps(truth))
    return len(jobs)


def _truth_path(folder: Path, study_id: str) -> Path:
    return folder / "truth" / f"{study_id}.json"


def _finished(folder: Path, job: Job) -> list[dict] | None:
    """What was drawn, if this study is complete (the truth is written last) and its codes are the same.

    A picture of another size than the one that was written is damaged: the study is rendered again.
    """
    try:
        truth = json.loads(_truth_path(folder, job.study_id).read_bytes())
        rendered, sizes = truth.pop("rendered"), truth.pop("bytes")
        found = [path.stat().st_size for path in image_paths(folder, job.study_id, job.views)]
        same = truth == json.loads(json.dumps(asdict(job))) and sizes == found
    except (OSError, ValueError, KeyError):
        return None
    return rendered if same else None


def _claim(folder: Path, config: SimulationConfig) -> None:
    """Make the folder ours: empty it first if it was made with another configuration or version."""
    text = json.dumps({**asdict(config), "preparation": PREPARATION_VERSION}, indent=1, sort_keys=True)
    stamp = folder / "simulation.json"
    if not stamp.is_file() or stamp.read_text() != text:
        shutil.rmtree(folder / "truth", ignore_errors=True)  # first: without it no picture counts as finished
        for view in VIEWS:
            for picture in folder.glob(f"*_{view}.png"):
                picture.unlink()
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    with replaced_file(stamp) as temporary:
        temporary.write_text(text)
