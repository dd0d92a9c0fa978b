"""Radiographs: read PNG, JPEG or DICOM, resize, and keep resized in a memory-mapped cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from medprobclip.support.files import replaced_file

_SHARD_ROWS = 512  # images per cache file: what an interruption can cost, and 25 MB at 224 px
_THREADS = min(8, os.cpu_count() or 1)  # Pillow decodes and resizes outside Python's lock
_SHOWN = 5  # unreadable files named in an error; the others are counted
_DICOM_MAGIC = (b"DICM", 128)  # mark and its offset, DICOM PS3.10 section 7.1


class ImageError(ValueError):
    """An image that cannot be used: the message names the file and the remedy."""


def read_image(path: str | Path) -> np.ndarray:
    """Read a radiograph as grey values, bright where attenuation is high: uint8 `[H, W]`.

    PNG and JPEG with 8 bits are taken as they are (colour becomes luminance, transparency is ignored).
    With 16 bits, and in DICOM after its modality and window (VOI) transforms, the range from the
    smallest to the largest value is mapped to 0..255, because 10- or 12-bit radiographs use a small part
    of their 16 bits. DICOM with photometric interpretation MONOCHROME1 is inverted. DICOM needs pydicom.

    Raises ImageError for a missing, truncated, unsupported or (where the range is mapped) blank image.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            mark, offset = _DICOM_MAGIC
            head = file.read(offset + len(mark))
        if head[offset:] == mark or path.suffix.lower() in (".dcm", ".dicom"):
            return _read_dicom(path)
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return grey_values(image, path)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file. Check image_paths in the study table.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f"{path}: not readable as PNG, JPEG or DICOM ({error}). Fetch the file again or convert it."
        ) from error


def grey_values(image: Image.Image, name: str | Path) -> np.ndarray:
    """An open PNG, JPEG or other picture -> uint8 `[H, W]`, as `read_image`, whose errors call it `name`."""
    if image.mode.startswith(("I", "F")):
        return _to_uint8(np.asarray(image), name)
    return np.array(image.convert("L"))


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


class ImageCache:
    """Resized images on disk, read through memory maps; made by `cache_images`.

    Holds only paths until the first read, so that it is cheap to pickle into data-loading processes.
    """

    def __init__(self, size_px: int, places: dict[str, tuple[Path, int]]) -> None:
        self.size_px = size_px
        self._places = places  # absolute image path -> (cache file, row)
        self._maps: dict[Path, np.ndarray] = {}

    def __len__(self) -> int:
        """Number of distinct images."""
        return len(self._places)

    def __getitem__(self, path: str | Path) -> np.ndarray:
        """One image, uint8 `[S, S]`. Raises KeyError for a path that was not given to `cache_images`."""
        return self.rows([path])[0]

    def rows(self, paths: Sequence[str | Path]) -> np.ndarray:
        """Images in the order of paths, uint8 `[n, S, S]`, a copy. Raises KeyError for an unknown path."""
        images = np.empty((len(paths), self.size_px, self.size_px), dtype=np.uint8)
        for i, path in enumerate(paths):
            file, row = self._places[os.path.abspath(path)]
            if file not in self._maps:
                self._maps[file] = np.load(file, mmap_mode="r")
            images[i] = self._maps[file][row]
        return images

    def fingerprint(self) -> str:
        """SHA-256 of the resized pixels of every image, in path order: what a model really saw."""
        digest = hashlib.sha256()
        for path in sorted(self._places):
            digest.update(self.rows([path]).tobytes())
        return digest.hexdigest()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_maps": {}}  # a pickled memory map would carry all its pixels


