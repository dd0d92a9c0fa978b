"""Figures of faults: pictures, lines and intervals are those of their tables."""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import ALL, ALONE, assert_readable, labels_of, legend_of, titles
from matplotlib.figure import Figure

from medprobclip.data.corruptions import CORRUPTIONS
from medprobclip.paper.figures.faults import (
    corruptions,
    degraded_training,
    robustness,
    selective_faulty,
    third_kind,
)
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.names import COMPARED, DOUBTS, ORDERS, RULE
from medprobclip.paper.tables.robustness import DETECTS, mean_over_corruptions

pytestmark = pytest.mark.filterwarnings("error")
TOP = ("recall", "aurc", "variance", "variance_detects", "strangeness_detects")


@pytest.mark.parametrize("n", [11, 1])
def test_corruptions_show_every_picture(n):
    labels = [corruption.label for corruption in CORRUPTIONS.values()][:n]
    pictures = np.arange(n * 6, dtype=np.uint8).reshape(n, 6, 1, 1) * np.ones((1, 1, 8, 8), np.uint8)
    figure = corruptions(pictures, labels)
    shown = figure.axes
    assert [int(ax.images[0].get_array().max()) for ax in shown] == list(range(n * 6))
    assert all(ax.axison for ax in shown)
    assert [ax.get_ylabel().replace("\n", " ") for ax in shown if ax.get_ylabel()] == labels
    above = ["none", *(f"severity {severity}" for severity in range(1, 6))]
    assert [title for title in titles(shown) if title] == above
    assert_readable(figure)


