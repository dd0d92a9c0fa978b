"""Figures of retrieval by method: the paper's Table 1, many-to-many, hubs."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medprobclip.evaluation.hubs import BANK
from medprobclip.evaluation.retrieval import CUTOFFS, DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import (
    CEILING,
    METHOD_COLOURS,
    hollow,
    method_intervals,
    methods_of,
    panels,
    seed_marks,
)
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.reported import LABEL
from medprobclip.similarity import SCORES

BANK_ABOVE = 0.3  # of the height of a line: how far a score less the bank's term stands above its method's
WIDTH = 9.6  # inches: at the 800 pixels that a page shows, a letter of 10 points is 11 pixels high
LINE, AROUND = 0.3, 0.75  # inches: of a method, and of the title and axis of a panel
FEWEST = 4  # methods that a panel has room for: its direction is written upright beside it
SIZE = 9.5  # points, of numbers beside a panel
OURS, PAPERS = 4, 38  # points off the panel: where the two columns of numbers start
SHOWN = {  # of `tables.retrieval.many_to_many_table`; the others stand in the CSV
    "mAP@R": "mAP@R, %",
    "R-Precision": "R-Precision, %",
    "nDCG@10": "nDCG@10, %",
    "plausible share": "wrong first answers\ncoded alike, %",
}
SCORE_NAMES = {name: name.replace("_", " ") for name in SCORES} | {
    "csd": "CSD",
    "kl": "KL",
    "bhattacharyya": "Bhattacharyya",
    "hellinger": "Hellinger",
    "reverse_kl": "reverse KL",
    "symmetric_kl": "symmetric KL",
    "wasserstein": "2-Wasserstein",
}


def table_1(table: pd.DataFrame) -> Figure:
    """Recall both ways, median rank and RSUM by method; the table of `tables.retrieval.recall_table`."""
    plots.use_style()
    titles = {f"R@{k}": f"R@{k}, %" for k in CUTOFFS}
    high = AROUND + LINE * max(FEWEST, len(methods_of(table)))
    figure = plt.figure(figsize=(WIDTH, 3 * high + 0.7), layout="constrained")
    each, both = figure.subfigures(2, 1, height_ratios=(2, 1))
    axes = each.subplots(2, len(titles), sharex="col", sharey=True, squeeze=False)
    for ax in axes[0]:
        plots.square_root(ax)  # and the one below, which shares its axis
    for ax, rows in panels(axes, table, "metric", titles):
        _panel(ax, rows)
    axes = both.subplots(1, 3, sharey=True, width_ratios=(1, 1, 1.2))
    of_median = table[table["metric"] == "median rank"]
    for ax, (direction, label) in zip(axes, DIRECTIONS.items(), strict=False):
        _panel(ax, of_median[of_median["direction"] == direction])
        ax.set_title(f"median rank,\n{label}")
    _panel(axes[-1], table[table["metric"] == "RSUM"]).set_title("RSUM,\nof 800")
    paper = [f"black: our value; grey: {LABEL}"] if table["reported"].notna().any() else []
    _legend(figure, table, *paper, "R@K on square-root scales")
    return figure


def many_to_many(table: pd.DataFrame) -> Figure:
    """Retrieval of all studies that are coded alike; the table of `tables.retrieval.many_to_many_table`."""
    plots.use_style()
    high = AROUND + LINE * max(FEWEST, len(methods_of(table)))
    figure, axes = plt.subplots(
        2, len(SHOWN), figsize=(WIDTH, 2 * high + 0.9), layout="constrained", sharex="col", sharey=True
    )
    for ax, rows in panels(axes, table, "metric", SHOWN):
        _panel(ax, rows)
    _legend(figure, table[table["metric"].isin(SHOWN)])
    return figure


def _panel(ax: Axes, rows: pd.DataFrame) -> Axes:
    """A line of text a method: its own score, above it the one less the bank's term; values at the edge."""
    bank = rows[rows["score"] == BANK].set_index("method")
    rows = rows[rows["score"] != BANK]
    own, methods = rows.set_index("method"), methods_of(rows)
    for y, name in enumerate(methods):
        row, colour = bank.loc[name], METHOD_COLOURS[name]
        same = row["difference_low"] <= 0 <= row["difference_high"]
        look = {"marker": "D", "ms": 4, "mew": 1, "mfc": "white" if same else colour}
        plots.interval(ax, *row[["value", "low", "high"]], y - BANK_ABOVE, colour, **look)
        plots.at_edge(ax, y, _number(own.loc[name, "value"]), OURS, SIZE, plots.INK)
        if np.isfinite(paper := own.loc[name].get("reported", np.nan)):
            plots.at_edge(ax, y, _number(paper), PAPERS, SIZE)
    references = {name: own.loc[name, "value"] for name in ("random", "ceiling") if name in own.index}
    return method_intervals(ax, rows, methods, references=references)


