"""The project's own rules: one list of dependencies, notebooks without outputs."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sources import MODULES, PACKAGE, ROOT, imported

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for group in (PROJECT["dependencies"], *extras) for text in group]


def lines(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in text if line.strip() and not line.startswith("#")]


def pins() -> dict[str, str]:
    pairs = (line.split("==") for line in lines("constraints.txt"))
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_has_a_tested_version(requirement):
    if requirement.name == PROJECT["name"]:
        assert requirement.extras <= PROJECT["optional-dependencies"].keys()
    else:
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_constraints_are_plain_public_versions():
    for line in lines("constraints.txt"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)  # no +cpu, no path
    assert PROJECT["name"] not in pins()
    assert len(pins()) == len(lines("constraints.txt"))


def test_every_installation_uses_the_one_list():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    python = PROJECT["requires-python"].removeprefix(">=")
    assert conda == [f"python={python}", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[notebooks,test]"]}
    assert lines("requirements.txt") == ["-c constraints.txt", "-e .[notebooks]"]
    assert "-c constraints.txt -e '.[notebooks,test]'" in (ROOT / "Makefile").read_text(encoding="utf-8")
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert f'python: ["{python}", "3.13"]' in workflow
    assert {"notebooks", "test", "dicom"} == PROJECT["optional-dependencies"].keys()


def test_every_imported_package_is_a_declared_dependency():
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    distributions = packages_distributions()
    for module in MODULES:
        tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
        tops = {name.split(".")[0] for name in imported(tree)}
        for top in tops - sys.stdlib_module_names - {"medprobclip"}:
            assert declared & {canonicalize_name(name) for name in distributions.get(top, [])}, (module, top)


def with_outputs(notebooks: list[Path]) -> list[str]:
    """Names of the notebooks from which nbstripout would remove something: the check of `make lint`."""
    command = [sys.executable, "-m", "nbstripout", "--keep-id", "--verify", *map(str, notebooks)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    names = [path.name for path in notebooks if str(path) in result.stdout + result.stderr]
    assert bool(names) == bool(result.returncode), result.stderr
    return names


def test_no_committed_notebook_has_outputs():
    assert NOTEBOOKS
    assert with_outputs(NOTEBOOKS) == []


def test_outputs_would_be_found(tmp_path):
    def write(name: str, **changes) -> Path:
        cell = nbformat.v4.new_code_cell("1 + 1", **changes)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / name)
        return tmp_path / name

    output = nbformat.v4.new_output("stream", text="2\n")
    notebooks = [
        write("clean.ipynb"),
        write("counted.ipynb", execution_count=1),
        write("run.ipynb", outputs=[output]),
    ]
    assert with_outputs(notebooks) == ["counted.ipynb", "run.ipynb"]
    assert with_outputs(notebooks[:1]) == []


def test_the_filter_of_outputs_fails_closed(tmp_path):
    """With the commands that the Makefile gives git: without `.venv`, a notebook cannot be staged."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    commands = [
        line.strip().removesuffix("\\").strip().removesuffix("&&")
        for line in lines
        if "filter.nbstripout" in line
    ]
    assert len(commands) == 3

    def git(*arguments, check=True):
        return subprocess.run(
            ["git", "-C", str(tmp_path), *arguments], capture_output=True, text=True, check=check
        )

    git("init", "-q")
    for command in commands:
        shell = command.replace("$(BIN)", ".venv/bin").replace("$$", "$")
        subprocess.run(["bash", "-c", shell], cwd=tmp_path, check=True)
    (tmp_path / ".gitattributes").write_text("*.ipynb filter=nbstripout\n")
    cell = nbformat.v4.new_code_cell("1 + 1", outputs=[nbformat.v4.new_output("stream", text="secret\n")])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "run.ipynb")
    refused = git("add", "run.ipynb", check=False)
    assert refused.returncode
    assert "run make first" in refused.stderr
    assert "run.ipynb" not in git("ls-files").stdout
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    git("add", "run.ipynb")
    assert "secret" not in git("show", ":run.ipynb").stdout
    assert "1 + 1" in git("show", ":run.ipynb").stdout
