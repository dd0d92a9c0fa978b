"""MIMIC-CXR in miniature, end to end through the command."""

import zipfile

import pandas as pd
import pytest
from archived import LABELS, Mimic, called, dropped, mimic_report, table, tables

from medprobclip.data import check_disjoint, read_image


@pytest.fixture
def mimic(tmp_path):
    return Mimic(tmp_path)


@pytest.mark.parametrize("end", ["csv", "csv.gz"])
def test_the_official_files_become_tables_that_train(mimic, tmp_path, capsys, end):
    out = tmp_path / "out"
    assert called(*mimic.write(end).flags(out)) is None
    found = tables(out)
    assert {name: len(part) for name, part in found.items()} == {"train": 12, "validate": 4, "test": 4}
    check_disjoint(found)
    for part in found.values():
        for row in part.itertuples():
            assert row.findings == f"Opacity {row.study_id}. No effusion."
            assert row.impression == f"Disease {row.study_id}."
            assert all(f"/p{row.subject_id}/s{row.study_id}/" in path for path in row.image_paths)
            assert row.view_names == (("AP",) if int(row.study_id) % 2 else ("PA", "LATERAL"))
            assert read_image(row.image_paths[0]).shape == (48, 40)
        assert part[LABELS[:4]].to_numpy().tolist() == [["1", "0", "-1", ""]] * len(part)
        assert set(LABELS) <= set(part.columns)
    assert set(found["test"]["subject_id"]) == {"10000004", "10000009"}
    assert dropped(out) == {}
    printed = capsys.readouterr().out
    assert f"--train_csv {out / 'train.csv'} --val_csv {out / 'validate.csv'}" in printed
    assert "--calibrate_share 0.5" in printed
    assert (out / ".gitignore").read_text() == "*\n"
    assert not (out / "unfinished").exists()


def test_every_rule_counts_what_it_drops(mimic, tmp_path, capsys):
    """One fault of each kind, each in a study of its own."""
    rows, split = mimic.metadata, mimic.split
    by_study = {study: [r for r in rows if r[2] == study] for study in {r[2] for r in rows}}
    rows.append(list(rows[0]))  # a row twice
    by_study["50000002"][0][1:3] = ["10000001.0", "50000002.0"]  # after a round trip through pandas
    by_study["50000003"][0][2] = ""
    rows.append([*by_study["50000004"][0][:4], "LL", *by_study["50000004"][0][5:]])  # two views of one image
    rows.append(["other", "10000077", "50000005", "", "PA", *by_study["50000005"][0][5:]])  # two patients
    split.remove(next(r for r in split if r[1] == "50000006"))
    next(r for r in split if r[1] == "50000008")[3] = "train"  # its lateral is in test
    split.append([by_study["50000016"][1][0], "50000016", "10000008", "train"])  # and validate
    by_study["50000010"][1][4] = ""  # no view: kept
    by_study["50000018"][1][4] = "nan"
    del mimic.reports["10000005", "50000011"]
    mimic.reports["10000099", "50000012"] = mimic.reports.pop(("10000006", "50000012"))  # of another patient
    mimic.reports["10000006", "50000013"] = mimic_report()
    mimic.labels.append(["10000007", "50000014", "0.0", *[""] * 13])
    out = tmp_path / "out"
    assert called(*mimic.write().flags(out)) is None
    assert dropped(out) == {
        "an id that is missing or not of eight digits": (1, 1),
        "a row repeated": (0, 1),
        "rows of one image that disagree": (0, 2),
        "a study of two patients": (1, 2),
        "not one row in mimic-cxr-2.0.0-split.csv.gz": (0, 2),
        "a study in two splits": (1, 2),
        "no report under this patient and study": (2, 3),
        "neither findings nor impression (--require either)": (1, 1),
    }
    found = pd.concat(tables(out).values())
    assert set(found["study_id"]) == {str(50_000_000 + i) for i in range(20)} - {
        "50000003", "50000005", "50000008", "50000011", "50000012", "50000013",
    }  # fmt: skip
    assert all(row.findings == f"Opacity {row.study_id}. No effusion." for row in found.itertuples())
    found = found.set_index("study_id")
    assert found.loc["50000004", "view_names"] == ("LATERAL",)
    assert found.loc["50000016", "view_names"] == ("PA",)
    assert found.loc["50000010", "view_names"] == found.loc["50000018", "view_names"] == ("PA", "")
    assert found.loc["50000014", LABELS].tolist() == [""] * 14
    printed = capsys.readouterr().out
    assert "2 images have no view recorded, kept with an empty view" in printed
    assert "2 rows of labels that disagree in mimic-cxr-2.0.0-chexpert.csv.gz" in printed
    assert "Opacity" not in printed


