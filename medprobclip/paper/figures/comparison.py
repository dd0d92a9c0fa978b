"""Figures that compare methods by what they find: tables 1 and 2, many-to-many, hubs, the ablation."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.plots import METHOD_COLOURS
from medprobclip.paper.tables.experiments import METHODS, REFERENCE
from medprobclip.paper.tables.reported import LABEL
from medprobclip.similarity import SCORES

HOLLOW = f"hollow: the paired difference from {METHODS[REFERENCE]} may be 0"


def table_1(table: pd.DataFrame) -> Figure:
    """Recall both ways, median rank and RSUM by method; the table of `retrieval_tables.recall_table`."""
    plots.use_style()
    metrics = [m for m in table["metric"].unique() if m != "RSUM"]
    figure = plt.figure(figsize=(17, 5.4), layout="constrained")
    each, both = figure.subfigures(1, 2, width_ratios=(len(metrics), 1.5))
    axes = each.subplots(2, len(metrics), sharex="col", squeeze=False)
    for row, (direction, title) in enumerate(DIRECTIONS.items()):
        for ax, metric in zip(axes[row], metrics, strict=True):
            share = metric.startswith("R@")
            if share:
                plots.square_root(ax)
            _panel(ax, table, direction, metric, "reported")
            if row == 0:
                ax.set_title(f"{metric}{', %' if share else ''}")
            if ax is not axes[row, 0]:
                ax.set_yticklabels([])
        axes[row, 0].set_ylabel(title, fontweight="bold")
    ax = _panel(both.subplots(), table, "both", "RSUM", "reported")
    ax.set_title("RSUM, of 800")
    _legend(figure, f"grey numbers: {LABEL}", "R@K on square-root scales")
    return figure


def many_to_many(table: pd.DataFrame) -> Figure:
    """Retrieval of all studies that are coded alike; the table of `retrieval_tables.many_to_many_table`."""
    plots.use_style()
    metrics = list(table["metric"].unique())
    figure, axes = plt.subplots(2, len(metrics), figsize=(18, 5.2), layout="constrained", sharex="col")
    for ax, metric in zip(axes[0], metrics, strict=True):
        ax.set_title(f"{metric}, %" if metric != "plausible share" else "wrong first answers\ncoded alike, %")
    for row, (direction, title) in zip(axes, DIRECTIONS.items(), strict=True):
        for ax, metric in zip(row, metrics, strict=True):
            _panel(ax, table, direction, metric)
            if ax is not row[0]:
                ax.set_yticklabels([])
        row[0].set_ylabel(title, fontweight="bold")
    _legend(figure)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, direction: str, metric: str, beside: str = "") -> Axes:
    rows = table[(table["direction"] == direction) & (table["metric"] == metric)]
    values = rows.set_index("method")["value"]
    references = {name: values[name] for name in ("random", "ceiling") if name in values}
    labels = {name: label for name, label in METHODS.items() if name in values}
    return plots.method_intervals(ax, rows, labels, METHOD_COLOURS, references, beside)


def _legend(figure: Figure, *more: str) -> None:
    """What dashes, marks and hollow points mean, once for all panels."""
    handles = [
        plt.Line2D([], [], color=plots.QUIET, ls="--", lw=1.3, label="random order"),
        plt.Line2D([], [], color=plots.ACCENT, ls="--", lw=1.3, label="oracle ceiling"),
        plt.Line2D([], [], ls="", marker="|", color=plots.INK, label="least and most of the seeds"),
        plt.Line2D([], [], ls="", marker="o", color=plots.INK, mfc="white", label=HOLLOW),
        *(plt.Line2D([], [], ls="", label=text) for text in more),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)


def hubs(table: pd.DataFrame) -> Figure:
    """Skew of how often an item is found, both ways; the table of `retrieval_tables.hub_table`."""
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
            ax.annotate(
                f"{row['orphans']:.0f} %", (1, y), (4, 0), ("axes fraction", "data"), "offset points",
                va="center", fontsize=9, color=plots.QUIET, annotation_clip=False,
            )  # fmt: skip
        chance = table[(table["direction"] == direction) & (table["kind"] == "random")]["skew"].iloc[0]
        ax.axvline(chance, color=plots.QUIET, ls="--", lw=1.3)
        ax.axhline((rows["kind"] == "method").sum() - 0.5, color=plots.GRID, lw=1)
        names = [labels[kind][name] for kind, name in rows[["kind", "name"]].itertuples(index=False)]
        ax.set(yticks=range(len(rows)), yticklabels=names, ylim=(len(rows) - 0.4, -0.6))
        ax.set(xlabel="skew of how often an item is among the first ten", title=title.capitalize())
        ax.tick_params(axis="y", length=0)
        ax.set_xlim(left=0)
        ax.grid(axis="x")
    figure.supxlabel(
        f"Above the line each method with its own score, below {own}'s Gaussians scored otherwise. "
        "Dashed: all found equally likely. Grey: items in nobody's first ten. Bars: the seeds.",
        fontsize=9, color=plots.QUIET,
    )  # fmt: skip
    return figure


def table_2(table: pd.DataFrame) -> Figure:
    """Zero-shot AUROC by finding and method, ours and the paper's; `zeroshot_tables.finding_table`."""
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
    methods = [name for name in METHODS if name in set(table["method"])]
    offsets = dict(zip(methods, np.linspace(-0.3, 0.3, len(methods)), strict=True))
    for name in methods:
        rows = table[table["method"] == name].set_index("finding").loc[findings]
        y = np.arange(len(findings)) + offsets[name]
        left.hlines(y, rows["low"], rows["high"], color=METHOD_COLOURS[name])
        left.plot(rows["value"], y, "o", ms=4, color=METHOD_COLOURS[name], label=METHODS[name])
        right.plot(rows["reported"], y, "D", ms=5, color=METHOD_COLOURS[name])
    counts = table[table["method"] == methods[0]].set_index("finding").loc[findings, "positives"]
    labels = [f if pd.isna(n) else f"{f}  ({n:.0f})" for f, n in counts.items()]
    left.set(yticks=range(len(findings)), yticklabels=labels, ylim=(len(findings) - 0.4, -0.6))
    for ax, title in (
        (left, "Our test studies (how many have it)"),
        (right, f"{LABEL[0].upper()}{LABEL[1:]}, 13 findings"),
    ):
        ax.axvline(0.5, color=plots.QUIET, ls="--", lw=1.3, zorder=0)
        for y in np.arange(len(findings) - 1) + 0.5:
            ax.axhline(y, color=plots.GRID, lw=1, zorder=0)
        ax.set(xlim=(-0.02, 1.02), xlabel="AUROC, zero-shot", title=title)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(methods))
    return figure


def ablation(table: pd.DataFrame, labels: dict[str, str]) -> Figure:
    """MedProbCLIP with one thing changed, by what it costs; `ablation.ablation_table`, `variant_labels`."""
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
        plots.method_intervals(ax, rows[rows["value"].notna()], labels, colours)
        ax.set_title(title)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="both")
    handles = [
        plt.Line2D([], [], ls="", marker="o", color=plots.INK, mfc="white", label=HOLLOW),
        plt.Line2D([], [], color=plots.IMAGE, alpha=0.2, lw=8, label=f"interval of {METHODS[REFERENCE]}"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
    return figure
