"""Commands end in one line."""

import importlib
from pathlib import Path

import pytest

from medprobclip.support.foreseen import FORESEEN, one_line_errors

HOMES = {
    "StudyTableError": "data.studies",
    "ArchiveError": "archives.flow",
    "AssetError": "data.assets",
    "ImageError": "data.grey",
    "ReaderError": "data.reading",
    "TrainingError": "training.loop",
    "NotReadyError": "training.preflight",
    "LockedError": "support.locks",
    "GalleryError": "retriever.gallery",
    "NoNotebookError": "workbench.headless",
}


def ended(error: BaseException) -> str:
    with pytest.raises(SystemExit) as stopped, one_line_errors("Stopped here."):
        raise error
    return stopped.value.code


@pytest.mark.parametrize("name", HOMES)
def test_foreseen_ones_say_all_themselves(name):
    kind = getattr(importlib.import_module(f"medprobclip.{HOMES[name]}"), name)
    assert set(FORESEEN) == set(HOMES)
    assert ended(kind("what and why")) == f"{name}: what and why"


def test_the_disk_and_the_user():
    assert ended(PermissionError(13, "Permission denied", "x")) == (
        "PermissionError: [Errno 13] Permission denied: 'x'"
    )
    assert ended(KeyboardInterrupt()) == "Stopped here."


def test_another_keeps_its_trace():
    first, second = ended(KeyError("no such thing")).splitlines()
    assert first == "KeyError: 'no such thing'"
    trace = Path(second.removeprefix("Not foreseen. Where it came from is in ").removesuffix("."))
    assert "raise error\nKeyError: 'no such thing'" in trace.read_text()
    trace.unlink()
    trace.parent.rmdir()


def test_what_ends_well_or_by_itself_is_left_alone():
    with one_line_errors("Stopped."):
        pass
    with pytest.raises(SystemExit) as stopped, one_line_errors("Stopped."):
        raise SystemExit(3)
    assert stopped.value.code == 3
