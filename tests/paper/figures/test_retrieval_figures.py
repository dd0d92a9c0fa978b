"""Retrieval by method: marks stand at the numbers of the table, and every label can be read."""

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
    dashes,
    drawn,
    labels_of,
    legend_of,
    pixels_of_letters,
    points,
    titles,
    with_bank,
    written,
)
from matplotlib.figure import Figure

from medprobclip.evaluation.retrieval import CUTOFFS, DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.catalogue import hubs, many_to_many, table_1
from medprobclip.paper.figures.methods import CEILING, METHOD_COLOURS
from medprobclip.paper.figures.retrieval import BANK_ABOVE, SCORE_NAMES, SHOWN
from medprobclip.paper.tables.experiments import METHODS, REFERENCE
from medprobclip.paper.tables.reported import reported
from medprobclip.similarity import SCORES

pytestmark = pytest.mark.filterwarnings("error")
RECALLS = [f"R@{k}" for k in CUTOFFS]
BANK = "less the bank's term (hollow: no change shown)"


def panel_rows(table: pd.DataFrame, direction: str, metric: str, score: str = "own") -> pd.DataFrame:
    """The methods of one panel by one score in the order of the table."""
    of = (table["direction"] == direction) & (table["metric"] == metric)
    return table[of & (table["score"] == score)]


def framed(rows: pd.DataFrame, direction: str, metric: str, **references: float) -> pd.DataFrame:
    """The rows of one panel with its references below."""
    below = pd.DataFrame({"method": list(references), "value": references.values()})
    return pd.concat([rows, below], ignore_index=True).assign(direction=direction, metric=metric)


