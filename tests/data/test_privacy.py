"""What of a report may leave its table: whose it is, and messages about tables that are broken."""

import csv

import pandas as pd
import pytest
from sources import ROOT

from medprobclip.data.disjoint import check_disjoint
from medprobclip.data.notices import SHOWN
from medprobclip.data.patients import owners
from medprobclip.data.privacy import (
    LEAST_PATIENTS,
    WITHHELD,
    as_header,
    as_name,
    as_path,
    is_default_corpus,
    least_patients,
    may_show,
    shown,
)
from medprobclip.data.studies import (
    COLUMNS,
    StudyTableError,
    read_studies,
    write_bad_rows,
)

SECRET = "Zebraword lies in the left apex."
HEADER = ",".join(COLUMNS)


def corpus(ids=("CXR1", "CXR22"), columns=("codes", "sex", "appearance")):
    return pd.DataFrame({"study_id": ids} | dict.fromkeys(columns, ""))


def test_only_the_default_corpus_is_shown_unasked():
    assert is_default_corpus(corpus())
    own = [corpus(["CXR1", "s2"]), corpus(["CXR1a", "CXR2"]), corpus(columns=["codes", "sex"]), corpus([])]
    assert not any(map(is_default_corpus, own))
    for asked in (True, False):
        assert {may_show(table, asked) for table in (corpus(), *own)} == {asked}
    assert [may_show(table) for table in (corpus(), own[0])] == [True, False]
    assert [least_patients(table) for table in (corpus(), own[0])] == [1, LEAST_PATIENTS]
    assert [shown(SECRET, allowed) for allowed in (True, False)] == [SECRET, WITHHELD]


def test_the_simulators_own_table_is_the_default_corpus(tmp_path):
    """With the columns and ids that `build_openi_sim` writes, read back from its CSV."""
    (tmp_path / "a.png").write_bytes(b"")
    table = tmp_path / "train.csv"
    table.write_text(
        f'{HEADER},patient_id,codes,sex,appearance\nCXR7,a.png,PA,"{SECRET}",Clear.,7,normal,,\n'
    )
    assert is_default_corpus(read_studies(table))


def test_a_study_belongs_to_its_patient_or_to_itself():
    table = pd.DataFrame({"study_id": ["1", "2.0", "3", "4"], "subject_id": ["7", "p7", "7.0", "nan"]})
    assert owners(table) == ["patient 7", "patient p7", "patient 7", "study 4"]
    assert owners(table.drop(columns="subject_id")) == ["study 1", "study 2", "study 3", "study 4"]


@pytest.mark.parametrize("name", ["s1", "CXR 12", "1.2.840.113619.2", "50414267", "", "p10/s5"])
def test_names_are_shown(name):
    assert as_name(name) == name


@pytest.mark.parametrize("text", [SECRET, "No acute disease", "Normal.", "Clear. Stable", "a\nb"])
def test_prose_in_the_place_of_a_name_is_not(text):
    assert as_name(text) == WITHHELD


def test_a_path_is_known_by_its_last_part():
    for path in ("/my films/chest PA 1.png", "gone.DCM", r"C:\my data\a.jpeg", "/mnt/p 1/IM0001", ""):
        assert as_path(path) == path
    for text in (
        f"/my films/{SECRET}",
        "/data/Heart and lungs",
        "/data/Normal.",
        "a.png\nb",
        r"C:\no effusion",
    ):
        assert as_path(text) == WITHHELD


def test_a_first_line_without_a_known_name_may_be_a_study():
    assert as_header(["study_id", "Report text"], COLUMNS) == ["study_id", "Report text"]
    line = ["dicom_id", "ViewPosition", "a.png", SECRET, "Clear.", ""]
    assert as_header(line, COLUMNS) == ["dicom_id", "ViewPosition", *[WITHHELD] * 4]


# what is wrong -> the file; each message must still say what it is
BROKEN = {
    "lacks the column": f's1,a.png,PA,"{SECRET}",{SECRET}\n',  # no header
    "file not found": f'{HEADER}\ns1,"{SECRET}",,x,y\ns2,"images/{SECRET}",,x,y\n',
    "path of another system": f'{HEADER}\ns1,"C:\\films\\{SECRET}",PA,x,y\n',
    "both empty": f'{HEADER}\n"{SECRET}",a.png,PA,,\n',
    "used before": f'{HEADER}\n"{SECRET}",a.png,PA,x,y\n"{SECRET}",a.png,PA,x,y\n',
    "not one view per image": f'{HEADER}\n"{SECRET}",a.png,"{SECRET};PA",x,y\n',
    "a row inside a value": f'{HEADER}\ns1,a.png,PA,"{SECRET}\ns2,b.png,PA,{SECRET},x\n",y\n',
    "other than the header's 5 values": f"{HEADER}\ns1,a.png,PA,{SECRET},x,y\n",
    "not readable as CSV": f'{HEADER}\ns1,a.png,PA,"{SECRET}" {SECRET},y\n',
    "Save it as UTF-8": f"{HEADER}\ns1,a.png,PA,{SECRET} größer,y\n",
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_table_is_described_without_its_text(problem, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    table = tmp_path / "t.csv"
    table.write_text(BROKEN[problem], encoding="latin-1")
    with pytest.raises(StudyTableError, match=problem) as error:
        read_studies(table)
    assert "zebra" not in str(error.value).lower()


@pytest.mark.parametrize("problem", ["file not found", "both empty", "used before", "not one view per image"])
def test_what_is_set_aside_names_no_text(problem, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "t.csv").write_text(BROKEN[problem] + "good,a.png,PA,x,y\n")
    aside = []
    read_studies(tmp_path / "t.csv", aside)
    write_bad_rows(aside, tmp_path / "bad.csv")
    with (tmp_path / "bad.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert {row["reason"].split(": ")[-1] for row in rows} == {problem}
    assert "zebra" not in (tmp_path / "bad.csv").read_text().lower()


def test_what_tables_share_is_named_without_text():
    table = pd.DataFrame({"study_id": [SECRET], "subject_id": [SECRET]})
    with pytest.raises(StudyTableError, match="1 study_id stand in both.* 1 patient_id stand") as error:
        check_disjoint({"training": table, "test": table})
    assert "zebra" not in str(error.value).lower()


def test_the_page_on_privacy_says_what_the_rule_is():
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    assert f"only words of at least {LEAST_PATIENTS} patients" in page
    assert WITHHELD in page
    assert f"first {SHOWN} letters" in page
