"""A CSV file -> its header, its rows and the lines they start on; nothing about studies yet."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medprobclip.data.privacy import as_header
from medprobclip.support.downloads import not_downloaded

_DELIMITERS = ",;\t|"  # the first under which the header has every needed column
_LONGEST = 2**31 - 1  # characters of a value: Python's default of 131,072 is less than some reports have


class StudyTableError(ValueError):
    """A study table that cannot be used: the message names the file, CSV lines, column and remedy."""


@dataclass(frozen=True)
class CsvRows:
    """Rows of as many values as the header has names, the line each starts on; the lines of the others."""

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    uneven: list[tuple[int, int]]  # line, number of values
    delimiter: str


def read_csv(path: Path, needed: Sequence[str]) -> CsvRows:
    """Read a CSV file in UTF-8 (or UTF-16 with its mark) separated by comma, semicolon, tab or bar.

    Raises StudyTableError for a file that is none, a header without the needed columns or with one twice,
    and when there is no row.
    """
    start = 1
    try:
        encoding = _encoding(path)
        with _long_values(), path.open(encoding=encoding, newline="") as file:
            delimiter = _delimiter(path, encoding, needed)
            # Strict: a quote that is not closed would swallow the rows behind it, and pair them wrongly.
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            require_columns(path, header, needed)
            rows, lines, uneven, start = [], [], [], reader.line_num + 1
            for row in reader:
                if len(row) == len(header):
                    rows.append(row)
                    lines.append(start)
                elif any(map(str.strip, row)):  # an empty line is no row
                    uneven.append((start, len(row)))
                start = reader.line_num + 1
    except FileNotFoundError:
        raise StudyTableError(f"{path}: no such file. Check the path of the study table.") from None
    except csv.Error as error:
        raise StudyTableError(
            f"{path}: not readable as CSV ({error}) in the row that starts on line {start}. A quote that "
            'opens a value closes it, too; inside a value it is doubled: ""'
        ) from error
    except UnicodeError as error:
        raise StudyTableError(f"{path}: not readable as CSV ({error}). Save it as UTF-8 CSV.") from error
    except OSError as error:
        raise StudyTableError(f"{path}: not readable ({error.strerror}). Check the path.") from error
    if not rows and not uneven:
        raise StudyTableError(f"{path}: no study below the header line. Add one line per study.")
    return CsvRows(header, rows, lines, uneven, delimiter)


def require_columns(path: Path, names: Sequence[str], needed: Sequence[str]) -> None:
    """Raise StudyTableError for a missing or repeated column."""
    if missing := [name for name in needed if name not in names]:
        named = [name if len(name) <= 40 else name[:40] + "…" for name in as_header(names, needed)[:20]]
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        raise StudyTableError(
            f"{path}: line 1 lacks the column(s) {', '.join(missing)}. "
            f"A study table needs {', '.join(needed)}; this one has {', '.join(named) or 'none'}{more}."
        )
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise StudyTableError(f"{path}: line 1 repeats the column(s) {', '.join(repeated)}. Rename them.")


def _encoding(path: Path) -> str:
    if path.stat().st_size and (reason := not_downloaded(path)):
        raise StudyTableError(f"{path} {reason}.")
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"  # Excel's "Unicode text"
    return "utf-8-sig"  # Excel writes a mark before UTF-8, too


def _delimiter(path: Path, encoding: str, needed: Sequence[str]) -> str:
    """The separator under which the header names every needed column; a comma when none does."""
    with path.open(encoding=encoding, newline="") as file:
        for delimiter in _DELIMITERS:
            file.seek(0)
            try:
                names = next(csv.reader(file, delimiter=delimiter, strict=True), [])
            except csv.Error:  # quotes where this would be no separator
                continue
            if set(needed) <= {name.strip() for name in names}:
                return delimiter
    return ","


@contextmanager
def _long_values() -> Iterator[None]:
    """Let values be as long as they are."""
    former = csv.field_size_limit(_LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(former)
