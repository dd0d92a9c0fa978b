"""The published command, as a user types it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from medprobclip import medprobclip_train
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.support.files import file_hash
from medprobclip.training import runs
from medprobclip.training.command_line import parse
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
    medprobclip_train.main(["--out", str(tmp_path / "out")])  # the share is the run's
    assert "1 epochs are done" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        medprobclip_train.main([*arguments[:-1], "0.5"])
    assert "--calibrate_share: the run in this folder has 0.25, asked for 0.5" in capsys.readouterr().err


def test_the_test_table_is_not_there_while_the_run_is_trained_and_read_once_after(
    study_tables, tmp_path, monkeypatch
):
    """Its file, its pictures and their cached pixels are moved away: a glance would be an error."""
    monkeypatch.setenv("MEDPROBCLIP_IMAGES", str(tmp_path / "images"))
    folder = shutil.copytree(study_tables["train"].parent, tmp_path / "tables")
    scored = []

    def train_without(train_csv, val_csv, out, *rest, **more):
        hidden = [*folder.glob("test*"), runs.image_place(folder / "test.csv")]
        assert len(hidden) > 12  # the table, its pictures
        for i, path in enumerate(hidden):
            path.rename(tmp_path / f"hidden-{i}")
        assert not scored
        history = train_run(train_csv, val_csv, out, *rest, **more)
        for i, path in enumerate(hidden):
            (tmp_path / f"hidden-{i}").rename(path)
        return history

    train_run, evaluate_run = runs.train_run, runs.evaluate_run
    monkeypatch.setattr(runs, "train_run", train_without)
    monkeypatch.setattr(runs, "evaluate_run", lambda *given: scored.append(given) or evaluate_run(*given))
    tables = [f"--{name}_csv={folder / file}.csv" for name, file in
              {"train": "train", "val": "validate", "test": "test"}.items()]  # fmt: skip
    medprobclip_train.main([*tables, "--out", str(tmp_path / "out"), *SMALL])
    assert [(Path(out).name, Path(csv).name) for out, csv, _ in scored] == [("out", "test.csv")]
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["scored"]["checkpoint"] == file_hash(tmp_path / "out" / "checkpoint" / "model.safetensors")


def test_more_epochs_go_on_where_a_finished_run_ended_and_a_run_needs_no_test_table(tables, tmp_path, capsys):
    out = tmp_path / "out"
    medprobclip_train.main([*map(str, tables[:4]), "--out", str(out), *SMALL])
    assert "No test table, no score" in capsys.readouterr().out
    assert not (out / "metrics.json").exists()
    first = (out / "history.csv").read_text().splitlines()
    medprobclip_train.main(["--out", str(out), "--epochs", "2", "--test_csv", str(tables[5])])
    printed = capsys.readouterr().out
    assert "2 epochs instead of 1" in printed
    assert "R@10" in printed
    both = (out / "history.csv").read_text().splitlines()
    assert (len(both), both[:2]) == (3, first)
    medprobclip_train.main(["--out", str(out)])  # reads all back, the test table, too
    assert "2 epochs are done" in capsys.readouterr().out


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
