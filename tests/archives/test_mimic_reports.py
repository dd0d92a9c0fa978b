"""The report archive read by many threads, and metadata of any rows: never a report or film of another."""

import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archived import LABELS, table
from hypothesis import given, settings, strategies as st

from medprobclip.archives.flow import ArchiveError
from medprobclip.archives.mimic_cxr import read_mimic_cxr
from medprobclip.archives.mimic_reports import ReportArchive
from medprobclip.archives.options import MimicCxr
from medprobclip.archives.sections import any_sections, official_sections


def member(subject, study):
    return f"files/p{subject[:2]}/p{subject}/s{study}.txt"


def test_threads_share_an_archive(tmp_path):
    """Texts of lengths that differ, so that a reader at another's place would be seen."""
    keys = [(str(10_000_000 + i // 3), str(50_000_000 + i)) for i in range(600)]
    with zipfile.ZipFile(tmp_path / "r.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/files/p10/p10000000/._s50000000.txt", "mac")
        for i, (subject, study) in enumerate(keys):
            archive.writestr(member(subject, study), f"{study} " * (1 + i * 7 % 50))
    archive = ReportArchive(tmp_path / "r.zip")
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(archive.read, keys * 3))
    assert texts == [f"{study} " * (1 + i * 7 % 50) for i, (_, study) in enumerate(keys)] * 3
    assert archive.read(("10000001", "50000000")) is None  # under another patient


@pytest.mark.parametrize("packed", [True, False])
def test_bytes_of_any_kind_are_text(tmp_path, packed):
    contents = {
        "50000000": b"caf\xc3\xa9",
        "50000001": b"caf\xe9",
        "50000002": b"\xef\xbb\xbfx",
        "50000003": b"",
    }
    for study, content in contents.items():
        path = tmp_path / "r" / member("10000000", study)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    place = tmp_path / "r"
    if packed:
        place = tmp_path / "r.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for study, content in contents.items():
                archive.writestr(member("10000000", study), content)
    archive = ReportArchive(place)
    assert [archive.read(("10000000", study)) for study in contents] == ["café", "café", "x", ""]
    assert archive.read(("10000000", "50000009")) is archive.read(("20000000", "50000000")) is None


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_any_bytes_of_a_report_are_cut(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / member("10000000", "50000000")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        text = ReportArchive(Path(folder)).read(("10000000", "50000000"))
    for cut in (official_sections, any_sections):
        assert all("".join(part.split()) in "".join(text.split()) for part in cut(text).values())


SUBJECTS, STUDIES = ("10000000", "10000001"), ("50000000", "50000001", "50000002")
ROW = st.tuples(
    st.sampled_from(["d0", "d1", "d2", "d3", "", "../x", "a b"]),
    st.sampled_from([*SUBJECTS, "10000000.0", "p10000001", "", "nan", "1"]),
    st.sampled_from([*STUDIES, "50000000.0", "s50000001", "", "nan", "x"]),
    st.sampled_from(["PA", "AP", "LATERAL", "", "nan"]),
)
GOOD = [
    (f"good{split}", f"1900000{i}", f"5900000{i}", "PA", split)
    for i, split in enumerate(("train", "validate", "test"))
]


@settings(max_examples=60)
@given(
    rows=st.lists(ROW, max_size=10),
    splits=st.lists(st.tuples(ROW, st.sampled_from(["train", "validate", "test"])), max_size=6),
    same=st.booleans(),
    flags=st.fixed_dictionaries({"frontal_only": st.booleans(), "drop_missing_view": st.booleans()}),
)
def test_whatever_the_rows_say(rows, splits, same, flags):
    """Every film of a study is one that the metadata give to it, every text that of its patient and study."""
    if same:  # else hardly a row would have a split
        splits = [(row, "train") for row in dict.fromkeys(rows)]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / "files").mkdir()
        header = ["dicom_id", "subject_id", "study_id", "ViewPosition", "split"]
        table(root / "mimic-cxr-2.0.0-metadata.csv", header, [*((*row, "") for row in rows), *GOOD])
        table(root / "mimic-cxr-2.0.0-split.csv", header, [*((*row, split) for row, split in splits), *GOOD])
        table(root / "mimic-cxr-2.0.0-chexpert.csv", ["study_id", *LABELS], [["50000000", *["1.0"] * 14]])
        with zipfile.ZipFile(root / "r.zip", "w") as archive:
            for subject, study in [(a, b) for a in SUBJECTS for b in STUDIES] + [row[1:3] for row in GOOD]:
                archive.writestr(member(subject, study), f" FINDINGS:  Of {subject} {study}.\n")
        options = MimicCxr(out=root / "out", root=root, reports=root / "r.zip", **flags)
        studies, _ = read_mimic_cxr(options, root / "pieces")
    plain = {
        (
            dicom,
            subject.removeprefix("p").removesuffix(".0"),
            study.removeprefix("s").removesuffix(".0"),
            view,
        )
        for dicom, subject, study, view, *_ in [*rows, *GOOD]
    }
    for row in studies.itertuples():
        assert row.findings == f"Of {row.subject_id} {row.study_id}."
        for path, view in zip(row.image_paths, row.view_names, strict=True):
            folder, name = path.rsplit("/", 1)
            assert folder.endswith(f"/files/p{row.subject_id[:2]}/p{row.subject_id}/s{row.study_id}")
            dicom = name.removesuffix(".jpg")
            assert {(dicom, row.subject_id, row.study_id, word) for word in (view, "nan")} & plain
            assert view != "" or not (flags["frontal_only"] or flags["drop_missing_view"])
    assert studies["study_id"].is_unique
    assert set(studies["study_id"]) >= {study for _, _, study, *_ in GOOD}
    paths = [path for paths in studies["image_paths"] for path in paths]
    assert len(set(path.rsplit("/", 1)[1] for path in paths)) == len(paths)


def test_neither_a_zip_file_nor_a_folder(tmp_path):
    with pytest.raises(ArchiveError, match="no such file or folder"):
        ReportArchive(tmp_path / "gone.zip")
    (tmp_path / "reports.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(ArchiveError, match="not readable as a zip file"):
        ReportArchive(tmp_path / "reports.tar.gz")
