"""The study table: read, check, write, and split by patient."""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from medprobclip.data.cells import absolute_path, entries, of_another_system
from medprobclip.data.csv_files import StudyTableError, read_csv, require_columns
from medprobclip.data.labels import has_labels, label_codes, wrong_labels
from medprobclip.data.missing import has_no_text, is_missing
from medprobclip.data.patients import patient_column, same_id
from medprobclip.data.privacy import as_name, as_path
from medprobclip.support.files import missing_files, replaced_file

# The published CSV schema; ";" separates several images and their views. Extra columns are kept.
COLUMNS = ("study_id", "image_paths", "view_names", "findings", "impression")
LISTS = ("codes", "appearance")  # extra columns of several entries, see `simulator/openi_sim.py`
# Training sees `train`; the epoch, settings and confidences are chosen on `validate`; probabilities (and what
# else promises a rate) are fitted on `calibrate`, whose patients chose nothing; `test` is scored once.
SPLITS = ("train", "calibrate", "validate", "test")
SHARES = (0.65, 0.075, 0.075, 0.2)  # of the patients
SEPARATOR = ";"
# In a report: a line that names a picture between separators. A quote that was left open has swallowed it.
_ROW = re.compile(r"\n[^\n]*[,;\t|][^\n,;\t|]*\.(?:png|jpe?g|dcm|dicom)\b[^\n]*[,;\t|]", re.IGNORECASE)
_SHOWN = 5  # bad rows named per kind of problem; the others are counted


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    table: str
    line: int  # of the file, 0: known by its study only
    study_id: str
    reason: str
    remedy: str
    detail: str = ""  # what is seen in this row only


def read_studies(csv_path: str | Path, set_aside: list[BadRow] | None = None) -> pd.DataFrame:
    """Read and check a study table; one row per study, in the file's order.

    `image_paths` become tuples of absolute paths, str (relative entries are taken from the folder in which
    the CSV lies under the given name, also when that is a link), `view_names` tuples of str of the same
    length (an unknown view is ""), `codes` and `appearance`, where the file has them, tuples of str.
    Entries are separated by ";", or written as a Python list. A table without `codes` but with the 14 columns
    of `labels.LABELS` gets the codes of its labels. `findings` and `impression` that stand for no
    text ("nan", "N/A", "___") are "". Every other value is the text as it stands in the file: ids keep their
    zeros.

    Raises StudyTableError for a missing or unreadable file, missing columns, rows of a wrong length, and
    rows with an empty or repeated study_id, no image, as many views as not images, an image that is not
    on disk, or neither findings nor impression. All bad rows are counted, the first few are named. With a
    list `set_aside`, bad rows are put there and left out; the table is refused when none is left.
    """
    csv_path = Path(os.path.abspath(csv_path))  # one rule for links, whatever leads through them
    raw = read_csv(csv_path, COLUMNS)
    folder = os.path.abspath(csv_path.parent)
    values = zip(*raw.rows, strict=True) if raw.rows else ((),) * len(raw.header)
    columns = {name: list(column) for name, column in zip(raw.header, values, strict=True)}
    lines, uneven, separator = raw.lines, raw.uneven, raw.delimiter.replace("\t", "tabs")
    del raw
    shared_entries = lru_cache(maxsize=4096)(entries)  # few ways to name views, many studies
    columns["image_paths"] = [
        tuple(absolute_path(folder, entry) for entry in entries(cell)) for cell in columns["image_paths"]
    ]
    columns["view_names"] = [
        ("",) * len(paths) if is_missing(cell) else shared_entries(cell)
        for cell, paths in zip(columns["view_names"], columns["image_paths"], strict=True)
    ]
    for section in ("findings", "impression"):
        columns[section] = ["" if has_no_text(text) else text for text in columns[section]]
    for column in LISTS:
        if column in columns:
            columns[column] = [
                tuple(entry for entry in entries(cell) if not is_missing(entry)) for cell in columns[column]
            ]
    wrong = wrong_labels(columns)
    bad = [
        BadRow(
            str(csv_path), line, "", f"other than the header's {len(columns)} values",
            f"Put values with '{separator}' or line breaks in quotes.", f"{count} values",
        )
        for line, count in uneven
    ] + _bad_rows(csv_path, columns, lines, wrong)  # fmt: skip
    studies = pd.DataFrame(columns, dtype=object)
    out = {row.line for row in bad}
    if set_aside is not None:
        set_aside.extend(bad)
    if bad and (set_aside is None or len(out) == len(lines) + len(uneven)):
        raise StudyTableError(_summary(csv_path, bad))
    if bad:
        studies = studies[[line not in out for line in lines]].reset_index(drop=True)
    if "codes" not in studies and has_labels(studies):
        studies["codes"] = pd.Series(label_codes(studies), index=studies.index, dtype=object)
    return studies


