"""Figures of doubt: selective retrieval, confidences, calibration, and radiographs with a fault."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.evaluation.confidence import LABELS
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.plots import METHOD_COLOURS
from medprobclip.paper.tables.experiments import METHODS, REFERENCE
from medprobclip.paper.tables.reliability import CALIBRATORS
from medprobclip.paper.tables.reported import LABEL

CALIBRATOR_COLOURS = {"before": plots.QUIET, "platt": plots.IMAGE, "isotonic": plots.ACCENT}


def figure_2(curves: pd.DataFrame) -> Figure:
    """Risk–coverage by K and direction, a curve a method; the table of `reliability_tables.curve_table`."""
    plots.use_style()
    cutoffs = list(curves["k"].unique())
    figure, axes = plt.subplots(
        2, len(cutoffs), figsize=(15, 7), layout="constrained", sharex=True, sharey=True
    )
    own = next(name for name in METHODS if name in set(curves["method"]))
    frames = {"random": "random order", "oracle": "oracle"}
    for row, (direction, title) in zip(axes, DIRECTIONS.items(), strict=True):
        for ax, k in zip(row, cutoffs, strict=True):
            table = curves[(curves["direction"] == direction) & (curves["k"] == k)]
            table = table.assign(coverage=100 * table["coverage"])
            for (name, label), style in zip(frames.items(), ("--", ":"), strict=True):
                frame = table[table["method"] == name]
                ax.plot(
                    frame["coverage"], frame["risk"], color=METHOD_COLOURS[own], ls=style, lw=1.4,
                    label=f"{METHODS[own]}, {label}",
                )  # fmt: skip
            plots.method_lines(ax, table, "coverage", "risk", METHODS, METHOD_COLOURS)
            ax.set(xlim=(0, 100), ylim=(0, 1.03))
        row[0].set_ylabel(f"{title}\nrisk: share not found")
    for top, bottom, k in zip(*axes, cutoffs, strict=True):
        top.set_title(f"R@{k}")
        bottom.set_xlabel("coverage, % of queries answered")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=9)
    return figure


def figure_2_areas(table: pd.DataFrame) -> Figure:
    """AURC by K and direction with intervals, the paper's beside; `reliability_tables.area_table`."""
    plots.use_style()
    cutoffs = list(table["k"].unique())
    figure, axes = plt.subplots(2, len(cutoffs), figsize=(15, 5), layout="constrained", sharex="col")
    for ax, k in zip(axes[0], cutoffs, strict=True):
        ax.set_title(f"AURC at R@{k}")
    for row, (direction, title) in zip(axes, DIRECTIONS.items(), strict=True):
        for ax, k in zip(row, cutoffs, strict=True):
            rows = table[(table["direction"] == direction) & (table["k"] == k)]
            labels = {name: label for name, label in METHODS.items() if name in set(rows["method"])}
            plots.method_intervals(ax, rows, labels, METHOD_COLOURS, beside="reported")
            for y, frame in enumerate(rows.set_index("method").loc[list(labels), "random"]):
                ax.plot([frame], [y], "|", color=plots.QUIET, ms=13, mew=2)
            if ax is not row[0]:
                ax.set_yticklabels([])
        row[0].set_ylabel(title, fontweight="bold")
    handles = [
        plt.Line2D([], [], ls="", marker="|", color=plots.QUIET, ms=13, mew=2, label="random order"),
        plt.Line2D([], [], ls="", marker="|", color=plots.INK, label="least and most of the seeds"),
        plt.Line2D(
            [], [], ls="", marker="o", color=plots.INK, mfc="white",
            label=f"hollow: the paired difference from {METHODS[REFERENCE]} may be 0",
        ),
        plt.Line2D([], [], ls="", label=f"grey numbers: {LABEL}"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def confidences(table: pd.DataFrame) -> Figure:
    """AURC over the oracle's by confidence, a mark a method; `reliability_tables.selective_table`."""
    plots.use_style()
    cutoffs = list(table["k"].unique())
    figure, axes = plt.subplots(
        2, len(cutoffs), figsize=(15, 5.6), layout="constrained", sharey=True, sharex="col"
    )
    for top, bottom, k in zip(*axes, cutoffs, strict=True):
        top.set_title(f"R@{k}")
        bottom.set_xlabel("AURC above the oracle's")
    methods = {name: label for name, label in METHODS.items() if name in set(table["method"])}
    offsets = dict(zip(methods, np.linspace(-0.28, 0.28, len(methods)), strict=True))
    for row, (direction, title) in zip(axes, DIRECTIONS.items(), strict=True):
        for ax, k in zip(row, cutoffs, strict=True):
            for name in methods:
                of = (table["direction"] == direction) & (table["k"] == k) & (table["method"] == name)
                rows = table[of].set_index("confidence").loc[list(LABELS)]
                y = np.arange(len(LABELS)) + offsets[name]
                colour = METHOD_COLOURS[name]
                faces = [colour if chosen else "white" for chosen in rows["chosen"]]
                ax.scatter(rows["excess"], y, s=26, color=faces, edgecolor=colour)
            ax.set(
                yticks=range(len(LABELS)), yticklabels=list(LABELS.values()), ylim=(len(LABELS) - 0.4, -0.6)
            )
            ax.tick_params(axis="y", length=0)
            ax.grid(axis="x")
            ax.set_xlim(left=0)
            ax.locator_params(axis="x", nbins=4)
            for y in np.arange(len(LABELS) - 1) + 0.5:
                ax.axhline(y, color=plots.GRID, lw=1, zorder=0)
        row[0].set_ylabel(title, fontweight="bold")
    handles = [
        plt.Line2D([], [], ls="", marker="o", color=METHOD_COLOURS[n], label=label)
        for n, label in methods.items()
    ]
    handles.append(
        plt.Line2D([], [], ls="", marker="o", color=plots.INK, label="filled: chosen on validation")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
    return figure


def calibration(diagrams: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Reliability diagrams of the reference, and every method's calibration error before and after.

    diagrams: rows of `calibration.reliability_diagram` with columns `level` and `calibrator`; table: that of
    `reliability_tables.calibration_table`.
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
            errors = [bins["frequency"] - bins["low"], bins["high"] - bins["frequency"]]
            ax.errorbar(
                bins["confidence"], bins["frequency"], yerr=errors, fmt="o-", ms=4, lw=1.2,
                color=CALIBRATOR_COLOURS[name], label=label,
            )  # fmt: skip
        ax.axline((0, 0) if level != "pairs" else (1e-3, 1e-3), (1, 1), color=plots.INK, ls="--", lw=1)
        ax.set(xlabel="mean probability of the bin", ylabel="share that is right", title=title)
        if level == "pairs":
            ax.set(xscale="log", yscale="log", xlim=(1e-5, 1.3), ylim=(1e-5, 1.3))
        else:
            ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        ax.grid()
    _errors(axes[3], table[table["level"] == "i2t"], CALIBRATORS)
    handles, labels = axes[0].get_legend_handles_labels()
    handles.append(plt.Line2D([], [], ls="", marker="|", color=plots.INK, ms=9, mew=2))
    labels.append("of right probabilities, by chance")
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    return figure


def _errors(ax: plt.Axes, table: pd.DataFrame, names: dict[str, str]) -> None:
    """Calibration error of equal-mass bins by method, with what right probabilities would show by chance."""
    methods = {name: label for name, label in METHODS.items() if name in set(table["method"])}
    offsets = dict(zip(names, (-0.25, 0, 0.25), strict=True))
    for name in names:
        rows = table[table["calibrator"] == name].set_index("method").loc[list(methods)]
        y = np.arange(len(methods)) + offsets[name]
        ax.barh(y, rows["ace"], height=0.22, color=CALIBRATOR_COLOURS[name])
        ax.plot(rows["ace_bias"], y, "|", color=plots.INK, ms=9, mew=2)
    ax.set(yticks=range(len(methods)), yticklabels=list(methods.values()), ylim=(len(methods) - 0.4, -0.6))
    ax.set(xlabel="adaptive ECE, 15 bins of equal mass", title="Report among the first ten")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


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

    The tables of `robustness.robustness_table` and `mean_over_corruptions`; `labels` names the corruptions.
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
        plots.method_lines(ax, average, "severity", name, METHODS, METHOD_COLOURS)
        ax.set(title=title, xlabel="severity, mean of all corruptions", xticks=range(6))
        if name == "detects":
            ax.axhline(0.5, color=plots.QUIET, ls="--", lw=1.3, zorder=0)
        if name == "recall":
            ax.set_ylim(bottom=0)
    axes = bottom.subplots(2, len(labels), sharex=True, sharey="row")
    for column, (corruption, label) in enumerate(labels.items()):
        rows = table[table["corruption"].isin(["none", corruption])]
        for ax, name in zip(axes[:, column], ("recall", "detects"), strict=True):
            plots.method_lines(ax, rows, "severity", name, METHODS, METHOD_COLOURS)
            ax.set_xticks([0, 5])
        axes[1, column].axhline(0.5, color=plots.QUIET, ls="--", lw=1.3, zorder=0)
        axes[0, column].set_title(label, fontsize=10, fontweight="normal")
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel("R@10, %")
    axes[1, 0].set(ylabel="AUROC of the\nvariance for a fault", ylim=(0, 1))
    bottom.supxlabel("severity, 0 = no fault; bands: 95 % bootstrap intervals over test studies", fontsize=10)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure
