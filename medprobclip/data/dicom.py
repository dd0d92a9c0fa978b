"""DICOM -> the values that a viewer would show, and which pixels are padding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medprobclip.data.grey import SLIVER, ImageError, trimmed_range, used_levels

if TYPE_CHECKING:
    from pydicom import Dataset

WRAPPED = 0.02  # share of neighbours, from which on values are taken to wrap round
SUFFIXES = (".dcm", ".dicom", ".dic")
_MARK = (128, b"DICM")  # behind the preamble, DICOM PS3.10 section 7.1
# Without it: a first element of group 0002 or 0008, little endian, of an even number below 0x0100.
_GROUPS = (b"\x02\x00", b"\x08\x00")
HEAD = _MARK[0] + len(_MARK[1])  # bytes that `is_dicom` wants to see


@dataclass(frozen=True)
class DicomPicture:
    """Values `[H, W]` after the modality and window (VOI) transforms, padding bool `[H, W]` or None.

    `dark_is_high`: photometric interpretation MONOCHROME1, to be inverted. `tall`: height of a pixel as a
    multiple of its width.
    """

    values: np.ndarray
    padding: np.ndarray | None
    dark_is_high: bool
    tall: float = 1.0


def is_dicom(head: bytes, path: Path) -> bool:
    """Is a file with these first bytes DICOM: by its mark, or without preamble by its first element?"""
    offset, mark = _MARK
    if head[offset : offset + len(mark)] == mark:
        return True
    first_element = head[:2] in _GROUPS and len(head) > 4 and head[3:4] == b"\x00" and head[2] % 2 == 0
    return first_element or path.suffix.lower() in SUFFIXES


def read_dicom(path: Path) -> DicomPicture:
    """Read one grey radiograph. Raises ImageError for another picture, or one that cannot be decoded."""
    try:
        import pydicom
    except ImportError:
        raise ImageError(f"{path}: DICOM needs pydicom. Run: pip install 'medprobclip[dicom]'") from None
    try:
        dataset = pydicom.dcmread(path, force=True)  # also without preamble
    except Exception as error:  # pydicom and its decoders raise a dozen unrelated types
        raise ImageError(f"{path}: not readable as DICOM ({error}). Fetch the file again.") from error
    if "PixelData" not in dataset or "Rows" not in dataset:
        raise ImageError(f"{path}: not readable as DICOM (no pixel data). Fetch the file again.")
    photometric = str(dataset.get("PhotometricInterpretation", "none"))
    frames = str(dataset.get("NumberOfFrames") or 1)
    if frames != "1" or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError(
            f"{path}: {photometric} with {frames} frame(s) is not one grey image. Convert it to PNG."
        )
    if photometric == "MONOCHROME2" and str(dataset.get("PresentationLUTShape", "")).upper() == "INVERSE":
        raise ImageError(
            f"{path}: MONOCHROME2 says that high is light, Presentation LUT Shape INVERSE that it is dark. "
            "Correct the one that is wrong."
        )
    stored_bits, high_bit = dataset.get("BitsStored"), dataset.get("HighBit")
    if stored_bits and high_bit is not None and high_bit != stored_bits - 1:
        raise ImageError(
            f"{path}: {stored_bits} bits stored below bit {high_bit}, not from bit 0 on. Convert the file."
        )
    try:
        stored = _stored_values(dataset)
        padding = _padding(stored, dataset)
        values = _windowed(_rescaled(stored, dataset), dataset, padding)
    except Exception as error:
        raise ImageError(
            f"{path}: not readable as DICOM ({_in_a_line(error)}). Fetch the file again; compressed pixels "
            "need the decoders of: pip install 'medprobclip[dicom]' (lossy JPEG with 12 bits: "
            "pip install pylibjpeg pylibjpeg-libjpeg)"
        ) from error
    if _wraps_round(stored, padding, dataset):
        raise ImageError(
            f"{path}: dark and light lie side by side all over, as when signed values are read as unsigned. "
            "Is Pixel Representation (0028,0103) right? Correct it, or convert the file."
        )
    return DicomPicture(values, padding, photometric == "MONOCHROME1", _tallness(dataset))


def _stored_values(dataset: Dataset) -> np.ndarray:
    """The pixels as stored, before any transform: `[H, W]`."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not hasattr(dataset, "file_meta"):  # a dataset alone
        from pydicom.dataset import FileMetaDataset

        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit = dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit in (True, None) else ExplicitVRLittleEndian
        )
    return dataset.pixel_array


