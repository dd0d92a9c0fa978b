"""Ids of studies and patients: how tables name them, and when two are the same."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import combinations

import pandas as pd

from medprobclip.data.missing import is_missing, visible

# MIMIC-CXR says subject_id, OpenI's tables here patient_id, PadChest and DICOM PatientID: without "_" and
# spaces, in lower case; in order of preference where a table has several.
PATIENT_COLUMNS = (
    "patientid", "subjectid", "patient", "subject", "pid", "patid", "personid", "patientnumber",
    "dicompatientid", "mrn", "empi",
)  # fmt: skip
HOSPITAL = ("mrn", "empi")  # other numbers than those of data sets: not to be compared with them
LONGEST_SHOWN = 20  # characters of an id in a figure
_WHOLE = re.compile(r"(\d+)[.,]0*")  # an id that went through a table of floats
_POWER = re.compile(r"\d+(?:\.\d+)?e\+?\d{1,2}")
# Folders of MIMIC-CXR (p10000032, s50414267) and CheXpert (patient00012), and words before a number.
_NAMED = re.compile(r"(?:[ps](?=\d{7})|(?:patient|subject|mrn)[\s:_#]*)(\d+)")


def same_id(text: str) -> str:
    """The form in which ids are compared; no id is "".

    " 50000000.0 ", "5e7", "p50000000" and "050000000" are "50000000": what spreadsheets, pandas and folders
    make of a number.
    """
    # Excel puts an apostrophe before a number kept as text.
    text = visible(text).strip().lstrip("'").strip().casefold().replace("\u2013", "-")
    if whole := _WHOLE.fullmatch(text) or _NAMED.fullmatch(text):
        text = whole[1]
    elif _POWER.fullmatch(text) and (number := Decimal(text)) == number.to_integral_value():
        text = str(int(number))
    if text.isdecimal():
        return text.lstrip("0") or "0"
    return "" if is_missing(text) else text


def short_id(text: str) -> str:
    """An id for a figure: of a long one, such as DICOM's, the end."""
    return text if len(text) <= LONGEST_SHOWN else f"…{text[1 - LONGEST_SHOWN :]}"


def patient_columns(studies: pd.DataFrame) -> dict[str, str]:
    """The columns that name patients: one of `PATIENT_COLUMNS` -> its name in the table, best first."""
    plain = {re.sub(r"[^a-z]+", "", str(name).lower()): name for name in reversed(studies.columns)}
    return {kind: plain[kind] for kind in PATIENT_COLUMNS if kind in plain}


def incomparable(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Pairs of tables that name patients by numbers of different kinds, in words."""
    columns = {name: found for name, table in tables.items() if (found := patient_columns(table))}
    return [
        f"patients are {next(iter(columns[a].values()))} in the {a} table and "
        f"{next(iter(columns[b].values()))} in the {b} table: not comparable, and not checked"
        for a, b in combinations(columns, 2)
        if not shared_kinds(columns[a], columns[b])
    ]


def shared_kinds(a: dict[str, str], b: dict[str, str]) -> list[tuple[str, str]]:
    """Which of two tables' `patient_columns` hold the same numbers: kinds of both, else the best two."""
    if both := [(kind, kind) for kind in a if kind in b]:
        return both
    best = [next((kind for kind in kinds if kind not in HOSPITAL), None) for kinds in (a, b)]
    return [(best[0], best[1])] if all(best) else []


def patient_column(studies: pd.DataFrame) -> str | None:
    """The best of `patient_columns`, None without one."""
    return next(iter(patient_columns(studies).values()), None)


def owners(studies: pd.DataFrame) -> list[str]:
    """Whom each study belongs to: its patient or, where it names none, nobody but itself."""
    ids = [f"study {same_id(str(study))}" for study in studies["study_id"]]
    patients = patients_of(studies) or [""] * len(ids)
    return [f"patient {patient}" if patient else own for patient, own in zip(patients, ids, strict=True)]


def patients_of(studies: pd.DataFrame, column: str | None = None) -> list[str] | None:
    """Each study's patient as `same_id`, "" where it has none; None when no column names patients."""
    column = column or patient_column(studies)
    return None if column is None else [same_id(str(value)) for value in studies[column]]
