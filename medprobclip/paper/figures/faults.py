"""Figures of faults: what they look like, what they cost, who notices, and what to answer all the same."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import METHOD_COLOURS, method_lines, methods_of
from medprobclip.paper.tables.experiments import METHODS, REFERENCE
from medprobclip.paper.tables.names import COMPARED, DOUBTS, ORDERS, RULE

DOUBT_COLOURS = {
    "variance": plots.IMAGE,
    "log_variance": plots.VIOLET,
    "entropy": plots.OCHRE,
    "strangeness": plots.REPORT,
}
ORDER_COLOURS = {
    "variance": plots.IMAGE,
    "top_score": plots.BROWN,
    "margin": plots.ROSE,
    "softmax": plots.QUIET,
    "entropy": plots.OCHRE,
    "match_probability": plots.VIOLET,
    "strangeness": plots.REPORT,
    RULE: plots.ACCENT,
}


def corruptions(pictures: np.ndarray, labels: Sequence[str]) -> Figure:
    """Every corruption of one radiograph: uint8 `[n, 1 + severities, S, S]`, the faultless one first.

    A row a corruption, in the order of their `labels`.
    """
    plots.use_style()
    rows, columns = pictures.shape[:2]
    figure, axes = plt.subplots(
        rows, columns, figsize=(7, 0.4 + 0.97 * rows), layout="constrained", squeeze=False
    )
    for line, of, label in zip(axes, pictures, labels, strict=True):
        for ax, picture in zip(line, of, strict=True):
            plots.radiograph(ax, picture)
        line[0].set_ylabel(label.replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=9)
    for severity, ax in enumerate(axes[0]):
        ax.set_title(f"severity {severity}" if severity else "none", fontsize=9, color=plots.INK)
    return figure


def robustness(table: pd.DataFrame, average: pd.DataFrame, labels: dict[str, str]) -> Figure:
    """Retrieval, AURC and doubt by severity: the mean of all corruptions large, each of them small.

    The tables of `tables.robustness.robustness_table` and `mean_over_corruptions`; `labels` names the
    corruptions.
    """
    plots.use_style()
    figure = plt.figure(figsize=(9.6, 5.2 + 0.85 * len(labels)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(4.8, 0.4 + 0.85 * len(labels)))
    titles = {
        "recall": "R@10, %,\nmean of both directions",
        "aurc": "AURC at R@10,\nimage to text",
        "variance": "mean total variance,\n1 = no fault",
        "variance_detects": "AUROC of the variance\nfor a fault",
        "strangeness_detects": "AUROC of strangeness\nfor a fault",
    }
    *axes, corner = top.subplots(2, 3).flat
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        method_lines(ax, average, "severity", name)
        ax.set_title(title, fontsize=10)
        ax.set_xticks(range(6))
        if name.endswith("_detects"):
            ax.axhline(0.5, **plots.CHANCE, zorder=0)
            ax.set_ylim(0, 1.02)
        if name == "recall":
            ax.set_ylim(bottom=0)
    top.supxlabel("severity, mean of all faults", fontsize=10)
    corner.legend(handles=axes[0].get_legend_handles_labels()[0], loc="center", fontsize=10)
    corner.set_axis_off()
    small = {
        "recall": "R@10, %",
        "variance_detects": "AUROC of the variance",
        "strangeness_detects": "AUROC of strangeness",
    }
    grid = bottom.subplots(len(labels), len(small), sharex=True, sharey="col", squeeze=False)
    for line, (corruption, label) in zip(grid, labels.items(), strict=True):
        rows = table[table["corruption"].isin(["none", corruption])]
        for ax, name in zip(line, small, strict=True):
            method_lines(ax, rows, "severity", name)
            ax.set_xticks(range(6))
            if name.endswith("_detects"):
                ax.axhline(0.5, **plots.CHANCE, zorder=0)
        line[0].set_ylabel(label.replace(" ", "\n"), rotation=0, ha="right", va="center")
    for ax, (name, title) in zip(grid[0], small.items(), strict=True):
        ax.set_title(title, fontsize=10)
        ax.set_ylim(*((0, 1.05) if name.endswith("_detects") else (0, None)))
    bottom.supxlabel("severity, 0 = no fault; bands: 95 % bootstrap intervals over test studies", fontsize=10)
    return figure


def selective_faulty(curves: pd.DataFrame, table: pd.DataFrame, method: str = REFERENCE) -> Figure:
    """Figure 2's companion, half of the films faulty: curves of one `method`, and areas of all.

    The tables of `tables.mixed_quality.mixed_curves` and `mixed_table`.
    """
    plots.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 6.6), layout="constrained")
    for name, (label, style) in {"random": ("random order", "--"), "oracle": ("oracle", ":")}.items():
        frame = curves[curves["order"] == name]
        left.plot(100 * frame["coverage"], frame["risk"], color=plots.INK, ls=style, lw=1.2, label=label)
    for name, label in ORDERS.items():
        curve = curves[curves["order"] == name]
        width = 3.0 if name == RULE else 1.5
        left.plot(
            100 * curve["coverage"], curve["risk"], color=ORDER_COLOURS[name], lw=width, label=label,
            zorder=3 if name == RULE else 2,
        )  # fmt: skip
    left.set(
        xlim=(0, 100), ylim=(0, 1.02), xlabel="coverage, % of films answered",
        ylabel="risk: share without a right report in the first ten",
        title=f"{METHODS[method]}:\nwho is answered first?",
    )  # fmt: skip
    left.grid()
    methods = methods_of(table)
    offsets = dict(zip(methods, np.linspace(-0.3, 0.3, len(methods)), strict=True))
    for name in methods:
        rows = table[table["method"] == name].set_index("order").loc[list(ORDERS)]
        for y, row in enumerate(rows.itertuples()):
            same = row.difference_low <= 0 <= row.difference_high
            colour = METHOD_COLOURS[name]
            plots.interval(
                right, row.aurc, row.low, row.high, y + offsets[name], colour, mfc="white" if same else colour
            )
    plots.lines_of_text(right, [fill(label, 21) for label in ORDERS.values()], apart=True)
    right.set(xlabel="AURC at R@10, half of the films faulty", title="Every method")
    entries = [plots.entry(label, marker="o", color=METHOD_COLOURS[n]) for n, label in methods.items()]
    hollow = plots.entry("hollow: maybe as good as the rule", marker="o", color=plots.INK, mfc="white")
    for ax, look in ((left, {}), (right, {"handles": [*entries, hollow]})):
        ax.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.4, -0.13), **look)
    return figure


def third_kind(table: pd.DataFrame, pictures: np.ndarray) -> Figure:
    """Films and texts that no study has, and which doubt tells them; `tables.third_kind.third_kind_table`."""
    plots.use_style()
    films, texts = (table[table["side"] == side] for side in ("image", "report"))
    figure = plt.figure(figsize=(9.6, 7.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 3.2))
    names = ["as it should be", *films.drop_duplicates("kind")["label"]]
    for ax, picture, name in zip(top.subplots(1, len(names)), pictures, names, strict=True):
        plots.radiograph(ax, picture)
        ax.set_title(fill(name, 16), fontsize=9, color=plots.INK)
    for ax, part, title in zip(
        bottom.subplots(1, 2), (films, texts), ("Instead of the film", "Instead of the report"), strict=True
    ):
        kinds = part.drop_duplicates("kind")
        for offset, (doubt, colour) in zip(np.linspace(-0.27, 0.27, 4), DOUBT_COLOURS.items(), strict=True):
            rows = part[part["doubt"] == doubt].set_index("kind").loc[kinds["kind"]]
            for y, row in enumerate(rows.itertuples()):
                plots.interval(ax, row.auroc, row.low, row.high, y + offset, colour)
        ax.axvline(0.5, **plots.CHANCE, zorder=0)
        labels = [
            f"{label}\n({'can be told' if told else 'nothing to tell'},\nn = {n})"
            for label, told, n in zip(kinds["label"], kinds["detectable"], kinds["n"], strict=True)
        ]
        plots.lines_of_text(ax, labels, apart=True)
        ax.tick_params(axis="y", labelsize=9)
        ax.set(xlim=(-0.02, 1.02), xlabel="AUROC against the study's own", title=title)
    entries = [plots.entry(DOUBTS[n], marker="o", color=c) for n, c in DOUBT_COLOURS.items()]
    plots.legend(figure, [*entries, plots.entry("knows nothing", **plots.CHANCE)])
    return figure


def degraded_training(table: pd.DataFrame) -> Figure:
    """The inclusion term and spoilt views beside MedProbCLIP; `tables.degraded_training.degraded_table`."""
    plots.use_style()
    titles = {
        "R@10": "R@10, %, good films", "R@10, severity 5": "R@10 image to text, %, severity 5",
        "AURC, variance": "AURC by variance, good films", "AURC, entropy": "AURC by entropy, good films",
        "variance, severity 5": "AUROC of Σσ², severity 5",
        "log_variance, severity 5": "AUROC of Σ log σ², severity 5",
        "entropy, severity 5": "AUROC of the entropy, severity 5",
        "strangeness, severity 5": "AUROC of strangeness, severity 5",
    }  # fmt: skip
    labels = {name: label for name, label in COMPARED.items() if name in set(table["method"])}
    figure, axes = plt.subplots(4, 2, figsize=(9, 3.2 + 1.2 * len(labels)), layout="constrained", sharey=True)
    for ax, (metric, title) in zip(axes.flat, titles.items(), strict=True):
        rows = table[table["metric"] == metric].set_index("method")
        for y, name in enumerate(labels):
            if name not in rows.index:
                continue
            row = rows.loc[name]
            colour = plots.IMAGE if name == REFERENCE else plots.INK
            same = row.get("difference_low", np.nan) <= 0 <= row.get("difference_high", np.nan)
            plots.interval(ax, *row[["value", "low", "high"]], y, colour, mfc="white" if same else colour)
        if "severity 5" in metric and not metric.startswith("R@10"):
            ax.axvline(0.5, **plots.CHANCE, zorder=0)
            ax.set_xlim(0, 1.02)
        plots.lines_of_text(ax, [label.replace(", ", ",\n") for label in labels.values()])
        ax.set_title(title, fontsize=10)
    hollow = plots.entry(
        f"hollow: the paired difference from {COMPARED[REFERENCE]} may be 0", marker="o", color=plots.INK,
        mfc="white",
    )  # fmt: skip
    plots.legend(figure, [hollow, plots.entry("knows nothing", **plots.CHANCE)])
    return figure
