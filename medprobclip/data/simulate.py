"""Radiographs from a labelled CT and a study's expert codes.

The corpus is rendered in parallel and can be interrupted; the bytes do not depend on the number of
workers. A patient is drawn from the study id alone; the codes then add findings, each from its own seed.
So the same study without its findings is the same patient, and a picture does not depend on the order of
codes or on other studies.
"""

import hashlib
import json
import os
import shutil
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm import tqdm

from medprobclip.data.anatomy import PREPARATION_VERSION, Anatomy, load_anatomy
from medprobclip.data.coding import NO_FINDING, parse_code
from medprobclip.data.deformation import FRAME_MM, Deformation, Shape
from medprobclip.data.edits import Canvas
from medprobclip.data.findings import count_coverage, draw_finding
from medprobclip.data.projection import FilmConfig, develop, measure_exposure
from medprobclip.data.truth import RenderedFinding, locate
from medprobclip.files import replaced_file

SIMULATOR_VERSION = 1  # raise when pictures change: a corpus made by another version is rebuilt
COARSE = 4  # the exposure is measured on a volume this much coarser
VIEWS = ("pa", "lateral")
CHUNK = 16  # studies handed to a worker at a time

_worker: dict[str, Anatomy] = {}  # the prepared chest of this process


@dataclass(frozen=True)
class SimulationConfig:
    """What a corpus is made with; spreads are standard deviations between patients."""

    size_px: int = 128  # edge of the square radiographs; the working voxel is one pixel (320 mm / size_px)
    seed: int = 42
    size_spread: float = 0.022  # overall size of the chest
    aspect_spread: tuple[float, float, float] = (0.016, 0.035, 0.012)  # width, depth, height apart from size
    habitus_spread: float = 0.22  # thickness of the chest wall
    breath_mm: float = 3.5  # height of the diaphragm
    heart_spread: float = 0.03  # width of the heart
    rotation_deg: float = 1.6  # obliquity
    roll_deg: float = 1.0  # leaning
    tilt: float = 0.02  # forward or backward leaning, mm per mm
    shift_mm: float = 3.0  # centring
    local_mm: float = 3.5  # smooth local differences in shape
    film: FilmConfig = field(default_factory=FilmConfig)
    version: int = field(default=SIMULATOR_VERSION, init=False)  # so that stored settings tell versions apart


@dataclass(frozen=True)
class Radiographs:
    """One simulated study."""

    pa: np.ndarray  # uint8 [S, S]; the patient's right is at the image's left
    lateral: np.ndarray  # uint8 [S, S]; the patient looks to the image's left
    rendered: list[RenderedFinding]
    uncovered: tuple[str, ...]  # codes that were not drawn


def simulate_study(
    study_id: str, codes: tuple[str, ...], config: SimulationConfig, anatomy: Anatomy | None = None
) -> Radiographs:
    """PA and lateral radiograph of one study.

    Args:
        study_id: seeds patient and noise, together with `config.seed`.
        codes: OpenI expert codes, e.g. `("Pleural Effusion/right/small", "Cardiomegaly")`.
        anatomy: the prepared chest at `320 / size_px` mm per voxel; loaded (and cached) if not given.

    Raises:
        AssetError: the CT cannot be fetched.
    """
    anatomy = anatomy or load_anatomy(FRAME_MM / config.size_px)
    patient = draw_patient(study_id, config)
    canvas = Canvas(anatomy, patient)
    drawn, uncovered, seen = [], [], {}
    for code in codes:
        if code in NO_FINDING:
            continue
        key = parse_code(code).without_severity
        seen[key] = seen.get(key, 0) + 1
        result = draw_finding(canvas, code, _rng(config.seed, study_id, f"finding/{key}/{seen[key]}"))
        if result is None:
            uncovered.append(code)
        else:
            drawn.extend(result)

    deformation = Deformation(anatomy, canvas.shape, config.size_px)
    body = deformation.apply(canvas.volume)  # [Y, S, S]
    # exposed for the patient without findings, on a coarse copy
    plain = Deformation(anatomy, patient, config.size_px).apply(
        anatomy.coarse(COARSE), config.size_px // COARSE
    )
    pictures = []
    for view, axis in (("pa", 0), ("lateral", 2)):
        path = _project(body, axis) * anatomy.voxel_mm
        reference = _project(plain, axis) * anatomy.voxel_mm * COARSE
        exposure = measure_exposure(reference, FRAME_MM / config.size_px * COARSE, config.film)
        image = develop(
            path,
            exposure,
            config.film,
            FRAME_MM / config.size_px,
            _rng(config.seed, study_id, f"noise/{view}"),
            **canvas.film,
        )
        pictures.append(_square(image, config.size_px))
    rendered = locate(study_id, drawn, deformation)
    return Radiographs(pictures[0], pictures[1], rendered, tuple(uncovered))