def recall_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.retrieval.recall_table`."""
    parts = []
    for base, direction in zip((1.0, 1.4), DIRECTIONS, strict=True):
        for metric, times in zip(RECALLS, (1, 5, 10, 18), strict=True):
            rows = compared(by_method(base * times, 0.4 * times, methods), 0.5 * times)
            rows = with_bank(rows, 0.3 * times, 0.5 * times)
            parts.append(framed(rows, direction, metric, random=0.2 * times, ceiling=50 + times))
        rows = with_bank(compared(by_method(150 * base, 40, methods), 20), -15, 20)
        parts.append(framed(rows, direction, "median rank"))
    rows = with_bank(compared(by_method(120, 11, methods), 12), 9, 12)
    table = pd.concat([*parts, framed(rows, "both", "RSUM", random=50, ceiling=527)], ignore_index=True)
    paper = reported("table1")
    keys = [
        (method, metric if direction == "both" else f"{direction}_{metric}")
        for direction, metric, method in table[["direction", "metric", "method"]].itertuples(index=False)
    ]
    numbers = pd.Series([paper.get(key, np.nan) for key in keys])
    return table.assign(reported=numbers.where(table["score"] != "bank"))


def assert_panel(ax: plt.Axes, table: pd.DataFrame, direction: str, metric: str) -> None:
    """Points, diamonds, intervals, hollow marks and dashes are those of the table."""
    rows = panel_rows(table, direction, metric)
    assert [x for x, *_ in points(ax)] == rows["value"].tolist()
    assert [y for _, y, _ in points(ax)] == list(range(len(rows)))
    np.testing.assert_allclose(bars(ax), rows[["low", "high"]])
    same = (rows["difference_low"] <= 0) & (rows["difference_high"] >= 0)
    assert [hollow for *_, hollow in points(ax)] == same.tolist()
    bank = panel_rows(table, direction, metric, "bank")
    same = (bank["difference_low"] <= 0) & (bank["difference_high"] >= 0)
    heights = [y - BANK_ABOVE for y in range(len(bank))]
    assert points(ax, "D") == list(zip(bank["value"], heights, same, strict=True))
    np.testing.assert_allclose(bars(ax, BANK_ABOVE), bank[["low", "high"]])
    colours = [line.get_color() for line in ax.get_lines() if line.get_marker() == "D"]
    assert colours == [METHOD_COLOURS[name] for name in bank["method"]]
    of = (table["direction"] == direction) & (table["metric"] == metric)
    assert dashes(ax) == sorted(table[of & table["method"].isin(["random", "ceiling"])]["value"])


def panels_1(figure: Figure) -> dict[tuple[str, str], plt.Axes]:
    """The panels of table 1 by direction and metric."""
    each, both = figure.subfigs
    keys = [(direction, metric) for direction in DIRECTIONS for metric in RECALLS]
    below = [*((direction, "median rank") for direction in DIRECTIONS), ("both", "RSUM")]
    return dict(zip(keys, each.axes, strict=True)) | dict(zip(below, both.axes, strict=True))


def beside(rows: pd.DataFrame) -> list[str]:
    """What stands at the edge of a panel: our value, and the paper's where it has one."""
    numbers = [n for pair in rows[["value", "reported"]].to_numpy() for n in pair if np.isfinite(n)]
    return [f"{n:.0f}" if n >= 100 else f"{n:.1f}" for n in numbers]


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_table_1_draws_the_table(methods):
    table = recall_rows(methods)
    figure = drawn(table_1, recall_rows, methods)
    for (direction, metric), ax in panels_1(figure).items():
        assert_panel(ax, table, direction, metric)
        assert written(ax) == beside(panel_rows(table, direction, metric))
        assert ax.get_xscale() == ("function" if metric in RECALLS else "linear")
    assert [metric in RECALLS for _, metric in panels_1(figure)].count(True) == 8


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_table_1_can_be_read(methods):
    figure = drawn(table_1, recall_rows, methods)
    assert_readable(figure)
    each, both = figure.subfigs
    assert titles(each.axes) == ["R@1, %", "R@5, %", "R@10, %", "R@100, %", *[""] * 4]
    assert titles(both.axes) == [
        *(f"median rank,\n{label}" for label in DIRECTIONS.values()),
        "RSUM,\nof 800",
    ]
    assert [ax.get_ylabel() for ax in each.axes if ax.get_ylabel()] == list(DIRECTIONS.values())
    for ax in (each.axes[0], each.axes[4], both.axes[0]):
        assert labels_of(ax) == [METHODS[name] for name in methods]
    named = legend_of(figure)
    assert len(named) == len(set(named)) == 6 + (len(methods) > 1)
    assert BANK in named


def test_a_legend_names_only_what_is_there():
    """One method, one seed: no hollow points, no marks of seeds."""
    alone = recall_rows(ALONE).assign(least=1.0, most=1.0, reported=np.nan)
    assert legend_of(table_1(alone)) == ["random order", "oracle ceiling", BANK, "R@K on square-root scales"]
    of_others = [legend_of(drawn(table_1, recall_rows, ALL))[3:5]]
    assert of_others == [[BANK, f"hollow: the paired difference from {METHODS[REFERENCE]} may be 0"]]


def test_without_the_simulator_no_ceiling_is_drawn():
    """Neither in the legend nor as a line; nothing else goes."""
    for draw, rows in ((table_1, recall_rows), (many_to_many, many_rows)):
        table = rows(ALONE)
        simulated, real = draw(table), draw(table[table["method"] != "ceiling"])
        assert set(legend_of(simulated)) - set(legend_of(real)) == {"oracle ceiling"}
        for before, after in zip(simulated.axes, real.axes, strict=True):
            lines, left = (
                [line.get_color() for line in ax.lines if line.get_linestyle() == "--"]
                for ax in (before, after)
            )
            assert left == [colour for colour in lines if colour != CEILING["color"]]
        dashed = [line for ax in simulated.axes for line in ax.lines if line.get_linestyle() == "--"]
        assert CEILING["color"] in {line.get_color() for line in dashed}


def many_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.retrieval.many_to_many_table`."""
    parts = []
    for base, direction in zip((14.0, 18.0), DIRECTIONS, strict=True):
        for metric in ("mAP@R", "R-Precision", "P@5", "P@10", "nDCG@10"):
            rows = with_bank(compared(by_method(base, 1.2, methods), 1.5), 0.9, 1.5)
            parts.append(framed(rows, direction, metric, random=5.0, ceiling=88.0))
        rows = with_bank(compared(by_method(base, 3, methods), 2), -1.5, 2)
        parts.append(framed(rows, direction, "plausible share", random=13.0))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_many_to_many_draws_the_table(methods):
    table = many_rows(methods)
    figure = drawn(many_to_many, many_rows, methods)
    keys = [(direction, metric) for direction in DIRECTIONS for metric in SHOWN]
    for ax, (direction, metric) in zip(figure.axes, keys, strict=True):
        assert_panel(ax, table, direction, metric)
        rows = panel_rows(table, direction, metric)
        assert written(ax) == [f"{value:.1f}" for value in rows["value"]]
    assert set(SHOWN) <= set(table["metric"])
    assert titles(figure.axes) == [*SHOWN.values(), *[""] * 4]
    assert len(legend_of(figure)) == len(set(legend_of(figure))) == 4 + (len(methods) > 1)
    assert BANK in legend_of(figure)


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_many_to_many_can_be_read(methods):
    assert_readable(drawn(many_to_many, many_rows, methods))


@pytest.mark.parametrize("of", [(table_1, recall_rows), (many_to_many, many_rows)], ids=["recall", "many"])
def test_diamonds_stand_between_the_rows_of_their_method_and_the_one_before(of):
    """Some are hollow and some are filled: which, is of the difference from the own score."""
    assert 0 < BANK_ABOVE < 0.5
    draw, rows = of
    figure = drawn(draw, rows, ALL)
    hollow = [mark for ax in figure.findobj(plt.Axes) for *_, mark in points(ax, "D")]
    assert 0 < sum(hollow) < len(hollow) == len(ALL) * len({*figure.findobj(plt.Axes)})
    for ax in figure.findobj(plt.Axes):
        top, bottom = sorted(ax.get_ylim())
        assert top < -BANK_ABOVE
        assert bottom > 4


def hub_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.retrieval.hub_table`."""
    rows = []
    for direction in DIRECTIONS:
        names = [(kind, name) for kind in ("method", "bank") for name in methods]
        names += [("score", name) for name in SCORES]
        for i, (kind, name) in enumerate(names):
            skew, orphans = 2.0 + i, 20.0 + 5 * i
            row = {"direction": direction, "kind": kind, "name": name, "skew": skew, "orphans": orphans}
            rows.append(row | {"skew_least": skew - 0.5, "skew_most": skew + 1e-9 if i else skew - 1e-12})
        rows.append({"direction": direction, "kind": "random", "name": "random", "skew": 0.3, "orphans": 0.0})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("methods", [ALL, ALONE, CONTROL])
