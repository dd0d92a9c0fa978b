"""Figures of doubt: selective retrieval, confidences, calibration."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medprobclip.evaluation.calibration import CALIBRATORS
from medprobclip.evaluation.confidence import LABELS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import (
    METHOD_COLOURS,
    REPORTED,
    hollow,
    method_intervals,
    method_lines,
    methods_of,
    panels,
    seed_marks,
)
from medprobclip.paper.tables.readable import QUESTIONS

CALIBRATOR_COLOURS = {"before": plots.QUIET, "platt": plots.IMAGE, "isotonic": plots.ACCENT}
WIDTH = 10  # inches: letters of 10 points can still be read when a page shows 800 pixels


def figure_2(curves: pd.DataFrame) -> Figure:
    """Risk–coverage by K and direction, a curve a method; the table of `tables.reliability.curve_table`."""
    plots.use_style()
    titles = {k: f"R@{k}" for k in curves["k"].unique()}
    figure, axes = plt.subplots(
        2, len(titles), figsize=(WIDTH, 6.6), layout="constrained", sharex=True, sharey=True
    )
    own, label = next(iter(methods_of(curves).items()))
    frames = {"random": ("random order", "--"), "oracle": ("oracle", ":")}
    curves = curves.assign(coverage=100 * curves["coverage"])
    for ax, table in panels(axes, curves, "k", titles):
        for name, (said, style) in frames.items():
            frame = table[table["method"] == name]
            look = {"color": METHOD_COLOURS[own], "ls": style, "lw": 1.6, "label": f"{label}, {said}"}
            ax.plot(frame["coverage"], frame["risk"], **look)
        method_lines(ax, table, "coverage", "risk")
        ax.set(xlim=(0, 100), ylim=(0, 1.03), xticks=(0, 50, 100))
    for ax in axes[:, 0]:
        ax.set_ylabel(f"{ax.get_ylabel()}\nrisk: share not found", fontweight="normal")
    for ax in axes[1]:
        ax.set_xlabel("coverage, %")
    plots.legend(figure, axes[0, 0].get_legend_handles_labels()[0], fontsize=10, ncols=3)
    return figure


def figure_2_areas(table: pd.DataFrame) -> Figure:
    """AURC by K and direction with intervals, the paper's beside; `tables.reliability.area_table`."""
    plots.use_style()
    titles = {k: f"AURC at R@{k}" for k in table["k"].unique()}
    labels = methods_of(table)
    figure, axes = plt.subplots(
        2, len(titles), figsize=(WIDTH, max(4.4, 2.4 + 0.56 * len(labels))),
        layout="constrained", sharex="col", sharey=True,
    )  # fmt: skip
    chance = {"marker": "|", "color": plots.QUIET, "ms": 13, "mew": 2}
    for ax, rows in panels(axes, table, "k", titles):
        method_intervals(ax, rows, labels, beside="reported")
        for y, frame in enumerate(rows.set_index("method").loc[list(labels), "random"]):
            ax.plot([frame], [y], ls="", **chance)
        ax.locator_params(axis="x", nbins=3)
        plt.setp(ax.texts, fontsize=10)
    entries = [plots.entry("random order", **chance)]
    if (table["most"] > table["least"]).any():
        entries.append(seed_marks())
    if len(labels) > 1:
        entries.append(hollow())
    if table["reported"].notna().any():
        entries.append(plots.entry(REPORTED))
    plots.legend(figure, entries, fontsize=10, ncols=2)
    return figure


def confidences(table: pd.DataFrame) -> Figure:
    """AURC over the oracle's by confidence, a mark a method; `tables.reliability.selective_table`."""
    plots.use_style()
    titles = {k: f"R@{k}" for k in table["k"].unique()}
    methods = methods_of(table)
    height = 3.6 + 0.12 * len(LABELS) * len(methods)
    figure, axes = plt.subplots(
        2, len(titles), figsize=(WIDTH, height), layout="constrained", sharey=True, sharex="col"
    )
    offsets = dict(zip(methods, np.linspace(-0.32, 0.32, len(methods)), strict=True))
    for ax, panel in panels(axes, table, "k", titles):
        for name in methods:
            rows = panel[panel["method"] == name].set_index("confidence").loc[list(LABELS)]
            y = np.arange(len(LABELS)) + offsets[name]
            colour = METHOD_COLOURS[name]
            faces = [colour if chosen else "white" for chosen in rows["chosen"]]
            ax.scatter(rows["excess"], y, s=26, color=faces, edgecolor=colour)
        plots.lines_of_text(ax, LABELS.values(), apart=True)
        ax.locator_params(axis="x", nbins=3)
    for ax in axes[1]:
        ax.set(xlabel="excess AURC", xlim=(0, None))  # last: it ends the search for the right end
    entries = [plots.entry(label, marker="o", color=METHOD_COLOURS[n]) for n, label in methods.items()]
    filled = plots.entry("filled: chosen on validation", marker="o", color=plots.INK)
    plots.legend(figure, [*entries, filled], fontsize=10, ncols=4)
    return figure


