"""One process at a time in a folder: a lock of the system, and a note of who holds it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

NAME, HOLDER = ".lock", ".lock.json"
_HELD: set[str] = set()  # by this process


class LockedError(RuntimeError):
    """Another process works in the folder; the message says which, and what to do."""


@contextmanager
def locked_folder(folder: Path, wait: float = 0) -> Iterator[None]:
    """`with locked_folder(folder):` work in it alone. Raises LockedError when another process does.

    The other one is waited for `wait` seconds.

    The system gives the lock back when a process ends, however it does. Between hosts that share a disk not
    every system sees the other's lock: then the note counts that the other left, until it is deleted. Within
    one process the lock can be taken again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = os.path.realpath(folder)
    if place in _HELD:
        yield  # ours already: whoever took it gives it back
        return
    lock, note, host = FileLock(folder / NAME), folder / HOLDER, socket.gethostname()
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise LockedError(f"{folder}: {_who(_read(note))}. Wait for it or choose another folder") from None
    try:
        holder = _read(note)
        if holder.get("host", host) != host:
            raise LockedError(
                f"{folder}: {_who(holder)}. Wait for it or choose another folder; if it no longer runs, "
                f"delete {note}"
            )
        own = {"host": host, "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        note.write_text(json.dumps(own), encoding="utf-8")
        _HELD.add(place)
        try:
            yield
        finally:
            _HELD.discard(place)
            note.unlink(missing_ok=True)
    finally:
        lock.release()


def _who(holder: dict) -> str:
    if not holder:
        return "another process works in it"
    return f"process {holder.get('process')} on {holder.get('host')} works in it since {holder.get('since')}"


def _read(note: Path) -> dict:
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):  # none, or just being written
        return {}
