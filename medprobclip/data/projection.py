"""From a volume of attenuation to a radiograph: Beer-Lambert, scatter, detector, film curve."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class FilmConfig:
    """Physics and tone; the values give a 110-120 kVp digital radiograph taken with a grid."""

    water_per_cm: float = 0.20  # attenuation of water at about 60 keV effective energy
    scatter: float = (
        0.08  # scattered light reaching the detector behind the grid, share of the wide-area mean
    )
    scatter_mm: float = 28.0  # width of the scatter kernel
    photons: float = 4.0e5  # per pixel in the unattenuated beam: noise of about 1 % behind the mediastinum
    blur_px: float = 0.45  # detector and focal spot
    lung_grey: float = 0.21  # display value of the lungs ...
    mediastinum_grey: float = 0.77  # ... and of mediastinum and spine
    detail: float = 0.42  # usual multi-scale enhancement: share of detail added back
    detail_mm: float = 14.0  # structures smaller than this are enhanced


@dataclass(frozen=True)
class Exposure:
    """What the automatic exposure control found: log signal of lung and mediastinum of this patient."""

    lung: float
    mediastinum: float


def measure_exposure(path_mm: np.ndarray, pixel_mm: float, film: FilmConfig) -> Exposure:
    """Exposure from a coarse projection of the patient *without* findings: a finding then changes the picture
    where it is, not the whole film.

    Args:
        path_mm: water-equivalent path [H, W], mm.
    """
    signal = _log_signal(path_mm, pixel_mm, film)
    h, w = signal.shape
    centre = signal[h // 6 : -h // 5, w // 6 : -w // 6]
    covered = centre[path_mm[h // 6 : -h // 5, w // 6 : -w // 6] > 20]
    lung, mediastinum = np.quantile(covered, [0.12, 0.90])
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
    intensity = ndimage.gaussian_filter(intensity, film.blur_px)
    signal = -np.log(np.maximum(intensity, 1e-5))
    soft = np.maximum(signal, exposure.lung - 0.8)  # keep the bright edge of skin against air from ringing
    signal = signal + film.detail * (soft - ndimage.gaussian_filter(soft, film.detail_mm / pixel_mm))
    scaled = (signal - exposure.lung) / (exposure.mediastinum - exposure.lung) - darker
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
