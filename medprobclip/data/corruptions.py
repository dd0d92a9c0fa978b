"""Faults of chest radiographs at five severities: what a model meets when a film is not a good one.

The scheme of named corruptions at five severities is that of Hendrycks & Dietterich (arXiv 1903.12261); the
faults and their values are ours. Nothing is mirrored, because reports name sides.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage, signal

SEVERITIES = (1, 2, 3, 4, 5)

_DECADES = 2.0  # powers of ten of exposure between black and white
_NOISE_PX = 128  # edge of the image for whose pixels the noise values are given
_FINE = 4  # objects are drawn at this multiple of the size and averaged down
_LEADS = 10  # electrodes placed per image, as for a 12-lead ECG; a severity shows the first few

Apply = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Corruption:
    """One fault: its name in figures, what its five values are, the values, and what they do.

    `apply(grey, value, rng)` takes and gives grey values float32 `[S, S]`, 0 black and 1 white; what it gives
    may leave that range. It must draw from rng the same numbers for every value.
    """

    label: str
    unit: str
    values: tuple[float, float, float, float, float]
    apply: Apply


def corrupt(images: np.ndarray, name: str, severity: int, ids: Sequence[str]) -> np.ndarray:
    """Radiographs with one fault, uint8 `[B, S, S]` -> uint8 `[B, S, S]`, a copy.

    Random parts (noise, side of a rotation, place of a marker) depend on the name and the image's id alone:
    not on the batch, and not on the severity, so that one image gets worse step by step.

    Args:
        images: grey values, uint8 `[B, S, S]`.
        name: a key of `CORRUPTIONS`.
        severity: 1 (a radiologist would not mind) to 5 (heavy, still a chest film).
        ids: one per image, for instance study ids.

    Raises ValueError for an unknown name, another severity, dtype or shape, or another number of ids.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"unknown corruption {name!r}. Use one of: {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be one of {SEVERITIES}, got {severity!r}")
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"corrupt needs uint8 [B, S, S], got {images.dtype} {images.shape}")
    if len(ids) != len(images):
        raise ValueError(f"corrupt needs one id per image, got {len(ids)} ids for {len(images)} images")
    corruption = CORRUPTIONS[name]
    value = corruption.values[SEVERITIES.index(severity)]
    worse = np.empty_like(images)
    for i, (image, key) in enumerate(zip(images, ids, strict=True)):
        grey = corruption.apply(image.astype(np.float32) / 255, value, _rng(name, key))
        worse[i] = _to_uint8(grey)
    return worse


