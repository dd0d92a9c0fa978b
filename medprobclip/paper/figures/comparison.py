"""Figures that compare methods by what they find: tables 1 and 2, many-to-many, hubs, the ablation."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medprobclip.evaluation.retrieval import CUTOFFS, DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import (
    CEILING,
    METHOD_COLOURS,
    REPORTED,
    hollow,
    interval_legend,
    method_intervals,
    methods_of,
    panels,
)
from medprobclip.paper.tables.experiments import METHODS, REFERENCE
from medprobclip.paper.tables.reported import LABEL
from medprobclip.similarity import SCORES


def table_1(table: pd.DataFrame) -> Figure:
    """Recall both ways, median rank and RSUM by method; the table of `tables.retrieval.recall_table`."""
    plots.use_style()
    titles = {f"R@{k}": f"R@{k}, %" for k in CUTOFFS} | {"median rank": "median rank"}
    figure = plt.figure(figsize=(17, 5.4), layout="constrained")
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
    values = rows.set_index("method")["value"]
    references = {name: values[name] for name in ("random", "ceiling") if name in values}
    return method_intervals(ax, rows, methods_of(rows), references=references, beside=beside)


def _legend(figure: Figure, *texts: str) -> None:
    lines = [plots.entry("random order", **plots.CHANCE), plots.entry("oracle ceiling", **CEILING)]
    interval_legend(figure, lines, *texts)


def hubs(table: pd.DataFrame) -> Figure:
    """Skew of how often an item is found, both ways; the table of `tables.retrieval.hub_table`."""
    plots.use_style()
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained", sharey=True)
    scores = {name: name.replace("_", " ") for name in SCORES} | {"csd": "CSD", "kl": "KL"}
    scores |= {"bhattacharyya": "Bhattacharyya", "hellinger": "Hellinger"}
    scores |= {"reverse_kl": "reverse KL", "symmetric_kl": "symmetric KL", "wasserstein": "2-Wasserstein"}
    labels = {"method": METHODS, "score": scores}
    own = METHODS[table.loc[table["kind"] == "method", "name"].iloc[0]]
    for ax, (direction, title) in zip(axes, DIRECTIONS.items(), strict=True):
        rows = table[(table["direction"] == direction) & (table["kind"] != "random")].reset_index(drop=True)
        for y, row in rows.iterrows():
            colour = METHOD_COLOURS.get(row["name"], plots.INK)
            plots.interval(ax, *row[["skew", "skew_least", "skew_most"]], y, colour)
            plots.at_edge(ax, y, f"{row['orphans']:.0f} %", gap=4, size=9)
        chance = table[(table["direction"] == direction) & (table["kind"] == "random")]["skew"].iloc[0]
        ax.axvline(chance, **plots.CHANCE)
        ax.axhline((rows["kind"] == "method").sum() - 0.5, color=plots.GRID, lw=1)
        names = [labels[kind][name] for kind, name in rows[["kind", "name"]].itertuples(index=False)]
        plots.lines_of_text(ax, names)
        ax.set(xlabel="skew of how often an item is among the first ten", title=title.capitalize())
        ax.set_xlim(left=0)
    figure.supxlabel(
        f"Above the line each method with its own score, below {own}'s Gaussians scored otherwise. "
        "Dashed: all found equally likely. Grey: items in nobody's first ten. Bars: the seeds.",
        fontsize=9, color=plots.QUIET,
    )  # fmt: skip
    return figure


def table_2(table: pd.DataFrame) -> Figure:
    """Zero-shot AUROC by finding and method, ours and the paper's; `tables.zeroshot.finding_table`."""
    plots.use_style()
    findings = list(table["finding"].unique())
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(14, 0.62 * len(findings) + 1.2),
        layout="constrained",
        width_ratios=(1.7, 1),
        sharey=True,
    )
    methods = methods_of(table)
    offsets = dict(zip(methods, np.linspace(-0.3, 0.3, len(methods)), strict=True))
    for name, label in methods.items():
        rows = table[table["method"] == name].set_index("finding").loc[findings]
        y = np.arange(len(findings)) + offsets[name]
        left.hlines(y, rows["low"], rows["high"], color=METHOD_COLOURS[name])
        left.plot(rows["value"], y, "o", ms=4, color=METHOD_COLOURS[name], label=label)
        right.plot(rows["reported"], y, "D", ms=5, color=METHOD_COLOURS[name])
    counts = table.drop_duplicates("finding").set_index("finding")["positives"]
    labels = [f if pd.isna(n) else f"{f}  ({n:.0f})" for f, n in counts.items()]
    for ax, title in (
        (left, "Our test studies (how many have it)"),
        (right, f"{LABEL[0].upper()}{LABEL[1:]}, 13 findings"),
    ):
        ax.axvline(0.5, **plots.CHANCE, zorder=0)
        plots.lines_of_text(ax, labels, apart=True)
        ax.set(xlim=(-0.02, 1.02), xlabel="AUROC, zero-shot", title=title)
    plots.legend(figure, left.get_legend_handles_labels()[0])
    return figure


def ablation(table: pd.DataFrame, labels: dict[str, str]) -> Figure:
    """MedProbCLIP with one thing changed, by what it costs; `tables.ablation.ablation_table`."""
    plots.use_style()
    titles = {
        "RSUM": "RSUM, of 800",
        "mAP@R": "mAP@R, %, coded alike",
        "AURC": "AURC at R@10, less is better",
    }
    figure, axes = plt.subplots(
        1, len(titles), figsize=(15, 0.36 * len(labels) + 1.4), layout="constrained", sharey=True
    )
    for ax, (metric, title) in zip(axes, titles.items(), strict=True):
        rows = table[table["metric"] == metric].set_index("method").reindex(labels).reset_index()
        colours = {name: plots.IMAGE if name == REFERENCE else plots.INK for name in labels}
        own = rows.set_index("method").loc[REFERENCE]
        ax.axvspan(own["low"], own["high"], color=plots.IMAGE, alpha=0.08, lw=0)
        method_intervals(ax, rows[rows["value"].notna()], labels, colours)
        ax.set_title(title)
        ax.grid(False, axis="x")
        ax.grid(True, axis="y")
    band = plots.entry(f"interval of {METHODS[REFERENCE]}", color=plots.IMAGE, alpha=0.2, ls="-", lw=8)
    plots.legend(figure, [hollow(), band], fontsize=9)
    return figure