def fault_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.robustness.robustness_table`."""
    rows = []
    for i, method in enumerate(methods):
        for j, corruption in enumerate(("none", *CORRUPTIONS)):
            for severity in range(6)[:1] if corruption == "none" else range(6)[1:]:
                values = {
                    "recall": 10 - severity + 0.1 * i + 0.01 * j,
                    "aurc": 0.8 + 0.03 * severity + 0.001 * i,
                    "variance": 1 + 0.01 * severity * (i - 1),
                }
                row = {"method": method, "corruption": corruption, "severity": severity, **values}
                row |= {f"{name}_low": 0.9 * value for name, value in values.items()}
                row |= {f"{name}_high": 1.1 * value for name, value in values.items()}
                rows.append(
                    row | {name: 0.5 + 0.02 * severity * i + 0.001 * k for k, name in enumerate(DETECTS)}
                )
    return pd.DataFrame(rows)


@cache
def drawn_robustness(methods: tuple[str, ...]) -> Figure:
    table = fault_rows(methods)
    labels = {name: corruption.label for name, corruption in CORRUPTIONS.items()}
    return robustness(table, mean_over_corruptions(table), labels)


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_robustness_draws_both_tables(methods):
    table = fault_rows(methods)
    average = mean_over_corruptions(table)
    figure = drawn_robustness(methods)
    top, bottom = figure.subfigs
    for ax, column in zip(top.axes[:5], TOP, strict=True):
        lines = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
        for name, line in zip(methods, lines, strict=True):
            rows = average[average["method"] == name]
            assert line.get_xdata().tolist() == list(range(6))
            np.testing.assert_allclose(line.get_ydata(), rows[column])
        assert not ax.collections
    for ax in top.axes[3:5]:
        assert [line.get_ydata()[0] for line in ax.get_lines() if line.get_linestyle() == "--"] == [0.5]
    assert len(bottom.axes) == 33
    rows = bottom.axes[::3], bottom.axes[1::3], bottom.axes[2::3]
    for row, column in zip(rows, ("recall", *TOP[3:]), strict=True):
        for ax, corruption in zip(row, CORRUPTIONS, strict=True):
            lines = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
            for name, line in zip(methods, lines, strict=True):
                of = (table["method"] == name) & table["corruption"].isin(["none", corruption])
                assert line.get_xdata().tolist() == list(range(6))
                np.testing.assert_array_equal(line.get_ydata(), table[of][column])
            assert len(ax.collections) == (len(methods) if column == "recall" else 0)  # bands
    beside = [ax.get_ylabel().replace("\n", " ") for ax in rows[0]]
    assert beside == [corruption.label for corruption in CORRUPTIONS.values()]
    assert [text.get_text() for text in top.axes[5].get_legend().get_texts()] == [METHODS[n] for n in methods]


def test_robustness_can_be_read():
    figure = drawn_robustness(ALL)
    assert_readable(figure)
    top, bottom = figure.subfigs
    assert [title.replace("\n", " ") for title in titles(top.axes[:5])] == [
        "R@10, %, mean of both directions",
        "AURC at R@10, image to text",
        "mean total variance, 1 = no fault",
        "AUROC of the variance for a fault",
        "AUROC of strangeness for a fault",
    ]
    assert titles(bottom.axes[:3]) == ["R@10, %", "AUROC of the variance", "AUROC of strangeness"]


def mixed_rows(methods: tuple[str, ...] = ALL) -> pd.DataFrame:
    """As `tables.mixed_quality.mixed_table`: every second order may be as good as the rule."""
    rows = []
    for i, method in enumerate(methods):
        for j, order in enumerate(ORDERS):
            aurc = 0.4 + 0.01 * i + 0.03 * (len(ORDERS) - j)
            row = {"method": method, "order": order, "aurc": aurc, "low": aurc - 0.02, "high": aurc + 0.02}
            if order != RULE:
                row |= {"difference": 0.03, "difference_low": 0.01 - 0.02 * (j % 2), "difference_high": 0.05}
            rows.append(row | {"oracle": 0.3, "random": 0.7})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("methods", [ALL, ALONE])
def test_areas_of_faulty_films_are_those_of_the_table(methods):
    table, shares = mixed_rows(methods), np.arange(1, 101) / 100
    curves = pd.concat(
        pd.DataFrame({"order": name, "coverage": shares, "risk": shares * (0.3 + 0.05 * k)})
        for k, name in enumerate((*ORDERS, "random", "oracle"))
    )
    figure = selective_faulty(curves, table)
    left, right = figure.axes
    for line, name in zip(left.get_lines(), ("random", "oracle", *ORDERS), strict=True):
        np.testing.assert_allclose(line.get_ydata(), curves[curves["order"] == name]["risk"])
        np.testing.assert_allclose(line.get_xdata(), 100 * shares)
    points = [line for line in right.get_lines() if line.get_marker() == "o"]
    assert [p.get_xdata()[0] for p in points] == pytest.approx(table["aurc"].tolist())
    hollow = [p.get_markerfacecolor() == "white" for p in points]
    assert hollow == [low <= 0 for low in table["difference_low"]]
    assert [label.replace("\n", " ") for label in labels_of(right)] == list(ORDERS.values())
    assert_readable(figure)


def test_films_and_texts_of_a_third_kind_are_those_of_the_table():
    rows = []
    for side, n in (("image", 6), ("report", 5)):
        for kind in range(n):
            for k, doubt in enumerate(DOUBTS):
                value = 0.3 + 0.1 * kind + 0.03 * k
                rows.append({
                    "side": side, "kind": f"{side} {kind}", "label": f"a kind of {side} {kind}", "n": 600,
                    "detectable": kind % 2 == 0, "why": "so", "doubt": doubt, "auroc": value,
                    "low": value - 0.02, "high": value + 0.02,
                })  # fmt: skip
    table = pd.DataFrame(rows)
    pictures = np.arange(7, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    figure = third_kind(table, pictures)
    top, bottom = figure.subfigs
    assert [int(ax.images[0].get_array().max()) for ax in top.axes] == list(range(7))
    above = [title.replace("\n", " ") for title in titles(top.axes)]
    assert above == ["as it should be", *(f"a kind of image {kind}" for kind in range(6))]
    for ax, side in zip(bottom.axes, ("image", "report"), strict=True):
        of = (
            table[table["side"] == side]
            .pivot(index="doubt", columns="kind", values="auroc")
            .loc[list(DOUBTS)]
        )
        points = [line for line in ax.get_lines() if line.get_marker() == "o"]
        assert [p.get_xdata()[0] for p in points] == pytest.approx(of.to_numpy().ravel().tolist())
        assert ["nothing to tell" in label for label in labels_of(ax)] == [
            kind % 2 == 1 for kind in range(of.shape[1])
        ]
    assert legend_of(figure) == [*DOUBTS.values(), "knows nothing"]
    assert_readable(figure)


@pytest.mark.parametrize("methods", [tuple(COMPARED), ALONE])
def test_trainings_are_those_of_the_table(methods):
    rows = []
    for i, metric in enumerate(
        ("R@10", "R@10, severity 5", "AURC, variance", "AURC, entropy", *(f"{d}, severity 5" for d in DOUBTS))
    ):
        for j, method in enumerate(methods):
            value = 0.1 + 0.05 * i + 0.1 * j
            row = {
                "metric": metric,
                "method": method,
                "value": value,
                "low": value - 0.03,
                "high": value + 0.03,
            }
            if j and i < 4:
                row |= {"difference_low": -0.1 + 0.2 * (j % 2), "difference_high": 0.2}
            rows.append(row)
    table = pd.DataFrame(rows)
    figure = degraded_training(table)
    for ax, (_, of) in zip(figure.axes, table.groupby("metric", sort=False), strict=True):
        points = [line for line in ax.get_lines() if line.get_marker() == "o"]
        assert [p.get_xdata()[0] for p in points] == pytest.approx(of["value"].tolist())
        if "difference_low" in of:
            same = (of["difference_low"] <= 0) & (of["difference_high"] >= 0)
            assert [p.get_markerfacecolor() == "white" for p in points] == same.tolist()
    assert [label.replace("\n", " ") for label in labels_of(figure.axes[0])] == [COMPARED[n] for n in methods]
    assert_readable(figure)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
