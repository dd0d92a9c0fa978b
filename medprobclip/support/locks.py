"""One process at a time in a folder: a lock file that says who, where and since when."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = ".lock"


class LockedError(RuntimeError):
    """Another process works in the folder; the message says which, and what to do."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """`with locked_folder(folder):` work in it alone. Raises LockedError when another process does.

    The lock of a process of this host that is gone (killed, crashed) is taken over. Whether one of another
    host still runs cannot be seen from here. Within one process the lock can be taken again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / NAME
    own = {"host": socket.gethostname(), "process": os.getpid()}
    for _ in range(2):
        try:
            with open(lock, "x", encoding="utf-8") as file:
                json.dump(own | {"since": time.strftime("%Y-%m-%d %H:%M:%S")}, file)
            break
        except FileExistsError:
            holder = _read(lock)
            if holder.get("host") == own["host"] and holder.get("process") == own["process"]:
                yield  # ours already: whoever took it gives it back
                return
            if holder.get("host") != own["host"] or _runs(holder.get("process")):
                raise LockedError(
                    f"{folder}: process {holder.get('process', '?')} on {holder.get('host', '?')} works in "
                    f"it since {holder.get('since', '?')}. Wait for it or choose another folder; if it no "
                    f"longer runs, delete {lock}"
                ) from None
            lock.unlink(missing_ok=True)
    else:
        raise LockedError(f"{folder}: another process has just begun to work in it. Choose another folder")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _read(lock: Path) -> dict:
    try:
        content = json.loads(lock.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):  # just being written, or given back
        return {}


def _runs(process: object) -> bool:
    """Is there a process of this number on this host?"""
    if not isinstance(process, int) or process <= 0:
        return False
    if os.name == "nt":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)  # query, limited
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
