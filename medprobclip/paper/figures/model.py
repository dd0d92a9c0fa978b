"""Figures of one model: untrained, in training, its variance, its cost, what a network can see."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.figures import plots


def untrained_similarity(scores: np.ndarray, images: np.ndarray, labels: Sequence[str]) -> Figure:
    """Image × report scores `[n, n]` with thumbnails uint8 `[n, S, S]` as rows, labels as columns."""
    plots.use_style()
    n = len(images)
    figure = plt.figure(figsize=(8.6, 7), layout="constrained")
    grid = figure.add_gridspec(n, 2, width_ratios=(1, n), wspace=0.01, hspace=0.02)
    for row, image in enumerate(images):
        plots.radiograph(figure.add_subplot(grid[row, 0]), image).set_anchor("E")
    ax = plots.score_matrix(figure.add_subplot(grid[:, 1]), scores, "score (scaled log expected likelihood)")
    ax.set_aspect("auto")
    ax.set_xticks(range(n), labels, rotation=35, ha="right", rotation_mode="anchor", fontsize=9)
    ax.set_xlabel("report of the study coded …")
    ax.set_title("What an untrained model believes")
    return figure


def training_curves(
    history: pd.DataFrame, contributions: dict[str, Sequence[float]], chance: float
) -> Figure:
    """Weighted terms of the loss and validation R@10 by epoch; `chance` is R@10 of a random order, %."""
    plots.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    colours = (plots.INK, plots.IMAGE, plots.ACCENT, plots.REPORT, plots.VIOLET, plots.OCHRE)
    plots.curves(left, history["epoch"], contributions, colours, "epoch", "contribution to the loss, nats")
    left.set_yscale("log")
    left.set_title("The objective, term by term")
    left.legend(ncols=2, loc="center")
    recalls = {label: history[f"val_R@10_{name}"] for name, label in DIRECTIONS.items()}
    plots.curves(
        right, history["epoch"], recalls, (plots.IMAGE, plots.REPORT), "epoch", "R@10 on validation, %"
    )
    right.axhline(chance, color=plots.QUIET, ls="--", lw=1.5, label="chance")
    right.set_ylim(bottom=0)
    right.legend()
    right.set_title("What it is for")
    return figure


def uncertainty_and_sharing(sharing: pd.DataFrame, ranks: pd.DataFrame) -> Figure:
    """Total variance by how many studies share the coding, and rank of the report by total variance."""
    plots.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    plots.quantile_bands(
        left,
        sharing,
        "test studies with the same coding",
        "total variance of the radiograph, Σσ²\n(median and quartiles)",
    )
    left.set_title("Is the ambiguous radiograph the uncertain one?")
    plots.quantile_bands(
        right,
        ranks,
        "radiographs by total variance, fifths",
        "rank of the right report\n(median and quartiles)",
        plots.REPORT,
    )
    right.set_yscale("log")
    plots.plain_log(right.yaxis)
    right.set_title("Does uncertainty foretell the rank?")
    return figure


def scaling(table: pd.DataFrame) -> Figure:
    """Time and memory by gallery size, one line a method; the table of `evaluation.scaling.scaling_table`."""
    plots.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    methods = {
        "broadcast": ("broadcast, as published", plots.REPORT),
        "tiles": ("tiles: all scores", plots.OCHRE),
        "search": ("search: the best only", plots.IMAGE),
        "cosine search": ("search by cosine", plots.QUIET),
    }
    sizes = table.iloc[0]
    plots.growth(left, table, "seconds", methods, "search").set_ylabel("time, s")
    left.set_title(f"Time for {sizes['queries']:,} queries, {sizes['dim']:,} dimensions")
    plots.growth(right, table, "memory_mb", methods, "tiles", floor=1.0)
    right.set_ylabel("memory beyond the inputs, MB (at least 1)")
    right.set_title("What has to be held at once")
    faces = {"compiled": plots.INK, "not compiled": "white"}
    marks = [plots.entry(n, marker="o", color=plots.INK, mfc=face, mew=1.5) for n, face in faces.items()]
    plots.legend(figure, left.get_legend_handles_labels()[0] + marks)
    return figure


def readability(table: pd.DataFrame, hard_below: float) -> Figure:
    """AUROC by kind with intervals, best first, coloured by verdict; `chest_encoder.readability_table`."""
    plots.use_style()
    figure, ax = plt.subplots(figsize=(7.5, 1.4 + 0.21 * len(table)), layout="constrained")
    verdicts = {
        "readable": ("readable", plots.IMAGE),
        "small": ("hard: small", plots.OCHRE),
        "subtle": ("hard: subtle", plots.VIOLET),
        "wrong": ("hard: wrong", plots.REPORT),
    }
    plots.labelled_intervals(ax, table, verdicts, hard_below)
    ax.set(xlabel="AUROC on held-out patients, 95 % bootstrap interval", title="What the chest encoder sees")
    plots.legend(figure, ax.get_legend_handles_labels()[0], ncols=3)
    return figure
