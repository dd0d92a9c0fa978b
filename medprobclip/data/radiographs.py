"""One radiograph, PNG, JPEG or DICOM -> grey values, bright where attenuation is high."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from medprobclip.data import dicom
from medprobclip.data.grey import ImageError, refuse_blank, stretch
from medprobclip.support.downloads import not_downloaded

# Raise it when the same file gives other pixels than before: what was cached by another is read anew.
READER = 2
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
    try:
        with path.open("rb") as file:
            head = file.read(dicom.HEAD)
        if head[:4] != b"\x89PNG" and head[:2] != b"\xff\xd8" and dicom.is_dicom(head, path):
            if reason := not_downloaded(path):
                raise ImageError(f"{path} {reason}.")
            return _read_dicom(path)
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            grey = grey_values(image, path)
            if image.format == "JPEG" and image.mode in ("L", "RGB"):
                _refuse_damaged_jpeg(path)
            return grey
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


def _refuse_damaged_jpeg(path: Path) -> None:
    """Raise ImageError for a JPEG whose data are cut or corrupt: Pillow fills up with grey in silence."""
    from kornia_rs.io import read_image_jpegturbo

    try:
        read_image_jpegturbo(str(path))
    except Exception as error:  # it has one type for all
        raise ImageError(
            f"{path}: damaged JPEG, part of the picture is missing or garbled. Fetch the file again."
        ) from error


def grey_values(image: Image.Image, name: str | Path) -> np.ndarray:
    """An open PNG, JPEG or other picture -> uint8 `[H, W]`, as `read_image`, whose errors call it `name`."""
    colour = _sixteen_bit_colour(image)
    if colour:
        grey = stretch(_decoded_in_full(image, colour, name), name)
    elif image.mode.startswith(("I", "F")):
        grey = stretch(np.asarray(image), name)
    else:
        grey = refuse_blank(np.array(image.convert("L")), name)
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
    scale = size_px / max(image.shape)
    height, width = (max(1, round(side * scale)) for side in image.shape)
    if (height, width) != image.shape:
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    square = np.zeros((size_px, size_px), dtype=np.uint8)
    top, left = (size_px - height) // 2, (size_px - width) // 2
    square[top : top + height, left : left + width] = image
    return square