def _wraps_round(stored: np.ndarray, padding: np.ndarray | None, dataset: Dataset) -> bool:
    """Do many neighbours differ by more than half of all that the stored bits can say? No radiograph does."""
    jumps = np.abs(np.diff(stored.astype(np.int64), axis=1)) > 1 << (int(dataset.BitsStored) - 1)
    if padding is not None:
        jumps &= ~(padding[:, 1:] | padding[:, :-1])
    return stored.size > 64 and bool(jumps.mean() > WRAPPED)


def _tallness(dataset: Dataset) -> float:
    """Height over width of a pixel, from its spacing (row, column) or aspect ratio; 1 within a hundredth."""
    for name in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        sides = _numbers(dataset.get(name))
        if len(sides) == 2 and all(math.isfinite(side) and side > 0 for side in sides):
            tall = sides[0] / sides[1]
            return tall if abs(tall - 1) > 0.01 else 1.0
    return 1.0


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Which stored values are padding: Pixel Padding Value to its Range Limit, PS3.3 C.7.5.1.1.2."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted(_as_stored(end, dataset) for end in (value, value if limit is None else limit))
    padding = (stored >= ends[0]) & (stored <= ends[1])
    return padding if padding.any() else None


def _as_stored(value: int, dataset: Dataset) -> int:
    """A padding value in the sign of the pixels: files write -2000 as 63536, too, or the other way round."""
    bits = int(dataset.BitsAllocated)
    value = int(value) % (1 << bits)
    signed = bool(dataset.PixelRepresentation) and value >= 1 << (bits - 1)
    return value - (1 << bits) if signed else value


def _rescaled(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """After the modality transform: its table, else slope and intercept; a slope of 0 is none."""
    from pydicom.pixels import apply_modality_lut

    if dataset.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, dataset)
    slope, intercept = (_numbers(dataset.get(name)) for name in ("RescaleSlope", "RescaleIntercept"))
    slope = slope[0] if slope and math.isfinite(slope[0]) and slope[0] else 1.0
    intercept = intercept[0] if intercept and math.isfinite(intercept[0]) else 0.0
    return stored if (slope, intercept) == (1.0, 0.0) else stored * slope + intercept


def _windowed(values: np.ndarray, dataset: Dataset, padding: np.ndarray | None) -> np.ndarray:
    """After the first window or table that shows something; as they are without one.

    A window that leaves next to no grey levels where there were some (two of width 1) shows nothing.
    """
    from pydicom.pixels import apply_voi, apply_windowing

    ways = [lambda: apply_voi(values, dataset)] if dataset.get("VOILUTSequence") else []
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    linear = function == "LINEAR"
    for index, (centre, width) in enumerate(
        zip(_numbers(dataset.get("WindowCenter")), _numbers(dataset.get("WindowWidth")), strict=False)
    ):
        # PS3.3 C.11.2.1.2: a linear window is at least 1 wide, any other wider than 0.
        known = function in ("LINEAR", "LINEAR_EXACT", "SIGMOID")
        wide = width >= 1 if linear else width > 0
        if known and wide and math.isfinite(centre) and math.isfinite(width):
            ways.append(lambda index=index: apply_windowing(values, dataset, index=index))
    enough = min(SLIVER // 2, _levels(values, padding)) if ways else 0
    for way in ways:
        seen = way()
        if _levels(seen, padding) >= max(2, enough):
            return seen
    return values


def _levels(values: np.ndarray, padding: np.ndarray | None) -> int:
    """How many grey levels the values would use, without padding; 1 where there is no range."""
    shown = (values[~padding] if padding is not None else values).ravel().astype(np.float32)
    low, high = trimmed_range(shown) if shown.size else (0.0, 0.0)
    if not high > low:
        return 1
    return used_levels(((shown - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8))


def _numbers(value: object) -> list[float]:
    """One value, several or none of a DICOM element -> floats, NaN for what is no number."""

    def number(one: object) -> float:
        try:
            return float(one)
        except (TypeError, ValueError):
            return math.nan

    if value is None:
        return []
    several = not isinstance(value, str) and hasattr(value, "__iter__")
    return [number(one) for one in (value if several else [value])]


def _in_a_line(error: Exception) -> str:
    """What it says, of several lines the first 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__
