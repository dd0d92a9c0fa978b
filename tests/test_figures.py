"""Figures: one function each, listed with who makes it; the picture shows the numbers."""

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


def test_list_functions_notebooks_and_commands_agree():
    functions = {
        name for name, f in inspect.getmembers(figures, inspect.isfunction)
        if f.__module__ == figures.__name__ and name != "save"
    }  # fmt: skip
    assert functions == set(figures.FIGURES)
    makers = {
        path.stem: "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")
        for path in (ROOT / "notebooks").glob("*.ipynb")
    }
    makers |= {
        f"medprobclip.{path.stem}": path.read_text(encoding="utf-8")
        for path in (ROOT / "medprobclip").glob("*.py")
    }
    assert {entry.maker for entry in figures.FIGURES.values()} <= makers.keys()
    for maker, code in makers.items():
        listed = {name for name, entry in figures.FIGURES.items() if entry.maker == maker}
        assert set(re.findall(r'figures\.save\(\s*"(\w+)"', code)) == listed, maker
        assert set(re.findall(r"figures\.(\w+)\(", code)) - {"save"} == listed, maker
        assert not listed or not maker.startswith("medprobclip.") or 'if __name__ == "__main__"' in code


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


def test_contact_sheet_shows_every_film_and_its_corners():
    pictures = np.zeros((3, 2, 2, 16, 16), np.uint8)
    pictures[2, 1, 1] = 7  # third finding, lateral, with
    boxes = np.tile([3, 4, 9, 11], (3, 2, 1))
    figure = figures.contact_sheet(pictures, boxes, ["a", "b", "c"], ["x.", "y.", "z."])
    axes = figure.axes
    assert len(axes) == 12
    assert [ax.get_title(loc="left") for ax in axes[:4]] == [
        "PA, without",
        "PA, with",
        "lateral, without",
        "lateral, with",
    ]
    assert axes[11].images[0].get_array().max() == 7
    assert not axes[10].lines
    x = np.concatenate([line.get_xdata() for line in axes[11].lines])
    y = np.concatenate([line.get_ydata() for line in axes[11].lines])
    assert (x.min(), x.max(), y.min(), y.max()) == (0, 12, 1, 14)


def test_rendered_truth_names_what_it_marks():
    edges = {f"{view}_{e}": [2, 5] for view in ("pa", "lateral") for e in ("left", "top", "right", "bottom")}
    found = pd.DataFrame({"kind": ["nodule", "effusion"], **edges})
    table = pd.DataFrame({"group": ["nodule"], "studies": [9], "low": [1.0], "median": [2.0], "high": [4.0]})
    image = np.zeros((16, 16), np.uint8)
    figure = figures.rendered_truth(image, image, found, table)
    legend = figure.subfigs[0].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["nodule", "effusion"]
    ranges = figure.subfigs[1].axes[0]
    assert ranges.get_yticklabels()[0].get_text() == "nodule  (9)"
    segment = ranges.containers[0].lines[2][0].get_segments()[0]
    assert segment[:, 0].tolist() == [1.0, 4.0]


def test_recall_points_stand_at_their_values():
    generator = np.random.default_rng(0)
    table = retrieval_table(generator.normal(size=(150, 150)) + 2 * np.eye(150), np.eye(150, dtype=bool))
    ax = figures.retrieval(table).axes[0]
    points = [container.lines[0].get_ydata().astype(float) for container in ax.containers]
    recalls = table[table["metric"].str.startswith("R@")]
    for y, direction in zip(points, DIRECTIONS, strict=True):
        np.testing.assert_allclose(y, recalls.loc[recalls["direction"] == direction, "value"])


def test_the_ceiling_stands_beside_chance():
    """Dashes at the numbers of the table, named in the legend; without a ceiling there is no such dash."""
    relevant = np.kron(np.eye(15), np.ones((10, 10))) > 0
    scores = np.random.default_rng(1).normal(size=(150, 150)) + relevant
    table = retrieval_table(scores, np.eye(150, dtype=bool), relevant=relevant, reader=relevant / 10)
    figure = figures.retrieval(table)
    for ax, prefix in zip(figure.axes, ("R@", "mAP@R"), strict=True):
        rows = table[table["metric"].str.startswith(prefix)]
        drawn = np.concatenate([line.get_ydata() for line in ax.get_lines() if line.get_marker() == "_"])
        shown = {round(float(y), 6) for y in drawn}
        assert {round(y, 6) for name in ("ceiling", "chance") for y in rows[name]} <= shown
        assert ax.get_ylim()[1] > rows[["high", "ceiling"]].max().max()
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == {"ceiling", "chance", *DIRECTIONS.values()}
    plain = figures.retrieval(table[table["metric"] != "mAP@R"].drop(columns=["ceiling", "attained"]))
    assert len(plain.axes) == 1
    assert "ceiling" not in {text.get_text() for text in plain.legends[0].get_texts()}


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


def scaling_rows(memory: list[float]) -> pd.DataFrame:
    """Three sizes by broadcast (two of them), tiles, search and cosine search; seconds 1, 2, 3 … in order."""
    sizes = {"broadcast": (10, 40), **dict.fromkeys(("tiles", "search", "cosine search"), (10, 40, 160))}
    table = pd.DataFrame([(m, n) for m, of in sizes.items() for n in of], columns=["method", "gallery"])
    compiled = table["method"].isin(["tiles", "search"]) & (table["gallery"] == 160)
    return table.assign(
        queries=1000, dim=8, compiled=compiled, seconds=np.arange(1.0, 12), memory_mb=np.resize(memory, 11)
    )


def test_scaling_draws_the_table():
    table = scaling_rows([5.0, 0.0, float("nan"), 200.0])
    figure = figures.scaling(table)
    figure.canvas.draw()
    for ax, column, floor in zip(figure.axes, ("seconds", "memory_mb"), (0, 1), strict=True):
        lines = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
        for line, (_, rows) in zip(lines, table.groupby("method", sort=False), strict=True):
            assert line.get_xdata().tolist() == rows["gallery"].tolist()
            np.testing.assert_array_equal(line.get_ydata(), rows[column].clip(lower=floor))
        filled = [line for line in ax.get_lines() if line.get_marker() == "o" and line.get_mfc() != "white"]
        assert [line.get_xdata().tolist() for line in filled if len(line.get_xdata())] == [[160], [160]]
        guide = next(line for line in ax.get_lines() if line.get_linestyle() == "--")
        assert len(set((guide.get_ydata() / guide.get_xdata()).round(9))) == 1
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert guide.get_ydata()[-1] == table.query("method == 'tiles'")["memory_mb"].iloc[-1]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(named) == len(set(named)) == 7
    assert "1,000 queries" in figure.axes[0].get_title(loc="left")


def test_scaling_says_that_memory_is_not_known():
    figure = figures.scaling(scaling_rows([float("nan")]))
    figure.canvas.draw()
    assert figure.axes[1].texts[0].get_text() == "not known on this system"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
