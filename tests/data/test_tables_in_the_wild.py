"""Study tables as people have them: separators, lists, paths, links, words for nothing, ids, bad rows."""

import csv
import os
import re

import pytest

from medprobclip.data.disjoint import check_disjoint
from medprobclip.data.patients import incomparable
from medprobclip.data.studies import (
    BadRow,
    StudyTableError,
    read_studies,
    write_bad_rows,
)

HEADER = "study_id,image_paths,view_names,findings,impression\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "images/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def table(folder, *rows, header=HEADER, name="t.csv", encoding="utf-8"):
    path = folder / name
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding=encoding)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings_of_spreadsheets(folder, separator, encoding):
    header = HEADER.replace(",", separator)
    row = separator.join(["s1", '"a.png;b.png"', '"PA;LATERAL"', "Größe normal.", "x, y"])
    row = row.replace("x, y", '"x, y"')
    studies = read_studies(table(folder, row, header=header, encoding=encoding))
    assert studies.iloc[0].tolist() == [
        "s1", (f"{folder}/a.png", f"{folder}/b.png"), ("PA", "LATERAL"), "Größe normal.", "x, y",
    ]  # fmt: skip


def test_lists_and_backslashes_in_cells(folder):
    rows = [
        "s1,\"['a.png', 'b.png']\",\"['PA', 'LATERAL']\",x,y",
        "s2,\"['a.png' 'b.png']\",PA;LATERAL,x,y",
        r"s3,images\c.png,PA,x,y",
    ]
    studies = read_studies(table(folder, *rows))
    both = (f"{folder}/a.png", f"{folder}/b.png")
    assert studies["image_paths"].tolist() == [both, both, (f"{folder}/images/c.png",)]
    assert studies["view_names"].tolist() == [("PA", "LATERAL"), ("PA", "LATERAL"), ("PA",)]


def test_a_path_of_another_system_is_called_so(folder):
    with pytest.raises(StudyTableError, match=r"path of another system in 1 row.*C:\\data\\a\.png"):
        read_studies(table(folder, r"s1,C:\data\a.png,PA,x,y"))


def test_long_reports_are_read(folder):
    report = "No change. " * 20_000
    assert read_studies(table(folder, f"s1,a.png,PA,{report},y"))["findings"][0] == report
    assert csv.field_size_limit() == 131072  # as everyone else expects it


@pytest.mark.parametrize("views", ["", "nan", "N/A", " "])
def test_views_that_nobody_named_are_unknown(folder, views):
    studies = read_studies(table(folder, f"s1,a.png;b.png,{views},x,y"))
    assert studies["view_names"].tolist() == [("", "")]


@pytest.mark.parametrize(
    "word",
    ["nan", "NaN", "None", "None.", "N/A", "n/a", "null", "NULL", ".", "___", "-", "—", "<NA>", "\u200b",
     "\u00a0", "\ufeff", "\u3164", "#N/A", "XXXX", "not available", "nan" + " " * 60, "N/A" + "\u200b" * 50,
     "XXXX " * 10, "\u115f" * 50, "0", "-1", "1. ___", "#DIV/0!", "1.#QNAN", "N / A", "N-A", r"N\A", r"\N",
     "n\u2044a", "nan nan", "NaN NaN", "#NAME?", "#REF!", "not reported", "none given", "FINDINGS:",
     "Findings: nan", "see impression", "As above.", "pending", "FINDINGS: IMPRESSION:", "FINAL REPORT",
     "<br>",
     "<p></p>", "&nbsp;", r"\n", "False", "b'nan'", "None provided", "No findings available",
     "keine", "なし", "Report"],
)  # fmt: skip
def test_words_for_nothing_are_nothing(folder, word):
    studies = read_studies(table(folder, f"s1,a.png,PA,{word},Normal.", "s2,a.png,PA,Clear.,x"))
    assert studies["findings"].tolist() == ["", "Clear."]
    with pytest.raises(StudyTableError, match="both empty in 1 row"):
        read_studies(table(folder, f"s1,a.png,PA,{word},{word}"))


@pytest.mark.parametrize(
    "text",
    [
        "Nad",
        "COPD",
        "None seen",
        "Unknown mass",
        "無異常",
        "clear",
        "n",
        "No findings.",
        "No report of pain",
        "findings: clear",
        "1 cm nodule",
        "None of these",
    ],
)
def test_short_texts_are_texts(folder, text):
    assert read_studies(table(folder, f"s1,a.png,PA,{text},x"))["findings"][0] == text


