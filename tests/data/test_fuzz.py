"""Whatever is in a file: a right result or one clear line. 100 examples each here; 10,000 in all with

.venv/bin/python -m pytest tests/data/test_fuzz.py --hypothesis-profile=long
"""

import csv
import io
import tempfile
from pathlib import Path

import kornia_rs
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from PIL import Image

from medprobclip.data.grey import ImageError
from medprobclip.data.missing import has_no_text
from medprobclip.data.radiographs import read_image
from medprobclip.data.reports import same_text, sentences
from medprobclip.data.studies import COLUMNS, StudyTableError, read_studies
from medprobclip.data.views import PREFERENCE, view_kind

FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
CELL = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["nan", "", "___", "N/A", "No effusion.", "a;b,c", '"', "\\", "7.0", "\n", "\0"]),
)


def png(**settings):
    buffer = io.BytesIO()
    pixels = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) * 9
    Image.fromarray(pixels if settings.pop("deep", False) else (pixels % 251).astype(np.uint8)).save(
        buffer, **settings
    )
    return buffer.getvalue()


def dicom():
    pydicom = pytest.importorskip("pydicom")
    path = pydicom.data.get_testdata_file("MR_small.dcm")
    with open(path, "rb") as file:
        return file.read()


def deep_colour():
    """PNG with 16 bits in colour, which Pillow does not write."""
    channels = np.repeat(np.arange(40 * 40, dtype=np.uint16).reshape(40, 40, 1) * 30, 3, axis=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.png"
        kornia_rs.io.write_image_png_u16(str(path), np.ascontiguousarray(channels), "rgb")
        return path.read_bytes()


def turned():
    exif = Image.Exif()
    exif[274] = 6
    return exif


PICTURES = {
    "x.png": png(format="PNG"),
    "deep.png": png(format="PNG", deep=True),
    "colour.png": deep_colour(),
    "turned.png": png(format="PNG", exif=turned()),
    "x.jpg": png(format="JPEG", quality=90),
    "turned.jpg": png(format="JPEG", quality=90, exif=turned()),
    "x.dcm": dicom(),
}


@pytest.fixture
def pictures(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PICTURES["x.png"])
    return tmp_path


def read(path):
    """A table, or None when it is refused in so many words."""
    try:
        return read_studies(path)
    except StudyTableError as error:
        refusal = str(error)
    assert str(path) in refusal
    return None


@FIXTURE
@given(content=st.binary(max_size=400))
def test_any_bytes_are_a_table_or_refused(pictures, content):
    path = pictures / "t.csv"
    for start in (b"", ",".join(COLUMNS).encode() + b"\n"):
        path.write_bytes(start + content)
        read(path)


IMAGES = {  # what a cell says -> which files it names
    "a.png": ["a.png"],
    " b.png ": ["b.png"],
    "a.png;b.png": ["a.png", "b.png"],
    "b.png ; ./a.png": ["b.png", "a.png"],
    "['b.png', 'a.png']": ["b.png", "a.png"],
    "['a.png' 'b.png']": ["a.png", "b.png"],
    "sub\\..\\a.png": ["a.png"],
    "gone.png": None,
    "": None,
    "a.png;": None,
}
VIEWS = {"PA": 1, "PA;LATERAL": 2, "['PA', 'LATERAL']": 2, "": None, "nan": None, ";": None, "AP;LL;PA": 3}


@FIXTURE
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(list(IMAGES)), st.sampled_from(list(VIEWS)), CELL, CELL),
        min_size=1, max_size=5,
    ),
    separator=st.sampled_from(",;\t"),
)  # fmt: skip
def test_whatever_the_cells_hold_rows_stay_together(pictures, rows, separator):
    """Rows that cannot be used are set aside for what is wrong with them, and for nothing else."""
    path = pictures / "t.csv"
    assume(not any("\r" in cell or "\0" in cell for row in rows for cell in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, delimiter=separator)
        writer.writerows([COLUMNS, *((f"s{i}", *row) for i, row in enumerate(rows))])
    expected = {
        f"s{i}": (
            images,
            "" if has_no_text(findings) else findings,
            "" if has_no_text(impression) else impression,
        )
        for i, (cell, views, findings, impression) in enumerate(rows)
        if (images := IMAGES[cell]) is not None
        and VIEWS[views] in (None, len(images))
        and not (has_no_text(findings) and has_no_text(impression))
    }
    bad = []
    try:
        studies = read_studies(path, bad)
    except StudyTableError:
        assert not expected
        return
    found = {
        row.study_id: ([place.rsplit("/", 1)[-1] for place in row.image_paths], row.findings, row.impression)
        for row in studies.itertuples()
    }
    assert found == expected
    assert {row.study_id for row in bad} == {f"s{i}" for i in range(len(rows))} - expected.keys()
    assert all(len(row.image_paths) == len(row.view_names) for row in studies.itertuples())


@FIXTURE
@given(
    name=st.sampled_from(sorted(PICTURES)),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_a_damaged_picture_is_a_picture_or_refused(tmp_path, name, changes, cut):
    content = bytearray(PICTURES[name])
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path / name
    path.write_bytes(bytes(content[: cut if cut is None else cut % len(content)]))
    try:
        grey, refusal = read_image(path), ""
    except ImageError as error:
        grey, refusal = None, str(error)
    if grey is None:
        assert str(path) in refusal
    else:
        assert (grey.dtype, grey.ndim) == (np.uint8, 2)
        assert grey.min() < grey.max()


@FIXTURE
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_any_text_is_read(texts):
    ids = same_text(texts)
    assert len(ids) == len(texts)
    for text in texts:
        found = sentences(text)
        assert all(found)
        assert has_no_text(text) in (True, False)
        assert view_kind(text) in PREFERENCE