def write_studies(studies: pd.DataFrame, csv_path: str | Path) -> None:
    """Write a study table, the inverse of `read_studies`.

    Image paths inside the CSV's folder are written relative to it, so that the folder can be moved; others
    stay absolute. Tuples are joined with ";", missing values become empty. The file appears whole or not at
    all. Raises StudyTableError for missing columns or an entry that contains ";".
    """
    csv_path = Path(csv_path)
    require_columns(csv_path, list(studies.columns), COLUMNS)
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

    Patients (`patients_of` the table; else each study is its own patient) are drawn, in the given fractions
    of patients, from a seeded permutation of the sorted ids: the same set of patients is split the same way
    whatever the order of the rows, and no patient is in two parts.

    Raises StudyTableError for a study without patient or too few patients, ValueError for wrong fractions.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions {fractions} must be {len(SPLITS)} shares for {SPLITS} that sum to 1")
    column = patient_column(studies) or "study_id"
    patients = pd.Series([same_id(str(value)) for value in studies[column]], dtype=object)
    if (empty := (patients == "")).any():
        raise StudyTableError(
            f"{int(empty.sum())} studies without {column}, first at row {int(np.argmax(empty)) + 1}. "
            f"Fill the column, or drop it to treat every study as its own patient."
        )
    written: dict[str, str] = {}  # as the table has them: the order, and with it the split, stays what it was
    for patient, text in zip(patients, studies[column].astype(str), strict=True):
        written[patient] = min(text, written.get(patient, text))
    ids = np.array(sorted(written, key=written.__getitem__), dtype=object)
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


def _bad_rows(
    csv_path: Path, columns: dict[str, list], lines: Sequence[int], wrong: dict[int, str]
) -> list[BadRow]:
    """Every problem of every row; `wrong` are those of `labels.wrong_labels`."""
    paths = {path for paths in columns["image_paths"] for path in paths}
    gone = missing_files(path for path in paths if path)
    folder, bad = os.path.abspath(csv_path.parent), []
    first_line: dict[str, int] = {}
    ids = list(map(same_id, columns["study_id"]))
    rows = (columns[name] for name in COLUMNS)
    for place, (line, known, study_id, images, views, findings, impression) in enumerate(
        zip(lines, ids, *rows, strict=True)
    ):
        problems = []
        if not known:
            problems.append(("column study_id: empty", "Give every study an id.", ""))
        elif (earlier := first_line.setdefault(known, line)) != line:
            where = f"first on line {earlier}"
            problems.append(("column study_id: used before", "Keep one line per study.", where))
        if "" in images:
            problems.append(("column image_paths: no image", "Name every file; no empty entries.", ""))
        elif len(images) != len(views):
            problems.append((
                "column view_names: not one view per image",
                f"Separate both with '{SEPARATOR}', or leave view_names empty where views are unknown.",
                f"{len(images)} images, {len(views)} views",
            ))  # fmt: skip
        if missing := next((path for path in images if path in gone), None):
            problem, remedy = (
                ("column image_paths: a path of another system", "Write paths relative to the CSV.")
                if of_another_system(missing)
                else (
                    "column image_paths: file not found",
                    f"Relative paths start at the CSV's folder, {folder}; '{SEPARATOR}' separates several.",
                )
            )
            problems.append((problem, remedy, as_path(missing)))
        if any(_ROW.search(text) for text in (findings, impression)):
            problems.append(("a row inside a value", "Close the quote before it, or double it.", ""))
        if not findings and not impression:
            problems.append(
                ("columns findings, impression: both empty", "Leave studies without report out.", "")
            )
        if label := wrong.get(place):
            problems.append((f"column {label}: no label", "Labels are 1, 0, -1 or empty.", ""))
        bad += [BadRow(str(csv_path), line, as_name(study_id.strip()), *problem) for problem in problems]
    return bad


def _summary(csv_path: Path, bad: Sequence[BadRow]) -> str:
    """One message that counts every problem and names the first few rows of each."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in bad:
        place = f"line {row.line}" + f" ({row.study_id})" * bool(row.study_id)
        kinds[row.reason, row.remedy].append(place + f": {row.detail}" * bool(row.detail))
    text = [f"{csv_path}: the study table cannot be used."]
    for (reason, remedy), places in kinds.items():
        text.append(f"  {reason} in {_count(places)}. {remedy} {_first(places)}")
    return "\n".join(text)


def write_bad_rows(bad: Sequence[BadRow], path: Path) -> None:
    """Write what was set aside as CSV: table, line, study_id, reason, detail. The file appears whole."""
    with replaced_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["table", "line", "study_id", "reason", "detail"])
        for row in bad:
            writer.writerow([row.table, row.line or "", row.study_id, row.reason, row.detail])


def _relative(folder: Path, path: str | Path) -> str:
    absolute = Path(os.path.abspath(path))
    return (absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute).as_posix()


def _count(places: Sequence) -> str:
    return f"{len(places)} row{'s' * (len(places) != 1)}"


def _first(places: Iterable[str]) -> str:
    places = list(places)
    more = f"; and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return "; ".join(places[:_SHOWN]) + more
