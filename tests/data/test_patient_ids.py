"""When two ids are the same, and which column names patients."""

import pandas as pd
import pytest

from medprobclip.data.patients import patient_column, patients_of, same_id


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("50000000", "50000000"),
        ("50000000.0", "50000000"),
        (" 50000000.00 ", "50000000"),
        ("5e7", "50000000"),
        ("1.0000032e+07", "10000032"),
        ("5.5e0", "5.5e0"),
        ("007", "7"),
        ("00123", "123"),
        ("123.0", "123"),
        ("50000000,0", "50000000"),
        ("p10000032", "10000032"),
        ("p7", "p7"),
        ("P10000032", "10000032"),
        ("patient00012", "12"),
        ("MRN: 123", "123"),
        ("PAT3", "pat3"),
        ("12\u20133", "12-3"),
        ("\ufeff5", "5"),
        ("5\u200b", "5"),
        ("'5", "5"),
        ("５", "5"),
        ("0", "0"),
        ("1.2.840.0", "1.2.840.0"),
        ("3.5", "3.5"),
        ("nan", ""),
        ("  ", ""),
        ("None", ""),
    ],
)
def test_ids_are_compared_stripped_and_whole(text, form):
    assert same_id(text) == form


@pytest.mark.parametrize(
    "name", ["subject_id", "patient_id", "PatientID", "Patient ID", "PATIENT_ID", " subject-id ", "mrn"]
)
def test_the_patient_column_is_known_by_its_usual_names(name):
    studies = pd.DataFrame({"study_id": ["1"], name: ["7.0"]})
    assert patient_column(studies) == name
    assert patients_of(studies) == ["7"]


def test_a_table_without_patients_says_so():
    studies = pd.DataFrame({"study_id": ["1"], "patient_age": ["70"]})
    assert patient_column(studies) is None
    assert patients_of(studies) is None