def cache_images(paths: Iterable[str | Path], size_px: int, folder: str | Path) -> ImageCache:
    """Read and `resize_square` every image once and keep the result in folder, for this and later calls.

    The cache is a list of `.npy` files of up to 512 images, uint8 `[n, S, S]`, each with a `.json` index of
    the images' path, modification time (ns) and size (bytes). An image is read again only when one of
    these has changed. Files are complete or absent, so an interrupted call loses at most one file's work
    and several processes may call at once. Decoding runs in threads; a progress bar shows after 2 s.

    Raises ImageError that counts all unreadable images and names the first few. Nothing is replaced by
    black. The readable ones are kept, so that a call after the repair is quick.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys(os.path.abspath(path) for path in paths))
    wanted, errors = {}, []
    for path in paths:
        try:
            stat = os.stat(path)
            wanted[path] = (stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            errors.append(f"{path}: {error.strerror}")
    known = _read_indexes(folder, size_px)
    places = {path: known[path][1] for path, key in wanted.items() if known.get(path, (None,))[0] == key}
    todo = [path for path in wanted if path not in places]

    def load(path: str) -> np.ndarray | ImageError:
        try:
            return resize_square(read_image(path), size_px)
        except ImageError as error:
            return error

    pool = ThreadPoolExecutor(_THREADS)
    try:
        with tqdm(total=len(todo), desc="Reading images", unit="image", delay=2) as bar:
            for start in range(0, len(todo), _SHARD_ROWS):
                images: list[np.ndarray] = []
                index: list[tuple[str, int, int]] = []
                shard = todo[start : start + _SHARD_ROWS]
                for path, image in zip(shard, pool.map(load, shard), strict=True):
                    if isinstance(image, ImageError):
                        errors.append(str(image))
                    else:
                        images.append(image)
                        index.append((path, *wanted[path]))
                    bar.update()
                if images:
                    file = _write_shard(folder, size_px, np.stack(images), index)
                    places |= {path: (file, row) for row, (path, *_) in enumerate(index)}
    finally:
        pool.shutdown(cancel_futures=True)
    if errors:
        more = f"\n  and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        raise ImageError(
            f"{len(errors)} of {len(paths)} images cannot be used. Fetch them again or remove their studies "
            "from the table:\n  " + "\n  ".join(errors[:_SHOWN]) + more
        )
    return ImageCache(size_px, {path: places[path] for path in wanted})


def _read_indexes(folder: Path, size_px: int) -> dict[str, tuple[tuple[int, int], tuple[Path, int]]]:
    """Path -> (modification time and size, place) of everything cached at this size; later files win."""
    known = {}
    for index in sorted(folder.glob(f"{size_px}px-*.json"), key=lambda file: file.stat().st_mtime_ns):
        array = index.with_suffix(".npy")
        if array.is_file():
            for row, (path, mtime_ns, size) in enumerate(json.loads(index.read_text(encoding="utf-8"))):
                known[path] = ((mtime_ns, size), (array, row))
    return known


def _write_shard(folder: Path, size_px: int, images: np.ndarray, index: list[tuple[str, int, int]]) -> Path:
    """Write the pixels, then the index that makes them count; each appears whole under its final name."""
    stem = f"{size_px}px-{os.urandom(6).hex()}"
    pixels, listing = folder / f"{stem}.npy", folder / f"{stem}.json"
    with replaced_file(pixels) as temporary, temporary.open("wb") as file:
        np.save(file, images)
    with replaced_file(listing) as temporary:
        temporary.write_text(json.dumps(index), encoding="utf-8")
    return pixels


def _to_uint8(values: np.ndarray, path: str | Path) -> np.ndarray:
    """Map the range of the values to 0..255. Raises ImageError where there is no range."""
    values = values.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not high > low:
        raise ImageError(f"{path}: blank, every pixel is {low:g}. Remove its study from the table.")
    return np.rint((values - low) * (255 / (high - low))).astype(np.uint8)


def _read_dicom(path: Path) -> np.ndarray:
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError:
        raise ImageError(f"{path}: DICOM needs pydicom. Run: pip install 'medprobclip[dicom]'") from None
    try:
        dataset = pydicom.dcmread(path)
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
        photometric = str(dataset.PhotometricInterpretation)
    except Exception as error:  # pydicom and its decoders raise a dozen unrelated types
        raise ImageError(
            f"{path}: not readable as DICOM ({error}). Fetch it again, or for compressed DICOM install "
            "pylibjpeg and its plugins."
        ) from error
    if values.ndim != 2 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError(f"{path}: {photometric} {values.shape} is not one grey image. Convert it to PNG.")
    image = _to_uint8(values, path)
    return 255 - image if photometric == "MONOCHROME1" else image
