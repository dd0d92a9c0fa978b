"""An official CSV file, plain or .gz -> columns."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from medprobclip.archives.flow import ArchiveError
from medprobclip.data.patients import same_id
from medprobclip.support.downloads import not_downloaded


def read_columns(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """The needed columns, in that order, of a CSV file in UTF-8 that may be packed: str, stripped.

    Raises ArchiveError for a file that is none, lacks a column or has one twice, and for a row of another
    length than the header: it would put values under wrong names.
    """
    if not path.is_file():
        raise ArchiveError(f"{path}: no such file. Check the path")
    if reason := not_downloaded(path):
        raise ArchiveError(f"{path} {reason}")
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    line = 1
    try:
        with (gzip.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            for name in needed:
                if header.count(name) != 1:
                    times = "repeats" if name in header else "lacks"
                    raise ArchiveError(f"{path}: line 1 {times} the column {name}. Is it the official file?")
            places = [header.index(name) for name in needed]
            rows, line = [], reader.line_num + 1
            for row in reader:
                if len(row) == len(header):
                    rows.append([row[place].strip() for place in places])
                elif row:
                    raise ArchiveError(
                        f"{path}: line {line} has {len(row)} values, the header {len(header)}. Download it "
                        "again"
                    )
                line = reader.line_num + 1
    except (csv.Error, UnicodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        kind = str(error) if not isinstance(error, UnicodeError) else "not UTF-8"
        raise ArchiveError(f"{path}: not readable from line {line} on ({kind}). Download it again") from error
    if not rows:
        raise ArchiveError(f"{path}: no row below the header. Download it again")
    return pd.DataFrame(rows, columns=list(needed), dtype=object)


def as_ids(values: Iterable[str]) -> list[str]:
    """Ids in the form in which they are compared: "50414267.0" and "s50414267" are "50414267"."""
    values = list(values)
    known = {value: same_id(value) for value in set(values)}
    return [known[value] for value in values]
