"""`medprobclip COMMAND`: every command is listed, its help starts at once, and it is what `make` calls."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from sources import PACKAGE, ROOT

import medprobclip
from medprobclip.__main__ import COMMANDS, main
from medprobclip.commands import encoder
from medprobclip.school_settings import ReadabilityConfig, SchoolConfig
from medprobclip.support.backbones import PACKAGED
from medprobclip.training.errors import TrainingError

HEAVY = ("torch", "transformers", "pandas", "papermill", "matplotlib")


def test_every_command_is_listed():
    files = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__"}
    assert files | {"train"} == set(COMMANDS)
    for module, text in COMMANDS.values():
        assert callable(import_module(module).main)
        assert text


def test_help_lists_the_commands(capsys):
    for arguments in (["--help"], []):
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
        printed = " ".join(capsys.readouterr().out.split())
        assert all(f"{name} {text}" in printed for name, (_, text) in COMMANDS.items())


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"medprobclip {medprobclip.__version__}"


def test_an_unknown_command_names_the_known_ones(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["trian"])
    error = capsys.readouterr().err
    assert "'trian'" in error
    assert all(name in error for name in COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_loads_nothing_heavy(name):
    """That is what makes it quick; seconds would measure the machine."""
    code = (
        "import sys\nfrom medprobclip.__main__ import main\n"
        f"try:\n    main({[name, '--help'] if name else ['--help']})\n"
        f"finally:\n    print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: medprobclip {name}".strip())
    assert result.stderr.strip() == "[]"


def test_rest_of_the_line_reaches_the_command(monkeypatch):
    seen = []
    monkeypatch.setattr("medprobclip.commands.run.main", seen.append)
    main(["run", "--profile", "smoke", "--only", "01"])
    assert seen == [["--profile", "smoke", "--only", "01"]]


def test_console_script_and_module_are_the_same():
    script = Path(sys.executable).parent / "medprobclip"
    outputs = [
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in ([script], [sys.executable, "-m", "medprobclip"])
    ]
    assert outputs[0] == outputs[1]


def test_make_calls_the_commands():
    """But those that work on tables and questions of one's own: README and docs say how to call them."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    own = {"prepare", "train", "calibrate", "index", "search"}
    for name in set(COMMANDS) - own:
        assert any(f"$(BIN)/medprobclip {name}" in line for line in lines), name
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert all(f"medprobclip {name}" in text for name in own)


