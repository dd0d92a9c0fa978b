"""Figures of doubt: selective retrieval, confidences, calibration."""

from __future__ import annotations

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
