"""MIMIC-CXR's report archive, a zip file or a folder -> texts."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from pathlib import Path

from medprobclip.archives.flow import ArchiveError
from medprobclip.support.downloads import not_downloaded

_MEMBER = re.compile(r"(?:.*/)?p\d\d/p(\d{8})/s(\d{8})\.txt")
_ROOTS = ("", "files", "mimic-cxr-reports", "mimic-cxr-reports/files")
_GROUP = re.compile(r"p\d\d")  # folders of the patients whose id begins so
Key = tuple[str, str]  # subject_id, study_id


class ReportArchive:
    """Reports by patient and study, read one at a time; threads may share it.

    Raises ArchiveError for what is neither `mimic-cxr-reports.zip` nor the folder it was unpacked to.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.members: dict[Key, str] | None = None  # of a zip file
        if place.is_dir():
            self._folder = self._root()
        elif place.is_file():
            self._zip = self._opened()
            self.members = self._listed()
        else:
            raise ArchiveError(f"{place}: no such file or folder (reports)")

    def read(self, key: Key) -> str | None:
        """The text of one report, None where there is none. Raises ArchiveError for a damaged member."""
        subject, study = key
        if self.members is not None:
            member = self.members.get(key)
            return None if member is None else _decoded(self._member(member))
        path = self._folder / f"p{subject[:2]}" / f"p{subject}" / f"s{study}.txt"
        try:
            return _decoded(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _root(self) -> Path:
        for root in _ROOTS:
            folder = self.place / root
            if folder.is_dir() and any(_GROUP.fullmatch(entry.name) for entry in os.scandir(folder)):
                return folder
        raise ArchiveError(
            f"{self.place}: no folder files/p10 in it. Give mimic-cxr-reports.zip or the folder unpacked"
        )

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.place)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            reason = (
                not_downloaded(self.place) or f"is not readable as a zip file ({error}). Download it again"
            )
            raise ArchiveError(f"{self.place} {reason}") from error

    def _listed(self) -> dict[Key, str]:
        members: dict[Key, str] = {}
        for name in self._zip.namelist():
            if found := _MEMBER.fullmatch(name):
                if other := members.get(found.groups()):
                    raise ArchiveError(f"{self.place}: two reports of one study, {other} and {name}")
                members[found.groups()] = name
        if not members:
            raise ArchiveError(
                f"{self.place}: no report files/p10/p10000032/s50414267.txt in it. Is it the official one?"
            )
        return members

    def _member(self, name: str) -> bytes:
        try:
            return self._zip.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise ArchiveError(
                f"{self.place}, member {name}: damaged ({error}). Download it again"
            ) from error


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