def test_hubs_draw_the_table(methods):
    table = hub_rows(methods)
    figure = drawn(hubs, hub_rows, methods)
    for ax, direction in zip(figure.axes, DIRECTIONS, strict=True):
        rows = table[table["direction"] == direction]
        own, bank = rows[rows["kind"].isin(["method", "score"])], rows[rows["kind"] == "bank"]
        assert [point[:2] for point in points(ax)] == [(skew, y) for y, skew in enumerate(own["skew"])]
        np.testing.assert_allclose(bars(ax), own[["skew_least", "skew_most"]])
        above = [(skew, y - BANK_ABOVE) for y, skew in enumerate(bank["skew"])]
        assert [point[:2] for point in points(ax, "D")] == above
        np.testing.assert_allclose(bars(ax, BANK_ABOVE), bank[["skew_least", "skew_most"]])
        shares = [f"{orphans:.0f}" for orphans in own["orphans"]]
        for i, less in enumerate(bank["orphans"]):
            shares[i] += f" → {less:.0f}"
        assert written(ax) == [f"{share} %" for share in shares]
        assert dashes(ax) == [0.3]
        assert ax.get_xlim()[0] == 0
        between = [line.get_ydata()[0] for line in ax.get_lines() if line.get_color() == plots.GRID]
        assert between == [len(methods) - 0.5]  # of methods and scores
        colours = [line.get_color() for line in ax.get_lines() if line.get_marker() == "o"]
        assert colours == [METHOD_COLOURS[name] for name in methods] + [plots.INK] * len(SCORES)
    labels = labels_of(figure.axes[0])
    assert labels == [*(METHODS[name] for name in methods), *SCORE_NAMES.values()]
    assert len(set(labels)) == len(methods) + len(SCORES)
    assert not any("_" in label for label in labels)
    assert f"below the line: the Gaussians of {METHODS[methods[0]]}, scored otherwise" in legend_of(figure)


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_hubs_can_be_read(methods):
    assert_readable(drawn(hubs, hub_rows, methods))


@pytest.mark.parametrize("of", [(table_1, recall_rows), (many_to_many, many_rows), (hubs, hub_rows)])
def test_letters_are_large_enough_on_a_page_of_800_pixels(of):
    assert pixels_of_letters(drawn(*of, ALL)) > 10.5


@pytest.mark.parametrize(("skew", "left"), [(0.1, 0), (-0.4, -0.4)])
def test_no_hub_of_a_small_gallery_is_drawn_outside(skew, left):
    """The axis starts at 0, or before it where a skew is less."""
    table = hub_rows(ALONE)
    table.loc[table["kind"] == "bank", ["skew", "skew_least", "skew_most"]] = skew
    for ax in hubs(table).axes:
        assert ax.get_xlim()[0] == 0 if left == 0 else ax.get_xlim()[0] < left


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
