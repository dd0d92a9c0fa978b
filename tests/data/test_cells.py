"""Cells of several entries and the paths in them, as people and programs write them."""

import os

import pytest

from medprobclip.data.cells import absolute_path, entries, of_another_system


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("a.png", ("a.png",)),
        (" a.png ; b.png", ("a.png", "b.png")),
        ("", ("",)),
        (";", ("", "")),
        ("['a.png', 'b.png']", ("a.png", "b.png")),
        ('["a.png", "b.png"]', ("a.png", "b.png")),
        ("('a.png', 'b.png')", ("a.png", "b.png")),
        ("['a.png' 'b.png']", ("a.png", "b.png")),  # NumPy writes no commas; Python would join them
        ("['a.png'\n 'b.png']", ("a.png", "b.png")),
        ("['a.png']", ("a.png",)),
        ("[]", ("",)),
        (r"['images\\a.png']", (r"images\a.png",)),
        (r"['C:\Users\new.png']", (r"C:\Users\new.png",)),
        ("['it\\'s.png']", ("it's.png",)),
        ("['PA', None]", ("PA", "")),
        ("['PA', nan]", ("PA", "")),
        (r"['images\new\a.png']", (r"images\new\a.png",)),  # no line break in it
        ("[a.png]", ("[a.png]",)),  # a file may be called so
        ("[PosixPath('a.png')]", ("[PosixPath('a.png')]",)),
    ],
)
def test_entries(cell, found):
    assert entries(cell) == found


@pytest.mark.skipif(os.sep != "/", reason="paths as Linux and macOS have them")
def test_paths_start_at_the_folder(tmp_path):
    folder = str(tmp_path)
    (tmp_path / "x\\y.png").touch()
    expected = {
        "": "",
        "a.png": f"{folder}/a.png",
        "images/a.png": f"{folder}/images/a.png",
        "./a.png": f"{folder}/a.png",
        "b/../a.png": f"{folder}/a.png",
        "b//a.png": f"{folder}/b/a.png",
        "../a.png": f"{tmp_path.parent}/a.png",
        ".hidden.png": f"{folder}/.hidden.png",
        "/data/a.png": "/data/a.png",
        "/data/./a.png": "/data/a.png",
        "images\\a.png": f"{folder}/images/a.png",
        "x\\y.png": f"{folder}/x\\y.png",  # such a file is there
        "C:\\data\\a.png": "C:\\data\\a.png",
        "D:/data/a.png": "D:/data/a.png",
        "\\\\server\\share\\a.png": "\\\\server\\share\\a.png",
    }
    assert {entry: absolute_path(folder, entry) for entry in expected} == expected
    other = {path for path in expected.values() if of_another_system(path)}
    assert other == {expected[e] for e in ("C:\\data\\a.png", "D:/data/a.png", "\\\\server\\share\\a.png")}
