"""Figures of promises: marks and lines stand where their tables say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import assert_readable, bars, dashes, labels_of, legend_of, points, titles, written

from medprobclip.paper.figures.guarantees import broken_promise, guarantees, set_sizes
from medprobclip.paper.tables.names import ALARMS, ALPHAS, GROUPS, READERS, RISKS, SHARED

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def promises(alarms: bool = True) -> pd.DataFrame:
    """As `tables.guarantees.guarantee_table`."""
    rng = np.random.default_rng(0)
    rows = []

    def add(what, direction, right, grouped, group, level, promise):
        value = promise + rng.uniform(-0.01, 0.02)
        rows.append({
            "method": "medprobclip", "what": what, "direction": direction, "right": right, "grouped": grouped,
            "group": group, "level": level, "promise": promise, "value": value, "error": 0.002,
            "least": value - 0.03, "most": value + 0.02, "actual": promise - rng.uniform(0, 0.02),
            "once": promise + rng.uniform(-0.02, 0.02), "low": promise - 0.03, "high": promise + 0.03,
            "calibration": 100.0, "queries": 2000 - 10 * len(rows), "size": rng.uniform(10, 900),
            "answered": rng.random() if what == "selective" else np.nan, "none": np.nan,
        })  # fmt: skip

    for direction in ("i2t", "t2i"):
        for alpha in ALPHAS:
            add("coverage", direction, "wording", "all", "all", alpha, 1 - alpha)
            add("coverage", direction, "coding", "all", "all", alpha, 1 - alpha)
            for group in sorted(GROUPS):
                grouped = "films" if "film" in group else "finding"
                if direction == "i2t" or grouped == "finding":
                    add("coverage", direction, "wording", grouped, group, alpha, 1 - alpha)
            add("missed", direction, "coding", "all", "all", alpha, alpha)
        for alpha in ALARMS if alarms else ():
            add("false alarms", direction, "", "all", "all", alpha, alpha)
        for risk in RISKS:
            add("selective", direction, "coding", "all", "all", risk, 0.1)
    return pd.DataFrame(rows).sample(frac=1, random_state=0)  # in whatever order


def assert_lines(ax, rows):
    """One promise a line: the mean with its bar, the real tables, one query a split, the promise."""
    shown = rows[rows["what"] != "selective"]
    y = [float(i) for i, what in enumerate(rows["what"]) if what != "selective"]
    np.testing.assert_allclose(
        sorted(points(ax), key=lambda p: (p[2], p[1])),
        [*zip(100 * shown["value"], y, [False] * len(y), strict=True),
         *zip(100 * shown["actual"], y, [True] * len(y), strict=True)],
    )  # fmt: skip
    np.testing.assert_allclose(bars(ax), 100 * shown[["least", "most"]])
    np.testing.assert_allclose([x for x, *_ in points(ax, "x")], 100 * rows["once"])
    promised = [line.get_xdata()[0] for line in ax.get_lines() if line.get_markersize() == 15]
    np.testing.assert_allclose(promised, 100 * rows["promise"])
    bands = [line.get_xdata() for line in ax.get_lines() if line.get_linewidth() == 9]
    np.testing.assert_allclose(bands, 100 * rows[["low", "high"]])


@pytest.mark.parametrize("alarms", [True, False])
def test_promises_stand_where_their_table_says(alarms):
    table = promises(alarms)
    figure = guarantees(table)
    axes = figure.axes
    for (every, groups, most), (direction, what) in zip(
        (axes[0::2], axes[1::2]), {"i2t": "reports", "t2i": "radiographs"}.items(), strict=True
    ):
        own = table[table["direction"] == direction]
        coverage = own[own["what"] == "coverage"]
        rows = coverage[coverage["grouped"] == "all"].set_index(["right", "level"])
        rows = rows.loc[[(right, alpha) for right in ("wording", "coding") for alpha in ALPHAS]]
        assert labels_of(every) == [
            f"{right} alike, {share} %" for right in ("worded", "coded") for share in (95, 90, 80)
        ]
        assert_lines(every, rows)
        assert written(every) == [f"{size:.0f}" for size in rows["size"]]
        rows = coverage[(coverage["grouped"] != "all") & (coverage["level"] == 0.1)].set_index("group")
        rows = rows.loc[[group for group in GROUPS if group in rows.index]]
        assert labels_of(groups) == [f"{g}  ({n})" for g, n in zip(rows.index, rows["queries"], strict=True)]
        assert_lines(groups, rows)
        assert written(groups) == [f"{size:.0f}" for size in rows["size"]]
        rows = own[own["what"] != "coverage"]
        kinds = ["missed", "false alarms", "selective"]
        rows = rows.sort_values("level").sort_values("what", key=lambda w: w.map(kinds.index), kind="stable")
        assert_lines(most, rows)
        assert labels_of(most)[:3] == [f"right {what} missed, {share} %" for share in (5, 10, 20)]
        assert labels_of(most)[-3:] == [f"over {share} % answered wrongly, 10 %" for share in (20, 30, 50)]
        assert len(labels_of(most)) == (9 if alarms else 6)
        assert [text for text in written(most) if text] == [f"{100 * s:.0f} %" for s in rows["answered"][-3:]]
    assert titles(axes)[0] == "image to text: sets of reports"
    assert titles(axes)[1] == "text to image: sets of radiographs"
    assert len(legend_of(figure)) == 6
    assert_readable(figure)


def test_without_a_coding_no_panel_is_empty():
    table = promises()
    table = table[(table["right"] == "wording") | (table["what"] == "false alarms")]
    figure = guarantees(table[table["grouped"] != "finding"])
    assert labels_of(figure.axes[0]) == ["worded alike, 95 %", "worded alike, 90 %", "worded alike, 80 %"]
    assert [ax.axison for ax in figure.axes] == [True, True, True, False, True, True]
    assert figure.axes[3].get_title(loc="left") == ""
    assert len(labels_of(figure.axes[2])) == 2
    assert_readable(figure)


def sizes(readers: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {"method": "medprobclip", "direction": direction, "by": by, "group": group, "studies": 100 + len(by),
         "low": 5.0 + i, "median": 6.0 + 2 * i, "high": 9.0 + 4 * i, "mean": 7.0, "coverage": rng.random()}
        for direction in ("i2t", "t2i") for by in list(READERS)[:readers]
        for i, group in enumerate([*SHARED, "all"])
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("readers", [3, 1])
def test_set_sizes_stand_where_their_table_says(readers):
    table = sizes(readers)
    figure = set_sizes(table)
    assert titles(figure.axes) == ["image to text", "text to image"]
    for ax, direction in zip(figure.axes, ("i2t", "t2i"), strict=True):
        own = table[table["direction"] == direction]
        assert ax.get_yscale() == "log"
        assert len(ax.containers) == readers
        for bar, by in zip(ax.containers, READERS, strict=False):
            rows = own[own["by"] == by]
            np.testing.assert_allclose(bar.lines[0].get_ydata(orig=False), rows["median"])
            np.testing.assert_allclose(np.round(bar.lines[0].get_xdata(orig=False)), np.arange(6))
            ends = np.array(bar.lines[2][0].get_segments())[:, :, 1]
            np.testing.assert_allclose(ends, rows[["low", "high"]])
        assert written(ax) == [f"{100 * share:.0f} %" for share in own["coverage"]]
        assert [t.get_text().split("\n")[0] for t in ax.get_xticklabels()] == [*SHARED, "all"]
    assert legend_of(figure) == list(READERS.values())[:readers]
    assert_readable(figure)


def test_sets_that_are_all_the_gallery_are_seen():
    table = sizes(1).assign(low=49.0, median=49.0, high=49.0)
    table = table[table["group"] == "all"]
    figure = set_sizes(table)
    for ax in figure.axes:
        bottom, top = ax.get_ylim()
        assert bottom < 30 < 80 < top
        assert ax.get_xlabel() == "coverage of sets"
    assert_readable(figure)


def broken() -> pd.DataFrame:
    """As `tables.set_sizes.broken_promise_table`, of two methods."""
    rng = np.random.default_rng(2)
    rows = []
    for method in ("medprobclip", "clip"):
        for name, severity in [("none", 0), *((f, s) for f in ("blur", "noise", "all") for s in range(1, 6))]:
            columns = ("coverage", "coverage_answered", "answered", "failed", "failed_answered")
            row = dict(zip(columns, rng.uniform(0.1, 0.9, 5), strict=True))
            rows.append({"method": method, "corruption": name, "severity": severity, "promise": 0.9, **row})
    return pd.DataFrame(rows)


def test_broken_promises_stand_where_their_table_says():
    table = broken()
    table.loc[(table["corruption"] == "all") & (table["severity"] == 5), "coverage_answered"] = np.nan
    figure = broken_promise(table, "clip")
    own = table[table["method"] == "clip"]
    line = own[own["corruption"].isin(["none", "all"])]
    columns = (("coverage", "coverage_answered"), ("answered",), ("failed", "failed_answered"))
    for ax, names in zip(figure.axes, columns, strict=True):
        lines = [of for of in ax.get_lines() if of.get_marker() == "o"]
        for drawn, name in zip(lines, names, strict=True):
            assert drawn.get_xdata().tolist() == [0, 1, 2, 3, 4, 5]
            np.testing.assert_allclose(drawn.get_ydata(), 100 * line[name])
        single = own[own["corruption"].isin(["blur", "noise"])].groupby("severity")
        bands = [name for name in names if name != "coverage_answered"]
        for band, name in zip(ax.collections, bands, strict=True):
            height = band.get_paths()[0].vertices[:, 1]
            assert height.min() == pytest.approx(100 * single[name].min().min())
            assert height.max() == pytest.approx(100 * single[name].max().max())
    levels = [
        [of.get_ydata()[0] for of in ax.get_lines() if of.get_linestyle() == "--"] for ax in figure.axes
    ]
    assert levels == [[90.0], [], [pytest.approx(10.0)]]
    assert not dashes(figure.axes[1])
    assert len(legend_of(figure)) == 4
    assert_readable(figure)
