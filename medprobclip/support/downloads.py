"""What a file is that should be something else: a Git LFS pointer, a web page, nothing."""

from __future__ import annotations

from pathlib import Path

_SEEN = 512  # bytes looked at
_OF_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")
_REFUSALS = (b"entry not found", b"repository not found", b"access denied", b"not found", b"unauthorized")
_OF_MODELS = (".safetensors", ".bin", ".pt", ".json", ".txt", ".model")


def not_downloaded(path: str | Path) -> str | None:
    """Why a file is no download, with the remedy; None when it may be one, or is no file at all."""
    if not Path(path).is_file():
        return None
    with open(path, "rb") as file:
        head = file.read(_SEEN)
    if not head:
        return "is empty. Download it again"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head.decode("utf-16", errors="replace").encode()
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself. Run: git lfs pull"
    if start.startswith(b"<") and any(mark in start for mark in _OF_PAGES):
        return "is a web page, not the file itself (a login or error page?). Download it again"
    if start.startswith((b'{"error"', *_REFUSALS)) or (start.startswith(b"<?xml") and b"<error" in start):
        return "is an error message of a server, not the file itself. Download it again"
    return None


def check_downloaded(folder: str | Path) -> None:
    """Raise OSError that names a file of a model's folder which is no download (`not_downloaded`).

    What is no local folder is left to whoever loads it.
    """
    if not Path(folder).is_dir():
        return
    for file in sorted(Path(folder).iterdir()):
        if file.suffix in _OF_MODELS and file.is_file() and (reason := not_downloaded(file)):
            if file.suffix == ".txt" and not file.stat().st_size:
                continue  # an empty note is one
            raise OSError(f"{file} {reason}.")
