"""Figures of doubt: curves, areas, confidences and calibration are those of their tables."""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import (
    ALL,
    ALONE,
    CONTROL,
    assert_readable,
    bars,
    by_method,
    compared,
    drawn,
    labels_of,
    legend_of,
    points,
    titles,
    written,
)
from matplotlib.colors import to_rgba

from medprobclip.evaluation.confidence import LABELS
from medprobclip.evaluation.retrieval import CUTOFFS, DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import METHOD_COLOURS
from medprobclip.paper.figures.reliability import (
    calibration,
    confidences,
    figure_2,
    figure_2_areas,
)
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.reported import reported

pytestmark = pytest.mark.filterwarnings("error")
PANELS = [(direction, k) for direction in DIRECTIONS for k in CUTOFFS]


def curve_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.reliability.curve_table`."""
    coverage = np.arange(1, 101) / 100
    parts = []
    for panel, (direction, k) in enumerate(PANELS):
        for i, name in enumerate((*methods, "random", "oracle")):
            risk = (0.3 + 0.01 * i) * coverage + 0.05 * panel
            parts.append(
                pd.DataFrame(
                    {"direction": direction, "k": k, "method": name, "coverage": coverage, "risk": risk}
                )
            )
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("methods", [ALL, ALONE, CONTROL])
def test_figure_2_draws_every_curve(methods):
    table = curve_rows(methods)
    figure = drawn(figure_2, curve_rows, methods)
    own = METHODS[methods[0]]
    names = {f"{own}, random order": "random", f"{own}, oracle": "oracle"} | {METHODS[m]: m for m in methods}
    for ax, (direction, k) in zip(figure.axes, PANELS, strict=True):
        rows = table[(table["direction"] == direction) & (table["k"] == k)].set_index("method")
        assert [line.get_label() for line in ax.get_lines()] == list(names)
        for line in ax.get_lines():
            curve = rows.loc[names[line.get_label()]]
            np.testing.assert_allclose(line.get_xdata(), 100 * curve["coverage"])
            np.testing.assert_array_equal(line.get_ydata(), curve["risk"])
    assert legend_of(figure) == list(names)
    frame, _, line = figure.axes[0].get_lines()[:3]
    assert frame.get_color() == line.get_color() == METHOD_COLOURS[methods[0]]
    assert (frame.get_linestyle(), line.get_linestyle()) == ("--", "-")


def test_figure_2_can_be_read():
    figure = drawn(figure_2, curve_rows, ALL)
    assert_readable(figure)
    assert titles(figure.axes) == [*(f"R@{k}" for k in CUTOFFS), *[""] * 4]
    rows = [ax.get_ylabel().split("\n")[0] for ax in figure.axes if ax.get_ylabel()]
    assert rows == list(DIRECTIONS.values())


def area_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.reliability.area_table`."""
    parts, paper = [], reported("figure2")
    for panel, (direction, k) in enumerate(PANELS):
        rows = compared(by_method(0.9 - 0.05 * panel, 0.01, methods), 0.02)
        rows = rows.assign(direction=direction, k=k, random=rows["value"] + 0.03)
        parts.append(rows.assign(reported=[paper.get((name, f"AURC_R@{k}"), np.nan) for name in methods]))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_areas_draw_the_table(methods):
    table = area_rows(methods)
    figure = drawn(figure_2_areas, area_rows, methods)
    for ax, (direction, k) in zip(figure.axes, PANELS, strict=True):
        rows = table[(table["direction"] == direction) & (table["k"] == k)]
        assert [point[:2] for point in points(ax)] == [(value, y) for y, value in enumerate(rows["value"])]
        np.testing.assert_allclose(bars(ax), rows[["low", "high"]])
        if "difference_low" in rows:
            same = (rows["difference_low"] <= 0) & (rows["difference_high"] >= 0)
            assert [hollow for *_, hollow in points(ax)] == same.tolist()
        random = [
            line for line in ax.get_lines() if line.get_marker() == "|" and line.get_color() == plots.QUIET
        ]
        assert [line.get_xdata()[0] for line in random] == rows["random"].tolist()
        assert [line.get_ydata()[0] for line in random] == list(range(len(rows)))
        assert written(ax) == [f"{number:.3f}" for number in rows["reported"].dropna()]
    assert labels_of(figure.axes[0]) == [METHODS[name] for name in methods]


def test_areas_can_be_read():
    figure = drawn(figure_2_areas, area_rows, ALL)
    assert_readable(figure)
    assert titles(figure.axes) == [*(f"AURC at R@{k}" for k in CUTOFFS), *[""] * 4]
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()] == list(DIRECTIONS.values())
    assert len(legend_of(figure)) == len(set(legend_of(figure))) == 4


def test_areas_of_one_method_and_seed_explain_nothing_that_is_absent():
    rows = area_rows(ALONE)
    figure = figure_2_areas(rows.assign(least=rows["value"], most=rows["value"], reported=np.nan))
    assert legend_of(figure) == ["random order"]
    assert_readable(figure)


def selective_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.reliability.selective_table`; each method chose another confidence, by direction."""
    names, rows = list(LABELS), []
    for i, method in enumerate(methods):
        for j, direction in enumerate(DIRECTIONS):
            for k in CUTOFFS:
                for n, name in enumerate(names):
                    row = {"method": method, "direction": direction, "k": k, "confidence": name}
                    chosen = n == (i + 2 * j) % len(names)
                    rows.append(row | {"excess": (0.1 + 0.02 * i + 0.03 * n) / (k + 9), "chosen": chosen})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_confidences_are_filled_where_they_were_chosen(methods):
    table = selective_rows(methods)
    figure = drawn(confidences, selective_rows, methods)
    for ax, (direction, k) in zip(figure.axes, PANELS, strict=True):
        assert ax.get_yticks().tolist() == list(range(len(LABELS)))
        for name, marks in zip(methods, ax.collections, strict=True):
            of = (table["direction"] == direction) & (table["k"] == k) & (table["method"] == name)
            rows = table[of].set_index("confidence").loc[list(LABELS)]
            x, y = marks.get_offsets().T
            np.testing.assert_allclose(x, rows["excess"])
            np.testing.assert_array_equal(y.round(), np.arange(len(LABELS)))
            colour = to_rgba(METHOD_COLOURS[name])
            faces = [colour if chosen else to_rgba("white") for chosen in rows["chosen"]]
            np.testing.assert_allclose(marks.get_facecolor(), faces)
            np.testing.assert_allclose(marks.get_edgecolor(), [colour])
    assert labels_of(figure.axes[0]) == list(LABELS.values())
    assert legend_of(figure) == [*(METHODS[name] for name in methods), "filled: chosen on validation"]


