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
    REPORTED,
    interval_legend,
    method_intervals,
    methods_of,
    panels,
)
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.similarity import SCORES

BANK_ABOVE = 0.3  # of the height of a line: how far a score less the bank's term stands above its method's


def table_1(table: pd.DataFrame) -> Figure:
    """Recall both ways, median rank and RSUM by method; the table of `tables.retrieval.recall_table`."""
    plots.use_style()
    titles = {f"R@{k}": f"R@{k}, %" for k in CUTOFFS} | {"median rank": "median rank"}
    figure = plt.figure(figsize=(18, 5.4), layout="constrained")
    each, both = figure.subfigures(1, 2, width_ratios=(len(titles), 1.5))
    axes = each.subplots(2, len(titles), sharex="col", sharey=True, squeeze=False)
    for ax in axes[0, : len(CUTOFFS)]:
        plots.square_root(ax)  # and the one below, which shares its axis
    for ax, rows in panels(axes, table, "metric", titles):
        _panel(ax, rows, "reported")
    ax = _panel(both.subplots(), table[table["metric"] == "RSUM"], "reported")
    ax.set_title("RSUM, of 800")
    _legend(figure, REPORTED, "R@K on square-root scales")
    return figure


def many_to_many(table: pd.DataFrame) -> Figure:
    """Retrieval of all studies that are coded alike; the table of `tables.retrieval.many_to_many_table`."""
    plots.use_style()
    titles = {metric: f"{metric}, %" for metric in table["metric"].unique()}
    titles["plausible share"] = "wrong first answers\ncoded alike, %"
    figure, axes = plt.subplots(
        2, len(titles), figsize=(18, 5.2), layout="constrained", sharex="col", sharey=True
    )
    for ax, rows in panels(axes, table, "metric", titles):
        _panel(ax, rows)
    _legend(figure)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, beside: str = "") -> Axes:
    bank = rows[rows["score"] == BANK].set_index("method")
    rows = rows[rows["score"] != BANK]
    values, methods = rows.set_index("method")["value"], methods_of(rows)
    references = {name: values[name] for name in ("random", "ceiling") if name in values}
    for y, name in enumerate(methods):
        row, colour = bank.loc[name], METHOD_COLOURS[name]
        same = row["difference_low"] <= 0 <= row["difference_high"]
        look = {"marker": "D", "ms": 4, "mew": 1, "mfc": "white" if same else colour}
        plots.interval(ax, *row[["value", "low", "high"]], y - BANK_ABOVE, colour, **look)
    return method_intervals(ax, rows, methods, references=references, beside=beside)


def _legend(figure: Figure, *texts: str) -> None:
    lines = [plots.entry("random order", **plots.CHANCE), plots.entry("oracle ceiling", **CEILING)]
    bank = plots.entry(
        "less the bank's term (hollow: the difference from the own score may be 0)",
        marker="D", ms=4, color=plots.INK,
    )  # fmt: skip
    interval_legend(figure, [*lines, bank], *texts)


def hubs(table: pd.DataFrame) -> Figure:
    """Skew of how often an item is found, both ways; the table of `tables.retrieval.hub_table`."""
    plots.use_style()
    figure, axes = plt.subplots(1, 2, figsize=(12, 6.6), layout="constrained", sharey=True)
    scores = {name: name.replace("_", " ") for name in SCORES} | {"csd": "CSD", "kl": "KL"}
    scores |= {"bhattacharyya": "Bhattacharyya", "hellinger": "Hellinger"}
    scores |= {"reverse_kl": "reverse KL", "symmetric_kl": "symmetric KL", "wasserstein": "2-Wasserstein"}
    bank = {name: f"{label}, less the bank's term" for name, label in METHODS.items()}
    labels = {"method": METHODS, "bank": bank, "score": scores}
    own = METHODS[table.loc[table["kind"] == "method", "name"].iloc[0]]
    for ax, (direction, title) in zip(axes, DIRECTIONS.items(), strict=True):
        rows = table[(table["direction"] == direction) & (table["kind"] != "random")].reset_index(drop=True)
        for y, row in rows.iterrows():
            colour = METHOD_COLOURS.get(row["name"], plots.INK)
            plots.interval(ax, *row[["skew", "skew_least", "skew_most"]], y, colour)
            plots.at_edge(ax, y, f"{row['orphans']:.0f} %", gap=4, size=9)
        chance = table[(table["direction"] == direction) & (table["kind"] == "random")]["skew"].iloc[0]
        ax.axvline(chance, **plots.CHANCE)
        for last in np.flatnonzero(rows["kind"] != rows["kind"].shift(-1))[:-1]:
            ax.axhline(last + 0.5, color=plots.GRID, lw=1)
        names = [labels[kind][name] for kind, name in rows[["kind", "name"]].itertuples(index=False)]
        plots.lines_of_text(ax, names)
        ax.set(xlabel="skew of how often an item is found", title=title.capitalize())
        ax.set_xlim(left=0)
    figure.supxlabel(
        "From above: each method with its own score; the same less the bank's term; the Gaussians of "
        f"{own} scored otherwise.\nFound: among a query's first ten. Dashed: all found equally likely. "
        "Grey: items in nobody's first ten. Bars: the seeds.",
        fontsize=9, color=plots.QUIET,
    )  # fmt: skip
    return figure
