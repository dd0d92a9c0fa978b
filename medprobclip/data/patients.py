"""Ids of studies and patients: how tables name them, and when two are the same."""

from __future__ import annotations

import re
from decimal import Decimal

import pandas as pd

from medprobclip.data.reports import is_missing

# MIMIC-CXR says subject_id, OpenI's tables here patient_id, PadChest and DICOM PatientID.
PATIENT_COLUMNS = ("patient_id", "subject_id", "patientid", "subjectid", "patient", "subject", "mrn", "empi")
_WHOLE = re.compile(r"([+-]?\d+)\.0*")  # an id that went through a table of floats
_POWER = re.compile(r"\d+(?:\.\d+)?[eE]\+?\d{1,2}")


def same_id(text: str) -> str:
    """The form in which ids are compared: "  50000000.0 " and "5e7" are "50000000"; no id is ""."""
    text = text.strip()
    if text.isdecimal():
        return text
    if whole := _WHOLE.fullmatch(text):
        return whole[1]
    if _POWER.fullmatch(text) and (number := Decimal(text)) == number.to_integral_value():
        return str(int(number))
    return "" if is_missing(text) else text


def patient_column(studies: pd.DataFrame) -> str | None:
    """The column that names patients (`patient_id`, `subject_id`, `PatientID`, …), None without one."""
    plain = {re.sub(r"[\s\-]+", "_", str(name).strip().lower()): name for name in reversed(studies.columns)}
    return next((plain[name] for name in PATIENT_COLUMNS if name in plain), None)


def patients_of(studies: pd.DataFrame) -> list[str] | None:
    """Each study's patient as `same_id`, "" where it has none; None when no column names patients."""
    column = patient_column(studies)
    return None if column is None else [same_id(str(value)) for value in studies[column]]