def test_no_confidence_lies_outside_its_panel():
    rows = selective_rows()
    rows.loc[(rows["direction"] == "t2i") & (rows["confidence"] == "variance"), "excess"] *= 3
    for ax in confidences(rows).axes:
        low, high = ax.get_xlim()
        assert low == 0
        assert max(marks.get_offsets()[:, 0].max() for marks in ax.collections) < high


def test_confidences_can_be_read():
    figure = drawn(confidences, selective_rows, ALL)
    assert_readable(figure)
    assert titles(figure.axes) == [*(f"R@{k}" for k in CUTOFFS), *[""] * 4]
    assert [bool(ax.get_xlabel()) for ax in figure.axes] == [False] * 4 + [True] * 4


def calibration_rows(methods: tuple[str, ...] = ALL) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As the diagrams and the table of notebook 05; some bins of pairs hold no match."""
    diagrams, errors = [], []
    for level in ("pairs", "i2t", "t2i"):
        for i, name in enumerate(("before", "platt", "isotonic")):
            p = np.geomspace(1e-5, 0.3, 6) if level == "pairs" else np.linspace(0.02, 0.9, 6)
            share = np.array([0, *p[1:]]) * (1 - 0.2 * i)
            bins = {"confidence": p, "frequency": share, "low": 0.6 * share, "high": 1e-5 + 1.1 * share}
            diagrams.append(pd.DataFrame({"level": level, "calibrator": name, **bins}))
            for j, method in enumerate(methods):
                row = {"method": method, "level": level, "calibrator": name}
                errors.append(row | {"ace": 0.4 - 0.1 * i + 0.01 * j, "ace_bias": 0.02 + 0.001 * j})
    return pd.concat(diagrams, ignore_index=True), pd.DataFrame(errors)


drawn_calibration = cache(lambda methods: calibration(*calibration_rows(methods)))


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_calibration_draws_bins_and_errors(methods):
    diagrams, table = calibration_rows(methods)
    figure = drawn_calibration(methods)
    *panels, last = figure.axes
    for ax, level in zip(panels, ("pairs", "i2t", "t2i"), strict=True):
        rows = diagrams[diagrams["level"] == level]
        assert [container.get_label() for container in ax.containers] == ["as trained", "Platt", "isotonic"]
        for container, (_, bins) in zip(ax.containers, rows.groupby("calibrator", sort=False), strict=True):
            np.testing.assert_allclose(container.lines[0].get_xdata().astype(float), bins["confidence"])
            np.testing.assert_allclose(container.lines[0].get_ydata().astype(float), bins["frequency"])
            ends = [segment[:, 1] for segment in container.lines[2][0].get_segments()]
            np.testing.assert_allclose(ends, bins[["low", "high"]])
        assert ax.get_xscale() == ax.get_yscale() == ("log" if level == "pairs" else "linear")
    i2t = table[table["level"] == "i2t"]
    assert [bar.get_width() for bar in last.patches] == [
        ace for name in ("before", "platt", "isotonic") for ace in i2t[i2t["calibrator"] == name]["ace"]
    ]
    by_chance = [line.get_xdata().tolist() for line in last.get_lines() if line.get_marker() == "|"]
    assert by_chance == [i2t[i2t["calibrator"] == "platt"]["ace_bias"].tolist()] * 3
    assert labels_of(last) == [METHODS[name] for name in methods]
    left, chance = "further left than shown", "of right probabilities, by chance"
    assert legend_of(figure) == ["as trained", "Platt", "isotonic", left, chance]


@pytest.mark.parametrize("shift", [1.0, 1e-20])
def test_calibration_panels_end_where_the_bins_do(shift):
    """Both axes alike; what lies left of a logarithmic panel stands at its edge, at its own height."""
    diagrams, table = calibration_rows(ALONE)
    before = diagrams["calibrator"] == "before"
    diagrams.loc[before, "confidence"] *= shift
    pairs, *queries, _ = calibration(diagrams, table).axes
    for ax in (pairs, *queries):
        assert ax.get_xlim() == ax.get_ylim()
        (diagonal,) = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
        assert diagonal.get_xdata().tolist() == diagonal.get_ydata().tolist() == list(ax.get_xlim())
    rows = diagrams[diagrams["level"] == "pairs"]
    low, high = pairs.get_xlim()
    assert low == rows.loc[rows["frequency"] > 0, "frequency"].min() / 2
    assert rows["high"].max() < high < 2 * rows["high"].max()
    edge = [line for line in pairs.get_lines() if line.get_marker() == "<"]
    outside = rows[rows["confidence"] < low]
    assert np.unique(np.concatenate([line.get_xdata() for line in edge])).tolist() == [low]
    np.testing.assert_array_equal(
        np.concatenate([line.get_ydata() for line in edge]), outside["frequency"].clip(lower=low)
    )
    assert len(outside) >= (6 if shift < 1 else 1)
    top = diagrams.loc[diagrams["level"] != "pairs", ["confidence", "high"]].max().max()
    for ax in queries:
        assert ax.get_xlim() == pytest.approx((-0.03 * top, 1.03 * top))
        assert not [line for line in ax.get_lines() if line.get_marker() == "<"]


def test_calibration_can_be_read():
    figure = drawn_calibration(ALL)
    assert_readable(figure)
    assert all(titles(figure.axes))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
