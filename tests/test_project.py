"""The project's own rules: one list of dependencies, clean notebooks, one-way imports, short files."""

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

import medprobclip

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "medprobclip"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
LISTED = re.findall(r"^    (\S+\.py) {2,}\S", medprobclip.__doc__ or "", re.MULTILINE)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_LINES = 320


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
    assert f'python-version: "{python}"' in workflow
    assert {"notebooks", "test", "dicom"} == PROJECT["optional-dependencies"].keys()


def imported(tree: ast.AST) -> set[str]:
    """Every dotted name that a file imports when it runs, at any depth; `from a import b` gives "a.b"."""
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    names = set()
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_imported_package_is_a_declared_dependency():
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    distributions = packages_distributions()
    for module in MODULES:
        tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
        tops = {name.split(".")[0] for name in imported(tree)}
        for top in tops - sys.stdlib_module_names - {"medprobclip"}:
            assert declared & {canonicalize_name(name) for name in distributions.get(top, [])}, (module, top)


def imports_upwards(order: list[str], sources: dict[str, str]) -> list[str]:
    """Which files import from a file that does not stand above them in the list."""
    rank = {name: i for i, name in enumerate(order)}
    wrong = []
    for module, source in sources.items():
        for name in imported(ast.parse(source)):
            inner = name.removeprefix("medprobclip.").replace(".", "/")
            target = next((t for t in (f"{inner}.py", f"{inner.rpartition('/')[0]}.py") if t in rank), None)
            if name.startswith("medprobclip.") and target is not None and rank[target] >= rank[module]:
                wrong.append(f"{module} imports {target}")
    return wrong


def test_the_package_lists_its_modules():
    """`medprobclip/__init__.py` lists every module with its role, as lines "    name.py   role"."""
    files = [name for name in MODULES if not name.endswith("__init__.py")]
    assert sorted(LISTED) == files, f"add or remove lines: {sorted(set(LISTED) ^ set(files))}"


def test_imports_flow_one_way():
    sources = {name: (PACKAGE / name).read_text(encoding="utf-8") for name in LISTED}
    assert imports_upwards(LISTED, sources) == []


def test_package_initialisers_import_nothing():
    for name in MODULES:
        if name.endswith("__init__.py"):
            assert imported(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))) == set(), name


@pytest.mark.parametrize(
    "line",
    [
        "import medprobclip.data.high",
        "from medprobclip.data.high import thing",
        "from medprobclip.data import high",
        "def late():\n    from medprobclip.data import high",
    ],
)
def test_an_import_from_below_would_be_found(line):
    sources = {"low.py": line, "data/high.py": "import medprobclip.low"}
    assert imports_upwards(["low.py", "data/high.py"], sources) == ["low.py imports data/high.py"]
    assert imports_upwards(["data/high.py", "low.py"], sources) == ["data/high.py imports low.py"]


@pytest.mark.parametrize("name", MODULES)
def test_module_is_short_and_says_what_it_is(name):
    source = (PACKAGE / name).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)), f"{name} has no docstring"
    assert len(source.splitlines()) <= MAX_LINES


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
