"""Any table with its columns named: by study, by image, whole reports, patients, and any cells at all."""

import csv
import tempfile
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
from archived import called, dropped, picture, table, tables
from hypothesis import given, strategies as st

from medprobclip.archives.any_table import read_table
from medprobclip.archives.flow import ArchiveError
from medprobclip.archives.options import AnyTable
from medprobclip.data import StudyTableError, read_image
from medprobclip.data.patients import same_id

HEADER = ["Accession", "Person", "Front", "Side", "V1", "V2", "Finds", "Impr", "Age"]
FLAGS = [
    "--study_id", "Accession", "--patient", "Person", "--image", "Front", "Side", "--view", "V1", "V2",
    "--findings", "Finds", "--impression", "Impr",
]  # fmt: skip


@pytest.fixture
def rows(tmp_path):
    """Twenty patients of two studies, the second without a side view."""
    found = []
    for i in range(40):
        for view in ("front", "side"):
            picture(tmp_path / "films" / f"{i}-{view}.png", i)
        side = [f"{i}-side.png", "PA", "LAT"] if i % 2 == 0 else ["", "AP", ""]
        found.append(
            [f"A{i:03d}", f"{i // 2}.0", f"{i}-front.png", *side, f"Find {i}.", f"Impr {i}.", 30 + i]
        )
    return found


def prepared(tmp_path, rows, *flags, header=HEADER, base=FLAGS, name="t.csv"):
    path = table(tmp_path / name, header, rows)
    common = ["--images_root", tmp_path / "films", "--out", tmp_path / "out"]
    return called("csv", path, *base, *common, *flags)


def test_one_row_a_study(rows, tmp_path, capsys):
    assert prepared(tmp_path, rows) is None
    found = tables(tmp_path / "out")
    assert {name: part["patient_id"].nunique() for name, part in found.items()} == {
        "train": 13, "calibrate": 1, "validate": 2, "test": 4,
    }  # fmt: skip
    assert sum(map(len, found.values())) == 40
    for part in found.values():
        for row in part.itertuples():
            i = int(row.study_id[1:])
            names = [path.rsplit("/", 1)[1] for path in row.image_paths]
            assert names == ([f"{i}-front.png", f"{i}-side.png"] if i % 2 == 0 else [f"{i}-front.png"])
            assert row.view_names == (("PA", "LAT") if i % 2 == 0 else ("AP",))
            assert (row.findings, row.impression, row.Age) == (f"Find {i}.", f"Impr {i}.", str(30 + i))
            assert row.patient_id == f"{i // 2}.0"
            assert read_image(row.image_paths[0]).shape == (48, 40)
    assert dropped(tmp_path / "out") == {}
    assert "Find" not in capsys.readouterr().out


def test_one_row_an_image(rows, tmp_path, capsys):
    """Rows of a study in any order, the text in one of them; a column of the image is left out."""
    lines = [[a, p, f, v, find, impr, f"{f} taken"] for a, p, f, _, v, _, find, impr, _ in rows]
    lines += [[a.lower(), p.removesuffix(".0"), s, w, "", "nan"[:0], s] for a, p, _, s, _, w, *_ in rows if s]
    header = ["id", "pat", "file", "view", "f", "i", "Taken"]
    flags = "--study_id id --patient pat --image file --view view --findings f --impression i".split()
    assert prepared(tmp_path, lines, header=header, base=flags) is None
    found = pd.concat(tables(tmp_path / "out").values()).set_index("study_id")
    assert len(found) == 40
    assert found.loc["A006", "view_names"] == ("PA", "LAT")
    assert [Path(path).name for path in found.loc["A006", "image_paths"]] == ["6-front.png", "6-side.png"]
    assert (found.loc["A006", "findings"], found.loc["A006", "impression"]) == ("Find 6.", "Impr 6.")
    assert "Taken" not in found
    assert "columns left out, not one value a study or a name of ours: Taken" in capsys.readouterr().out


def test_whole_reports_are_cut(rows, tmp_path):
    lines = [[a, f, f"Findings: {find}\nMore.\nIMPRESSION: {impr}"] for a, _, f, *_, find, impr, _ in rows]
    lines[1][2] = "No header at all."
    base = "--study_id id --image file --report r --each_study_is_a_patient".split()
    assert prepared(tmp_path, lines, header=["id", "file", "r"], base=base) is None
    assert dropped(tmp_path / "out") == {"neither findings nor impression (--require either)": (1, 1)}
    found = pd.concat(tables(tmp_path / "out").values()).set_index("study_id")
    assert found.loc["A000", ["findings", "impression"]].tolist() == ["Find 0.\nMore.", "Impr 0."]
    assert "patient_id" not in found


