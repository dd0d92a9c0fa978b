"""Pixel values of any depth -> eight-bit grey; and which pictures show nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLIPPED = 0.005  # share of the pixels beyond either end of the range: markers, hot and dead pixels
CENTRAL = 0.98  # share of the pixels whose grey levels `used_levels` counts
SLIVER = 32  # of 256 levels: a picture that uses fewer was probably scaled wrongly when it was stored


class ImageError(ValueError):
    """An image that cannot be used: the message names the file and the remedy."""


def level_counts(grey: np.ndarray) -> np.ndarray:
    """How many pixels have each grey level: uint8 `[H, W]` -> int64 `[256]`; six times as fast as numpy's."""
    return np.array(Image.fromarray(grey).histogram())


def trimmed_range(values: np.ndarray, share: float = CLIPPED) -> tuple[float, float]:
    """The range of the values without a share of them at either end, at least one: `[n]` -> low, high.

    One broken pixel moves no end, however small the picture.
    """
    count = values.size
    cut = _cut(count, share)
    ends = np.partition(values, (cut, count - 1 - cut))
    return float(ends[cut]), float(ends[count - 1 - cut])


def _cut(count: int, share: float = CLIPPED) -> int:
    """How many of so many pixels lie beyond either end of the range."""
    return min(max(1, int(share * count)), (count - 1) // 2)


def stretch(values: np.ndarray, name: str | Path, padding: np.ndarray | None = None) -> np.ndarray:
    """Map the trimmed range of values `[H, W]` to 0..255: uint8 `[H, W]`, padding (bool `[H, W]`) at 0.

    Raises ImageError, which calls the picture `name`, where there is no range, or values that are no numbers.
    """
    values = values.astype(np.float32)
    shown = values[~padding] if padding is not None else values.ravel()
    if not np.isfinite(shown).all():
        raise ImageError(f"{name}: has pixels that are no numbers (NaN or infinite). Write the file again.")
    if not shown.size:
        raise ImageError(f"{name}: blank, every pixel is padding. Remove its study from the table.")
    low, high = trimmed_range(shown)
    if not high > low:
        raise _blank(name, low, shown)
    grey = np.rint((values - low) * (255 / (high - low))).clip(0, 255)
    if padding is not None:
        grey[padding] = 0
    return grey.astype(np.uint8)


def refuse_blank(grey: np.ndarray, name: str | Path) -> np.ndarray:
    """The picture uint8 `[H, W]` itself. Raises ImageError when all but a few pixels are the same."""
    upto, cut = level_counts(grey).cumsum(), _cut(grey.size)
    low, high = np.searchsorted(upto, (cut, grey.size - 1 - cut), side="right")  # its `trimmed_range`
    if not high > low:
        raise _blank(name, float(low), grey)
    return grey


def used_levels(grey: np.ndarray) -> int:
    """How many of 256 grey levels hold 98 % of the pixels, the fullest first: uint8 `[H, W]` -> 1..256.

    Few where a picture lies in a sliver of the range, and where it was cut to few levels over all of it.
    """
    counts = np.sort(level_counts(grey))[::-1]
    return int(np.searchsorted(counts.cumsum(), CENTRAL * grey.size)) + 1


def _blank(name: str | Path, value: float, values: np.ndarray) -> ImageError:
    odd = int((values != value).sum())
    which = f"all but {odd} pixels are {value:g}" if odd else f"every pixel is {value:g}"
    return ImageError(f"{name}: blank, {which}. Remove its study from the table.")
