"""From a volume of attenuation to a radiograph: rays, Beer-Lambert, scatter, noise, detector, film curve."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

VIEWS = ("pa", "lateral")


@dataclass(frozen=True)
class FilmConfig:
    """Physics and tone; the values give a 110-120 kVp digital radiograph taken with a grid."""

    source_mm: float | None = None  # distance of the X-ray source from the detector; none: parallel rays.
    # Departments use about 1,830 mm (72 inches); the patient's front (PA) or left side touches the detector.
    water_per_cm: float = 0.20  # attenuation of water at about 60 keV effective energy
    scatter: float = 0.08  # scattered light behind the grid, share of the wide-area mean
    scatter_mm: float = 28.0  # width of the scatter kernel
    photons: float = 4.0e5  # per pixel in the unattenuated beam: noise of about 1 % behind the mediastinum
    blur_mm: float = 0.8  # detector and focal spot, standard deviation
    lung_grey: float = 0.24  # display value of the lungs ...
    mediastinum_grey: float = 0.74  # ... and of mediastinum and spine
    # multi-scale enhancement as digital systems apply it: (structures smaller than mm, share added back)
    detail: tuple[tuple[float, float], ...] = ((2.5, 0.9), (8.0, 1.0), (30.0, 0.5))


@dataclass(frozen=True)
class Exposure:
    """What the automatic exposure control found: log signal of lung and mediastinum of this patient."""

    lung: float
    mediastinum: float


def magnification(view: str, depth_mm: np.ndarray, extent_mm: np.ndarray, film: FilmConfig) -> np.ndarray:
    """How much larger than life something appears: source-detector over source-object distance, 1 or more.

    Args:
        depth_mm: position along the beam (y for "pa", x for "lateral"), any shape.
        extent_mm: size (x, y, z) [3] of the volume; the detector touches its far side along the beam.
    """
    if film.source_mm is None:
        return np.ones_like(depth_mm)
    from_detector = extent_mm[1 if view == "pa" else 0] - depth_mm
    return film.source_mm / (film.source_mm - from_detector)


def project(body: np.ndarray, view: str, pixel_mm: float, voxel_mm: float, film: FilmConfig) -> np.ndarray:
    """Sum of attenuation along the rays, in mm of water; rows from top to bottom.

    Args:
        body: [Y, S, S], back to front, upwards, right to left; S has `pixel_mm`, Y has `voxel_mm` cells.
        view: "pa" -> [S, S], the patient's right at the image's left; "lateral" -> [S, Y], front at the left.

    The central ray hits the middle of the picture. With a point source (`film.source_mm`) every plane
    parallel to the detector is magnified by its own factor, and oblique rays run longer through it.
    """
    step = voxel_mm if view == "pa" else pixel_mm  # length of a ray in one plane
    planes = body if view == "pa" else body.transpose(2, 1, 0)  # [planes along the beam, height, width]
    stretch = 1.0
    if film.source_mm is not None:
        n, height, width = planes.shape
        thickness = np.array([0.0, n * step, 0.0] if view == "pa" else [n * step, 0.0, 0.0])
        factor = magnification(view, (np.arange(n) + 0.5) * step, thickness, film)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = torch.from_numpy((1 / factor).astype(np.float32))
        grid = F.affine_grid(theta, [n, 1, height, width], align_corners=False)
        source = torch.from_numpy(np.ascontiguousarray(planes, np.float32))[:, None]
        planes = F.grid_sample(source, grid, padding_mode="zeros", align_corners=False)[:, 0].numpy()
        off_z = (np.arange(height) + 0.5 - height / 2)[:, None] * pixel_mm
        off_w = (np.arange(width) + 0.5 - width / 2)[None] * (pixel_mm if view == "pa" else voxel_mm)
        stretch = np.sqrt(1 + (off_z**2 + off_w**2) / film.source_mm**2)
    path = planes.sum(0) * step * stretch
    return np.ascontiguousarray(path[::-1] if view == "pa" else path[::-1, ::-1])


def measure_exposure(path_mm: np.ndarray, pixel_mm: float, film: FilmConfig, view: str) -> Exposure:
    """Exposure from a coarse projection of the patient *without* findings: a finding then changes the picture
    where it is, not the whole film.

    Args:
        path_mm: water-equivalent path [H, W], mm.
        view: the lateral is set by its densest parts, because shoulders and abdomen fill much of it.
    """
    signal = _log_signal(path_mm, pixel_mm, film)
    h, w = signal.shape
    centre = signal[h // 6 : -h // 5, w // 6 : -w // 6]
    covered = centre[path_mm[h // 6 : -h // 5, w // 6 : -w // 6] > 20]
    lung, mediastinum = np.quantile(covered, [0.12, 0.90 if view == "pa" else 0.97])
    return Exposure(float(lung), float(mediastinum))


def develop(
    path_mm: np.ndarray,
    exposure: Exposure,
    film: FilmConfig,
    pixel_mm: float,
    rng: np.random.Generator,
    dose: float = 1.0,
    darker: float = 0.0,
) -> np.ndarray:
    """The film.

    Args:
        path_mm: water-equivalent path [H, W], mm, top row first.
        rng: quantum noise (and nothing else) is drawn from it.
        dose: relative dose; below 1 the picture gets noisier.
        darker: shift of the film curve, in units of the lung-to-mediastinum difference.

    Returns:
        uint8 [H, W], bone bright.
    """
    photons = film.photons * dose
    intensity = np.exp(-_log_signal(path_mm, pixel_mm, film))
    noise = rng.standard_normal(path_mm.shape, dtype=np.float32)
    intensity = intensity + noise * np.sqrt(intensity / photons)
    intensity = ndimage.gaussian_filter(intensity, max(film.blur_mm / pixel_mm, 0.3))
    signal = -np.log(np.maximum(intensity, 1e-5))
    span = exposure.mediastinum - exposure.lung
    # the bright edge of skin against air, and metal, must not ring
    soft = np.clip(signal, exposure.lung - 0.6, exposure.mediastinum + 0.8 * span)
    scaled = (signal - exposure.lung) / span - darker
    for scale, share in film.detail:
        scaled = scaled + share / span * (soft - ndimage.gaussian_filter(soft, scale / pixel_mm))
    low, high = _logit(film.lung_grey), _logit(film.mediastinum_grey)
    return np.round(255 / (1 + np.exp(-(low + (high - low) * scaled)))).astype(np.uint8)


def _log_signal(path_mm: np.ndarray, pixel_mm: float, film: FilmConfig) -> np.ndarray:
    """-log of what reaches the detector: primary (Beer-Lambert) and scatter."""
    primary = np.exp(-film.water_per_cm / 10 * path_mm.astype(np.float32))
    inside = np.minimum(primary, 0.25)  # the direct beam beside the patient is collimated away
    scatter = film.scatter * ndimage.gaussian_filter(inside, film.scatter_mm / pixel_mm, truncate=2.5)
    return -np.log(primary + scatter)


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))
