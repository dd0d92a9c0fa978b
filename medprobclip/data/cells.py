"""What stands in a cell that holds several entries, and where a path in it leads."""

from __future__ import annotations

import ast
import os
import re

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\b(?:None|nan|NaN|null)\b")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def entries(cell: str) -> tuple[str, ...]:
    """The entries of a cell: separated by ";", or a Python, JSON or NumPy list of quoted words; stripped."""
    text = cell.strip()
    if text[:1] in ("[", "(") and text[-1:] in ("]", ")"):
        rest = _QUOTED.sub("", text[1:-1])
        quoted = _QUOTED.findall(text)
        if not rest.strip(", \t\r\n") and (quoted or not text[1:-1].strip()):
            return tuple(map(_unquoted, quoted)) or ("",)
    return tuple(map(str.strip, text.split(";")))


def _unquoted(entry: str) -> str:
    """One entry of a list, "" for None or NaN; a Windows path with single backslashes is left as it is."""
    if entry[0] not in "'\"":
        return ""
    try:
        value = ast.literal_eval(entry)
    except (SyntaxError, ValueError):
        value = entry[1:-1]
    return (value if value.isprintable() else entry[1:-1]).strip()


def absolute_path(folder: str, entry: str) -> str:
    """The file that an entry names, seen from `folder`; "" for no entry.

    Backslashes lead into folders, as on Windows, unless there is a file of that very name. A path that only
    another system knows (a drive letter here) comes back as it is.
    """
    if not entry:
        return ""
    if os.sep == "/" and "\\" in entry:
        if _DRIVE.match(entry):
            return entry
        if not os.path.exists(os.path.join(folder, entry)):
            entry = entry.replace("\\", "/")
    elif os.sep == "/" and _DRIVE.match(entry):
        return entry
    if os.sep == "/" and not entry.startswith(".") and "/." not in entry and "//" not in entry:
        return (entry if entry.startswith("/") else f"{folder}/{entry}").rstrip("/")  # most, and quickly
    return os.path.abspath(os.path.join(folder, entry))


def of_another_system(path: str) -> bool:
    """Does the path begin with a drive or a share, where there are none?"""
    return os.sep == "/" and bool(_DRIVE.match(path))
