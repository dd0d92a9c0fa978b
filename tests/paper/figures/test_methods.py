"""Intervals and lines of several methods stand where the numbers say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import bars, compared, dashes, labels_of, points, written

from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import method_intervals, method_lines

pytestmark = pytest.mark.filterwarnings("error")
LABELS = {"a": "Method A", "b": "Method B", "c": "Method C", "d": "Method D"}
COLOURS = dict(zip(LABELS, ("#110000", "#220000", "#330000", "#440000"), strict=True))


@pytest.fixture
def ax():
    return plt.figure().subplots()


def test_points_and_intervals_stand_at_their_numbers(ax):
    table = compared({"a": 5.0, "b": 7.0, "c": 5.5}, 1.0)
    method_intervals(ax, table, LABELS, COLOURS)
    assert [point[:2] for point in points(ax)] == [(5, 0), (7, 1), (5.5, 2)]
    np.testing.assert_allclose(bars(ax), table[["low", "high"]])
    assert [line.get_color() for line in ax.get_lines() if line.get_marker() == "o"] == list(
        COLOURS.values()
    )[:3]


def test_an_interval_need_not_hold_the_value(ax):
    table = compared({"a": 5.0}, 1.0).assign(low=5 + 1e-9, high=[6.0])
    method_intervals(ax, table, LABELS, COLOURS)
    assert points(ax) == [(5, 0, False)]
    np.testing.assert_allclose(bars(ax), [[5 + 1e-9, 6]], rtol=0, atol=1e-12)


def test_points_are_hollow_exactly_where_the_difference_may_be_zero(ax):
    table = compared({"a": 5.0, "b": 7.0, "c": 5.5, "d": 6.0}, 1.0)  # d: the difference may just be 0
    method_intervals(ax, table, LABELS, COLOURS)
    assert [hollow for *_, hollow in points(ax)] == [False, False, True, True]


def test_alone_a_method_is_filled(ax):
    table = compared({"a": 5.0}, 1.0)
    assert "difference_low" not in table
    method_intervals(ax, table, {"a": "A"}, COLOURS)
    assert points(ax) == [(5, 0, False)]


def test_methods_without_a_row_keep_their_line_and_rows_without_a_label_are_not_drawn(ax):
    method_intervals(ax, compared({"a": 5.0, "z": 9.0, "d": 7.0}, 1.0), LABELS, COLOURS)
    assert [point[:2] for point in points(ax)] == [(5, 0), (7, 3)]
    assert labels_of(ax) == list(LABELS.values())
    top, bottom = ax.get_ylim()[::-1]
    assert top < 0 < 3 < bottom


def test_single_runs_are_marked_where_there_are_several(ax):
    table = pd.concat([compared({"a": 5.0}, 1.0), compared({"b": 7.0}, 1.0, seeds=1)])
    method_intervals(ax, table, LABELS, COLOURS)
    marks = [line for line in ax.get_lines() if line.get_marker() == "|" and len(line.get_xdata()) == 2]
    marks = [line for line in marks if line.get_ydata()[0] % 1 == pytest.approx(0.3)]
    assert [list(line.get_xdata()) for line in marks] == [[4.5, 5.5]]


def test_references_are_dashed_and_the_ceiling_is_green(ax):
    method_intervals(ax, compared({"a": 5.0}, 1.0), LABELS, COLOURS, {"random": 1.0, "ceiling": 9.0})
    assert dashes(ax) == [1, 9]
    colours = {
        line.get_xdata()[0]: line.get_color() for line in ax.get_lines() if line.get_linestyle() == "--"
    }
    assert colours == {1: plots.QUIET, 9: plots.ACCENT}


def test_numbers_beside_have_as_many_decimals_as_they_need(ax):
    table = compared({"a": 5.0, "b": 7.0, "c": 6.0, "d": 5.0}, 1.0).assign(
        beside=[438.62, 0.06, np.nan, 55.0]
    )
    method_intervals(ax, table, LABELS, COLOURS, beside="beside")
    assert written(ax) == ["438.6", "0.060", "55.0"]
    assert [text.xy for text in ax.texts] == [(1, 0), (1, 1), (1, 3)]


def line_rows(**columns) -> pd.DataFrame:
    rows = [(m, s) for m in ("b", "z", "a") for s in range(3)]
    table = pd.DataFrame(rows, columns=["method", "x"]).assign(y=np.arange(9.0))
    return table.assign(**{name: table["y"] + by for name, by in columns.items()})


def test_lines_are_drawn_in_the_order_of_their_labels(ax):
    method_lines(ax, line_rows(), "x", "y", LABELS, COLOURS)
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.get_lines()}
    assert drawn == {"Method A": [6, 7, 8], "Method B": [0, 1, 2]}
    assert list(drawn) == ["Method A", "Method B"]
    assert ax.get_lines()[1].get_color() == COLOURS["b"]
    assert not ax.collections


def test_bands_reach_from_low_to_high(ax):
    method_lines(ax, line_rows(y_low=-1, y_high=2), "x", "y", LABELS, COLOURS)
    assert len(ax.collections) == 2
    band = ax.collections[0].get_paths()[0].vertices
    for x, y in zip(range(3), (6, 7, 8), strict=True):
        here = band[band[:, 0] == x, 1]
        assert (here.min(), here.max()) == (y - 1, y + 2)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
