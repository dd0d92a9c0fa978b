"""Ids of studies and patients: how tables name them, and when two are the same."""

from __future__ import annotations

import re
from decimal import Decimal

import pandas as pd

from medprobclip.data.missing import is_missing, visible

# MIMIC-CXR says subject_id, OpenI's tables here patient_id, PadChest and DICOM PatientID: without "_" and
# spaces, in lower case; in order of preference where a table has several.
PATIENT_COLUMNS = ("patientid", "subjectid", "patient", "subject", "mrn", "empi")
_WHOLE = re.compile(r"(\d+)[.,]0*")  # an id that went through a table of floats
_POWER = re.compile(r"\d+(?:\.\d+)?[eE]\+?\d{1,2}")
_OF_MIMIC = re.compile(r"[ps](\d{7,8})")  # folders there: p10000032, s50414267


def same_id(text: str) -> str:
    """The form in which ids are compared; no id is "".

    " 50000000.0 ", "5e7", "p50000000" and "050000000" are "50000000": what spreadsheets, pandas and folders
    make of a number.
    """
    text = visible(text).strip().lstrip("'").strip()  # Excel: an apostrophe before a number kept as text
    if whole := _WHOLE.fullmatch(text) or _OF_MIMIC.fullmatch(text):
        text = whole[1]
    elif _POWER.fullmatch(text) and (number := Decimal(text)) == number.to_integral_value():
        text = str(int(number))
    if text.isdecimal():
        return text.lstrip("0") or "0"
    return "" if is_missing(text) else text


def patient_columns(studies: pd.DataFrame) -> dict[str, str]:
    """The columns that name patients: one of `PATIENT_COLUMNS` -> its name in the table, best first."""
    plain = {re.sub(r"[\s_\-]+", "", str(name).lower()): name for name in reversed(studies.columns)}
    return {kind: plain[kind] for kind in PATIENT_COLUMNS if kind in plain}


def patient_column(studies: pd.DataFrame) -> str | None:
    """The best of `patient_columns`, None without one."""
    return next(iter(patient_columns(studies).values()), None)


def patients_of(studies: pd.DataFrame, column: str | None = None) -> list[str] | None:
    """Each study's patient as `same_id`, "" where it has none; None when no column names patients."""
    column = column or patient_column(studies)
    return None if column is None else [same_id(str(value)) for value in studies[column]]
