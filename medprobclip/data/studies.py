"""The study table: read, check, write, and split by patient."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from medprobclip.support.files import replaced_file

# The published CSV schema; ";" separates several images and their views. Extra columns are kept.
COLUMNS = ("study_id", "image_paths", "view_names", "findings", "impression")
LISTS = ("codes", "appearance")  # extra columns of several entries, see `simulator/openi_sim.py`
# Training sees `train`; the epoch, settings and confidences are chosen on `validate`; probabilities (and what
# else promises a rate) are fitted on `calibrate`, whose patients chose nothing; `test` is scored once.
SPLITS = ("train", "calibrate", "validate", "test")
SHARES = (0.65, 0.075, 0.075, 0.2)  # of the patients
SEPARATOR = ";"
_SHOWN = 5  # bad rows named per kind of problem; the others are counted


class StudyTableError(ValueError):
    """A study table that cannot be used: the message names the file, CSV lines, column and remedy."""


def read_studies(csv_path: str | Path) -> pd.DataFrame:
    """Read and check a study table; one row per study, in the file's order.

    `image_paths` become tuples of absolute paths (relative entries are taken from the CSV's folder),
    `view_names` tuples of str of the same length (an unknown view is ""), `codes` and `appearance`,
    where the file has them, tuples of str. Every other value is the text as it stands in the file, ""
    where it is empty: ids keep their zeros and the word "NA" stays a word.

    Raises StudyTableError for a missing or unreadable file, missing columns, rows of a wrong length, and
    rows with an empty or repeated study_id, no image, as many views as not images, an image that is not
    on disk, or neither findings nor impression. All bad rows are counted, the first few are named.
    """
    csv_path = Path(csv_path)
    header, rows, lines = _read_csv(csv_path)
    folder = Path(os.path.abspath(csv_path.parent))
    studies = pd.DataFrame(rows, columns=header, dtype=object)
    studies["image_paths"] = [
        tuple(Path(os.path.abspath(folder / entry)) if entry else None for entry in _split(text))
        for text in studies["image_paths"]
    ]
    studies["view_names"] = [_split(text) for text in studies["view_names"]]
    for column in LISTS:
        if column in studies:
            studies[column] = [_split(text) if text.strip() else () for text in studies[column]]
    _check_rows(csv_path, studies, lines)
    return studies


def write_studies(studies: pd.DataFrame, csv_path: str | Path) -> None:
    """Write a study table, the inverse of `read_studies`.

    Image paths inside the CSV's folder are written relative to it, so that the folder can be moved; others
    stay absolute. Tuples are joined with ";", missing values become empty. The file appears whole or not at
    all. Raises StudyTableError for missing columns or an entry that contains ";".
    """
    csv_path = Path(csv_path)
    _require_columns(csv_path, studies.columns)
    folder = Path(os.path.abspath(csv_path.parent))
    columns = [*COLUMNS, *(name for name in studies.columns if name not in COLUMNS)]

    def text(value, column: str, row: int) -> str:
        if not isinstance(value, tuple):
            return "" if pd.isna(value) else str(value)
        entries = [_relative(folder, e) if column == "image_paths" else str(e) for e in value]
        if any(SEPARATOR in entry for entry in entries):
            raise StudyTableError(
                f"{csv_path}: row {row}, column {column}: {entries} has an entry with '{SEPARATOR}', which "
                "separates entries in the file. Rename it."
            )
        return SEPARATOR.join(entries)

    with replaced_file(csv_path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        # Everything is quoted: Python's writer leaves a lone carriage return in a report bare.
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(columns)
        for row, values in enumerate(studies[columns].itertuples(index=False, name=None), start=1):
            writer.writerow([text(v, c, row) for v, c in zip(values, columns, strict=True)])


def split_by_patient(
    studies: pd.DataFrame, fractions: Sequence[float] = SHARES, seed: int = 42
) -> pd.DataFrame:
    """A copy of the table with the column `split`, one of `SPLITS`.

    Patients (`patient_id` where the table has it, else each study is its own patient) are drawn, in the
    given fractions of patients, from a seeded permutation of the sorted ids: the same set of patients is
    split the same way whatever the order of the rows, and no patient is in two parts.

    Raises StudyTableError for an empty patient_id or too few patients, ValueError for wrong fractions.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions {fractions} must be {len(SPLITS)} shares for {SPLITS} that sum to 1")
    column = "patient_id" if "patient_id" in studies else "study_id"
    patients = studies[column].astype(str)
    if (empty := patients.str.strip() == "").any():
        raise StudyTableError(
            f"{int(empty.sum())} studies without {column}, first at row {int(np.argmax(empty)) + 1}. "
            f"Fill the column, or drop it to treat every study as its own patient."
        )
    ids = np.array(sorted(set(patients)), dtype=object)
    order = np.random.default_rng(seed).permutation(len(ids))
    bounds = np.round(np.cumsum(fractions) * len(ids)).astype(int)
    starts = np.concatenate([[0], bounds[:-1]])
    if any(share > 0 and a == b for share, a, b in zip(fractions, starts, bounds, strict=True)):
        raise StudyTableError(f"{len(ids)} patients are too few to split by {fractions}. Add studies.")
    split_of = {
        patient: split
        for split, a, b in zip(SPLITS, starts, bounds, strict=True)
        for patient in ids[order[a:b]]
    }
    return studies.assign(split=patients.map(split_of).to_numpy(dtype=object))


def _read_csv(csv_path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows, and the line of the file on which each row starts (a quoted report may span lines)."""
    try:
        with csv_path.open(encoding="utf-8-sig", newline="") as file:  # -sig: Excel writes a byte order mark
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            _require_columns(csv_path, header)
            rows, lines, start = [], [], reader.line_num + 1
            for row in reader:
                if row:  # an empty line is no row
                    rows.append(row)
                    lines.append(start)
                start = reader.line_num + 1
    except FileNotFoundError:
        raise StudyTableError(f"{csv_path}: no such file. Check the path of the study table.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise StudyTableError(f"{csv_path}: not readable as CSV ({error}). Save it as UTF-8 CSV.") from error
    if not rows:
        raise StudyTableError(f"{csv_path}: no study below the header line. Add one line per study.")
    uneven = [line for row, line in zip(rows, lines, strict=True) if len(row) != len(header)]
    if uneven:
        raise StudyTableError(
            f"{csv_path}: {_count(uneven)} with other than the header's {len(header)} values "
            f"({_first(f'line {line}' for line in uneven)}). Put values with commas or line breaks in quotes."
        )
    return header, rows, lines


def _check_rows(csv_path: Path, studies: pd.DataFrame, lines: Sequence[int]) -> None:
    """Raise one StudyTableError that counts every problem of every row."""
    problems: dict[tuple[str, str], list[str]] = defaultdict(list)  # (what, remedy) -> places
    first_line: dict[str, int] = {}
    columns = (studies[name] for name in COLUMNS)
    for line, study_id, paths, views, findings, impression in zip(lines, *columns, strict=True):
        place = f"line {line} ({study_id})" if study_id.strip() else f"line {line}"
        if not study_id.strip():
            problems["column study_id: empty", "Give every study an id."].append(place)
        elif (earlier := first_line.setdefault(study_id, line)) != line:
            problems["column study_id: used before", "Keep one line per study."].append(
                f"{place}, first on line {earlier}"
            )
        if None in paths:
            problems["column image_paths: no image", "Name every file; no empty entries."].append(place)
        elif len(paths) != len(views):
            problems[
                "column view_names: not one view per image", f"Separate both with '{SEPARATOR}'."
            ].append(f"{place}: {len(paths)} images, {len(views)} views")
        if missing := [str(path) for path in paths if path is not None and not path.is_file()]:
            problems[
                "column image_paths: file not found",
                f"Relative paths start at the CSV's folder, {os.path.abspath(csv_path.parent)}.",
            ].append(f"{place}: {missing[0]}")
        if not findings.strip() and not impression.strip():
            problems["columns findings, impression: both empty", "Leave studies without report out."].append(
                place
            )
    if problems:
        text = [f"{csv_path}: the study table cannot be used."]
        for (what, remedy), places in problems.items():
            text.append(f"  {what} in {_count(places)}. {remedy} {_first(places)}")
        raise StudyTableError("\n".join(text))


def _require_columns(csv_path: Path, names: Iterable[str]) -> None:
    names = list(names)
    if missing := [name for name in COLUMNS if name not in names]:
        raise StudyTableError(
            f"{csv_path}: line 1 lacks the column(s) {', '.join(missing)}. "
            f"A study table needs {', '.join(COLUMNS)}; this one has {', '.join(names) or 'none'}."
        )
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise StudyTableError(f"{csv_path}: line 1 repeats the column(s) {', '.join(repeated)}. Rename them.")


def _split(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(SEPARATOR))


def _relative(folder: Path, path: str | Path) -> str:
    absolute = Path(os.path.abspath(path))
    return (absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute).as_posix()


def _count(places: Sequence) -> str:
    return f"{len(places)} row{'s' * (len(places) != 1)}"


def _first(places: Iterable[str]) -> str:
    places = list(places)
    more = f"; and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return "; ".join(places[:_SHOWN]) + more


def check_disjoint(tables: dict[str, pd.DataFrame]) -> None:
    """Raise StudyTableError when two study tables share a study or a patient (the `patient_id`, if given)."""
    for column in ("study_id", "patient_id"):
        ids = {name: set(table[column]) for name, table in tables.items() if column in table}
        for (a, in_a), (b, in_b) in combinations(ids.items(), 2):
            if shared := sorted(in_a & in_b):
                raise StudyTableError(
                    f"{len(shared)} {column} stand in both the {a} and the {b} table, first {shared[0]}. "
                    "Split by patient: what a model was trained on cannot test it"
                )
