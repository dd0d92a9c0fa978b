"""Figures of doubt: selective retrieval, confidences, calibration, and radiographs with a fault."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.evaluation.calibration import CALIBRATORS
from medprobclip.evaluation.confidence import LABELS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import (
    METHOD_COLOURS,
    REPORTED,
    interval_legend,
    method_intervals,
    method_lines,
    methods_of,
    panels,
)

CALIBRATOR_COLOURS = {"before": plots.QUIET, "platt": plots.IMAGE, "isotonic": plots.ACCENT}


def figure_2(curves: pd.DataFrame) -> Figure:
    """Risk–coverage by K and direction, a curve a method; the table of `tables.reliability.curve_table`."""
    plots.use_style()
    titles = {k: f"R@{k}" for k in curves["k"].unique()}
    figure, axes = plt.subplots(
        2, len(titles), figsize=(15, 7), layout="constrained", sharex=True, sharey=True
    )
    own, label = next(iter(methods_of(curves).items()))
    frames = {"random": ("random order", "--"), "oracle": ("oracle", ":")}
    curves = curves.assign(coverage=100 * curves["coverage"])
    for ax, table in panels(axes, curves, "k", titles):
        for name, (said, style) in frames.items():
            frame = table[table["method"] == name]
            look = {"color": METHOD_COLOURS[own], "ls": style, "lw": 1.4, "label": f"{label}, {said}"}
            ax.plot(frame["coverage"], frame["risk"], **look)
        method_lines(ax, table, "coverage", "risk")
        ax.set(xlim=(0, 100), ylim=(0, 1.03))
    for ax in axes[:, 0]:
        ax.set_ylabel(f"{ax.get_ylabel()}\nrisk: share not found", fontweight="normal")
    for ax in axes[1]:
        ax.set_xlabel("coverage, % of queries answered")
    plots.legend(figure, axes[0, 0].get_legend_handles_labels()[0], fontsize=9)
    return figure


def figure_2_areas(table: pd.DataFrame) -> Figure:
    """AURC by K and direction with intervals, the paper's beside; `tables.reliability.area_table`."""
    plots.use_style()
    titles = {k: f"AURC at R@{k}" for k in table["k"].unique()}
    figure, axes = plt.subplots(
        2, len(titles), figsize=(15, 5), layout="constrained", sharex="col", sharey=True
    )
    chance = {"marker": "|", "color": plots.QUIET, "ms": 13, "mew": 2}
    for ax, rows in panels(axes, table, "k", titles):
        labels = methods_of(rows)
        method_intervals(ax, rows, labels, beside="reported")
        for y, frame in enumerate(rows.set_index("method").loc[list(labels), "random"]):
            ax.plot([frame], [y], ls="", **chance)
    interval_legend(figure, [plots.entry("random order", **chance)], REPORTED)
    return figure


def confidences(table: pd.DataFrame) -> Figure:
    """AURC over the oracle's by confidence, a mark a method; `tables.reliability.selective_table`."""
    plots.use_style()
    titles = {k: f"R@{k}" for k in table["k"].unique()}
    figure, axes = plt.subplots(
        2, len(titles), figsize=(15, 5.6), layout="constrained", sharey=True, sharex="col"
    )
    methods = methods_of(table)
    offsets = dict(zip(methods, np.linspace(-0.28, 0.28, len(methods)), strict=True))
    for ax, panel in panels(axes, table, "k", titles):
        for name in methods:
            rows = panel[panel["method"] == name].set_index("confidence").loc[list(LABELS)]
            y = np.arange(len(LABELS)) + offsets[name]
            colour = METHOD_COLOURS[name]
            faces = [colour if chosen else "white" for chosen in rows["chosen"]]
            ax.scatter(rows["excess"], y, s=26, color=faces, edgecolor=colour)
        plots.lines_of_text(ax, LABELS.values(), apart=True)
        ax.set_xlim(left=0)
        ax.locator_params(axis="x", nbins=4)
    for ax in axes[1]:
        ax.set_xlabel("AURC above the oracle's")
    entries = [plots.entry(label, marker="o", color=METHOD_COLOURS[n]) for n, label in methods.items()]
    filled = plots.entry("filled: chosen on validation", marker="o", color=plots.INK)
    plots.legend(figure, [*entries, filled], fontsize=9)
    return figure