def draw_patient(study_id: str, config: SimulationConfig) -> Shape:
    """The patient behind a study id: body, breath and position, whatever the findings."""
    rng = _rng(config.seed, study_id, "patient")

    def normal(spread):
        return float(np.clip(rng.normal(0, 1), -2.2, 2.2) * spread)

    size = 1 + normal(config.size_spread)
    return Shape(
        size=tuple(size * (1 + normal(s)) for s in config.aspect_spread),
        habitus=0.05 + normal(config.habitus_spread),
        roll_deg=normal(config.roll_deg),
        rotation_deg=normal(config.rotation_deg),
        tilt=normal(config.tilt),
        shift=(normal(config.shift_mm), normal(config.shift_mm)),
        dome_mm=tuple(common + normal(0.5 * config.breath_mm) for common in [normal(config.breath_mm)] * 2),
        heart=1 + normal(config.heart_spread),
        local=config.local_mm * rng.normal(0, 1, (3, 5, 5, 5)).clip(-2, 2),
    )


def _project(body: np.ndarray, axis: int) -> np.ndarray:
    """Sum along the beam; rows from top to bottom. PA [S, S]; lateral [S, Y] with the front at the left."""
    if axis == 0:
        return body.sum(0)[::-1]
    return body.sum(2).T[::-1, ::-1]


def _square(image: np.ndarray, size: int) -> np.ndarray:
    """Pad the lateral with unexposed film to a square."""
    left = (size - image.shape[1]) // 2
    return np.ascontiguousarray(np.pad(image, ((0, 0), (left, size - image.shape[1] - left))))


def _rng(seed: int, study_id: str, purpose: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{study_id}/{purpose}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def image_paths(folder: Path, study_id: str) -> tuple[Path, Path]:
    """Where the PA and the lateral radiograph of a study are."""
    return tuple(Path(folder) / f"{study_id}_{view}.png" for view in VIEWS)


def simulate_corpus(
    studies: pd.DataFrame, folder: Path, config: SimulationConfig | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Radiographs of every study as `folder/<study_id>_{pa,lateral}.png`.

    Finished studies are recognised and kept; a folder made with another configuration or simulator version
    is rebuilt. Beside the pictures: `truth/<study_id>.json` (what was drawn), `coverage.csv` (drawn and
    undrawn codings per heading, see `count_coverage`) and `simulation.json` (what the folder was made with).

    Args:
        studies: needs the columns `study_id` and `codes` (tuple of expert codes).
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
    jobs = [(str(row.study_id), tuple(row.codes)) for row in studies.itertuples()]
    count_coverage(code for _, codes in jobs for code in codes).to_csv(folder / "coverage.csv", index=False)
    todo = [job for job in jobs if _finished(folder, *job) is None]
    if todo:
        load_anatomy(FRAME_MM / config.size_px)  # prepared once, before the workers ask for it
        _render_all(todo, folder, config, workers or _cores(), len(jobs))
    rows = []
    for study_id, codes in jobs:
        rows += _finished(folder, study_id, codes)
    return pd.DataFrame(rows, columns=[f.name for f in fields(RenderedFinding)])


def _render_all(todo: list, folder: Path, config: SimulationConfig, workers: int, total: int) -> None:
    with tqdm(total=total, initial=total - len(todo), desc="simulating radiographs", unit="study") as bar:
        if workers == 1 or len(todo) <= CHUNK:
            _start(config, threads=None)
            for job in todo:
                bar.update(_render_some([job], folder, config))
            return
        # spawned, not forked: a parent that has used torch threads cannot be forked safely
        pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(config,))
        try:
            chunks = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
            for done in as_completed([pool.submit(_render_some, chunk, folder, config) for chunk in chunks]):
                bar.update(done.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(config: SimulationConfig, threads: int | None = 1) -> None:
    if threads:
        torch.set_num_threads(threads)
    if (parent := parent_process()) is not None:  # a killed parent must not leave its workers behind
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _worker["anatomy"] = load_anatomy(FRAME_MM / config.size_px)


def _render_some(jobs: list, folder: Path, config: SimulationConfig) -> int:
    for study_id, codes in jobs:
        result = simulate_study(study_id, codes, config, _worker["anatomy"])
        sizes = []
        for path, image in zip(image_paths(folder, study_id), (result.pa, result.lateral), strict=True):
            with replaced_file(path) as temporary:
                Image.fromarray(image).save(temporary, format="PNG")
                sizes.append(temporary.stat().st_size)
        truth = {"codes": codes, "bytes": sizes, "rendered": [asdict(r) for r in result.rendered]}
        with replaced_file(_truth_path(folder, study_id)) as temporary:
            temporary.write_text(json.dumps(truth))
    return len(jobs)


def _truth_path(folder: Path, study_id: str) -> Path:
    return folder / "truth" / f"{study_id}.json"


def _finished(folder: Path, study_id: str, codes: tuple[str, ...]) -> list[dict] | None:
    """What was drawn, if this study is complete (the truth is written last) and its codes are the same.

    A picture of another size than the one that was written is damaged: the study is rendered again.
    """
    try:
        truth = json.loads(_truth_path(folder, study_id).read_bytes())
        sizes = [path.stat().st_size for path in image_paths(folder, study_id)]
        return truth["rendered"] if tuple(truth["codes"]) == codes and truth["bytes"] == sizes else None
    except (OSError, ValueError, KeyError):
        return None


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
