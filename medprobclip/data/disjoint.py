"""Whether two study tables share a study, a patient or an image file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import combinations

import pandas as pd

from medprobclip.data.csv_files import StudyTableError
from medprobclip.data.patients import patient_columns, patients_of, same_id, shared_kinds
from medprobclip.data.privacy import as_path


def check_disjoint(tables: dict[str, pd.DataFrame]) -> None:
    """Raise one StudyTableError that lists every study, patient or image file that two tables share."""
    if found := shared_studies(tables):
        raise StudyTableError(f"{found}. Split by patient: what a model was trained on cannot test it")


def shared_studies(tables: dict[str, pd.DataFrame]) -> str:
    """Which studies, patients and image files two tables share, counted in words; "" for none.

    Ids are compared as `same_id`, image files by where their paths lead, links followed. Patients are
    compared where both tables name them: in each kind of column that both have, else in the best of each.
    """
    ids = {name: set(map(same_id, table["study_id"])) - {""} for name, table in tables.items()}
    files = {name: _files(table["image_paths"]) for name, table in tables.items() if "image_paths" in table}
    patients = {
        name: {kind: set(patients_of(table, column) or ()) - {""} for kind, column in columns.items()}
        for name, table in tables.items()
        if (columns := patient_columns(table))
    }
    shared = [(a, b, "study_id", ids[a] & ids[b]) for a, b in combinations(ids, 2)]
    for a, b in combinations(patients, 2):
        for one, other in shared_kinds(patients[a], patients[b]):
            shared.append((a, b, "patient_id", patients[a][one] & patients[b][other]))
    for a, b in combinations(files, 2):
        shared.append((a, b, "image files", {files[a][place] for place in files[a].keys() & files[b].keys()}))
    return "; ".join(
        f"{len(both)} {kind} stand in both the {a} and the {b} table, first {as_path(min(both))}"
        for a, b, kind, both in shared
        if both
    )


def _files(image_paths: Iterable[Sequence[str]]) -> dict[object, str]:
    """Every image file -> its path: by its place on the disk, whatever links lead to it."""
    files: dict[object, str] = {}
    for path in (str(path) for paths in image_paths for path in paths):
        try:
            stat = os.stat(path)
            files.setdefault((stat.st_dev, stat.st_ino), path)
        except OSError:  # not there: its path is all there is to compare
            files.setdefault(path, path)
    return files
