"""One radiograph, PNG, JPEG or DICOM -> grey values, bright where attenuation is high."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from medprobclip.data import dicom
from medprobclip.data.grey import ImageError, refuse_blank, stretch, used_levels
from medprobclip.support.downloads import not_downloaded

# Raise it when the same file gives other pixels than before: what was cached by another is read anew.
READER = 2
# The same for JPEGs alone: large ones are decoded at reduced scale, which gives slightly other pixels.
REDUCED = 1
_KEPT = 2  # a JPEG at reduced scale keeps at least so many times the wanted edge
_JPEG = b"\xff\xd8"  # how such a file begins
_ORIENTATION = 274  # EXIF: how what is stored is to be shown
_SHOWN_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as in Pillow


def read_image(path: str | Path) -> np.ndarray:
    """Read a radiograph as grey values, bright where attenuation is high: uint8 `[H, W]`.

    PNG and JPEG with 8 bits are taken as they are (colour becomes luminance, transparency is ignored) and
    turned as their EXIF orientation says. With 16 bits, and in DICOM after its modality and window (VOI)
    transforms, the range without the most extreme 0.5 % at either end is mapped to 0..255: 10- or 12-bit
    radiographs use a small part of their 16 bits, and a broken pixel is no range. DICOM padding is left out
    of the range and black, a window that shows nothing (width 0) is ignored, and photometric interpretation
    MONOCHROME1 is inverted. DICOM needs pydicom, compressed pixels their decoders: the extra `dicom`.

    Raises ImageError for a missing, truncated, unsupported or blank image.
    """
    path = Path(path)
    with _one_line_errors(path):
        with path.open("rb") as file:
            head = file.read(dicom.HEAD)
        if head[:4] != b"\x89PNG" and head[:2] != _JPEG and dicom.is_dicom(head, path):
            if reason := not_downloaded(path):
                raise ImageError(f"{path} {reason}.")
            return _read_dicom(path)
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            grey = grey_values(image, path)
            if image.format == "JPEG" and image.mode in ("L", "RGB"):
                _decoded_jpeg(path, image.size, 8)  # raises what Pillow passes over in silence
            return grey


def read_square(path: str | Path, size_px: int) -> tuple[np.ndarray, int]:
    """`read_image` and `resize_square`: uint8 `[S, S]`, and the `used_levels` of what was read.

    A JPEG of 8 bits whose longer side has at least four times `size_px` is decoded at 1/2, 1/4 or 1/8 of its
    size, which that format can do; at least twice `size_px` are kept, and what comes back differs from the
    picture read in full by less than half a grey level on average (benchmarks/image_cache.py). Its levels are
    those at that scale. Raises ImageError as `read_image`.
    """
    path = Path(path)
    with _one_line_errors(path):
        if (found := _reduced_square(path, size_px)) is not None:
            return found
    grey = read_image(path)
    return resize_square(grey, size_px), used_levels(grey)


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file becomes an ImageError that names it and the remedy."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file. Check image_paths in the study table.") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: a folder. Check image_paths in the study table.") from None
    except ImageError:
        raise
    except Exception as error:  # decoders raise a dozen unrelated types for damaged files
        if reason := not_downloaded(path):
            raise ImageError(f"{path} {reason}.") from error
        raise ImageError(
            f"{path}: not readable as PNG, JPEG or DICOM ({error}). Fetch the file again or convert it."
        ) from error


def reduction(size: tuple[int, int], size_px: int) -> int:
    """By what the sides of a JPEG may be divided when it is decoded for `size_px`: 8, 4, 2, or 1 for all."""
    return next((parts for parts in (8, 4, 2) if max(size) >= _KEPT * size_px * parts), 1)


def _reduced_square(path: Path, size_px: int) -> tuple[np.ndarray, int] | None:
    """`read_square` of a JPEG that is large enough to be decoded at reduced scale; None of anything else."""
    with path.open("rb") as file:
        if file.read(2) != _JPEG:
            return None
    with Image.open(path, formats=("JPEG",)) as image:
        parts = reduction(image.size, size_px)
        if parts == 1 or image.format != "JPEG" or image.mode not in ("L", "RGB"):
            return None
        grey = refuse_blank(_decoded_jpeg(path, image.size, parts), path)
        width, height = image.size  # parts of a pixel count: else a side could come out a pixel longer
        scaled = _scaled(grey, (height / parts, width / parts), size_px)
        return _centred(_turned(scaled, image), size_px), used_levels(grey)


def _decoded_jpeg(path: Path, size: tuple[int, int], parts: int) -> np.ndarray:
    """A JPEG of `size` (width, height) at 1 / `parts` of it, as luminance: uint8 `[H, W]`.

    Raises ImageError where data are cut or garbled. Pillow fills those with grey in silence; here every
    warning of libjpeg counts, and it reads all data at any scale.
    """
    from simplejpeg import decode_jpeg

    width, height = (-(-side // parts) for side in size)
    try:
        grey = decode_jpeg(path.read_bytes(), "GRAY", min_height=height, min_width=width, strict=True)
    except ValueError as error:
        raise ImageError(
            f"{path}: damaged JPEG, part of the picture is missing or garbled. Fetch the file again."
        ) from error
    return grey[..., 0]


def grey_values(image: Image.Image, name: str | Path) -> np.ndarray:
    """An open PNG, JPEG or other picture -> uint8 `[H, W]`, as `read_image`, whose errors call it `name`."""
    colour = _sixteen_bit_colour(image)
    if colour:
        grey = stretch(_decoded_in_full(image, colour, name), name)
    elif image.mode.startswith(("I", "F")):
        grey = stretch(np.asarray(image), name)
    else:
        grey = refuse_blank(np.array(image.convert("L")), name)
    return _turned(grey, image)


def _turned(grey: np.ndarray, image: Image.Image) -> np.ndarray:
    """Grey values `[H, W]` of an open picture as its EXIF orientation shows them."""
    try:
        shown_by = _SHOWN_BY.get(image.getexif().get(_ORIENTATION))
    except Exception:  # a damaged note is no reason to refuse the picture
        shown_by = None
    return grey if shown_by is None else np.array(Image.fromarray(grey).transpose(shown_by))


def _sixteen_bit_colour(image: Image.Image) -> str | None:
    """The channels of a PNG of which Pillow would keep 8 of 16 bits: RGB, RGBA or LA; else None.

    Read off the file's header; of a picture that is no file, off how its tiles are to be decoded.
    """
    if image.format != "PNG":
        return None
    try:
        with open(image.filename, "rb") as file:
            depth, colour = file.read(26)[24:26]
        return {2: "RGB", 4: "LA", 6: "RGBA"}.get(colour) if depth == 16 else None
    except (AttributeError, OSError, ValueError, TypeError):  # no file, or no longer there
        tile = getattr(image, "tile", None)
    channels, _, bits = str(tile[0][3]).partition(";") if tile else ("", "", "")
    return channels if bits.startswith("16") and channels in ("RGB", "RGBA", "LA") else None


def _decoded_in_full(image: Image.Image, channels: str, name: str | Path) -> np.ndarray:
    """The luminance of a PNG with 16 bits in colour: float `[H, W]`. Raises ImageError where none decodes."""
    file = getattr(image, "filename", "")
    if file and channels in ("RGB", "RGBA"):
        from kornia_rs.io import read_image_png_u16

        return read_image_png_u16(str(file), channels.lower())[..., :3] @ _LUMA
    raise ImageError(
        f"{name}: PNG with 16 bits and {channels} channels, of which only 8 bits can be read. Convert it to "
        "grey without transparency (ImageMagick: magick in.png -alpha off -colorspace gray out.png)"
        + ("." if file else ", or give its path instead of the open picture.")
    )


def _read_dicom(path: Path) -> np.ndarray:
    picture = dicom.read_dicom(path)
    grey = stretch(picture.values, path, picture.padding)
    if picture.dark_is_high:
        grey = 255 - grey
        if picture.padding is not None:
            grey[picture.padding] = 0
    if picture.tall != 1:  # pixels that are not square
        height, width = grey.shape
        size = (width, max(1, round(height * picture.tall)))
        grey = np.array(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
    return grey


def resize_square(image: np.ndarray, size_px: int) -> np.ndarray:
    """Scale the longer side of uint8 `[H, W]` to size_px and centre the rest on black: uint8 `[S, S]`.

    The aspect ratio is kept and nothing is cropped: apices and bases stay in the picture. Downscaling
    averages over the pixels that it merges. Raises ValueError for another dtype or number of axes.
    """
    if image.dtype != np.uint8 or image.ndim != 2 or image.size == 0:
        raise ValueError(f"resize_square needs uint8 [H, W], got {image.dtype} {image.shape}")
    return _centred(_scaled(image, image.shape, size_px), size_px)


def _scaled(image: np.ndarray, extent: tuple[float, float], size_px: int) -> np.ndarray:
    """The upper left `extent` (height, width) of a picture, its longer side scaled to size_px."""
    scale = size_px / max(extent)
    height, width = (max(1, round(side * scale)) for side in extent)
    if (height, width) == image.shape:
        return image
    box = (0, 0, extent[1], extent[0])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box))


def _centred(image: np.ndarray, size_px: int) -> np.ndarray:
    """A picture of at most size_px a side in the middle of a black square."""
    height, width = image.shape
    square = np.zeros((size_px, size_px), dtype=np.uint8)
    top, left = (size_px - height) // 2, (size_px - width) // 2
    square[top : top + height, left : left + width] = image
    return square
