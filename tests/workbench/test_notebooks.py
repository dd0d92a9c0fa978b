"""Every notebook is built alike: a box and a picture, predictions, findings, exercises, references."""

import ast
import re

import nbformat
import pytest

from medprobclip.paper.figures.catalogue import FIGURES
from medprobclip.workbench.workspace import ROOT

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARTS = ("**After this notebook**", "**You need**", "**Time**", "**Reads**", "**Writes**")
MOST_LINES, MOST_IMPORTS, MOST_PACKAGES = 10, 8, 6


def cells_of(path, kind: str) -> list[str]:
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def section(path, heading: str) -> list[nbformat.NotebookNode]:
    """The cells under a heading of the second level, to the one with the next heading."""
    cells, inside = [], False
    for cell in nbformat.read(path, 4).cells:
        heads = re.findall(r"^## (.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else []
        cells += [cell] if inside or heading in heads else []
        inside = heading in heads if heads else inside
    return cells


@pytest.fixture(params=PATHS, ids=lambda path: path.stem[:2])
def path(request):
    return request.param


def test_it_opens_with_a_box_and_its_result(path):
    opening = nbformat.read(path, 4).cells[0]
    assert opening.cell_type == "markdown"
    box = "\n".join(line for line in opening.source.splitlines() if line.startswith(">"))
    assert [part for part in PARTS if part not in box] == []
    assert re.search(r"\d+ minutes", box)
    assert "glossary.md" in box
    pictures = re.findall(r"!\[[^\]]{20,}\]\(\.\./figures/(\w+)\.png\)", opening.source)
    assert len(pictures) == 1
    assert pictures[0] in FIGURES


def test_it_names_what_it_writes(path):
    box = nbformat.read(path, 4).cells[0].source
    for name, entry in FIGURES.items():
        if entry.maker == path.stem:
            assert f"`{name}`" in box


def test_it_asks_before_it_answers(path):
    prose = cells_of(path, "markdown")
    assert sum(text.count("**Predict**") for text in prose) >= 3
    assert any("](glossary.md#" in text for text in prose)


def test_it_ends_with_findings_exercises_and_references(path):
    heads = re.findall(r"^## (.+)$", "\n".join(cells_of(path, "markdown")), re.MULTILINE)
    assert heads[-3:] == ["What was found", "Exercises", "To read on"]
    assert [cell.cell_type for cell in section(path, "What was found")][:2] == ["markdown", "code"]
    sources = [cell.source for cell in section(path, "Exercises") if cell.cell_type == "code"]
    assert 2 <= len(sources) <= 4
    for source in sources:
        first, *_, last = source.splitlines()
        assert re.match(r"answer_\d = None  # \S", first), source
        assert re.fullmatch(r'check\("\d\d\.\d", answer_\d\)', last), source
    folded = [c.source for c in section(path, "Exercises") if "<details>" in c.source]
    assert len(folded) == len(sources)
    for text, source in zip(folded, sources, strict=True):
        assert f"{source.splitlines()[-1]}\n```" in text
    links = re.findall(r"\]\((https://[^)]+)\)", section(path, "To read on")[-1].source)
    assert len(links) >= 3


def test_its_cells_are_short(path):
    cells = cells_of(path, "code")
    imports = [code for code in cells if re.search(r"^(?:from|import) ", code, re.MULTILINE)]
    assert len(imports) == 1
    lines = [line for line in imports[0].splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= MOST_IMPORTS
    assert all(line.startswith(("import ", "from ")) and not line.endswith("(") for line in lines)
    assert sum("medprobclip" in line for line in lines) <= MOST_PACKAGES
    assert max(len(code.splitlines()) for code in cells) <= MOST_LINES
    assert max(len(line) for code in cells for line in code.splitlines()) <= 110
    assert 6 <= len(cells) <= 28  # short cells are many


def test_its_code_says_what_it_shows_in_words(path):
    """No raw labels, no dictionaries printed."""
    for code in cells_of(path, "code"):
        for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) == "print":
                assert not any(isinstance(part, (ast.Dict, ast.DictComp)) for part in call.args), code
