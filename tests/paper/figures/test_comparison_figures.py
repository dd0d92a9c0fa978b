"""Comparisons of methods: marks stand at the numbers of the table, and every label can be read."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import (
    ALL,
    ALONE,
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
    written,
)

from medprobclip.data.chexpert import FINDINGS
from medprobclip.paper.figures.catalogue import ablation, table_2
from medprobclip.paper.tables.ablation import variant_labels
from medprobclip.paper.tables.experiments import ABLATION, METHODS, REFERENCE
from medprobclip.paper.tables.reported import reported

pytestmark = pytest.mark.filterwarnings("error")


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
    assert legend_of(figure) == [*(METHODS[name] for name in methods), "coin"]
    first = table[table["method"] == methods[0]]["value"]
    assert written(left) == [f"{value:.2f}" for value in first]


def test_table_2_can_be_read():
    figure = drawn(table_2, finding_rows, ALL)
    assert_readable(figure)
    assert pixels_of_letters(figure) > 10.5
    assert titles(figure.axes) == [
        "Our test studies (how many\nhave it), values of MedProbCLIP",
        "Reported on MIMIC-CXR,\n13 findings",
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
    assert [said.replace("\n", " ") for said in labels_of(figure.axes[0])] == list(labels.values())
    assert len(points(figure.axes[2])) == len(labels) - 2
    assert list(labels.values())[-1] == "score, after training: cosine of the means"
    explicit = pd.concat(
        [table, pd.DataFrame({"method": ["rescored-csd"], "metric": ["AURC"], "value": [np.nan]})]
    )
    assert points(ablation(explicit, labels).axes[2]) == points(figure.axes[2])


def test_without_a_coding_the_ablation_has_no_panel_of_it():
    table = ablation_rows(())
    figure = ablation(table[table["metric"] != "mAP@R"], variant_labels(table))
    said = [title.replace("\n", " ") for title in titles(figure.axes)]
    assert said == ["RSUM, of 800", "AURC at R@10, less is better"]


def test_ablation_can_be_read():
    table = ablation_rows()
    figure = ablation(table, variant_labels(table))
    assert_readable(figure)
    said = [title.replace("\n", " ") for title in titles(figure.axes)]
    assert said == ["RSUM, of 800", "mAP@R, %, coded alike", "AURC at R@10, less is better"]
    named = legend_of(figure)
    assert len(named) == len(set(named)) == 3
    assert "least and most of the seeds" in named


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
