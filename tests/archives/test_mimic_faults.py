"""MIMIC-CXR with a fault: one clear line that names the file, no table, no text of a report."""

import zipfile

import pytest
from archived import Mimic, called


def table(mimic, kind):
    return mimic.root / f"mimic-cxr-2.0.0-{kind}.csv"


def changed(kind, old, new):
    def change(mimic):
        path = table(mimic, kind)
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


def written(kind, content):
    return lambda mimic: table(mimic, kind).write_bytes(content)


def damaged(mimic):
    content = bytearray(mimic.zip.read_bytes())
    start = content.index(b".txt") + 4
    content[start : start + 40] = bytes(40)
    mimic.zip.write_bytes(bytes(content))


def zipped(mode, member):
    def write(mimic):
        with zipfile.ZipFile(mimic.zip, mode) as archive:
            archive.writestr(member, "Opacity")

    return write


def of_others(mimic):
    mimic.reports = {("10000500", "50000500"): "Opacity"}
    mimic.write("csv")


METADATA = "{root}/mimic-cxr-2.0.0-metadata.csv"
FAULTS = {  # what is broken -> how, what the line says
    "gone": (
        lambda mimic: table(mimic, "metadata").unlink(),
        "{root}: no mimic-cxr-2.0.0-metadata.csv or .csv.gz",
    ),
    "two versions": (
        lambda mimic: (mimic.root / "mimic-cxr-2.1.0-metadata.csv").write_text("x"),
        "{root}: mimic-cxr-2.0.0-metadata.csv and mimic-cxr-2.1.0-metadata.csv. Keep",
    ),
    "pointer": (
        written("metadata", b"version https://git-lfs.github.com/spec/v1"),
        METADATA + " is a Git LFS",
    ),
    "page": (written("metadata", b"<!DOCTYPE html><html>"), METADATA + " is a web page"),
    "empty": (written("split", b""), "-split.csv is empty"),
    "header only": (written("split", b"dicom_id,study_id,subject_id,split\n"), "-split.csv: no row below"),
    "column": (
        changed("metadata", "ViewPosition", "View"),
        METADATA + ": line 1 lacks the column ViewPosition",
    ),
    "column twice": (
        changed("metadata", "Rows", "study_id"),
        METADATA + ": line 1 repeats the column study_id",
    ),
    "length": (changed("metadata", "PA", "PA,AP"), METADATA + ": line 2 has 13 values, the header 12"),
    "quote": (changed("metadata", "LATERAL", '"LATERAL'), METADATA + ": not readable from line 3 on"),
    "bytes": (
        written("metadata", b"dicom_id,\xff\n"),
        METADATA + ": not readable from line 1 on (not UTF-8)",
    ),
    "packed": (written("metadata", b"\x1f\x8b\x08\0broken"), METADATA + ": not readable from line 1 on"),
    "split": (changed("split", "train", "training"), "-split.csv: column split: 'training' is none of train"),
    "label": (
        changed("chexpert", "-1.0", "0.5"),
        "column Consolidation: '0.5' is none of 1, 0, -1 and empty",
    ),
    "zip": (lambda mimic: mimic.zip.write_bytes(b"PK\x03\x04 no"), "{zip} is not readable as a zip file"),
    "no zip": (lambda mimic: mimic.zip.unlink(), "{zip}: no such file or folder (reports)"),
    "member": (damaged, "{zip}, member files/p10/p10000000/s50000000.txt: damaged"),
    "no report": (zipped("w", "readme.txt"), "{zip}: no report files/p10/p10000032/s50414267.txt in it"),
    "twice": (zipped("a", "copy/p10/p10000000/s50000000.txt"), "{zip}: two reports of one study, files/"),
    "of others": (of_others, "no study is left: 30 of 30 images: no report under this patient and study"),
    "images": (
        lambda mimic: (mimic.root / "files").rename(mimic.root / "x"),
        "{root}: no folder files in it",
    ),
    "patient": (
        changed("split", "50000001,10000000,train", "50000001,10000000,test"),
        "1 patient_id stand in both the train and the test table, first 10000000",
    ),
    "no test": (
        lambda mimic: table(mimic, "split").write_text(
            table(mimic, "split").read_text().replace("test", "train")
        ),
        "no study is left for test.csv",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_is_one_clear_line(tmp_path, name):
    breaks, expected = FAULTS[name]
    mimic = Mimic(tmp_path).write("csv")
    breaks(mimic)
    line = called(*mimic.flags(tmp_path / "out"))
    assert isinstance(line, str)
    assert expected.format(root=mimic.root, zip=mimic.zip) in line
    assert "\n" not in line
    assert "Opacity" not in line
    assert not list((tmp_path / "out").glob("*.csv"))


def test_a_folder_that_holds_no_reports(tmp_path):
    mimic = Mimic(tmp_path).write()
    (tmp_path / "empty").mkdir()
    mimic.zip = tmp_path / "empty"
    assert called(*mimic.flags(tmp_path / "out")).startswith(
        f"ArchiveError: {tmp_path / 'empty'}: no folder files/p10"
    )


def test_flags_that_do_not_go_together(tmp_path, capsys):
    base = ["mimic-cxr", "--root", tmp_path, "--out", tmp_path / "out"]
    for flags, expected in (
        ([], "reports: give the report archive"),
        (["--reports", "x", "--test_share", "0.9", "--validate_share", "0.2"], "test_share = 0.9 is out of"),
        (["--reports", "x", "--limit", "0"], "limit = 0 is out of range"),
        (["--reports", "x", "--labels", "mine"], "invalid choice: 'mine'"),
    ):
        assert called(*base, *flags) == 2
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
