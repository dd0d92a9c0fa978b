"""Radiographs, resized once and kept in a memory-mapped cache."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medprobclip.data.grey import SLIVER, ImageError
from medprobclip.data.radiographs import READER, REDUCED, read_square
from medprobclip.support.files import replaced_file, writable_folder
from medprobclip.support.progress import progress_bar

_SHARD_ROWS = 512  # images per cache file: what an interruption can cost, and 25 MB at 224 px
_THREADS = min(8, os.cpu_count() or 1)  # Pillow decodes and resizes outside Python's lock
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_SHOWN = 5  # unreadable files named in an error; the others are counted


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
        return self.at(self.places(paths))

    def places(self, paths: Iterable[str | Path]) -> list[tuple[Path, int]]:
        """Where the pixels of images lie: cache file and row. Raises KeyError for an unknown path."""
        return [self._places[os.path.abspath(path)] for path in paths]

    def at(self, places: Sequence[tuple[Path, int]]) -> np.ndarray:
        """Images from their places, uint8 `[n, S, S]`. Raises ImageError that names a file that is broken."""
        images = np.empty((len(places), self.size_px, self.size_px), dtype=np.uint8)
        for i, (file, row) in enumerate(places):
            if file not in self._maps:
                self._maps[file] = _opened(file)
            images[i] = self._maps[file][row]
        return images

    def digest(self, path: str | Path) -> bytes:
        """What tells the resized pixels of one image. Raises KeyError as `rows`."""
        return hashlib.blake2b(self.rows([path]).tobytes(), digest_size=16).digest()

    def digests(self) -> dict[bytes, str]:
        """What tells the resized pixels of an image -> the path of the first that has them."""
        found: dict[bytes, str] = {}
        for path in sorted(self._places):
            found.setdefault(self.digest(path), path)
        return found

    def fingerprint(self) -> str:
        """SHA-256 of the resized pixels of every image, in path order: what a model really saw."""
        digest = hashlib.sha256()
        for path in sorted(self._places):
            digest.update(self.rows([path]).tobytes())
        return digest.hexdigest()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_maps": {}}  # a pickled memory map would carry all its pixels


@dataclass(frozen=True)
class Cached:
    """One image in the cache: the state of its file, how many grey levels it uses, where its pixels lie."""

    state: tuple[int, ...]
    levels: int
    place: tuple[Path, int]


def cache_images(
    paths: Iterable[str | Path],
    size_px: int,
    folder: str | Path,
    refused: dict[str, str] | None = None,
) -> ImageCache:
    """`read_square` every image once and keep the result in folder, for this and later calls.

    The cache is a list of `.npy` files of up to 512 images, uint8 `[n, S, S]`, each with a `.json` index of
    the images' path and the state of their files (`file_state`). An image is read again only when that has
    changed, or when the reading code has (`radiographs.READER`, for JPEGs also `REDUCED`: large ones are
    decoded at reduced scale). Files are complete or absent, so an interrupted call loses at most one file's
    work and several processes may call at once. Decoding runs in threads, under a progress bar; in memory
    are one original a thread and one file's resized images, however many there are. Images that use hardly
    any grey levels are counted in a warning.

    Raises ImageError that counts all unreadable images and names the first few; with a dict `refused`, they
    are put there instead, path -> reason, and are not in the cache. Nothing is replaced by black. The
    readable ones are kept, so that a call after the repair is quick.
    """
    variables = "MEDPROBCLIP_IMAGES, or MEDPROBCLIP_CACHE for all that is cached,"
    try:
        folder = writable_folder(Path(folder), "resized images", variables)
    except OSError as error:
        raise ImageError(str(error)) from error
    paths = list(dict.fromkeys(os.path.abspath(path) for path in paths))
    wanted: dict[str, tuple[int, ...]] = {}
    errors: dict[str, str] = {}
    for path in paths:
        try:
            wanted[path] = file_state(path)
        except OSError as error:
            errors[path] = f"{path}: {error.strerror}"
    known = _read_indexes(folder, size_px)
    found = {
        path: known[path] for path, state in wanted.items() if path in known and known[path].state == state
    }
    todo = [path for path in wanted if path not in found]

    def load(path: str) -> tuple[np.ndarray, int] | ImageError:
        try:
            return read_square(path, size_px)
        except ImageError as error:
            return error

    pool = ThreadPoolExecutor(_THREADS)
    try:
        with progress_bar(len(todo), "reading films", "film") as bar:
            for start in range(0, len(todo), _SHARD_ROWS):
                images: list[np.ndarray] = []
                index: list[tuple] = []
                shard = todo[start : start + _SHARD_ROWS]
                for path, loaded in zip(shard, pool.map(load, shard), strict=True):
                    if isinstance(loaded, ImageError):
                        errors[path] = str(loaded)
                    else:
                        images.append(loaded[0])
                        index.append((path, wanted[path], loaded[1], REDUCED))
                    bar.update()
                if images:
                    file = _write_shard(folder, size_px, np.stack(images), index)
                    for row, (path, state, levels, _) in enumerate(index):
                        found[path] = Cached(state, levels, (file, row))
    finally:
        pool.shutdown(cancel_futures=True)
    if refused is not None:
        refused.update(errors)
    elif errors:
        more = f"\n  and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        raise ImageError(
            f"{len(errors)} of {len(paths)} images cannot be used. Fetch them again or remove their studies "
            "from the table:\n  " + "\n  ".join(list(errors.values())[:_SHOWN]) + more
        )
    _forget_other_readers(folder, size_px)
    _warn_of_slivers({path: cached.levels for path, cached in found.items()})
    return ImageCache(size_px, {path: found[path].place for path in wanted if path in found})


def _opened(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(
            f"{file}: cannot be read ({error}). Delete this file of resized radiographs and start again: "
            "they are then read from their originals"
        ) from error


def file_state(path: str | Path) -> tuple[int, ...]:
    """What changes when a file is written or replaced: times of content and entry (ns), size, number.

    The time of the entry (on Windows the number) tells a replacement of the same size and modification time,
    which programs can set. Raises OSError when there is no such file.
    """
    stat = os.stat(path)
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def _warn_of_slivers(levels: dict[str, int]) -> None:
    narrow = {path: count for path, count in levels.items() if count < SLIVER}
    if narrow:
        path, count = min(narrow.items(), key=lambda item: item[1])
        warnings.warn(
            f"{len(narrow)} of {len(levels)} images show next to nothing: 98 % of their pixels use fewer "
            f"than {SLIVER} of 256 grey levels, in {path} {count}. Were their 10 to 16 bits cut when they "
            "were converted to 8? Convert them anew over the range of their values.",
            stacklevel=3,
        )


def _stem(size_px: int) -> str:
    return f"{size_px}px-reader{READER}-"


def _read_indexes(folder: Path, size_px: int) -> dict[str, Cached]:
    """Path -> what this reader cached of it at this size; later files win.

    A row tells how JPEGs were reduced when it was written, in caches from before that nothing.
    """
    known = {}
    for index in sorted(folder.glob(_stem(size_px) + "*.json"), key=lambda file: file.stat().st_mtime_ns):
        array = index.with_suffix(".npy")
        if array.is_file():
            rows = json.loads(index.read_text(encoding="utf-8"))
            for row, (path, state, levels, *reduced) in enumerate(rows):
                if reduced == [REDUCED] or not path.lower().endswith(_JPEG):
                    known[path] = Cached(tuple(state), levels, (array, row))
    return known


def _forget_other_readers(folder: Path, size_px: int) -> None:
    """Delete what other versions of the reading code cached at this size: nobody reads it again."""
    own = _stem(size_px)
    for file in folder.glob(f"{size_px}px-*"):
        if not file.name.startswith(own) and file.suffix in (".npy", ".json"):
            file.unlink(missing_ok=True)


def _write_shard(folder: Path, size_px: int, images: np.ndarray, index: list[tuple]) -> Path:
    """Write the pixels, then the index that makes them count; each appears whole under its final name."""
    stem = _stem(size_px) + os.urandom(6).hex()
    pixels, listing = folder / f"{stem}.npy", folder / f"{stem}.json"
    with replaced_file(pixels) as temporary, temporary.open("wb") as file:
        np.save(file, images)
    with replaced_file(listing) as temporary:
        temporary.write_text(json.dumps(index), encoding="utf-8")
    return pixels