def test_views_as_asked(mimic, tmp_path):
    mimic.metadata[0][4], mimic.metadata[2][4] = "", ""  # of 50000000 and 50000001
    flags = mimic.write().flags
    assert called(*flags(tmp_path / "a"), "--drop_missing_view") is None
    assert dropped(tmp_path / "a") == {"no view recorded (--drop_missing_view)": (1, 2)}
    assert called(*flags(tmp_path / "b"), "--frontal_only") is None
    assert dropped(tmp_path / "b") == {"not frontal (--frontal_only)": (2, 12)}
    assert set(pd.concat(tables(tmp_path / "b").values())["view_names"]) == {("PA",), ("AP",)}


@pytest.mark.parametrize(
    ("require", "count"), [("either", 20), ("both", 18), ("findings", 19), ("impression", 19)]
)
def test_required_sections(mimic, tmp_path, require, count):
    mimic.reports["10000000", "50000000"] = mimic_report("Clear.")
    mimic.reports["10000000", "50000001"] = mimic_report("___", "Normal.")
    assert called(*mimic.write().flags(tmp_path / "out"), "--require", require) is None
    assert sum(map(len, tables(tmp_path / "out").values())) == count


def test_a_last_paragraph_counts_when_asked(mimic, tmp_path):
    mimic.reports["10000000", "50000001"] = (
        " " * 33 + "FINAL REPORT\n PORTABLE FILM.\n HISTORY:  Cough.\n \n No change. Lungs\n clear.\n"
    )
    flags = mimic.write().flags
    assert called(*flags(tmp_path / "a")) is None
    assert called(*flags(tmp_path / "b"), "--use_last_paragraph") is None
    assert "50000001" not in set(tables(tmp_path / "a")["train"]["study_id"])
    found = tables(tmp_path / "b")["train"].set_index("study_id").loc["50000001"]
    assert (found["findings"], found["impression"]) == ("", "No change. Lungs clear.")


def test_a_split_by_patient_is_the_same_whatever_else_is_asked(tmp_path):
    mimic = Mimic(tmp_path, patients=40).write()
    flags = ["--split", "patient", "--labels", "none", "--seed", 7]
    assert called(*mimic.flags(tmp_path / "a"), *flags) is None
    assert called(*mimic.flags(tmp_path / "b"), *flags, "--frontal_only", "--limit", "3") is None
    a, b = tables(tmp_path / "a"), tables(tmp_path / "b")
    assert {name: part["subject_id"].nunique() for name, part in a.items()} == {
        "train": 26, "calibrate": 3, "validate": 3, "test": 8,
    }  # fmt: skip
    for name, part in b.items():
        assert part["study_id"].tolist() == a[name]["study_id"].tolist()[:3]
    assert "Edema" not in a["train"]


def test_the_dicom_edition_with_its_tables_elsewhere(mimic, tmp_path, capsys):
    for row in mimic.metadata:
        image = mimic.image(row[1], row[2], row[0])
        image.rename(image.with_suffix(".dcm"))
    mimic.write(folder=tmp_path / "tables")
    command = [*mimic.flags(tmp_path / "out"), "--dicom", "--check_files"]
    assert called(*command).startswith(
        f"ArchiveError: {mimic.root}: no mimic-cxr-2.0.0-metadata.csv or .csv.gz"
    )
    assert called(*command, "--metadata", tmp_path / "tables") is None
    assert all(
        path.endswith(".dcm") for paths in tables(tmp_path / "out")["test"]["image_paths"] for path in paths
    )


def test_files_are_looked_for_when_asked(mimic, tmp_path):
    mimic.write().image("10000000", "50000001", "50000001-ap-0000").unlink()
    assert called(*mimic.flags(tmp_path / "a"), "--check_files") is None
    assert dropped(tmp_path / "a") == {"image not there (--check_files)": (1, 1)}
    assert called(*mimic.flags(tmp_path / "b")) is None
    assert "50000001" in pd.read_csv(tmp_path / "b" / "train.csv", dtype=str)["study_id"].tolist()


@pytest.mark.parametrize("root", ["files", "mimic-cxr-reports/files", ""])
def test_reports_unpacked_or_from_the_official_sections(mimic, tmp_path, root):
    folder = tmp_path / "reports"
    mimic.write()
    with zipfile.ZipFile(mimic.zip) as archive:
        for name in archive.namelist():
            path = folder / root / name.removeprefix("files/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(name))
    sections = [
        [f"s{study}", f"Disease {study}.", f"Opacity {study}.\n No effusion.", "", ""]
        for _, study in mimic.reports
    ]
    table(tmp_path / "s.csv", ["study", "impression", "findings", "last_paragraph", "comparison"], sections)
    base = ["mimic-cxr", "--root", mimic.root]
    assert called(*mimic.flags(tmp_path / "zip")) is None
    assert called(*base, "--reports", folder, "--out", tmp_path / "folder") is None
    assert called(*base, "--sections", tmp_path / "s.csv", "--out", tmp_path / "csv") is None
    for name in ("train", "validate", "test"):
        texts = {(tmp_path / kind / f"{name}.csv").read_text() for kind in ("zip", "folder", "csv")}
        assert len(texts) == 1
