"""The rendered truth: what was drawn in a simulated study, and where it appears on the two films."""

from dataclasses import dataclass

import numpy as np

from medprobclip.data.deformation import FRAME_MM, FRAME_TOP_MM, Deformation
from medprobclip.data.findings import Drawn

SAMPLE = 90  # points per finding that are followed through the deformation


@dataclass(frozen=True)
class RenderedFinding:
    """The truth about one finding on one side; the columns of the rendered table."""

    study_id: str
    kind: str
    code: str
    side: str  # "left", "right" or "midline" of the patient
    x_mm: float  # centre on the film, mm: from the PA image's left edge (patient's right) ...
    y_mm: float  # ... from the back of the volume forwards ...
    z_mm: float  # ... and from the lower edge upwards
    size_mm: float  # mean extent over the three axes
    attenuation: float  # largest change relative to water; 0 for changes of shape
    pa_left: int  # pixel box, inclusive, in the PA image ...
    pa_top: int
    pa_right: int
    pa_bottom: int
    lateral_left: int  # ... and in the lateral image
    lateral_top: int
    lateral_right: int
    lateral_bottom: int


def locate(study_id: str, drawn: list[Drawn], deformation: Deformation) -> list[RenderedFinding]:
    """Follow the drawn findings through the patient's deformation onto the films."""
    if not drawn:
        return []
    clouds = [d.points[:: max(1, len(d.points) // SAMPLE)] for d in drawn]
    on_film = deformation.to_film(np.concatenate(clouds))
    parts = np.split(on_film, np.cumsum([len(c) for c in clouds])[:-1])
    return [_row(study_id, d, points, deformation) for d, points in zip(drawn, parts, strict=True)]


def _row(study_id: str, drawn: Drawn, points: np.ndarray, deformation: Deformation) -> RenderedFinding:
    size, pixel, depth = deformation.size_px, deformation.pixel_mm, deformation.extent[1]
    x = points[:, 0] - (deformation.middle_x - FRAME_MM / 2)
    y, z = points[:, 1], points[:, 2] - (FRAME_TOP_MM - FRAME_MM)
    left, right = _span(x / pixel, size)
    top, bottom = _span((FRAME_MM - z) / pixel, size)
    front, back = _span((depth - y) / pixel + (size - round(depth / pixel)) // 2, size)
    centre = [round((float(v.min()) + float(v.max())) / 2, 1) for v in (x, y, z)]
    extent = round(float(np.mean(points.max(0) - points.min(0))), 1)
    return RenderedFinding(
        study_id,
        drawn.kind,
        drawn.code,
        drawn.side,
        *centre,
        extent,
        round(drawn.attenuation, 3),
        left,
        top,
        right,
        bottom,
        front,
        top,
        back,
        bottom,
    )


def _span(values: np.ndarray, size: int) -> tuple[int, int]:
    low, high = np.clip(np.floor([values.min(), values.max()]), 0, size - 1)
    return int(low), int(high)
