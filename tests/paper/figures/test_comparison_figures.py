"""Comparisons of methods: marks stand at the numbers of the table, and every label can be read."""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import (
    assert_readable,
    bars,
    by_method,
    compared,
    dashes,
    labels_of,
    legend_of,
    points,
    titles,
    with_bank,
    written,
)
from matplotlib.figure import Figure

from medprobclip.data.chexpert import FINDINGS
from medprobclip.evaluation.retrieval import CUTOFFS, DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.catalogue import ablation, hubs, many_to_many, table_1, table_2
from medprobclip.paper.figures.methods import METHOD_COLOURS
from medprobclip.paper.figures.retrieval import BANK_ABOVE
from medprobclip.paper.tables.ablation import variant_labels
from medprobclip.paper.tables.experiments import ABLATION, METHODS, REFERENCE
from medprobclip.paper.tables.reported import reported
from medprobclip.similarity import SCORES

pytestmark = pytest.mark.filterwarnings("error")
ALL, ALONE, CONTROL = tuple(METHODS), (REFERENCE,), ("clip",)
drawn = cache(lambda figure, rows, methods: figure(rows(methods)))
RECALLS = [f"R@{k}" for k in CUTOFFS]
BANK = "less the bank's term (hollow: the difference from the own score may be 0)"


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
        for metric, times in zip(RECALLS, (1, 5, 10, 35), strict=True):
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
    keys = [(direction, metric) for direction in DIRECTIONS for metric in (*RECALLS, "median rank")]
    return dict(zip(keys, each.axes, strict=True)) | {("both", "RSUM"): both.axes[0]}


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_table_1_draws_the_table(methods):
    table = recall_rows(methods)
    figure = drawn(table_1, recall_rows, methods)
    for (direction, metric), ax in panels_1(figure).items():
        assert_panel(ax, table, direction, metric)
        numbers = panel_rows(table, direction, metric)["reported"].dropna()
        assert written(ax) == [f"{number:.1f}" for number in numbers]
        assert ax.get_xscale() == ("function" if metric in RECALLS else "linear")
    assert [metric in RECALLS for _, metric in panels_1(figure)].count(True) == 8


def test_table_1_can_be_read():
    figure = drawn(table_1, recall_rows, ALL)
    assert_readable(figure)
    each, both = figure.subfigs
    assert titles(each.axes) == ["R@1, %", "R@5, %", "R@10, %", "R@100, %", "median rank", *[""] * 5]
    assert titles(both.axes) == ["RSUM, of 800"]
    assert [ax.get_ylabel() for ax in each.axes if ax.get_ylabel()] == list(DIRECTIONS.values())
    for ax in (each.axes[0], each.axes[5], both.axes[0]):
        assert labels_of(ax) == list(METHODS.values())
    named = legend_of(figure)
    assert len(named) == len(set(named)) == 7
    assert BANK in named


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
    keys = table[["direction", "metric"]].drop_duplicates().itertuples(index=False)
    for ax, (direction, metric) in zip(figure.axes, keys, strict=True):
        assert_panel(ax, table, direction, metric)
    assert titles(figure.axes)[:2] == ["mAP@R, %", "R-Precision, %"]
    assert titles(figure.axes)[5:] == ["wrong first answers\ncoded alike, %", *[""] * 6]
    assert len(legend_of(figure)) == len(set(legend_of(figure))) == 5
    assert BANK in legend_of(figure)


def test_many_to_many_can_be_read():
    assert_readable(drawn(many_to_many, many_rows, ALL))


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
        rows = table[(table["direction"] == direction) & (table["kind"] != "random")]
        assert [point[:2] for point in points(ax)] == [(skew, y) for y, skew in enumerate(rows["skew"])]
        np.testing.assert_allclose(bars(ax), rows[["skew_least", "skew_most"]])
        assert written(ax) == [f"{orphans:.0f} %" for orphans in rows["orphans"]]
        assert dashes(ax) == [0.3]
        assert ax.get_xlim()[0] == 0
        between = [line.get_ydata()[0] for line in ax.get_lines() if line.get_color() == plots.GRID]
        assert between == [len(methods) - 0.5, 2 * len(methods) - 0.5]  # of three groups
        colours = [line.get_color() for line in ax.get_lines() if line.get_marker() == "o"]
        own = [METHOD_COLOURS[name] for name in methods]
        assert colours == own + own + [plots.INK] * len(SCORES)
    labels = labels_of(figure.axes[0])
    own = [METHODS[name] for name in methods]
    assert labels[: 2 * len(methods)] == own + [f"{label}, less the bank's term" for label in own]
    assert len(set(labels)) == len(labels) == 2 * len(methods) + len(SCORES)
    assert not any("_" in label for label in labels)
    assert f"the Gaussians of {METHODS[methods[0]]} scored otherwise" in figure.get_supxlabel()


def test_hubs_can_be_read():
    assert_readable(drawn(hubs, hub_rows, ALL))