def test_make_has_bytecode_written():
    """Whatever the environment says: without, every process compiles torch and transformers again."""
    rule = 'print-it:\n\t@echo "[$$PYTHONDONTWRITEBYTECODE]"\n'
    result = subprocess.run(
        ["make", "-s", "-f", "Makefile", "-f", "-", "print-it"], input=rule, cwd=ROOT, text=True,
        capture_output=True, check=True, env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("target", ["run", "figures", "figures-full"])
def test_make_hands_on_a_folder_of_tables(target, tmp_path):
    """Seen from where it is called, with spaces in its name; without one, none."""
    (tmp_path / "medprobclip").write_text('#!/bin/sh\nprintf "[%s]" "$@"\n')
    (tmp_path / "medprobclip").chmod(0o755)

    def made(*settings: str) -> str:
        command = ["make", "-s", target, f"BIN={tmp_path}", "INSTALLED=", *settings]
        return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout

    assert "[--tables][../my own/tables]" in made("TABLES=../my own/tables", "PROFILE=laptop")
    assert "[--profile][laptop]" in made("TABLES=x", "PROFILE=laptop")
    assert "--tables" not in made()


@pytest.fixture
def schooled(tmp_path, monkeypatch):
    """`medprobclip encoder` without a school, and all that it writes in a temporary folder.

    Gives that folder, how often it was asked for what, and what the school does.
    """
    readable = [(f"mass {i}", 0.9, 0.8, 0.95, 0.9, 1.0, 7, "readable") for i in range(19)]
    table = pd.DataFrame(
        [*readable, ("nodule", 0.6, 0.5, 0.7, 0.6, 0.8, 5, "small")],
        columns=["kind", "pa", "lateral", "both", "low", "high", "positives", "verdict"],
    )
    found = SimpleNamespace(folder=tmp_path, asked=[], table=table, error=None)

    def school_encoder(codes, out, config, readability):
        if found.error:
            raise found.error
        found.asked.append((codes["mass"], config, readability))
        (out / "encoder").mkdir(parents=True, exist_ok=True)
        (out / "encoder" / "config.json").write_text("{}")
        (out / "encoder" / "model.safetensors").write_text(f"weights {len(found.asked)}")
        return table

    (tmp_path / "chest_encoder").mkdir()
    (tmp_path / "chest_encoder" / "README.md").write_text("what this is")
    monkeypatch.setattr(encoder, "OUT", tmp_path / "out")
    monkeypatch.setattr(encoder, "ROOT", tmp_path)
    monkeypatch.setitem(PACKAGED, "chest-encoder", tmp_path / "chest_encoder")
    monkeypatch.setattr("medprobclip.simulator.openi_sim.training_codes", lambda: ["Mass/a", "Mass/a"])
    monkeypatch.setattr("medprobclip.paper.chest_encoder.school_encoder", school_encoder)
    yield found
    plt.close("all")


def test_the_chest_encoder_of_the_defaults_is_committed_with_its_figure(schooled, capsys):
    """And again, over the former files."""
    for time in (1, 2):
        encoder.main([])
        files = {path.name: path.read_text() for path in (schooled.folder / "chest_encoder").iterdir()}
        assert files == {
            "README.md": "what this is", "config.json": "{}", "model.safetensors": f"weights {time}",
        }  # fmt: skip
        assert {path.name for path in (schooled.folder / "figures").iterdir()} == {
            "readability.png", "readability.csv",
        }  # fmt: skip
        printed = capsys.readouterr().out
        assert f"Encoder: {schooled.folder / 'chest_encoder'}" in printed
        assert "1 of 20 kinds are hard (AUROC below 0.75):\n  small: nodule" in printed
    assert schooled.asked == [(["Mass/a"] * 2, SchoolConfig(), ReadabilityConfig())] * 2
    written = pd.read_csv(schooled.folder / "figures" / "readability.csv")
    pd.testing.assert_frame_equal(written, schooled.table)


@pytest.mark.parametrize("flags", ["--hard_below 0.8", "--epochs 3", "--seed 1"])
def test_a_chest_encoder_of_other_settings_stays_with_its_run(schooled, capsys, flags):
    encoder.main(flags.split())
    assert {path.name for path in schooled.folder.iterdir()} == {"out", "chest_encoder"}
    assert {path.name for path in (schooled.folder / "chest_encoder").iterdir()} == {"README.md"}
    assert (schooled.folder / "out" / "readability.png").is_file()
    assert f"Encoder: {schooled.folder / 'out' / 'encoder'}" in capsys.readouterr().out
    ((_, config, readability),) = schooled.asked
    flag, value = flags.removeprefix("--").split()
    assert float(vars(config).get(flag) or vars(readability)[flag]) == float(value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TrainingError("lower batch_size"), "TrainingError: lower batch_size"),
        (KeyboardInterrupt(), "goes on after the last finished epoch"),
    ],
)
def test_a_stopped_school_says_why_and_what_next(schooled, error, message):
    schooled.error = error
    with pytest.raises(SystemExit, match=message):
        encoder.main([])
    assert {path.name for path in schooled.folder.iterdir()} == {"chest_encoder"}


def test_settings_of_the_school_out_of_range_are_refused(schooled, capsys):
    with pytest.raises(SystemExit) as stopped:
        encoder.main(["--batch_size", "-4", "--epochs", "0"])
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert "batch_size = -4 is out of range" in printed
    assert "epochs = 0 is out of range" in printed
    assert schooled.asked == []
