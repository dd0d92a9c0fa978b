"""Files and folders put in place whole or not at all, so that an interruption leaves no half result."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from medprobclip.support.progress import progress_bar

_LISTED = 16  # files wanted of a folder, from which on it is listed
_FOLDERS = 500  # looked at by a thread at a time
os.umask(_UMASK := os.umask(0))  # it can only be asked for by setting it
_MODE = 0o666 & ~_UMASK  # of a new file


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """`with replaced_file(path) as temporary:` write to `temporary`; on success it becomes `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.chmod(temporary, _MODE)  # safetensors writes for its owner alone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """`with replaced_folder(path) as temporary:` fill `temporary`; on success it becomes `path`.

    Folders cannot be swapped in one step: between the two renames the former folder stands beside as
    `<name>.old`, where `recovered_folder` finds it.
    """
    new, old = path.with_name(path.name + ".new"), path.with_name(path.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    yield new
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
    os.replace(new, path)
    shutil.rmtree(old, ignore_errors=True)


def recovered_folder(path: Path) -> Path | None:
    """The folder as `replaced_folder` left it, put right after an interruption; None if there is none."""
    old = path.with_name(path.name + ".old")
    if not path.exists() and old.exists():
        os.replace(old, path)
    return path if path.exists() else None


def writable_folder(folder: Path, purpose: str, variables: str) -> Path:
    """The folder, made if need be. Raises OSError that names the environment variables for another place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "not writable")
    except OSError as error:
        raise OSError(
            f"{folder}: no place for {purpose} ({error.strerror or error}). Set {variables} to a "
            "folder that can be written."
        ) from error
    return folder


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_size(path: Path) -> int:
    """Bytes; 0 where there is no file, also one that another process has just taken away."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def missing_files(paths: Iterable[str]) -> set[str]:
    """Those of the paths under which there is no file; in parallel, with a bar after 2 s."""
    folders: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        cut = path.rfind(os.sep) + 1
        folders[path[:cut]].add(path[cut:])

    def missing(part: list[tuple[str, set[str]]]) -> set[str]:
        gone: set[str] = set()
        for folder, wanted in part:
            if len(wanted) > _LISTED:  # one listing is quicker than many questions
                try:
                    with os.scandir(folder or ".") as listing:
                        wanted = wanted - {entry.name for entry in listing if entry.is_file()}
                except (OSError, ValueError):  # no such folder, or no name of one
                    pass
            # Also what is left after a listing: it may be written otherwise (upper case).
            places = (folder + name for name in wanted)
            gone.update(place for place in places if not os.path.isfile(place))
        return gone

    listed = list(folders.items())
    parts = [listed[start : start + _FOLDERS] for start in range(0, len(listed), _FOLDERS)]
    found: set[str] = set()
    with ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as pool:  # mostly waiting for the disk
        with progress_bar(len(parts), "looking for files", "part") as bar:
            for part in pool.map(missing, parts):
                found |= part
                bar.update()
    return found


def write_json(path: Path, content: object) -> None:
    """Write JSON in place whole. Raises as `to_json`."""
    with replaced_file(path) as temporary:
        temporary.write_text(to_json(content, indent=2) + "\n", encoding="utf-8")


def to_json(content: object, indent: int | None = None) -> str:
    """JSON for every reader (RFC 8259 has no NaN): NaN becomes null. Raises ValueError for an infinity."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return json.dumps(plain(content), indent=indent, allow_nan=False)