def finding_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.zeroshot.finding_table`."""
    parts, paper = [], reported("table2")
    for i, finding in enumerate((*FINDINGS, "Mean", "No Finding")):
        rows = compared(by_method(0.5 + 0.02 * i, 0.03, methods), 0.04)
        rows["positives"] = np.nan if finding == "Mean" else 100 + i
        rows["reported"] = [paper.get((method, finding), np.nan) for method in methods]
        parts.append(rows.assign(finding=finding))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_table_2_draws_the_table(methods):
    table = finding_rows(methods)
    figure = drawn(table_2, finding_rows, methods)
    left, right = figure.axes
    ours = [line for line in left.get_lines() if line.get_marker() == "o"]
    theirs = [line for line in right.get_lines() if line.get_marker() == "D"]
    for name, line, paper, bar in zip(methods, ours, theirs, left.collections, strict=True):
        rows = table[table["method"] == name]
        np.testing.assert_array_equal(line.get_xdata(), rows["value"])
        assert np.abs(line.get_ydata() - np.arange(len(rows))).max() < 0.5
        np.testing.assert_array_equal(paper.get_xdata(), rows["reported"])
        np.testing.assert_array_equal(paper.get_ydata(), line.get_ydata())
        ends = [segment[:, 0] for segment in bar.get_segments()]
        np.testing.assert_allclose(ends, rows[["low", "high"]])
        assert line.get_label() == METHODS[name]
    assert len({line.get_color() for line in ours}) == len(methods)
    for ax in figure.axes:
        assert dashes(ax) == [0.5]
    assert labels_of(left) == [
        *(f"{finding}  ({100 + i})" for i, finding in enumerate(FINDINGS)), "Mean", "No Finding  (114)",
    ]  # fmt: skip
    assert legend_of(figure) == [METHODS[name] for name in methods]


def test_table_2_can_be_read():
    figure = drawn(table_2, finding_rows, ALL)
    assert_readable(figure)
    assert titles(figure.axes) == [
        "Our test studies (how many have it)",
        "Reported on MIMIC-CXR, 13 findings",
    ]


def ablation_rows(variants: tuple[str, ...] = tuple(ABLATION)) -> pd.DataFrame:
    """As `tables.ablation.ablation_table`: the rescored variants have no AURC."""
    said = {REFERENCE: ("", METHODS[REFERENCE])} | {
        name: (ABLATION[name].part, ABLATION[name].change) for name in variants
    }
    said |= {"rescored-csd": ("score, after training", "CSD")}
    said |= {"rescored-cosine": ("score, after training", "cosine of the means")}
    parts = []
    for metric, start, step in (("RSUM", 119.0, 5.0), ("mAP@R", 14.0, 0.5), ("AURC", 0.8, 0.01)):
        names = [name for name in said if metric != "AURC" or not name.startswith("rescored")]
        rows = compared(by_method(start, step, tuple(names)), 3 * step)
        rows["part"], rows["change"] = zip(*(said[name] for name in names), strict=True)
        parts.append(rows.assign(metric=metric))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("variants", [tuple(ABLATION), ()])
def test_ablation_draws_the_table_and_keeps_rows_without_a_value(variants):
    table = ablation_rows(variants)
    labels = variant_labels(table)
    figure = ablation(table, labels)
    for ax, metric in zip(figure.axes, ("RSUM", "mAP@R", "AURC"), strict=True):
        rows = table[table["metric"] == metric]
        assert [point[:2] for point in points(ax)] == [(value, y) for y, value in enumerate(rows["value"])]
        np.testing.assert_allclose(bars(ax), rows[["low", "high"]])
        if "difference_low" in rows:
            same = (rows["difference_low"] <= 0) & (rows["difference_high"] >= 0)
            assert [hollow for *_, hollow in points(ax)] == same.tolist()
        marks = [line.get_xdata().tolist() for line in ax.get_lines() if line.get_marker() == "|"]
        seeds = [of for of in marks if len(of) == 2]  # ends of bars stand alone
        assert seeds == rows[["least", "most"]].values.tolist()
        (band,) = ax.patches
        assert [band.get_x(), band.get_x() + band.get_width()] == pytest.approx(rows.iloc[0][["low", "high"]])
        assert ax.get_yticks().tolist() == list(range(len(labels)))
    assert labels_of(figure.axes[0]) == list(labels.values())
    assert len(points(figure.axes[2])) == len(labels) - 2
    assert list(labels.values())[-1] == "score, after training: cosine of the means"
    explicit = pd.concat(
        [table, pd.DataFrame({"method": ["rescored-csd"], "metric": ["AURC"], "value": [np.nan]})]
    )
    assert points(ablation(explicit, labels).axes[2]) == points(figure.axes[2])


def test_ablation_can_be_read():
    table = ablation_rows()
    figure = ablation(table, variant_labels(table))
    assert_readable(figure)
    assert titles(figure.axes) == ["RSUM, of 800", "mAP@R, %, coded alike", "AURC at R@10, less is better"]
    named = legend_of(figure)
    assert len(named) == len(set(named)) == 3
    assert "least and most of the seeds" in named


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
