"""Files and folders appear whole or not at all."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medprobclip.support.files import recovered_folder, replaced_file, replaced_folder, write_json


def test_a_replaced_file_is_as_readable_as_a_new_one(tmp_path):
    """safetensors writes for its owner alone."""
    (tmp_path / "new").write_text("")
    with replaced_file(tmp_path / "replaced") as temporary:
        save_file({"a": torch.zeros(1)}, temporary)
    modes = [(tmp_path / name).stat().st_mode for name in ("new", "replaced")]
    assert modes[0] == modes[1]


def test_a_file_is_kept_when_writing_its_successor_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replaced_file(path) as temporary:
        temporary.write_text(f"ne{1 / 0}")
    assert path.read_text() == "old"
    with replaced_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_kept_when_filling_its_successor_fails(tmp_path):
    path = tmp_path / "state"
    with replaced_folder(path) as temporary:
        (temporary / "x").write_text("1")
    with pytest.raises(ZeroDivisionError), replaced_folder(path) as temporary:
        (temporary / "x").write_text(f"2{1 / 0}")
    assert (path / "x").read_text() == "1"
    with replaced_folder(path) as temporary:
        (temporary / "y").write_text("3")
    assert [file.name for file in path.iterdir()] == ["y"]


def test_a_stop_between_the_two_renames_is_mended(tmp_path):
    (tmp_path / "state.old").mkdir()
    (tmp_path / "state.old" / "x").write_text("1")
    assert recovered_folder(tmp_path / "state") == tmp_path / "state"
    assert (tmp_path / "state" / "x").read_text() == "1"
    assert recovered_folder(tmp_path / "other") is None


def strict(text: str) -> object:
    """Read as other languages do: NaN and Infinity are no JSON."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_json_is_readable_for_everybody(tmp_path):
    content = {"a": [1.5, float("nan")], "ä": {"b": (np.float64("nan"), None)}, "c": True}
    write_json(tmp_path / "x.json", content)
    found = strict((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert found == {"a": [1.5, None], "ä": {"b": [None, None]}, "c": True}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("inf")})
    assert strict((tmp_path / "x.json").read_text(encoding="utf-8")) == found  # the file before stays
