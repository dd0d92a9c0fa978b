"""Who may import whom: packages and files in the order that their docstrings tell, and nothing upwards."""

import ast
import re
from pathlib import Path, PurePosixPath

import pytest
from sources import MODULES, PACKAGE, imported

MAX_LINES = 300
FOLDERS = sorted(str(PurePosixPath(name).parent) for name in MODULES if name.endswith("__init__.py"))


def docstring(source: str) -> str:
    return ast.get_docstring(ast.parse(source)) or ""


def listed(text: str) -> list[str]:
    """The entries of a package in reading order: lines "    name.py   role" and "    folder/   role"."""
    return re.findall(r"^ {4}(\w+(?:\.py|/)) {2,}\S", text, re.MULTILINE)


def source_of(name: str) -> str:
    return (PACKAGE / name).read_text(encoding="utf-8")


def module_of(dotted: str, modules: set[str]) -> str | None:
    """The file behind an imported name, "medprobclip.data.images.read_image" -> "data/images.py"."""
    path = dotted.removeprefix("medprobclip.").replace(".", "/")
    return next((t for t in (f"{path}.py", f"{path.rpartition('/')[0]}.py") if t in modules), None)


def upwards(orders: dict[str, list[str]], sources: dict[str, str]) -> list[str]:
    """Imports of a file or package that does not stand above the importing one where their paths part."""
    wrong = []
    for module, source in sources.items():
        for name in imported(ast.parse(source)):
            target = module_of(name, set(sources))
            if not name.startswith("medprobclip.") or target == module:
                continue
            if target is None:
                wrong.append(f"{module} takes {name} from a package, not from its file")
                continue
            here, there = module.split("/"), target.split("/")
            shared = next(i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b)
            entries = [parts[shared] + ("/" if len(parts) > shared + 1 else "") for parts in (here, there)]
            order = orders["/".join(here[:shared]) or "."]
            if order.index(entries[1]) >= order.index(entries[0]):
                wrong.append(f"{module} imports {target}")
    return wrong


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_package_lists_what_is_in_it(folder):
    """Its docstring names every file and folder, with what it is for."""
    entries = {path.name for path in (PACKAGE / folder).glob("*.py")} - {"__init__.py"}
    entries |= {f"{path.parent.name}/" for path in (PACKAGE / folder).glob("*/__init__.py")}
    names = listed(docstring(source_of(f"{folder}/__init__.py")))
    assert sorted(names) == sorted(entries)


def test_imports_flow_one_way():
    orders = {folder: listed(docstring(source_of(f"{folder}/__init__.py"))) for folder in FOLDERS}
    sources = {name: source_of(name) for name in MODULES if not name.endswith("__init__.py")}
    assert upwards(orders, sources) == []


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
    assert upwards({".": ["low.py", "data/"]}, sources) == ["low.py imports data/high.py"]
    assert upwards({".": ["data/", "low.py"]}, sources) == ["data/high.py imports low.py"]


def test_an_import_against_the_order_inside_a_package_would_be_found():
    sources = {"data/a.py": "from medprobclip.data.b import x", "data/b.py": ""}
    assert upwards({"data": ["a.py", "b.py"]}, sources) == ["data/a.py imports data/b.py"]
    assert upwards({"data": ["b.py", "a.py"]}, sources) == []


def test_a_name_taken_from_a_package_would_be_found():
    sources = {"low.py": "from medprobclip.data import thing", "data/high.py": ""}
    assert upwards({".": ["data/", "low.py"]}, sources) == [
        "low.py takes medprobclip.data.thing from a package, not from its file"
    ]


def importers(of: str) -> set[str]:
    """The first folders (or files) of the package that import something below a dotted name."""
    return {
        name.split("/")[0]
        for name in MODULES
        if any(f"{n}.".startswith(f"medprobclip.{of}.") for n in imported(ast.parse(source_of(name))))
    }


def test_the_simulator_is_for_the_notebooks_the_paper_and_its_commands():
    assert importers("simulator") - {"simulator"} == {"workbench", "paper", "commands"}


def test_nothing_imports_a_command():
    assert importers("commands") | importers("medprobclip_train") | importers("__main__") == set()


def test_package_initialisers_import_nothing():
    """But what finds the names that one may take from them, when they are used."""
    found = {name: imported(ast.parse(source_of(name))) for name in MODULES if name.endswith("__init__.py")}
    assert found.pop("__init__.py") == {"lazy_loader", "medprobclip.support.auto_classes"}
    for name, names in found.items():
        assert names == ({"lazy_loader"} if (PACKAGE / f"{name}i").exists() else set()), name


@pytest.mark.parametrize("name", MODULES)
def test_module_is_short_and_says_what_it_is(name):
    assert docstring(source_of(name)), f"{name} has no docstring"
    assert len(source_of(name).splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.rglob("*.py")), ids=lambda path: path.name)
def test_test_file_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 320


def test_tests_mirror_the_package():
    """A folder of tests is a folder of the package; those of the method lie in tests/ itself."""
    root = Path(__file__).parent
    folders = {str(path.parent.relative_to(root)) for path in root.rglob("test_*.py")}
    assert folders <= set(FOLDERS)