def _number(value: float) -> str:
    """Three figures, as many as an interval of some percent allows."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _legend(figure: Figure, table: pd.DataFrame, *texts: str) -> None:
    """What marks and lines mean, of those that the table has."""
    has, entries = set(table["method"]), []
    if "random" in has:
        entries.append(plots.entry("random order", **plots.CHANCE))
    if "ceiling" in has:
        entries.append(plots.entry("oracle ceiling", **CEILING))
    if (table["most"] > table["least"]).any():
        entries.append(seed_marks())
    of_bank = "less the bank's term (hollow: no change shown)"
    entries.append(plots.entry(of_bank, marker="D", ms=4, color=plots.INK))
    if len(methods_of(table)) > 1:
        entries.append(hollow())
    plots.legend(figure, [*entries, *map(plots.entry, texts)], fontsize=SIZE, ncols=2)


def hubs(table: pd.DataFrame) -> Figure:
    """Skew of how often an item is found, both ways; the table of `tables.retrieval.hub_table`."""
    plots.use_style()
    methods = list(table.loc[table["kind"] == "method", "name"].unique())
    names = [METHODS[name] for name in methods] + list(SCORE_NAMES.values())
    figure, axes = plt.subplots(
        1, 2, figsize=(WIDTH, 1.9 + LINE * len(names)), layout="constrained", sharey=True
    )
    for ax, (direction, title) in zip(axes, DIRECTIONS.items(), strict=True):
        rows = table[table["direction"] == direction]
        own = rows[rows["kind"].isin(["method", "score"])].reset_index(drop=True)
        bank = rows[rows["kind"] == "bank"].set_index("name")
        for y, row in own.iterrows():
            colour = METHOD_COLOURS[row["name"]] if row["kind"] == "method" else plots.INK
            plots.interval(ax, *row[["skew", "skew_least", "skew_most"]], y, colour)
            orphans = f"{row['orphans']:.0f}"
            if row["kind"] == "method":
                less = bank.loc[row["name"]]
                look = {"marker": "D", "ms": 4, "mew": 1, "mfc": colour}
                plots.interval(ax, *less[["skew", "skew_least", "skew_most"]], y - BANK_ABOVE, colour, **look)
                orphans = f"{orphans} → {less['orphans']:.0f}"
            plots.at_edge(ax, y, f"{orphans} %", OURS, SIZE, plots.INK)
        ax.axvline(rows.loc[rows["kind"] == "random", "skew"].iloc[0], **plots.CHANCE)
        ax.axhline(len(methods) - 0.5, color=plots.GRID, lw=1)
        plots.lines_of_text(ax, names, edge=0.75)
        ax.set(xlabel="skew of how often an item is found", title=title.capitalize())
        if not (rows["skew_least"] < 0).any():
            ax.set_xlim(left=0)
    entries = [
        plots.entry("own score", marker="o", color=plots.INK),
        plots.entry("less the bank's term", marker="D", ms=4, color=plots.INK),
        plots.entry("all found equally likely", **plots.CHANCE),
        plots.entry("bars: least and most of the seeds") if (table["skew_most"] > table["skew_least"]).any()
        else None,
        plots.entry("at the edge: items in nobody's first ten"),
        plots.entry(f"below the line: the Gaussians of {METHODS[methods[0]]}, scored otherwise"),
    ]  # fmt: skip
    plots.legend(figure, [entry for entry in entries if entry], fontsize=SIZE, ncols=2)
    return figure
