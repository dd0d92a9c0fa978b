"""Figures: one maker each, listed with its notebook; the picture shows the numbers."""

import inspect
import re

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medprobclip import figures
from medprobclip.evaluation.reliability import oracle_curve, random_curve, risk_coverage
from medprobclip.evaluation.retrieval import DIRECTIONS, retrieval_table
from medprobclip.headless import ROOT


def test_list_makers_and_notebooks_agree():
    makers = {
        name for name, f in inspect.getmembers(figures, inspect.isfunction)
        if f.__module__ == figures.__name__ and name != "save"
    }  # fmt: skip
    assert makers == set(figures.FIGURES)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        code = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")
        listed = {name for name, entry in figures.FIGURES.items() if entry.notebook == path.stem}
        assert set(re.findall(r'figures\.save\(\s*"(\w+)"', code)) == listed
        assert set(re.findall(r"figures\.(\w+)\(", code)) - {"save"} == listed


def test_committed_figures_are_the_listed_ones():
    stems = {path.stem for path in (ROOT / "figures").iterdir() if path.suffix in (".png", ".csv")}
    assert stems == set(figures.FIGURES)
    for name in figures.FIGURES:
        assert (ROOT / "figures" / f"{name}.png").exists()
        assert (ROOT / "figures" / f"{name}.csv").exists()


def test_save_writes_picture_and_numbers(tmp_path):
    table = retrieval_table(np.eye(30), np.eye(30, dtype=bool))
    path = figures.save("retrieval", figures.retrieval(table), table, tmp_path)
    assert Image.open(path).width > 500
    stored = pd.read_csv(tmp_path / "retrieval.csv")
    for column in ("value", "low", "chance", "queries"):
        np.testing.assert_allclose(stored[column], table[column].astype(float), rtol=1e-5)
    with pytest.raises(KeyError):
        figures.save("no_such_figure", plt.figure(), table, tmp_path)


def test_recall_points_stand_at_their_values():
    generator = np.random.default_rng(0)
    table = retrieval_table(generator.normal(size=(150, 150)) + 2 * np.eye(150), np.eye(150, dtype=bool))
    ax = figures.retrieval(table).axes[0]
    points = [container.lines[0].get_ydata().astype(float) for container in ax.containers]
    recalls = table[table["metric"].str.startswith("R@")]
    for y, direction in zip(points, DIRECTIONS, strict=True):
        np.testing.assert_allclose(y, recalls.loc[recalls["direction"] == direction, "value"])


def test_risk_coverage_draws_each_order():
    errors = np.array([0, 1, 1, 0, 1.0])
    orders = {"a": risk_coverage(np.arange(5), errors), "r": random_curve(errors), "o": oracle_curve(errors)}
    figure = figures.risk_coverage({"One": orders, "Two": orders})
    assert len(figure.axes) == 2
    for line, curve in zip(figure.axes[1].get_lines(), orders.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), curve.risk)
        assert f"{curve.aurc:.3f}" in line.get_label()


def test_share_counts_reads_at_least():
    """Two studies alone, three in one group: all share with ≥ 1, 60 % with ≥ 3."""
    figure = figures.shared_meaning({"x": pd.DataFrame({"size": [1, 3], "studies": [2, 3]})})
    line = figure.axes[0].get_lines()[0]
    assert line.get_ydata().tolist() == [100, 60, 0]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
