"""A study's expert codes -> its PA and lateral radiograph, and the truth about what they show.

A patient is drawn from the study id alone; the codes then add findings, each from its own seed. So the same
study without its findings is the same patient with the same noise, and a picture does not depend on the
order of codes or on other studies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from medprobclip.data.coding import NO_FINDING, parse_code
from medprobclip.simulator.chest.anatomy import Anatomy
from medprobclip.simulator.chest.deformation import FRAME_MM, Deformation, Shape
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.drawing.edits import Canvas, Mark
from medprobclip.simulator.findings import Drawn, draw_finding
from medprobclip.simulator.patients import Patient, PatientConfig, body_of, draw_patient
from medprobclip.simulator.projection import VIEWS, Exposure, FilmConfig, develop, measure_exposure, project
from medprobclip.simulator.truth import RenderedFinding, conspicuity, locate

SIMULATOR_VERSION = 2  # raise when pictures change: a corpus made by another version is rebuilt
COARSE = 4  # the exposure is measured on a volume this much coarser (a power of two, like HALF)
HALF = 2  # how much coarser the films are on which conspicuity is judged: a fifth of the cost
VOXELS_AT_ONCE = 2**24  # volumes deformed together: bounds the memory of large pictures


@dataclass(frozen=True)
class SimulationConfig:
    """What a corpus is made with."""

    size_px: int = 128  # edge of the square radiographs; the working voxel is one pixel (320 mm / size_px)
    seed: int = 42
    patient: PatientConfig = field(default_factory=PatientConfig)
    film: FilmConfig = field(default_factory=FilmConfig)
    version: int = field(default=SIMULATOR_VERSION, init=False)  # so that stored settings tell versions apart

    @property
    def pixel_mm(self) -> float:
        return FRAME_MM / self.size_px


@dataclass(frozen=True)
class Radiographs:
    """One simulated study."""

    pictures: dict[str, np.ndarray]  # by view ("pa", "lateral"; those that were taken): uint8 [S, S]
    rendered: list[RenderedFinding]
    uncovered: tuple[str, ...]  # codes that were not drawn
    patient: Patient

    @property
    def pa(self) -> np.ndarray:
        """The patient's right is at the image's left."""
        return self.pictures["pa"]

    @property
    def lateral(self) -> np.ndarray:
        """The patient looks to the image's left."""
        return self.pictures["lateral"]


def simulate_study(
    study_id: str,
    codes: Sequence[str],
    config: SimulationConfig,
    anatomy: Anatomy | None = None,
    sex: str = "",
    views: Sequence[str] = VIEWS,
    pose: Callable[[Shape], Shape] | None = None,
) -> Radiographs:
    """The radiographs of one study.

    Args:
        study_id: seeds patient and noise, together with `config.seed`.
        codes: OpenI expert codes, e.g. `("Pleural Effusion/right/small", "Cardiomegaly")`.
        anatomy: the prepared chest at `320 / size_px` mm per voxel; loaded (and cached) if not given.
        sex: "female" or "male"; "" draws one.
        views: which films are taken.
        pose: what becomes of the patient's shape before anything else: another position than that of a PA.

    Raises:
        AssetError: the CT cannot be fetched.
        ValueError: an unknown view or sex.
    """
    if not views or not set(views) <= set(VIEWS):
        raise ValueError(f"views are {tuple(views)}; choose from {VIEWS}")
    anatomy = anatomy or load_anatomy(config.pixel_mm)
    patient = draw_patient(_rng(config.seed, study_id, "patient"), sex, config.patient)
    if pose is not None:
        patient = replace(patient, shape=pose(patient.shape))
    canvas = Canvas(anatomy, patient.shape, body_of(patient, anatomy))
    films = _Films(study_id, patient, config, views)
    films.expose(anatomy, canvas.volume)
    drawn, uncovered = _draw(canvas, study_id, codes, config.seed)

    deformation = Deformation(anatomy, canvas.shape, config.size_px)
    pictures = films.take(deformation, canvas, [()])[0]
    seen = _judge(films.coarser(), deformation, canvas, drawn) if drawn else []
    rendered = locate(study_id, drawn, deformation, config.film, seen)
    return Radiographs(pictures, rendered, tuple(uncovered), patient)


def _judge(
    films: _Films, deformation: Deformation, canvas: Canvas, drawn: list[Drawn]
) -> list[dict[str, float]]:
    """Conspicuity of every finding by view: this patient against the same one without just that finding."""
    reshaped = [any(mark.change for mark in d.marks) for d in drawn]
    same_shape = [d for d, other in zip(drawn, reshaped, strict=True) if not other]
    pictures, *without = films.take(deformation, canvas, [(), *(d.marks for d in same_shape)])
    left_out = iter(without)
    seen = []
    for d, other in zip(drawn, reshaped, strict=True):
        if other:
            shape = Deformation(canvas.anatomy, canvas.shape_without(d.marks), deformation.size_px)
            lacking = films.take(shape, canvas, [d.marks])[0]
        else:
            lacking = next(left_out)
        seen.append(
            {view: conspicuity(picture, lacking[view], films.pixel_mm) for view, picture in pictures.items()}
        )
    return seen