def _rng(name: str, key: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{name}/{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _to_uint8(grey: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def _noise(grey: np.ndarray, std: float, rng: np.random.Generator) -> np.ndarray:
    """Quantum noise: n photons vary by sqrt(n), so their logarithm, which is what grey shows, by 1 / sqrt(n)
    (Bushberg et al., The Essential Physics of Medical Imaging).

    Bright means few photons, so mediastinum and abdomen are grainier than lungs. A pixel of a larger image
    collects fewer photons at the same dose, which keeps the noise the same per area of film.
    """
    std_at_grey = std * 10 ** (_DECADES / 2 * (grey - 0.5)) * len(grey) / _NOISE_PX
    return grey + std_at_grey * rng.standard_normal(grey.shape, dtype=np.float32)


def _motion(grey: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """Steady motion up or down, head to feet, during the exposure."""
    half = length * len(grey) / 2
    steps = np.arange(-np.ceil(half), np.ceil(half) + 1)
    kernel = np.clip(half + 0.5 - np.abs(steps), 0, 1)  # pixels that the ends enter count in part
    return ndimage.convolve1d(grey, kernel / kernel.sum(), axis=0, mode="nearest")


def _defocus(grey: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """A point becomes an evenly bright disc, as with a large focal spot."""
    radius = radius * len(grey)
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(y, x), 0, 1).astype(np.float32)
    return signal.oaconvolve(np.pad(grey, reach, mode="edge"), disc / disc.sum(), mode="valid")


def _underexposure(grey: np.ndarray, gamma: float, rng: np.random.Generator) -> np.ndarray:
    """Too little exposure for the film: paler, the dense parts run together; black stays black."""
    return grey**gamma


def _contrast(grey: np.ndarray, kept: float, rng: np.random.Generator) -> np.ndarray:
    """All differences from the image's mean grey shrink, as under scattered light."""
    return grey.mean() + kept * (grey - grey.mean())


def _low_resolution(grey: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    """Averaged down to few pixels and interpolated up again; an image of no more pixels hardly changes."""
    small = Image.fromarray(grey).resize((int(pixels), int(pixels)), Image.Resampling.BILINEAR)
    return np.asarray(small.resize(grey.shape, Image.Resampling.BICUBIC))


def _jpeg(grey: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Saved as JPEG and read again. Its blocks are 8 pixels wide: coarser on the film of a smaller image."""
    file = io.BytesIO()
    Image.fromarray(_to_uint8(grey)).save(file, "JPEG", quality=int(quality))
    with Image.open(file) as image:
        return np.asarray(image, dtype=np.float32) / 255


def _rotation(grey: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """Turned about the centre to the side drawn for this image, black where there was no film."""
    side = 1 if rng.random() < 0.5 else -1
    return np.asarray(Image.fromarray(grey).rotate(side * degrees, Image.Resampling.BILINEAR))


def _cropping(grey: np.ndarray, cut: float, rng: np.random.Generator) -> np.ndarray:
    """A square window at one edge of the film fills the image; the windows of the severities are nested."""
    edge, along = rng.integers(4), rng.random()
    x, y = ((0, along), (1, along), (along, 0), (along, 1))[edge]  # of what is cut, share at left and top
    size = len(grey)
    left, top, window = x * cut * size, y * cut * size, (1 - cut) * size
    box = (left, top, left + window, top + window)
    return np.asarray(Image.fromarray(grey).resize(grey.shape, Image.Resampling.BILINEAR, box=box))


def _marker(grey: np.ndarray, edge: float, rng: np.random.Generator) -> np.ndarray:
    """A plate with a lead letter that names the side it lies on: R at the image's left, L at its right."""
    letter = "RL"[rng.integers(2)]
    x, y = rng.uniform(0.04, 0.18), rng.uniform(0.05, 0.6)  # of the free space, share left of and above it
    x = x if letter == "R" else 1 - x
    size = len(grey) * _FINE
    drawing = ImageDraw.Draw(cover := Image.new("L", (size, size)))
    plate = edge * size
    left, top = x * (size - plate), y * (size - plate)
    box = (left, top, left + plate, top + plate)
    drawing.rounded_rectangle(box, 0.15 * plate, fill=90, outline=255, width=round(0.07 * plate))
    middle = (left + plate / 2, top + plate / 2)
    font = ImageFont.load_default(0.85 * plate)  # Pillow's own, so the same everywhere
    drawing.text(middle, letter, 255, font, anchor="mm", stroke_width=round(0.03 * plate))
    return _covered(grey, cover)


def _device(grey: np.ndarray, leads: float, rng: np.random.Generator) -> np.ndarray:
    """Electrodes on the chest (pad and metal stud), each with a cable that leaves through the lower edge."""
    drawn = rng.uniform((0.2, 0.15, -0.25, 0.05), (0.8, 0.8, 0.25, 0.95), (_LEADS, 4))[: int(leads)]
    size = len(grey) * _FINE
    drawing = ImageDraw.Draw(cover := Image.new("L", (size, size)))
    for x, y, _, _ in drawn * size:  # the fainter first: what is drawn later replaces it
        drawing.circle((x, y), 0.04 * size, fill=130)
    t = np.linspace(0, 1, 24)[:, None]
    for x, y, sag, leave in drawn:
        start, bend, end = np.array([[x, y], [x + sag, 0.9], [leave, 1.05]])
        cable = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end  # a quadratic Bezier curve
        drawing.line((cable * size).ravel().tolist(), fill=220, width=round(0.012 * size), joint="curve")
    for x, y, _, _ in drawn * size:
        drawing.circle((x, y), 0.015 * size, fill=255)
    return _covered(grey, cover)


def _covered(grey: np.ndarray, cover: Image.Image) -> np.ndarray:
    """White laid over the image, 0 not at all to 255 opaque, from a picture `_FINE` times its size."""
    opacity = np.asarray(cover.reduce(_FINE), dtype=np.float32) / 255
    return grey + opacity * (1 - grey)


CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption(
        "quantum noise",
        f"standard deviation at mid-grey for {_NOISE_PX} px, share of white",
        (0.01, 0.02, 0.035, 0.055, 0.085),
        _noise,
    ),
    "motion": Corruption(
        "breathing motion",
        "length of the path, share of the edge",
        (0.025, 0.04, 0.06, 0.085, 0.115),
        _motion,
    ),
    "defocus": Corruption(
        "defocus", "radius of the disc, share of the edge", (0.012, 0.017, 0.023, 0.031, 0.04), _defocus
    ),
    "underexposure": Corruption(
        "underexposure", "exponent of the grey values", (0.85, 0.7, 0.55, 0.42, 0.3), _underexposure
    ),
    "contrast": Corruption(
        "loss of contrast", "share of the contrast kept", (0.8, 0.62, 0.45, 0.32, 0.2), _contrast
    ),
    "low_resolution": Corruption(
        "low resolution", "pixels along the edge", (56, 44, 34, 26, 20), _low_resolution
    ),
    "jpeg": Corruption("JPEG compression", "quality setting of libjpeg", (60, 35, 20, 10, 5), _jpeg),
    "rotation": Corruption("rotation", "angle to either side, degrees", (3, 6, 10, 16, 25), _rotation),
    "cropping": Corruption(
        "cropping", "share of the edge outside the film", (0.05, 0.1, 0.17, 0.26, 0.36), _cropping
    ),
    "marker": Corruption(
        "side marker", "width of the marker, share of the edge", (0.08, 0.13, 0.19, 0.26, 0.34), _marker
    ),
    "device": Corruption("external devices", "number of electrodes", (1, 2, 4, 6, 10), _device),
}
