"""A share of the validation patients, set aside before training to calibrate on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medprobclip.data.patients import owners, patient_column, patient_columns, patients_of
from medprobclip.data.studies import StudyTableError, read_studies

FILES = {"validation": "validate.csv", "calibration": "calibrate.csv"}  # in the run folder


def same_patient(studies: pd.DataFrame, content: Callable[[str], object] = str) -> np.ndarray:
    """Which of N studies must stay together: numbers int `[N]`, equal where they must.

    Studies of one patient by any column that names patients, and studies that share an image file; also,
    where `content` tells what a file shows, two files that show the same.
    """
    marks: list[tuple[str, object]] = []
    rows: list[int] = []
    for column in patient_columns(studies).values():
        named = [(i, patient) for i, patient in enumerate(patients_of(studies, column) or ()) if patient]
        rows += [i for i, _ in named]
        marks += [(str(column), patient) for _, patient in named]
    for i, paths in enumerate(studies["image_paths"]):
        rows += [i] * len(paths)
        marks += [("image", content(path)) for path in paths]
    columns = pd.factorize(pd.Series(marks, dtype=object))[0]
    size = len(studies) + len(marks)  # studies, then what they are marked by
    graph = coo_array((np.ones(len(rows)), (rows, len(studies) + columns)), shape=(size, size))
    return connected_components(graph, directed=False)[1][: len(studies)]


def drawn_for_calibration(
    studies: pd.DataFrame, share: float, content: Callable[[str], object] = str
) -> np.ndarray:
    """Which of N validation studies are set aside: bool `[N]`, whole patients (`same_patient`).

    The share is one of patients, rounded, and leaves at least one on either side. They are those whose id,
    where no column names patients that of the study, has the least SHA-256: the same whatever the order of
    the rows and the seed. Raises StudyTableError when all studies belong together.
    """
    together = same_patient(studies, content)
    groups = pd.Series(owners(studies)).groupby(together).min()
    if len(groups) < 2:
        raise StudyTableError(
            f"all {len(studies)} studies belong to one patient or share images: none can be set aside. Give "
            "more validation patients, or a calibration table (--calibrate_csv)"
        )
    order = sorted(groups.index, key=lambda group: hashlib.sha256(groups[group].encode()).digest())
    count = min(max(round(share * len(order)), 1), len(order) - 1)
    return np.isin(together, order[:count])


def part_problems(parts: dict[str, pd.DataFrame], out: Path, share: float) -> Iterator[str]:
    """Files in the place of the two parts that hold something else: no call may lose them."""
    for name, studies in parts.items():
        path = out / FILES[name]
        if path.exists() and not holds(path, studies):
            yield (
                f"{path}: exists, but is not the {name} part that --calibrate_share {share:g} gives. Choose "
                "another --out, or delete it if nothing but a former call wrote it"
            )


def holds(path: Path, studies: pd.DataFrame) -> bool:
    """Does the file hold these very studies, in whatever order of columns?"""
    try:
        found = read_studies(path)
    except StudyTableError:
        return False
    return set(found) == set(studies) and found[list(studies)].equals(studies)


def shared_validation(
    studies: pd.DataFrame, share: float, content: Callable[[str], object] = str
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The validation studies in two parts ("validation", "calibration"), and what that costs and voids.

    Draws as `drawn_for_calibration`, rows stay in order. Raises as it does.
    """
    aside = drawn_for_calibration(studies, share, content)
    parts = {"validation": studies[~aside], "calibration": studies[aside]}
    together, column = same_patient(studies, content), patient_column(studies)
    patients = f" ({len(set(together[aside]))} of {len(set(together))} patients)" if column else ""
    notices = [
        f"{aside.sum()} of {len(studies)} studies{patients} are set aside to calibrate on. The other "
        f"{(~aside).sum()} choose the epoch, less surely, and results are not comparable with those of runs "
        f"that chose on all {len(studies)}"
    ]
    nameless = sum(not patient for patient in patients_of(studies) or ())
    if column is None or nameless:
        what = f"{nameless} studies have no {column}" if nameless else "no column names patients"
        notices.append(
            f"{what}: a patient may stand both among those that choose and among those that calibrate, which "
            "voids what calibration promises for new patients"
        )
    return {name: part.reset_index(drop=True) for name, part in parts.items()}, notices
