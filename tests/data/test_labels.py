"""The 14 label columns of MIMIC-CXR as codes of a study."""

import itertools

import numpy as np
import pandas as pd
import pytest
from archived import LABELS as OFFICIAL

from medprobclip.data.chexpert import FINDINGS, findings_of, judged_findings, label_findings, unsure_findings
from medprobclip.data.labels import LABELS, as_label, has_labels, label_codes, wrong_labels
from medprobclip.data.studies import StudyTableError, read_studies, write_studies

NONE = dict.fromkeys(LABELS, "")
CASES = [  # values -> the codes of the study
    ({"Edema": "1.0", "Pneumonia": "-1.0", "Fracture": "0.0"}, ("Edema", "Pneumonia/uncertain")),
    ({"Support Devices": "1", "Atelectasis": "-1"}, ("Atelectasis/uncertain", "Support Devices")),
    ({"No Finding": "1.0"}, ("normal",)),
    ({"No Finding": "1.0", "Support Devices": "1.0"}, ("Support Devices",)),  # as CheXpert's own No Finding
    ({"No Finding": "1.0", "Edema": "-1.0"}, ("Edema/uncertain",)),
    ({"No Finding": "0.0"}, ()),
    ({"No Finding": "-1.0"}, ()),
    ({"Edema": "0.0", "Pneumothorax": "0"}, ()),  # only denied: nothing says what is there
    ({"Edema": "nan", "Lung Opacity": "1.00"}, ("Lung Opacity",)),
    ({}, ()),
]


@pytest.fixture
def path(tmp_path):
    """A table of the cases with all 14 columns."""
    (tmp_path / "a.png").touch()
    rows = [
        {"study_id": f"s{i}", "image_paths": "a.png", "view_names": "PA", "findings": f"Text {i}.",
         "impression": "", **NONE, **values}
        for i, (values, _) in enumerate(CASES)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_the_columns_are_the_official_ones():
    assert sorted(LABELS) == sorted(OFFICIAL)
    assert has_labels(["study_id", *LABELS])
    assert not any(has_labels(set(LABELS) - {name}) for name in LABELS)


@pytest.mark.parametrize(
    ("value", "label"),
    [("1.0", "1"), ("1", "1"), ("-1.0", "-1"), ("-1", "-1"), ("0.0", "0"), ("-0.0", "0"), ("", ""),
     ("nan", ""), ("NaN", ""), ("N/A", ""), ("0.5", None), ("2", None), ("yes", None), ("1e9", None)],
)  # fmt: skip
def test_values(value, label):
    assert as_label(value) == label


def test_a_table_gets_the_codes_of_its_labels_and_keeps_them(path, tmp_path):
    studies = read_studies(path)
    assert studies["codes"].tolist() == [codes for _, codes in CASES]
    write_studies(studies, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(read_studies(tmp_path / "again.csv"), studies)


def test_a_column_of_codes_wins_over_labels(path):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.assign(codes=["Mass/lung;Nodule", *[""] * (len(table) - 1)]).to_csv(path, index=False)
    assert read_studies(path)["codes"].tolist() == [("Mass/lung", "Nodule"), *[()] * (len(CASES) - 1)]


def test_thirteen_columns_are_no_labels(path):
    table = pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns="Edema")
    table.loc[0, "Fracture"] = "0.5"  # of no concern, then
    table.to_csv(path, index=False)
    assert "codes" not in read_studies(path)


def test_a_wrong_value_is_a_bad_row_that_names_the_column_and_not_the_value(path):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[3, "Edema"] = table.loc[3, "Fracture"] = "Zebraword."
    table.loc[5, "Pneumonia"] = "2"
    assert wrong_labels(table) == {3: "Edema", 5: "Pneumonia"}
    table.to_csv(path, index=False)
    with pytest.raises(StudyTableError, match=r"column Edema: no label in 1 row.*line 5 \(s3\)") as error:
        read_studies(path)
    assert "zebra" not in str(error.value).lower()
    bad = []
    kept = read_studies(path, bad)
    assert [row.line for row in bad] == [5, 7]
    assert kept["study_id"].tolist() == [f"s{i}" for i in range(len(CASES)) if i not in (3, 5)]
    assert kept["codes"].tolist() == [codes for i, (_, codes) in enumerate(CASES) if i not in (3, 5)]


def test_every_combination_by_a_loop():
    """All values of two findings and of No Finding, study by study."""
    values = ("1.0", "0.0", "-1.0", "")
    rows = list(itertools.product(values, repeat=3))
    columns = {name: [""] * len(rows) for name in LABELS}
    columns |= dict(zip(("Edema", "Fracture", "No Finding"), map(list, zip(*rows, strict=True)), strict=True))
    for codes, (edema, fracture, none) in zip(label_codes(columns), rows, strict=True):
        expected = []
        for name, value in (("Edema", edema), ("Fracture", fracture)):
            if value == "1.0":
                expected.append(name)
            if value == "-1.0":
                expected.append(f"{name}/uncertain")
        if not expected and none == "1.0":
            expected = ["normal"]
        assert list(codes) == expected


def test_rows_are_read_as_often_as_there_are_values(monkeypatch):
    """Of 200,000 studies, each column's few values are read once: a count, where seconds tell little."""
    read = []
    monkeypatch.setattr("medprobclip.data.labels.as_label", lambda value: read.append(value) or value)
    values = np.random.default_rng(0).choice(["1", "0", "-1", ""], (14, 5000)).tolist()
    codes = label_codes(dict(zip(LABELS, values, strict=True)))
    assert len(codes) == 5000
    assert len(read) == 14 * 4


def test_every_label_is_a_finding_of_its_own():
    findings = [findings_of(name) for name in LABELS if name != "No Finding"]
    assert all(len(found) == 1 for found in findings)
    assert frozenset().union(*findings) == set(FINDINGS)
    assert findings_of("Lung Opacity") == {"Airspace Opacity"}
    assert findings_of("No Finding") == findings_of("Edema/uncertain") == frozenset()


def test_where_a_label_is_uncertain_nobody_judges():
    """U-Ignore, by hand: present, absent and not judged."""
    codes = [("Edema", "Lung Opacity/uncertain"), ("Edema/uncertain",), ("normal",), ()]
    present, unsure, judged = label_findings(codes), unsure_findings(codes), judged_findings(codes)
    assert present.columns.tolist() == unsure.columns.tolist() == judged.columns.tolist() == list(FINDINGS)
    assert present["Edema"].tolist() == [True, False, False, False]
    assert present["Airspace Opacity"].tolist() == [False] * 4
    assert unsure["Airspace Opacity"].tolist() == [True, False, False, False]
    assert judged["Edema"].tolist() == [True, pd.NA, False, False]
    assert judged["Airspace Opacity"].tolist() == [pd.NA, False, False, False]
    assert judged.isna().sum().sum() == unsure.sum().sum() == 2
    assert judged.fillna(False).astype(bool).equals(present)