def test_a_linked_table_has_its_pictures_where_the_link_lies(folder):
    (folder / "raw").mkdir()
    (folder / "processed").mkdir()
    for place in ("raw", "processed"):
        (folder / place / "a.png").write_text(place)
    table(folder / "raw", "s1,a.png,PA,x,y")
    os.symlink("../raw/t.csv", folder / "processed" / "t.csv")
    for place in ("raw", "processed"):
        assert read_studies(folder / place / "t.csv")["image_paths"][0] == (f"{folder}/{place}/a.png",)


def test_ids_are_the_same_with_and_without_decimals(folder):
    with pytest.raises(StudyTableError, match=r"used before in 1 row.*line 3 \(7\.0\): first on line 2"):
        read_studies(table(folder, "7,a.png,PA,x,y", "7.0,b.png,PA,x,y"))


WITH_PATIENT = HEADER.replace("\n", ",{}\n")


@pytest.mark.parametrize(("one", "other"), [("subject_id", "subject_id"), ("subject_id", "PatientID")])
def test_patients_in_two_tables_are_found_by_any_of_their_names(folder, one, other):
    parts = {
        "training": read_studies(table(folder, "s1,a.png,PA,x,y,50000000", header=WITH_PATIENT.format(one))),
        "test": read_studies(table(folder, "s2,b.png,PA,x,y, 50000000.0", header=WITH_PATIENT.format(other))),
    }
    with pytest.raises(StudyTableError, match="1 patient_id stand.*training and the test.*first 50000000"):
        check_disjoint(parts)


def test_patients_that_nobody_named_are_not_shared(folder):
    rows = ("s1,a.png,PA,x,y,nan", "s2,b.png,PA,x,y,")
    header = WITH_PATIENT.format("subject_id")
    check_disjoint({str(i): read_studies(table(folder, row, header=header)) for i, row in enumerate(rows)})


def test_everything_that_two_tables_share_is_listed_links_followed(folder):
    os.symlink("a.png", folder / "link.png")
    parts = {
        "training": read_studies(table(folder, "s1,a.png,PA,x,y", "s2,b.png,PA,x,y")),
        "test": read_studies(table(folder, "s1.0,link.png,PA,x,y")),
        "validation": read_studies(table(folder, "s2,images/c.png,PA,x,y")),
    }
    with pytest.raises(StudyTableError) as error:
        check_disjoint(parts)
    message = str(error.value)
    assert re.search(r"1 study_id stand in both the training and the validation table, first s2", message)
    assert re.search(r"1 image files stand in both the training and the test table, first .*png", message)
    assert message.count("stand in both") == 2


def test_bad_rows_are_set_aside_with_their_reasons(folder):
    rows = ["s1,a.png,PA,x,y", "s2,gone.png,PA,,", "s3,b.png,PA,x", ",b.png,PA,x,y", "s5,b.png,PA,x,y"]
    bad = []
    studies = read_studies(table(folder, *rows), bad)
    assert studies["study_id"].tolist() == ["s1", "s5"]
    assert sorted((row.line, row.study_id, row.reason) for row in bad) == [
        (3, "s2", "column image_paths: file not found"),
        (3, "s2", "columns findings, impression: both empty"),
        (4, "", "other than the header's 5 values"),
        (5, "", "column study_id: empty"),
    ]
    write_bad_rows(bad, folder / "sub" / "bad.csv")
    with open(folder / "sub" / "bad.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [int(row["line"]) for row in written] == [row.line for row in bad]
    assert set(written[0]) == {"table", "line", "study_id", "reason", "detail"}
    with pytest.raises(StudyTableError, match="cannot be used"):  # nothing is left
        read_studies(table(folder, *rows[1:4]), [])
    assert BadRow("t", 1, "s", "r", "m").detail == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "Git LFS pointer.*git lfs pull",
        ),
        ("<!DOCTYPE html><html>", "web page"),
    ],
)
def test_what_is_no_table_is_called_what_it_is(folder, content, reason):
    (folder / "t.csv").write_text(content)
    with pytest.raises(StudyTableError, match=rf"t\.csv is a {reason}"):
        read_studies(folder / "t.csv")
    with pytest.raises(StudyTableError, match="images.* not readable"):
        read_studies(folder / "images")