def calibration(diagrams: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Reliability diagrams of the reference, and every method's calibration error before and after.

    diagrams: rows of `calibration.reliability_diagram` with columns `level` and `calibrator`; table: that of
    `tables.reliability.calibration_table`. A panel ends where the bins do; on logarithmic axes, bins of less
    probability than any share that is seen stand at the left edge, as triangles.
    """
    plots.use_style()
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 8.6), layout="constrained")
    queries = diagrams[diagrams["level"] != "pairs"]
    for ax, (level, title) in zip(axes.flat, QUESTIONS.items(), strict=False):
        rows = diagrams[diagrams["level"] == level]
        scale = "log" if level == "pairs" else "linear"
        low, high = _range(rows if scale == "log" else queries, scale)
        ax.set(xscale=scale, yscale=scale)
        for name, label in CALIBRATORS.items():
            _bins(ax, rows[rows["calibrator"] == name], low, CALIBRATOR_COLOURS[name], label)
        ax.plot([low, high], [low, high], color=plots.INK, ls="--", lw=1, zorder=0)
        ax.set(xlabel="mean probability of the bin", ylabel="share that is right", title=title)
        ax.set(xlim=(low, high), ylim=(low, high))
        ax.grid()
    chance = {"marker": "|", "color": plots.INK, "ms": 9, "mew": 2}
    ax, rows = axes[1, 1], table[table["level"] == "i2t"]
    methods = methods_of(rows)
    for name, offset in zip(CALIBRATORS, (-0.25, 0, 0.25), strict=True):
        by_method = rows[rows["calibrator"] == name].set_index("method").loc[list(methods)]
        y = np.arange(len(methods)) + offset
        ax.barh(y, by_method["ace"], height=0.22, color=CALIBRATOR_COLOURS[name])
        ax.plot(by_method["ace_bias"], y, ls="", **chance)
    plots.lines_of_text(ax, methods.values())
    ax.set(xlabel="adaptive ECE, 15 bins of equal mass", title="Report among the first ten: errors")
    left = plots.entry("further left than shown", marker="<", color=plots.INK)
    by_chance = plots.entry("of right probabilities, by chance", **chance)
    entries = [*axes[0, 0].get_legend_handles_labels()[0], left, by_chance]
    plots.legend(figure, entries, fontsize=10, ncols=3)
    return figure


def _range(rows: pd.DataFrame, scale: str) -> tuple[float, float]:
    """One range for both axes, which keeps the diagonal: from the least share that is seen, to all bins."""
    high = max(rows["confidence"].max(), rows["high"].max())
    if scale == "linear":
        return -0.03 * high, 1.03 * high
    seen = rows.loc[rows["frequency"] > 0, "frequency"].min()
    return (seen if seen < high else high / 10) / 2, 1.5 * high


def _bins(ax: Axes, bins: pd.DataFrame, low: float, colour: str, label: str) -> None:
    """The bins of one diagram with their intervals; those left of the panel as triangles at its edge."""
    ax.errorbar(
        bins["confidence"], bins["frequency"], yerr=plots.errors(bins, "frequency"),
        fmt="o-", ms=4, lw=1.2, color=colour, label=label,
    )  # fmt: skip
    outside = bins[bins["confidence"] < max(low, 0.0)]
    if len(outside):  # nothing, unclipped, would have no place in the layout
        y = outside["frequency"].clip(lower=low)
        ax.plot([low] * len(outside), y, "<", ms=8, color=colour, clip_on=False, zorder=3)
