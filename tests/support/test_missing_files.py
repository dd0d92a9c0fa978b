"""Which files are not there, asked one by one and by listing their folder."""

import os

import pytest

from medprobclip.support import files
from medprobclip.support.files import missing_files


@pytest.mark.parametrize("listed", [0, 10_000])
def test_as_asked_one_by_one(tmp_path, monkeypatch, listed):
    monkeypatch.setattr(files, "_LISTED", listed)
    monkeypatch.setattr(files, "_FOLDERS", 2)
    monkeypatch.chdir(tmp_path)
    wanted = []
    for i in range(7):
        (tmp_path / f"d{i}").mkdir()
        for j in range(30):
            path = tmp_path / f"d{i}" / f"{j}.png"
            if j % 3:
                path.touch()
            elif j % 2:
                path.mkdir()  # a folder is no file
            wanted.append(str(path))
    os.symlink("d0/1.png", tmp_path / "link.png")
    os.symlink("nowhere", tmp_path / "broken.png")
    wanted += [str(tmp_path / name) for name in ("link.png", "broken.png", "gone/x.png")]
    wanted += ["C:\\data\\a.png", "link.png", "no.png", *(f"nul\0/{i}.png" for i in range(20))]
    assert missing_files(wanted) == {path for path in wanted if not os.path.isfile(path)}
    assert missing_files([]) == set()