def test_every_rule_counts_what_it_drops(rows, tmp_path):
    rows[0][0] = " "
    rows[1][2] = "nan"
    rows[2][4] = "PA;AP"
    rows[4][3] = rows[4][2]
    rows[6][2] = rows[8][2]
    rows[11][1] = "N/A"
    rows[13][2] = "gone.png"
    rows[15][6:8] = ["___", "."]
    rows.append([*rows[17][:6], "Another text.", *rows[17][7:]])
    rows[-1][2] = "0-front.png"
    rows.append([*rows[19][:6], "", *rows[19][7:]])
    rows[-1][1:3] = ["other", "1-front.png"]
    rows.append(list(rows[21]))  # word for word again
    assert prepared(tmp_path, rows) is None
    assert dropped(tmp_path / "out") == {
        "no study id": (1, 2),
        "not one view per image": (0, 1),
        "no image named": (1, 1),
        "an image repeated in its study": (0, 2),
        "an image in two studies": (0, 2),
        "rows of a study that disagree in text or patient": (2, 4),
        "no patient named": (1, 1),
        "image not there": (1, 1),
        "neither findings nor impression (--require either)": (1, 1),
    }
    found = pd.concat(tables(tmp_path / "out").values())
    assert all(row.findings == f"Find {int(row.study_id[1:])}." for row in found.itertuples())
    assert set(found["study_id"]) == {f"A{i:03d}" for i in range(40)} - {
        "A000", "A001", "A011", "A013", "A015", "A017", "A019",
    }  # fmt: skip


def test_what_cannot_be_used_is_one_clear_line(rows, tmp_path, capsys):
    path = tmp_path / "t.csv"
    whole = [list(row) for row in rows]
    for changed, flags, expected in (
        (whole, ["--findings", "Nope"], f"StudyTableError: {path}: line 1 lacks the column(s) Nope"),
        (
            [[*rows[0], "more"], *rows[1:]],
            [],
            f"{path}: 1 rows have other than the header's 9 values: line 2 (10)",
        ),
        (
            whole,
            ["--images_root", tmp_path],
            f"image not there. --images_root is {tmp_path}; first missing: ",
        ),
        (rows[:8], [], "4 patients are too few to split by"),
        ([[*row[:6], "", "", 1] for row in rows], [], "neither findings nor impression (--require either)"),
    ):
        line = prepared(tmp_path, changed, *flags)
        assert isinstance(line, str), expected
        assert expected in line
        assert "\n" not in line
        assert "Find" not in line.replace("Finds", "")
    assert f"{tmp_path / 'no.csv'}: no such file or folder (table)" in called(
        "csv", tmp_path / "no.csv", *FLAGS, "--out", tmp_path / "new"
    )
    for flags, expected in (
        (["--each_study_is_a_patient"], "patient: give its column, or say --each_study_is_a_patient"),
        (["--report", "Finds"], "report: give it, or findings and impression"),
        (["--view", "V3"], "view: 3 columns for 2 image columns"),
    ):
        assert prepared(tmp_path, rows, *flags) == 2
        assert expected in capsys.readouterr().err


def test_a_column_of_patients_is_not_overlooked(rows, tmp_path):
    header = ["Accession", "Subject ID", *HEADER[2:]]
    base = [flag for flag in FLAGS if flag not in ("--patient", "Person")]
    line = prepared(tmp_path, rows, "--each_study_is_a_patient", header=header, base=base)
    assert line.endswith("column Subject ID names patients. Give --patient Subject ID")
    # Also one that another kind of number would put into two tables.
    rows = [[*row, "99"] for row in rows]
    assert "1 patient_id stand in both" in prepared(tmp_path, rows, header=[*HEADER, "MRN"])


def test_a_swallowed_row_is_not_taken_for_text(rows, tmp_path):
    rows[0][6] = "Find 0.\nA001,1,1-front.png,,PA,,Find 1.,x,30\n"
    line = prepared(tmp_path, rows)
    assert line.splitlines()[1].strip().startswith("a row inside a value in 1 row")
    assert "Find" not in line
    assert not (tmp_path / "out" / "train.csv").exists()


CELL = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["a.png", "b.png;c.png", "['a.png']", "nan", "", "7", "7.0", "PA", "PA;AP", "No effusion.", '"', ";"]
    ),
)


GOOD = [(f"good{i}", f"patient{i}", f"g{i}.png", "No effusion.", "PA") for i in range(5)]


@given(
    rows=st.lists(st.tuples(*[CELL] * 5), min_size=1, max_size=8),
    noise=st.sampled_from([b"", b"", b"", b"\n", b"\xff", b'"', b'"x"y', b"a,b"]),
)
def test_whatever_the_cells_hold(rows, noise):
    """Studies of rows of one id only, with texts of those rows only; five good ones are always among them."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.png", "b.png", "c.png", *(image for _, _, image, *_ in GOOD)):
            (Path(folder) / name).touch()
        path = Path(folder) / "t.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([list("spifv"), *rows, *GOOD])
        path.write_bytes(path.read_bytes() + noise)
        options = AnyTable(
            out=Path(folder) / "o", table=path, study_id="s", patient="p", image=("i",), view=("v",),
            findings="f", calibrate_share=0, validate_share=0.3, test_share=0.3,
        )  # fmt: skip
        try:
            studies, refusal = read_table(options)[0], ""
        except (ArchiveError, StudyTableError) as error:
            refusal = str(error)
        assert bool(refusal) == bool(noise.strip())
        if refusal:
            assert str(path) in refusal
            return
        texts = defaultdict(set)
        for study, _, _, findings, _ in [*rows, *GOOD]:
            texts[same_id(study)].add(findings)
        for row in studies.itertuples():
            assert row.findings in texts[same_id(row.study_id)]
            assert len(row.image_paths) == len(row.view_names) > 0
            assert all(Path(image).parent == Path(folder) for image in row.image_paths)
        assert studies["study_id"].map(same_id).is_unique
        assert set(studies["study_id"]) >= {study for study, *_ in GOOD}
        assert studies.groupby("patient_id")["split"].nunique().max() == 1
