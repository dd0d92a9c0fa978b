"""Films that are no chest PA of their study: what is wrong is not the picture, but what was taken.

Beside the evaluation's faults of a film (`data/corruptions.py`) and training's ways to spoil one
(`data/degraded.py`), a third kind, seen by no training and used for no choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from medprobclip.simulator.chest.deformation import Shape
from medprobclip.simulator.chest.preparation import PREPARATION_VERSION, load_anatomy
from medprobclip.simulator.corpus import available_cores, start_worker
from medprobclip.simulator.simulate import SimulationConfig, simulate_study
from medprobclip.support.files import replaced_file
from medprobclip.support.progress import progress_bar

CHUNK = 24  # studies handed to a worker at a time


@dataclass(frozen=True)
class Unusual:
    """One kind: its name in figures, whether a look at the film alone could tell, and why or why not."""

    label: str
    detectable: bool
    why: str


UNUSUAL: dict[str, Unusual] = {
    "mirrored": Unusual("mirrored film", True, "the heart is on the other side"),
    "inverted": Unusual("inverted grey", True, "bones are black"),
    "oblique": Unusual("oblique view, 45°", True, "no such view was trained on"),
    "abdomen": Unusual("abdomen", True, "another body part"),
    "lateral": Unusual("lateral instead of PA", False, "laterals were trained on: nothing strange"),
    "without": Unusual("without its finding", False, "a good film, but not the one of the report"),
}


def _oblique(shape: Shape) -> Shape:
    return shape.plus(rotation_deg=45.0)


def _abdomen(shape: Shape) -> Shape:
    """The field lies 230 mm lower and is smaller; below its end the CT goes on as its mirror image."""
    return shape.plus(size=(1.5, 1.0, 1.5), shift=(0.0, 230.0))


_POSES: dict[str, Callable[[Shape], Shape] | None] = {
    "oblique": _oblique,
    "abdomen": _abdomen,
    "without": None,
}


def unusual_films(
    name: str,
    studies: pd.DataFrame,
    images: Callable[[list[str]], np.ndarray],
    config: SimulationConfig,
    folder: Path,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One kind of `UNUSUAL` for every study that has it: row numbers `[n]`, films uint8 `[n, S, S]`.

    `studies` are rows of a study table with a PA film; `images` gives the stored radiographs of paths. What
    has to be rendered is kept in `folder/<name>.npz` and read back while the studies and the simulator are
    the same. Raises KeyError for an unknown name, AssetError where the CT cannot be had.
    """
    UNUSUAL[name]
    pairs = zip(studies["view_names"], studies["image_paths"], strict=True)
    taken = [dict(zip(views, paths, strict=True)) for views, paths in pairs]
    has = np.array(["PA" in views for views in taken])
    if name == "lateral":
        has &= np.array(["LATERAL" in views for views in taken])
    elif name == "without":
        has &= (studies["appearance"].map(len) > 0).to_numpy()  # something was drawn
    rows = np.flatnonzero(has)
    if not len(rows):
        return rows, np.empty((0, config.size_px, config.size_px), dtype=np.uint8)
    if name in _POSES:
        return rows, _rendered(name, studies.iloc[rows], config, Path(folder), workers)
    films = images([taken[row]["LATERAL" if name == "lateral" else "PA"] for row in rows])
    return rows, {"mirrored": films[:, :, ::-1], "inverted": 255 - films}.get(name, films).copy()


def _rendered(
    name: str, studies: pd.DataFrame, config: SimulationConfig, folder: Path, workers: int | None
) -> np.ndarray:
    jobs = [
        (row["study_id"], () if name == "without" else tuple(row["codes"]), row.get("sex", ""))
        for row in studies.to_dict("records")
    ]
    pose = _POSES[name]
    made_with = json.dumps(
        {
            "jobs": jobs,
            "simulation": asdict(config),
            "preparation": PREPARATION_VERSION,
            "kind": name,
            "pose": None if pose is None else asdict(pose(Shape())),
        }
    )
    path = folder / f"{name}.npz"
    if path.exists():
        with np.load(path) as stored:
            if str(stored["made_with"]) == made_with:
                return stored["films"]
    load_anatomy(config.pixel_mm)  # prepared once, before the workers ask for it
    chunks = [jobs[i : i + CHUNK] for i in range(0, len(jobs), CHUNK)]
    workers = min(workers or available_cores(), len(chunks))
    films: list[np.ndarray] = []
    with progress_bar(len(jobs), UNUSUAL[name].label, "film") as bar:
        if workers == 1:
            for chunk in chunks:
                films += _render(name, chunk, config)
                bar.update(len(chunk))
        else:  # spawned, not forked: a parent that has used torch threads cannot be forked safely
            with ProcessPoolExecutor(
                workers, get_context("spawn"), initializer=start_worker, initargs=(config,)
            ) as pool:
                for done in pool.map(_render, [name] * len(chunks), chunks, [config] * len(chunks)):
                    films += done
                    bar.update(len(done))
    pictures = np.stack(films)
    with replaced_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, films=pictures, made_with=made_with)
    return pictures


def _render(name: str, jobs: Sequence[tuple], config: SimulationConfig) -> list[np.ndarray]:
    anatomy, pose = load_anatomy(config.pixel_mm), _POSES[name]
    return [
        simulate_study(study_id, codes, config, anatomy, sex, views=("pa",), pose=pose).pa
        for study_id, codes, sex in jobs
    ]