def calibration(diagrams: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Reliability diagrams of the reference, and every method's calibration error before and after.

    diagrams: rows of `calibration.reliability_diagram` with columns `level` and `calibrator`; table: that of
    `tables.reliability.calibration_table`.
    """
    plots.use_style()
    figure, axes = plt.subplots(1, 4, figsize=(17, 4.6), layout="constrained", width_ratios=(1, 1, 1, 1.1))
    titles = {
        "pairs": "Is this pair a match?",
        "i2t": "Is the report among the first ten?",
        "t2i": "Is the radiograph among the first ten?",
    }
    for ax, (level, title) in zip(axes, titles.items(), strict=False):
        rows = diagrams[diagrams["level"] == level]
        for name, label in CALIBRATORS.items():
            bins = rows[rows["calibrator"] == name]
            ax.errorbar(
                bins["confidence"], bins["frequency"], yerr=plots.errors(bins, "frequency"),
                fmt="o-", ms=4, lw=1.2, color=CALIBRATOR_COLOURS[name], label=label,
            )  # fmt: skip
        ax.axline((0, 0) if level != "pairs" else (1e-3, 1e-3), (1, 1), color=plots.INK, ls="--", lw=1)
        ax.set(xlabel="mean probability of the bin", ylabel="share that is right", title=title)
        if level == "pairs":
            ax.set(xscale="log", yscale="log", xlim=(1e-5, 1.3), ylim=(1e-5, 1.3))
        else:
            ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        ax.grid()
    chance = {"marker": "|", "color": plots.INK, "ms": 9, "mew": 2}
    ax, rows = axes[3], table[table["level"] == "i2t"]
    methods = methods_of(rows)
    for name, offset in zip(CALIBRATORS, (-0.25, 0, 0.25), strict=True):
        by_method = rows[rows["calibrator"] == name].set_index("method").loc[list(methods)]
        y = np.arange(len(methods)) + offset
        ax.barh(y, by_method["ace"], height=0.22, color=CALIBRATOR_COLOURS[name])
        ax.plot(by_method["ace_bias"], y, ls="", **chance)
    plots.lines_of_text(ax, methods.values())
    ax.set(xlabel="adaptive ECE, 15 bins of equal mass", title="Report among the first ten")
    by_chance = plots.entry("of right probabilities, by chance", **chance)
    plots.legend(figure, [*axes[0].get_legend_handles_labels()[0], by_chance], fontsize=9)
    return figure


def corruptions(pictures: np.ndarray, labels: Sequence[str]) -> Figure:
    """Every corruption of one radiograph: uint8 `[n, 1 + severities, S, S]`, the faultless one first."""
    plots.use_style()
    half = -(-len(pictures) // 2)
    columns = pictures.shape[1]
    figure = plt.figure(figsize=(17, 0.3 + 1.22 * half), layout="constrained")
    for part, sub in enumerate(figure.subfigures(1, 2, wspace=0.03)):
        rows = range(part * half, min(len(pictures), (part + 1) * half))
        axes = sub.subplots(half, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for line, number in zip(axes, rows, strict=False):
            for severity, ax in enumerate(line):
                ax.set_axis_on()
                plots.radiograph(ax, pictures[number, severity])
                if number == rows[0]:
                    ax.set_title(
                        "none" if severity == 0 else f"severity {severity}", fontsize=9, color=plots.INK
                    )
            line[0].set_ylabel(
                labels[number].replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=10
            )
    return figure


def robustness(table: pd.DataFrame, average: pd.DataFrame, labels: dict[str, str]) -> Figure:
    """Retrieval, AURC and variance by severity: the mean of all corruptions large, each of them small.

    The tables of `tables.robustness.robustness_table` and `mean_over_corruptions`; `labels` names the
    corruptions.
    """
    plots.use_style()
    figure = plt.figure(figsize=(19, 9.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    titles = {
        "recall": "R@10, %, mean of both directions",
        "aurc": "AURC at R@10, image to text",
        "variance": "mean total variance, 1 = no fault",
        "detects": "AUROC of the variance for a fault",
    }
    for ax, (name, title) in zip(top.subplots(1, len(titles)), titles.items(), strict=True):
        method_lines(ax, average, "severity", name)
        ax.set(title=title, xlabel="severity, mean of all corruptions", xticks=range(6))
        if name == "detects":
            ax.axhline(0.5, **plots.CHANCE, zorder=0)
        if name == "recall":
            ax.set_ylim(bottom=0)
    axes = bottom.subplots(2, len(labels), sharex=True, sharey="row")
    for column, (corruption, label) in enumerate(labels.items()):
        rows = table[table["corruption"].isin(["none", corruption])]
        for ax, name in zip(axes[:, column], ("recall", "detects"), strict=True):
            method_lines(ax, rows, "severity", name)
            ax.set_xticks([0, 5])
        axes[1, column].axhline(0.5, **plots.CHANCE, zorder=0)
        axes[0, column].set_title(label, fontsize=10, fontweight="normal")
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel("R@10, %")
    axes[1, 0].set(ylabel="AUROC of the\nvariance for a fault", ylim=(0, 1))
    bottom.supxlabel("severity, 0 = no fault; bands: 95 % bootstrap intervals over test studies", fontsize=10)
    plots.legend(figure, axes[0, 0].get_legend_handles_labels()[0])
    return figure
