"""The rendered truth: what was drawn in a simulated study, where it appears, and how well it can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medprobclip.simulator.chest.deformation import FRAME_MM, FRAME_TOP_MM, Deformation
from medprobclip.simulator.findings import Drawn
from medprobclip.simulator.projection import VIEWS, FilmConfig, magnification

SAMPLE = 90  # points per finding that are followed through the deformation
FOOTPRINT = 0.3  # a pixel shows a finding where it changed by at least this share of the largest change
SURROUND_MM = 12.0  # width of the surroundings that a finding must stand out from
NOISE_GREY = 2.0  # grey levels that an eye does not tell apart: keeps the ratio finite on even ground


@dataclass(frozen=True)
class RenderedFinding:
    """The truth about one finding on one side; the columns of the rendered table.

    A film that was not taken (a PA-only or lateral-only study) has neither conspicuity nor box.
    """

    study_id: str
    kind: str
    code: str
    side: str  # "left", "right" or "midline" of the patient
    x_mm: float  # centre in the patient, mm: from the PA image's left edge (patient's right) ...
    y_mm: float  # ... from the back of the volume forwards ...
    z_mm: float  # ... and from the lower edge upwards
    voxel_x: int  # the same as indices into the patient's volume, cubes of 320 mm / image size
    voxel_y: int
    voxel_z: int
    size_mm: float  # mean extent over the three axes
    attenuation: float  # largest change relative to water; 0 for changes of shape
    pa_conspicuity: float | None  # see `conspicuity`
    lateral_conspicuity: float | None
    pa_left: int | None  # pixel box, inclusive, in the PA image ...
    pa_top: int | None
    pa_right: int | None
    pa_bottom: int | None
    lateral_left: int | None  # ... and in the lateral image
    lateral_top: int | None
    lateral_right: int | None
    lateral_bottom: int | None


def conspicuity(picture: np.ndarray, without: np.ndarray, pixel_mm: float) -> float:
    """How well a finding stands out: its change of grey over the unrest of the surroundings.

    The mean absolute change within the finding's footprint, divided by the standard deviation (plus
    `NOISE_GREY`) of the picture *without* it in footprint and surroundings. After the lesion conspicuity
    of Kundel & Revesz (1976), contrast over surround complexity; below about 0.5 a finding is subtle.

    Args:
        picture, without: uint8 [H, W], the same patient with the same noise, with and without the finding.
        pixel_mm: edge of a pixel.

    Returns:
        0 if the pictures are the same.
    """
    change = np.abs(picture.astype(np.float32) - without)
    top = change.max()
    if top < 1:
        return 0.0
    footprint = change >= max(FOOTPRINT * top, 1)
    rows, columns = (np.flatnonzero(footprint.any(axis)) for axis in (1, 0))
    reach = max(1, round(SURROUND_MM / pixel_mm))
    near = tuple(slice(max(0, int(i[0]) - reach), int(i[-1]) + reach + 1) for i in (rows, columns))
    surround = ndimage.distance_transform_cdt(~footprint[near], "chessboard") <= reach
    unrest = without[near][surround].astype(np.float32).std()
    return round(float(change[footprint].mean() / (unrest + NOISE_GREY)), 3)


def locate(
    study_id: str,
    drawn: list[Drawn],
    deformation: Deformation,
    film: FilmConfig,
    seen: list[dict[str, float]],
) -> list[RenderedFinding]:
    """Follow the drawn findings through the patient's deformation onto the films.

    Args:
        seen: per finding, conspicuity by view; views that were not taken are absent.
    """
    if not drawn:
        return []
    clouds = [_thinned(d.points) for d in drawn]
    on_film = deformation.to_film(np.concatenate(clouds))
    parts = np.split(on_film, np.cumsum([len(c) for c in clouds])[:-1])
    return [_row(study_id, d, p, deformation, film, s) for d, p, s in zip(drawn, parts, seen, strict=True)]


def _thinned(points: np.ndarray) -> np.ndarray:
    """About `SAMPLE` points [n, 3], the outermost among them."""
    return np.concatenate(
        [points[:: max(1, len(points) // SAMPLE)], points[points.argmin(0)], points[points.argmax(0)]]
    )


def _row(
    study_id: str, drawn: Drawn, points: np.ndarray, deformation: Deformation, film: FilmConfig, seen: dict
) -> RenderedFinding:
    pixel = deformation.pixel_mm
    x = points[:, 0] - (deformation.middle_x - FRAME_MM / 2)
    y, z = points[:, 1], points[:, 2] - (FRAME_TOP_MM - FRAME_MM)
    centre = [float(v.min() + v.max()) / 2 for v in (x, y, z)]
    boxes = {view: _box(view, x, y, z, deformation, film) if view in seen else (None,) * 4 for view in VIEWS}
    return RenderedFinding(
        study_id,
        drawn.kind,
        drawn.code,
        drawn.side,
        *(round(c, 1) for c in centre),
        *(int(c / pixel) for c in centre),
        round(float(np.mean(points.max(0) - points.min(0))), 1),
        round(drawn.attenuation, 3),
        *(seen.get(view) for view in VIEWS),
        *boxes["pa"],
        *boxes["lateral"],
    )


def _box(view: str, x, y, z, deformation: Deformation, film: FilmConfig) -> tuple[int, int, int, int]:
    """Pixel box (left, top, right, bottom) of points in mm on one film."""
    size, pixel, depth = deformation.size_px, deformation.pixel_mm, deformation.extent[1]
    extent = np.array([FRAME_MM, depth, FRAME_MM])
    if view == "pa":
        factor = magnification(view, y, extent, film)
        across = FRAME_MM / 2 + factor * (x - FRAME_MM / 2)
    else:
        factor = magnification(view, x, extent, film)
        across = depth / 2 - factor * (y - depth / 2) + (size - round(depth / pixel)) // 2 * pixel
    down = FRAME_MM / 2 - factor * (z - FRAME_MM / 2)
    (left, right), (top, bottom) = (_span(values / pixel, size) for values in (across, down))
    return left, top, right, bottom


def _span(values: np.ndarray, size: int) -> tuple[int, int]:
    low, high = np.clip(np.floor([values.min(), values.max()]), 0, size - 1)
    return int(low), int(high)
