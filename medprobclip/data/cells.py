"""What stands in a cell that holds several entries, and where a path in it leads."""

from __future__ import annotations

import ast
import os
import re

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def entries(cell: str) -> tuple[str, ...]:
    """The entries of a cell: separated by ";", or a Python, JSON or NumPy list of quoted words; stripped."""
    text = cell.strip()
    if text[:1] in ("[", "(") and text[-1:] in ("]", ")"):
        rest = _QUOTED.sub("", text[1:-1])
        quoted = _QUOTED.findall(text)
        if not rest.strip(", \t\r\n") and (quoted or not text[1:-1].strip()):
            try:
                return tuple(ast.literal_eval(entry).strip() for entry in quoted) or ("",)
            except (SyntaxError, ValueError):  # a Windows path with single backslashes
                return tuple(entry[1:-1].strip() for entry in quoted)
    return tuple(map(str.strip, text.split(";")))


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
