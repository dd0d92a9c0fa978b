"""Configuration files: both kinds say the same, keys stand once, values are of their field's kind."""

import json
from pathlib import Path
from typing import Literal

import pytest

from medprobclip.support.config_files import ConfigFileError, fitting, nearest, read_mapping, write_mapping

CONTENT = {"training": {"rate": 5e-05, "threads": None, "epochs": 3}, "soft": "none", "compile": False}


def test_yaml_and_json_say_the_same(tmp_path):
    write_mapping(tmp_path / "a.yaml", CONTENT, "a comment")
    (tmp_path / "a.json").write_text(json.dumps(CONTENT))
    assert read_mapping(tmp_path / "a.yaml") == read_mapping(tmp_path / "a.json") == CONTENT
    assert (tmp_path / "a.yaml").read_text().startswith("# a comment\n")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.yaml", "epochs: 3\nseed: 1\nepochs: 4\n", "epochs stands twice"),
        ("a.yaml", "training:\n  seed: 1\n  seed: 1\n", "seed stands twice"),
        ("a.json", '{"training": {"seed": 1, "seed": 2}}', "seed stands twice"),
        ("a.json", '{"epochs": 3,', "double quotes"),
        ("a.yaml", "epochs: [3", "expected"),
        ("a.yaml", "", "holds no names with values"),
        ("a.yaml", "- epochs\n", "holds no names with values"),
        ("a.yaml", "epochs: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("gone.yaml", None, "No such file"),
        ("a.yaml", b"\xff\xfe\x00", "decode"),
    ],
)
def test_a_file_that_cannot_be_read_rightly_is_one_line_with_its_name(tmp_path, name, text, reason):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigFileError, match=reason) as refused:
        read_mapping(tmp_path / name)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, 3),
        (1, float, 1.0),
        ("1e-3", float, 1e-3),  # a word to YAML 1.1
        (None, float | None, None),
        (2, float | None, 2.0),
        ("soft", Literal["soft", "hard"], "soft"),
        (2, Literal[1, 2], 2),
        (False, bool, False),
        ("a/b.csv", Path, Path("a/b.csv")),
    ],
)
def test_values_become_what_their_field_holds(value, hint, expected):
    found = fitting(value, hint)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "reason"),
    [
        (3.0, int, "3.0 is not a whole number"),
        (True, int, "True is not a whole number"),
        ("3", int, "'3' is not a whole number"),
        (True, float, "True is not a number"),
        ("fast", float, "'fast' is not a number"),
        (None, float, "None is not a number"),
        (1, bool, "1 is not true or false"),
        ("yes", bool, "'yes' is not true or false"),
        (3, str, "3 is not a word"),
        (["a"], Path, "is not a path"),
        ("medium", Literal["soft", "hard"], "'medium' is none of soft, hard"),
        (True, Literal[1, 2], "True is none of 1, 2"),
    ],
)
def test_values_of_another_kind_are_refused(value, hint, reason):
    with pytest.raises(ValueError, match=reason):
        fitting(value, hint)


def test_near_names():
    names = ["learning_rate", "epochs", "weight_decay"]
    assert nearest("learning-rat", names) == ["learning_rate"]
    assert nearest("EPOCH", names) == ["epochs"]
    assert nearest("gamma", names) == []
