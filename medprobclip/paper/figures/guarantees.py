"""Figures of promises: were they kept, what do they cost, and where do they break?"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.tables.experiments import REFERENCE
from medprobclip.paper.tables.names import ALPHA, CALIBRATED, GROUPS, LEAST, MODEL, RATE, READERS, RIGHT

DIRECTION_COLOURS = {"i2t": plots.IMAGE, "t2i": plots.REPORT}
_QUERIES = {"i2t": "radiographs", "t2i": "reports"}
_ANSWERS = {"i2t": "reports", "t2i": "radiographs"}
_AT_MOST = ("missed", "false alarms", "selective")
_BAND, _BREADTH = "#c9d1d8", 9  # of the binomial interval
_LOOKS = {
    MODEL: {"color": plots.IMAGE, "marker": "o"},
    CALIBRATED: {"color": plots.OCHRE, "marker": "s", "mfc": "white"},
    LEAST: {"color": plots.ACCENT, "marker": "D"},
}


def guarantees(table: pd.DataFrame) -> Figure:
    """What was promised and what was kept, a column of panels a direction.

    The table of `tables.guarantees.guarantee_table`, of one method; a direction without groups has no panel
    of them.
    """
    plots.use_style()
    height, ratios = (12, (6, 10, 9)) if "coding" in set(table["right"]) else (8.5, (3, 2, 9))
    figure, axes = plt.subplots(3, 2, figsize=(9.6, height), layout="constrained", height_ratios=ratios)
    figure.get_layout_engine().set(wspace=0.06)  # room for the numbers beside the panels
    for row, (direction, label) in zip(axes.T, DIRECTIONS.items(), strict=True):
        own = table[table["direction"] == direction]
        coverage = own[own["what"] == "coverage"]
        every = coverage[coverage["grouped"] == "all"].sort_values(
            ["right", "level"], ascending=[False, True]
        )
        names = [f"{RIGHT[r.right]}, {100 * r.promise:g} %" for r in every.itertuples()]
        _lines(row[0], every, names, direction, [f"{size:.0f}" for size in every["size"]])
        groups = coverage[(coverage["grouped"] != "all") & np.isclose(coverage["level"], ALPHA)]
        groups = groups.set_index("group", drop=False).loc[[g for g in GROUPS if g in set(groups["group"])]]
        names = [f"{r.group}  ({r.queries:.0f})" for r in groups.itertuples()]
        _lines(row[1], groups, names, direction, [f"{size:.0f}" for size in groups["size"]])
        most = pd.concat([own[own["what"] == what].sort_values("level") for what in _AT_MOST])
        beside = ["" if np.isnan(share) else f"{100 * share:.0f} %" for share in most["answered"]]
        _lines(row[2], most, [_at_most(r, direction) for r in most.itertuples()], direction, beside)
        row[0].set_title(f"{label}: sets of {_ANSWERS[direction]}")
        if groups.empty:
            row[1].set_axis_off()
        else:
            row[1].set_title(f"by group, worded alike, {100 * (1 - ALPHA):g} %")
        row[2].set_title("at most so often")
        for ax in row[:2]:
            ax.set_xlim(right=101.5)
        row[2].set_xlim(left=-0.7)
        row[1].set_xlabel("sets with a right answer, %")
        row[2].set_xlabel("%")
    band = plots.entry("binomial 95 % interval of independent trials", color=_BAND, ls="-", lw=_BREADTH)
    entries = [
        plots.entry("promise", marker="|", color=plots.INK, ms=13, mew=2.2), band,
        plots.entry("these trials: one query a split", marker="x", color=plots.INK),
        plots.entry("kept, mean of random splits, and 95 % of them", marker="o", ls="-", color=plots.IMAGE),
        plots.entry("the real tables", marker="o", color=plots.INK, mfc="white", ms=5),
        plots.entry("grey: median set; share answered"),
    ]  # fmt: skip
    plots.legend(figure, entries, fontsize=9.5, ncols=2)
    return figure


def _at_most(row, direction: str) -> str:
    what = {
        "missed": f"right {_ANSWERS[direction]} missed",
        "false alarms": f"{_QUERIES[direction]} called strange",
        "selective": f"over {100 * row.level:g} % answered wrongly",
    }
    return f"{what[row.what]}, {100 * row.promise:g} %"


def _lines(ax: Axes, rows: pd.DataFrame, names: list[str], direction: str, beside: list[str]) -> None:
    """One line of text a promise."""
    for y, (row, text) in enumerate(zip(rows.itertuples(), beside, strict=True)):
        ax.plot([100 * row.low, 100 * row.high], [y, y], color=_BAND, lw=_BREADTH, solid_capstyle="butt")
        ax.plot(100 * row.promise, y, "|", color=plots.INK, ms=15, mew=2.2)
        if row.what != "selective":
            bounds = 100 * row.value, 100 * row.least, 100 * row.most
            plots.interval(ax, *bounds, y, DIRECTION_COLOURS[direction], ms=5)
            ax.plot(100 * row.actual, y, "o", color=plots.INK, mfc="white", ms=5, mew=1.2, zorder=4)
        ax.plot(100 * row.once, y, "x", color=plots.INK, ms=6, mew=1.4, zorder=5)
        plots.at_edge(ax, y, text, gap=2, size=9.5)
    plots.lines_of_text(ax, names)
    ax.tick_params(axis="y", labelsize=9.5)


def set_sizes(table: pd.DataFrame) -> Figure:
    """Set size by how many studies share the coding, of the model and of a perfect reader.

    A panel a direction. The table of `tables.set_sizes.size_table`, of one method.
    """
    plots.use_style()
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.6), layout="constrained", sharey=True)
    shown = [name for name in READERS if name in set(table["by"])]
    offsets = dict(zip(shown, np.linspace(-0.22, 0.22, len(shown)) if len(shown) > 1 else [0.0], strict=True))
    for ax, (direction, label) in zip(axes, DIRECTIONS.items(), strict=True):
        own = table[table["direction"] == direction]
        groups = own.drop_duplicates("group")
        for name in shown:
            rows = own[own["by"] == name]
            ax.errorbar(
                np.arange(len(rows)) + offsets[name], rows["median"], yerr=plots.errors(rows, "median"),
                ls="", capsize=4, ms=7, **_LOOKS[name],
            )  # fmt: skip
        names = zip(groups["group"], groups["studies"], strict=True)
        ax.set_xticks(np.arange(len(groups)), [f"{group}\n(n = {n})" for group, n in names])
        for line, name in enumerate(shown):
            for x, share in enumerate(own.loc[own["by"] == name, "coverage"]):
                ax.annotate(
                    f"{100 * share:.0f} %", (x, 0), (0, -38 - 11 * line), ("data", "axes fraction"),
                    "offset points", ha="center", va="top", fontsize=9, color=_LOOKS[name]["color"],
                    annotation_clip=False,
                )  # fmt: skip
        ax.set_yscale("log")
        ax.set_title(label)
        sharing = "studies that share the coding; " if set(groups["group"]) != {"all"} else ""
        ax.set_xlabel(f"{sharing}coverage of sets", labelpad=4 + 11 * len(shown))
        plots.plain_log(ax.yaxis)
        ax.grid(axis="y")
    low, high = max(table["low"].min(), 0.5), max(table["high"].max(), 0.5)
    if high < 2 * low:  # a logarithmic axis needs a range: all sets may be the whole gallery
        axes[0].set_ylim(low / 2, 2 * high)
    axes[0].set_ylabel("answers in the set: median and quartiles")
    entries = [plots.entry(READERS[name], **_LOOKS[name]) for name in shown]
    plots.legend(figure, entries, fontsize=9)
    return figure


def broken_promise(table: pd.DataFrame, method: str = REFERENCE) -> Figure:
    """Coverage under faults, who is still answered, and whom a set fails, by severity, of one method.

    The table of `tables.set_sizes.broken_promise_table`.
    """
    plots.use_style()
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 4.8), layout="constrained")
    own = table[table["method"] == method]
    good, every = (own[own["corruption"] == name] for name in ("none", "all"))
    line = pd.concat([good, every])
    single = own[~own["corruption"].isin(("none", "all"))].groupby("severity")
    promise = 100 * own["promise"].iloc[0]
    before, after = {"color": plots.IMAGE}, {"color": plots.ACCENT}
    panels = {
        "sets with a\nright report, %": (("coverage", before), ("coverage_answered", after)),
        "films answered, %": (("answered", after),),
        "films given a set\nthat holds none, %": (("failed", before), ("failed_answered", after)),
    }
    for ax, (title, columns) in zip(axes, panels.items(), strict=True):
        for name, look in columns:
            ax.plot(line["severity"], 100 * line[name], "o-", lw=2, ms=5, **look)
            if name != "coverage_answered":  # of a fault that few are answered under it says little
                low, high = 100 * single[name].min(), 100 * single[name].max()
                ax.fill_between(low.index, low, high, alpha=0.15, lw=0, **look)
        ax.set(title=title, xlabel="severity, 0 = no fault", xticks=range(6), ylim=(0, 102))
        ax.grid(axis="y")
    axes[0].axhline(promise, **plots.CHANCE)
    axes[2].axhline(100 - promise, **plots.CHANCE)
    axes[2].set_ylim(top=max(102 - own["coverage"].min() * 100, 100 - promise + 5))
    entries = [
        plots.entry("every film answered", marker="o", ls="-", **before),
        plots.entry(f"without strange films ({100 * RATE:g} % false alarms)", marker="o", ls="-", **after),
        plots.entry("promise", **plots.CHANCE),
        plots.entry("bands: from the mildest to the worst fault"),
    ]
    plots.legend(figure, entries, ncols=2)
    return figure
