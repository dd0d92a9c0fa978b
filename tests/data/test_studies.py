"""The study table: round trip, refusals that name line and remedy, split by patient."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from medprobclip.data.missing import has_no_text
from medprobclip.data.studies import (
    COLUMNS,
    StudyTableError,
    read_studies,
    split_by_patient,
    write_studies,
)

HEADER = "study_id,image_paths,view_names,findings,impression\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def write_text(folder: Path, text: str) -> Path:
    path = folder / "studies.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def table(folder: Path, **columns) -> pd.DataFrame:
    base = {
        "study_id": ["s1", "s2"],
        "image_paths": [(f"{folder}/a.png", f"{folder}/b.png"), (f"{folder}/a.png",)],
        "view_names": [("PA", ""), ("",)],
        "findings": ["Clear.", ""],
        "impression": ["Stable", "Normal."],
    }
    return pd.DataFrame(base | columns, dtype=object)


def test_reads_the_published_schema_as_text(folder):
    text = (
        "\ufeff"
        + HEADER.replace("\n", ",patient_id,codes\n")
        + 's1,a.png; b.png,PA;LATERAL,"Two\nlines.",NAD,007,Cardiomegaly/mild;normal\n'
        + f"s2,{folder / 'a.png'},,Clear.,None.,,\n"
    )
    studies = read_studies(write_text(folder, text))
    assert studies.columns.tolist() == [*COLUMNS, "patient_id", "codes"]
    assert studies["image_paths"].tolist() == [(f"{folder}/a.png", f"{folder}/b.png"), (f"{folder}/a.png",)]
    assert studies["view_names"].tolist() == [("PA", "LATERAL"), ("",)]
    assert studies["codes"].tolist() == [("Cardiomegaly/mild", "normal"), ()]
    assert studies["findings"].tolist() == ["Two\nlines.", "Clear."]
    assert studies["impression"].tolist() == ["NAD", ""]
    assert studies["patient_id"].tolist() == ["007", ""]


TEXT = st.text(alphabet=st.sampled_from("aÄ1 ,;\"'\n\r\t"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(findings=TEXT, note=TEXT, codes=st.lists(st.sampled_from(["normal", "Lung/right"]), max_size=3))
def test_round_trip_is_exact(folder, findings, note, codes):
    studies = table(folder, findings=[findings, "b"], note=[note, ""], codes=[tuple(codes), ("x",)])
    write_studies(studies, folder / "sub" / "out.csv")
    back = read_studies(folder / "sub" / "out.csv")
    if has_no_text(findings):
        studies["findings"] = ["", "b"]
    assert back.to_dict("list") == studies.to_dict("list")


def test_a_folder_of_studies_can_be_moved(folder):
    inner = folder / "corpus"
    (inner / "images").mkdir(parents=True)
    for image in (inner / "images" / "x.png", folder / "moved.txt"):
        image.write_bytes(b"")
    studies = table(folder).iloc[[1]]
    studies["image_paths"] = [(inner / "images" / "x.png",)]
    write_studies(studies, inner / "studies.csv")
    moved = inner.rename(folder / "elsewhere")
    assert read_studies(moved / "studies.csv")["image_paths"][0] == (str(moved / "images" / "x.png"),)


def test_write_leaves_the_old_file_when_it_fails(folder):
    write_studies(table(folder), folder / "out.csv")
    before = (folder / "out.csv").read_bytes()
    with pytest.raises(StudyTableError, match=r"row 2, column view_names.*';'"):
        write_studies(table(folder, view_names=[("PA", ""), ("a;b",)]), folder / "out.csv")
    assert (folder / "out.csv").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["a.png", "b.png", "out.csv"]


def test_write_needs_every_column(folder):
    with pytest.raises(StudyTableError, match="lacks the column.*impression"):
        write_studies(table(folder).drop(columns="impression"), folder / "out.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study_id,findings\ns1,Clear.\n", "line 1 lacks.*image_paths, view_names, impression"),
        ("", "line 1 lacks"),
        (HEADER.replace("\n", ",findings\n"), "line 1 repeats.*findings"),
        (HEADER, "no study below the header"),
        (HEADER + "s1,a.png,PA,Clear.\n", "other than the header's 5 values in 1 row.*line 2: 4 values"),
        (HEADER + "s1,a.png,PA,No effusion, no mass.,x\n", "quotes. line 2: 6 values"),
        (HEADER + ",a.png,PA,Clear.,\n", "study_id: empty in 1 row. Give every study an id. line 2"),
        (HEADER + "s1,a.png,PA,x,\ns1,a.png,PA,x,\n", r"before in 1 row.*line 3 \(s1\): first on line 2"),
        (HEADER + "s1,,PA,x,\n", r"no image in 1 row.*line 2 \(s1\)"),
        (HEADER + "s1,a.png;,PA;LATERAL,x,\n", "no image in 1 row"),
        (HEADER + "s1,a.png;b.png,PA,x,\n", "line 2 .s1.: 2 images, 1 views"),
        (HEADER + "s1,a.png,PA;LATERAL,x,\n", "1 images, 2 views"),
        (HEADER + "s1,gone.png,PA,x,\n", r"file not found in 1 row.*line 2 .s1.: .*gone\.png"),
        (HEADER + 's1,a.png,PA,"  ", \n', r"findings, impression: both empty in 1 row.*line 2"),
    ],
)
def test_refuses_with_file_line_and_remedy(folder, text, message):
    path = write_text(folder, text)
    with pytest.raises(StudyTableError, match=message) as error:
        read_studies(path)
    assert str(path) in str(error.value)


def test_every_bad_row_is_counted_and_lines_are_those_of_the_file(folder):
    good = 's0,a.png,PA,"Findings\nover\nlines",x\n'  # lines 2 to 4
    bad = "".join(f"s{i},gone{i}.png,PA,,\n" for i in range(1, 9))  # lines 5 to 12
    with pytest.raises(StudyTableError) as error:
        read_studies(write_text(folder, HEADER + good + bad))
    message = str(error.value)
    assert message.count("in 8 rows") == 2
    assert "line 5 (s1)" in message
    assert "line 9 (s5)" in message
    assert "line 10" not in message
    assert message.count("and 3 more") == 2


def test_missing_file_and_wrong_encoding(folder):
    with pytest.raises(StudyTableError, match=r"none\.csv: no such file"):
        read_studies(folder / "none.csv")
    path = folder / "latin.csv"
    path.write_bytes((HEADER + "s1,a.png,PA,Gefäß,\n").encode("latin-1"))
    with pytest.raises(StudyTableError, match="UTF-8"):
        read_studies(path)


def patients(n_patients: int, studies_each: int) -> pd.DataFrame:
    ids = [f"p{i}" for i in range(n_patients)]
    rows = [(p, f"{p}-{k}") for p in ids for k in range(studies_each)]
    return pd.DataFrame(rows, columns=["patient_id", "study_id"])


def test_split_keeps_patients_whole_and_fractions_exact():
    studies = split_by_patient(patients(200, 3))
    assert (studies.groupby("patient_id")["split"].nunique() == 1).all()
    counts = studies.groupby("split")["patient_id"].nunique()
    assert counts.to_dict() == {"train": 130, "calibrate": 15, "validate": 15, "test": 40}


def test_split_depends_on_the_patients_and_the_seed_alone():
    studies = patients(60, 2)
    split = split_by_patient(studies).set_index("study_id")["split"]
    shuffled = split_by_patient(studies.sample(frac=1, random_state=1)).set_index("study_id")["split"]
    assert split.equals(shuffled.loc[split.index])
    assert not split.equals(split_by_patient(studies, seed=1).set_index("study_id")["split"])


def test_split_never_changes():
    # Every published number depends on it: a change here makes results incomparable.
    assert split_by_patient(patients(10, 1))["split"].tolist() == [
        "train", "test", "train", "train", "calibrate", "train", "train", "train", "test", "validate",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [10, 37, 100, 101, 3419])
def test_test_patients_are_those_of_before_there_were_calibration_patients(count):
    """The last fifth of one permutation: 70/10/20 cut there, too, so that nothing tested is now learned."""
    studies = split_by_patient(patients(count, 1))
    order = np.random.default_rng(42).permutation(count)
    ids = sorted(studies["patient_id"])
    last = {ids[i] for i in order[round((0.7 + 0.1) * count) :]}
    assert set(studies.loc[studies["split"] == "test", "patient_id"]) == last
    assert round(0.2 * count) == len(last) == (studies["split"] == "test").sum()


def test_split_without_patient_ids_treats_studies_as_patients():
    studies = split_by_patient(patients(10, 1).drop(columns="patient_id"))
    counts = studies["split"].value_counts().to_dict()
    assert counts == {"train": 6, "test": 2, "validate": 1, "calibrate": 1}
    assert "split" not in patients(10, 1)


def test_split_refuses_nonsense():
    with pytest.raises(ValueError, match="sum to 1"):
        split_by_patient(patients(10, 1), fractions=(0.7, 0.1, 0.1, 0.2))
    with pytest.raises(ValueError, match="4 shares for .*calibrate"):
        split_by_patient(patients(10, 1), fractions=(0.7, 0.1, 0.2))
    with pytest.raises(StudyTableError, match="2 patients are too few"):
        split_by_patient(patients(2, 5))
    with pytest.raises(StudyTableError, match=r"1 studies without patient_id, first at row 3"):
        split_by_patient(patients(5, 1).assign(patient_id=["a", "b", " ", "c", "d"]))
