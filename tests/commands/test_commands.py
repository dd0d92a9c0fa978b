"""`medprobclip COMMAND`: every command is listed, its help starts at once, and it is what `make` calls."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from sources import PACKAGE, ROOT

import medprobclip
from medprobclip.__main__ import COMMANDS, main

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
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    for name in set(COMMANDS) - {"train"}:
        assert any(f"$(BIN)/medprobclip {name}" in line for line in lines), name


def test_make_has_bytecode_written():
    """Whatever the environment says: without, every process compiles torch and transformers again."""
    rule = 'print-it:\n\t@echo "[$$PYTHONDONTWRITEBYTECODE]"\n'
    result = subprocess.run(
        ["make", "-s", "-f", "Makefile", "-f", "-", "print-it"], input=rule, cwd=ROOT, text=True,
        capture_output=True, check=True, env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert result.stdout.strip() == "[]"
