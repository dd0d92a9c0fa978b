"""The published command, as a user types it."""

import json
import subprocess
import sys

import pytest

from medprobclip.medprobclip_train import parse
from medprobclip.workbench.workspace import ROOT

SMALL = [
    "--vision", "tiny-resnet", "--text", "tiny-bert", "--embed_dim", "8", "--image_size", "32",
    "--max_tokens", "32", "--vocab_size", "100", "--epochs", "1", "--batch_size", "8",
]  # fmt: skip


def command(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "medprobclip/medprobclip_train.py", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture
def tables(study_tables):
    return ["--train_csv", study_tables["train"], "--val_csv", study_tables["validate"],
            "--test_csv", study_tables["test"]]  # fmt: skip


def test_trains_and_reports(tables, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDPROBCLIP_CACHE", str(tmp_path / "cache"))
    result = command(*tables, "--out", tmp_path / "out", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "R@10" in result.stdout
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"checkpoint", "metrics.json", "embeddings.safetensors", "history.csv", "tensorboard"} <= written
    assert list((tmp_path / "out" / "tensorboard").glob("events.out.*"))
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["training"]["epochs"] == 1


def test_help_gives_units_and_defaults():
    result = command("--help")
    assert result.returncode == 0
    text = " ".join(result.stdout.split())
    assert "side of the square input, px (default: 128)" in text
    assert "--learning_rate" in text
    assert "None" not in text


def test_flags_are_not_abbreviated(tables, tmp_path):
    """`--prof paper` would set the profile after the defaults were chosen."""
    with pytest.raises(SystemExit):
        parse([*map(str, tables), "--out", str(tmp_path), "--prof", "paper"])


def test_a_missing_table_is_one_clear_line(tables, tmp_path):
    result = command("--train_csv", tmp_path / "nothing.csv", *tables[2:], "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "nothing.csv" in result.stderr
    assert "Traceback" not in result.stderr
