"""The list of figures: who makes each, what it is in the paper, and that no other is made."""

import inspect
import re

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medprobclip.__main__ import COMMANDS
from medprobclip.paper.figures import (
    ablation as ablation_figures,
    catalogue as figures,
    corpus as corpus_figures,
    doubt as doubt_figures,
    faults as fault_figures,
    guarantees as guarantee_figures,
    idea as idea_figures,
    model as model_figures,
    patients as patient_figures,
    reliability as reliability_figures,
    retrieval as retrieval_figures,
    zeroshot as zeroshot_figures,
)
from medprobclip.workbench.workspace import ROOT

MODULES = (
    ablation_figures,
    corpus_figures,
    doubt_figures,
    fault_figures,
    guarantee_figures,
    idea_figures,
    model_figures,
    patient_figures,
    reliability_figures,
    retrieval_figures,
    zeroshot_figures,
)


@pytest.fixture(scope="module")
def code() -> dict[str, str]:
    """The code of every notebook, command and other module, by the name that an entry gives its maker."""
    notebooks = {
        path.stem: "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")
        for path in (ROOT / "notebooks").glob("*.ipynb")
    }
    modules = {path: path.read_text(encoding="utf-8") for path in (ROOT / "medprobclip").rglob("*.py")}
    return notebooks | {
        f"medprobclip {path.stem}" if path.parent.name == "commands" else str(path): text
        for path, text in modules.items()
    }


def test_every_figure_function_is_listed_under_its_name():
    functions = [
        function
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert {function.__name__: function for function in functions} == {
        name: entry.draw for name, entry in figures.FIGURES.items()
    }
    assert len(functions) == len(figures.FIGURES) == len(figures._ENTRIES)
    for name in figures.FIGURES:
        assert getattr(figures, name) is figures.FIGURES[name].draw


def test_every_figure_is_drawn_and_saved_by_its_maker_alone(code):
    assert {entry.maker for entry in figures.FIGURES.values()} <= code.keys()
    for maker, text in code.items():
        listed = sorted(name for name, entry in figures.FIGURES.items() if entry.maker == maker)
        assert sorted(re.findall(r'figures\.save\(\s*"(\w+)"', text)) == listed, maker
        assert len(re.findall(r"figures\.save\(", text)) == len(listed), maker
        assert sorted(set(re.findall(r"\bfigures\.(\w+)\(", text)) - {"save"}) == listed, maker


def test_makers_are_notebooks_or_commands():
    commands = {f"medprobclip {name}" for name in COMMANDS}
    assert {entry.maker for entry in figures.FIGURES.values() if not entry.maker[0].isdigit()} <= commands


def test_committed_figures_are_the_listed_ones():
    found = {path.name for path in (ROOT / "figures").iterdir() if path.suffix in (".png", ".csv")}
    assert found == {f"{name}.{ending}" for name in figures.FIGURES for ending in ("png", "csv")}


def test_figures_and_tables_of_the_paper_are_made_once():
    of_paper = [entry.paper for entry in figures.FIGURES.values() if entry.paper]
    assert sorted(of_paper) == ["Figure 1", "Figure 2", "Figure 2 (AURC)", "Table 1", "Table 2"]
    for name, paper in {"figure_1": "Figure 1", "table_1": "Table 1", "figure_2": "Figure 2"}.items():
        assert figures.FIGURES[name].paper == paper


@pytest.mark.parametrize("name", figures.FIGURES)
def test_captions_are_one_sentence_without_a_full_stop(name):
    caption = figures.FIGURES[name].caption
    assert caption == caption.strip()
    assert caption[0].isupper() or caption[0].isdigit()
    assert caption[-1].isalnum() or caption[-1] in ")?"
    assert not re.search(r"[.!?]\s", caption)


def test_save_writes_picture_and_numbers(tmp_path):
    figure, ax = plt.subplots(figsize=(4, 3))
    ax.plot([1, 2])
    numbers = pd.DataFrame({"name": ["a", "b"], "value": [1 / 3, 2e-9], "missing": [np.nan, 1]}, index=[7, 9])
    path = figures.save("table_1", figure, numbers, tmp_path)
    assert path == tmp_path / "table_1.png"
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width > picture.height > 200
        assert "Software" not in picture.info
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "table_1.csv"), numbers.reset_index(drop=True), rtol=1e-5, atol=0
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["table_1.csv", "table_1.png"]


def test_save_refuses_what_is_not_listed(tmp_path):
    with pytest.raises(KeyError):
        figures.save("no_such_figure", plt.figure(), pd.DataFrame(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