def _draw(canvas: Canvas, study_id: str, codes: Sequence[str], seed: int) -> tuple[list[Drawn], list[str]]:
    """Draw every code; returns what was drawn and the codes that could not be."""
    drawn, uncovered, seen = [], [], {}
    for code in codes:
        if code in NO_FINDING:
            continue
        key = parse_code(code).without_severity
        seen[key] = seen.get(key, 0) + 1
        result = draw_finding(canvas, code, _rng(seed, study_id, f"finding/{key}/{seen[key]}"))
        drawn += result
        if not result:
            uncovered.append(code)
    return drawn, uncovered


class _Films:
    """Takes the films of one patient, always with the same exposure and the same noise."""

    def __init__(
        self, study_id: str, patient: Patient, config: SimulationConfig, views: Sequence[str], coarse: int = 1
    ):
        self.study_id, self.patient, self.config, self.views = study_id, patient, config, views
        self.coarse = coarse  # voxels and pixels are this many times larger than the configuration's
        self.size_px = config.size_px // coarse
        self.pixel_mm = FRAME_MM / self.size_px

    def coarser(self) -> _Films:
        other = _Films(self.study_id, self.patient, self.config, self.views, self.coarse * HALF)
        other.exposures = self.exposures
        return other

    def expose(self, anatomy: Anatomy, body: np.ndarray) -> None:
        """Set the exposures for the patient without findings, on a coarse copy."""
        small, film = self.config.size_px // COARSE, self.config.film
        deformation = Deformation(anatomy, self.patient.shape, self.config.size_px)
        plain = deformation.apply(_coarser(body, COARSE)[None], small)[0]
        pixel, voxel = FRAME_MM / small, anatomy.voxel_mm * COARSE
        self.exposures: dict[str, Exposure] = {
            view: measure_exposure(project(plain, view, pixel, voxel, film), pixel, film, view)
            for view in self.views
        }

    def take(
        self, deformation: Deformation, canvas: Canvas, without: Sequence[Sequence[Mark]]
    ) -> list[dict[str, np.ndarray]]:
        """Pictures by view, one set for each collection of marks that is left out."""
        whole = _coarser(canvas.volume, self.coarse)
        step = max(1, VOXELS_AT_ONCE // whole.size)
        pictures = []
        for start in range(0, len(without), step):
            marks = without[start : start + step]
            volumes = np.repeat(whole[None], len(marks), 0) if any(marks) else whole[None]
            for volume, left_out in zip(volumes, marks, strict=True):
                if left_out:
                    box, part = canvas.part_without(left_out, self.coarse)
                    part = _coarser(part, self.coarse)
                    corner = (slice(b.start // self.coarse, None) for b in box)
                    volume[tuple(corner)][tuple(slice(0, n) for n in part.shape)] = part
            for body, left_out in zip(deformation.apply(volumes, self.size_px), marks, strict=True):
                fault = canvas.film_without(left_out)
                pictures.append({view: self._picture(body, view, fault) for view in self.views})
        return pictures

    def _picture(self, body: np.ndarray, view: str, fault: dict[str, float]) -> np.ndarray:
        film, voxel_mm = self.config.film, self.config.pixel_mm * self.coarse
        path = project(body, view, self.pixel_mm, voxel_mm, film)
        noise = _rng(self.config.seed, self.study_id, f"noise/{view}")
        tone = {"dose": 1.0, "darker": 0.0} | fault
        tone["darker"] += self.patient.darker
        image = develop(path, self.exposures[view], film, self.pixel_mm, noise, **tone)
        left = (self.size_px - image.shape[1]) // 2  # the lateral is narrower: unexposed film beside it
        return np.pad(image, ((0, 0), (left, self.size_px - image.shape[1] - left)))


def _coarser(volume: np.ndarray, factor: int) -> np.ndarray:
    """Block means of a volume [Z, Y, X]; edges that do not fill a block are cut off."""
    means = torch.from_numpy(volume)  # adds and slices: five times as fast as avg_pool3d, and as numpy
    while factor > 1:
        z, y, x = (n // 2 * 2 for n in means.shape)
        means = means[0:z:2] + means[1:z:2]
        means = means[:, 0:y:2] + means[:, 1:y:2]
        means = (means[..., 0:x:2] + means[..., 1:x:2]) / 8
        factor //= 2
    return means.numpy()


def _rng(seed: int, study_id: str, purpose: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{study_id}/{purpose}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
