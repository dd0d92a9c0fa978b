"""The published command, as a user types it."""

import json
import os
import subprocess
import sys
import tempfile

import pytest

from medprobclip import medprobclip_train
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.medprobclip_train import parse
from medprobclip.workbench.workspace import ROOT

SMALL = [
    "--vision", "tiny-resnet", "--text", "tiny-bert", "--embed_dim", "8", "--image_size", "32",
    "--max_tokens", "32", "--vocab_size", "100", "--epochs", "1", "--batch_size", "8",
]  # fmt: skip


SCRIPT = "medprobclip/medprobclip_train.py"
# As Python runs a script, with its folder first on the path; then what was taken from there by its bare name.
BARE = """
import importlib, os, pkgutil, runpy, sys
sys.path[0] = "medprobclip"
sys.argv[0] = "SCRIPT"
try:
    runpy.run_path("SCRIPT", run_name="__main__")
finally:
    own = {name.removesuffix(".py") for name in os.listdir("medprobclip")} - {"__init__", "__main__"}
    print("bare:", sorted(own & set(sys.modules)), "runs:", "medprobclip.training.runs" in sys.modules)
    for module in pkgutil.iter_modules(["medprobclip/training"]):
        importlib.import_module(f"medprobclip.training.{module.name}")
    drawing = [name for name in sys.modules if name.startswith(("medprobclip.simulator", "nibabel"))]
    print("drawing:", drawing)
""".replace("SCRIPT", SCRIPT)


def command(*arguments, script=(SCRIPT,)):
    return subprocess.run(
        [sys.executable, *script, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


@pytest.fixture
def tables(study_tables):
    return ["--train_csv", study_tables["train"], "--val_csv", study_tables["validate"],
            "--test_csv", study_tables["test"]]  # fmt: skip


def test_trains_and_reports(tables, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDPROBCLIP_CACHE", str(tmp_path / "cache"))
    result = command(*tables, "--out", tmp_path / "out", *SMALL, script=("-c", BARE))
    assert result.returncode == 0, result.stderr
    assert "R@10" in result.stdout
    assert "bare: [] runs: True" in result.stdout  # nothing installed hides behind a name of ours
    # Who has radiographs needs neither the CT nor its reader, for no part of training.
    assert "drawing: []" in result.stdout
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


def test_a_missing_table_is_one_clear_line(tables, tmp_path, capsys):
    flags = ["--train_csv", tmp_path / "nothing.csv", *tables[2:], "--out", tmp_path / "out"]
    with pytest.raises(SystemExit) as stopped:
        medprobclip_train.main([*map(str, flags)])
    assert "nothing.csv" in stopped.value.code  # Python prints it, and the code is 1
    assert "Traceback" not in f"{stopped.value.code}{capsys.readouterr()}"


@pytest.mark.parametrize(
    ("flags", "problems"),
    [
        (["--batch_size", "-4"], ["batch_size = -4 is out of range"]),
        (["--batch_size", "1"], ["batch_size = 1 is out of range"]),
        (["--epochs", "0", "--seed", "-1"], ["epochs = 0 is out of range", "seed = -1 is out of range"]),
        (["--learning_rate", "nan"], ["learning_rate = nan is out of range"]),
        (["--shift", "nan", "--kl_weight", "inf", "--log_var_min", "7", "--blur_sigma", "inf"],
         ["shift = nan", "kl_weight = inf", "log_var_min = 7", "blur_sigma = inf"]),
        (["--embed_dim", "0", "--rotation", "-3", "--kl_weight", "-1", "--threads", "0"],
         ["embed_dim = 0", "rotation = -3", "kl_weight = -1", "threads = 0"]),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_together_before_anything_runs(
    tables, tmp_path, capsys, flags, problems
):
    arguments = [
        *map(str, tables[:4]),
        "--test_csv",
        str(tmp_path / "no.csv"),
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(SystemExit) as stopped:
        parse([*arguments, *flags])
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert all(problem in printed for problem in [*problems, "no.csv: no such file"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "1.5", "nan"])
def test_a_share_out_of_range_is_refused_with_the_rest(tables, tmp_path, capsys, share):
    arguments = [*map(str, tables), "--out", str(tmp_path / "out"), "--epochs", "0"]
    with pytest.raises(SystemExit, match="2"):
        parse([*arguments, "--calibrate_share", share, "--calibrate_csv", str(tmp_path / "no.csv")])
    printed = capsys.readouterr().err
    assert f"calibrate_share = {float(share)} is out of range" in printed
    for problem in ("give one of them", "epochs = 0 is out of range", "no.csv: no such file"):
        assert problem in printed


def test_a_share_is_set_aside_and_calibrated_on(tables, tmp_path, capsys, monkeypatch):
    """And the same command goes on from there: nothing is trained or drawn again."""
    arguments = [*map(str, tables), "--out", str(tmp_path / "out"), *SMALL, "--calibrate_share", "0.25"]
    medprobclip_train.main(arguments)
    printed = capsys.readouterr().out
    assert "validation: 3 of 12 studies are set aside to calibrate on. The other 9 choose" in printed
    assert "3 calibration studies: the smallest alpha that they can promise is 1/4 = 0.25" in printed
    written = {name: (tmp_path / "out" / f"{name}.csv").read_bytes() for name in ("validate", "calibrate")}
    assert [content.count(b"\n") for content in written.values()] == [10, 4]
    used = json.loads((tmp_path / "out" / "used.json").read_text())["validation"]["study_id"]
    embedded = Embeddings.load(tmp_path / "out" / "embeddings-calibrate.safetensors").study_ids
    assert (len(used), len(embedded)) == (9, 3)
    assert {*used, *embedded} == {f"validate-{i}" for i in range(12)}
    calibration = (tmp_path / "out" / "calibration.json").read_text()
    monkeypatch.setattr("medprobclip.training.runs.train", lambda *_, **__: pytest.fail("trained again"))
    medprobclip_train.main(arguments)
    assert "1 epochs are done" in capsys.readouterr().out
    assert (tmp_path / "out" / "calibration.json").read_text() == calibration
    for name, content in written.items():
        assert (tmp_path / "out" / f"{name}.csv").read_bytes() == content
    for other in (["--calibrate_share", "0.5"], []):
        with pytest.raises(SystemExit, match=r"calibrate_share 0\.5 gives|other settings or data"):
            medprobclip_train.main([*arguments[:-2], *other])


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_help_prints_on_any_terminal(encoding):
    result = subprocess.run(
        [sys.executable, SCRIPT, "--help"], cwd=ROOT, capture_output=True, timeout=600,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert b"--batch_size" in result.stdout


def test_what_was_not_foreseen_is_one_line_and_a_file(tables, tmp_path, monkeypatch, capsys):
    from medprobclip.training import preflight

    monkeypatch.setattr(preflight, "folder_problems", lambda out: 1 / 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit, match=r"(?s)ZeroDivisionError: .*Not foreseen.*error\.txt"):
        medprobclip_train.main([*map(str, tables), "--out", str(tmp_path / "out")])
    (trace,) = tmp_path.glob("medprobclip-*/error.txt")
    assert "1 / 0" in trace.read_text()