@pytest.mark.parametrize(
    "text",
    [
        's1,a.png,PA,Clear.,"Stable\ns2,b.png,PA,Effusion.,Left.\ns3,a.png,PA,Mass.,Right.\n',
        's1,a.png,PA,"Clear.,None.\ns2,b.png,PA,"Effusion",Left effusion.\n',
        's1,a.png,PA,"Clear",x\ns2,b.png,PA,"Effusion"s,x\n',
    ],
)
def test_a_stray_quote_swallows_no_study(folder, text):
    """Nor does it give one study the report of another; not even under quarantine."""
    (folder / "t.csv").write_text(HEADER + text)
    for set_aside in (None, []):
        with pytest.raises(StudyTableError, match=r"row that starts on line \d+\. A quote that opens"):
            read_studies(folder / "t.csv", set_aside)


def test_a_quote_inside_a_value_is_none_of_these(folder):
    studies = read_studies(table(folder, 's1,a.png,PA,Line 6" deep.,"Says ""clear""."'))
    assert studies.iloc[0][["findings", "impression"]].tolist() == ['Line 6" deep.', 'Says "clear".']


def test_a_path_through_a_link_has_one_meaning(folder):
    """`link/..` is the folder of the link, for the table as for its pictures."""
    (folder / "else" / "deep").mkdir(parents=True)
    (folder / "else" / "a.png").write_text("other")
    table(folder / "else", "s9,a.png,PA,From else.,y")
    (folder / "link").symlink_to("else/deep")
    table(folder, "s1,a.png,PA,From top.,y")
    studies = read_studies(folder / "link" / ".." / "t.csv")
    assert studies.iloc[0][["findings", "image_paths"]].tolist() == ["From top.", (f"{folder}/a.png",)]


def test_a_leak_is_found_in_whichever_patient_column_both_tables_have(folder):
    two = HEADER.replace("\n", ",patient_id,subject_id\n")
    parts = {
        "training": read_studies(table(folder, "s1,a.png,PA,x,y,1,50000000", header=two)),
        "test": read_studies(
            table(folder, "s2,b.png,PA,x,y,50000000", header=WITH_PATIENT.format("subject_id"))
        ),
    }
    with pytest.raises(StudyTableError, match="1 patient_id stand in both.*50000000"):
        check_disjoint(parts)


def test_nothing_among_codes_is_no_coding(folder):
    header = HEADER.replace("\n", ",codes\n")
    studies = read_studies(table(folder, "s1,a.png,PA,x,y,nan", "s2,a.png,PA,x,y,Mass/left;", header=header))
    assert studies["codes"].tolist() == [(), ("Mass/left",)]


def test_the_separator_that_was_found_is_named(folder):
    header = HEADER.replace(",", ";")
    with pytest.raises(StudyTableError, match="Put values with ';' or line breaks in quotes"):
        read_studies(table(folder, "s1;a.png;b.png;PA;x;y", header=header))


@pytest.mark.parametrize(
    "row",
    [
        's1,a.png,PA,"Heart normal,x\ns2,b.png,PA,Big effusion",y',
        's1,a.png,PA,clear,"Normal.\ns2,b.png,PA,Big effusion,Effusion"',
    ],
)
def test_a_study_inside_the_report_of_another_is_found(folder, row):
    """Two stray quotes that make one good value."""
    with pytest.raises(StudyTableError, match=r"a row inside a value in 1 row.*line 2 \(s1\)"):
        read_studies(table(folder, row))
    bad = []
    studies = read_studies(table(folder, row, "s3,b.png,PA,x,y"), bad)
    assert (studies["study_id"].tolist(), [one.line for one in bad]) == (["s3"], [2])


def test_a_report_of_several_lines_is_no_such_thing(folder):
    report = "1. Clear, no effusion; heart normal.\n2. See film a.png."
    studies = read_studies(table(folder, f's1,a.png,PA,"{report}",y'))
    assert studies["findings"][0] == report


def test_numbers_of_different_kinds_are_not_compared_and_said_so(folder):
    parts = {
        "training": read_studies(
            table(folder, "s1,a.png,PA,x,y,7", header=WITH_PATIENT.format("patient_id"))
        ),
        "test": read_studies(table(folder, "s2,b.png,PA,x,y,7", header=WITH_PATIENT.format("MRN"))),
    }
    check_disjoint(parts)
    (notice,) = incomparable(parts)
    assert "patient_id in the training table and MRN in the test table: not comparable" in notice
