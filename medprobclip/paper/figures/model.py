"""Figures of one model: untrained, in training, its variance, its cost, what a network can see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.figures import plots

CONTROLS = {  # of `tables.ambiguity.control_table`
    "sharing": "studies coded alike",
    "sharing_abnormal": "… without normal ones",
    "rank": "rank of the answer",
    "rank_unambiguous": "… where no other\nstudy is coded alike",
}


CODED = "report of the study coded …"  # what the columns of a score matrix are


def untrained_similarity(
    scores: np.ndarray, images: np.ndarray, labels: Sequence[str], columns: str = CODED
) -> Figure:
    """Image × report scores `[n, n]` with thumbnails uint8 `[n, S, S]` as rows, labels as columns.

    `columns` says what the labels are.
    """
    plots.use_style()
    n = len(images)
    figure = plt.figure(figsize=(8.6, 7), layout="constrained")
    grid = figure.add_gridspec(n, 2, width_ratios=(1, n), wspace=0.01, hspace=0.02)
    for row, image in enumerate(images):
        plots.radiograph(figure.add_subplot(grid[row, 0]), image).set_anchor("E")
    ax = plots.score_matrix(figure.add_subplot(grid[:, 1]), scores, "score (scaled log expected likelihood)")
    ax.set_aspect("auto")
    ax.set_xticks(range(n), labels, rotation=35, ha="right", rotation_mode="anchor", fontsize=9)
    ax.set_xlabel(columns)
    ax.set_title("What an untrained model believes")
    return figure


def trained_similarity(
    before: np.ndarray, after: np.ndarray, images: np.ndarray, labels: Sequence[str], columns: str = CODED
) -> Figure:
    """Image × report scores `[n, n]` of one model before and after training, each on a scale of its own.

    Thumbnails uint8 `[n, S, S]` as rows, labels as columns, `columns` what these are. A dot
    marks the best report of each film.
    """
    plots.use_style()
    n = len(images)
    figure = plt.figure(figsize=(9.6, 5.4), layout="constrained")
    grid = figure.add_gridspec(n, 3, width_ratios=(1, n, n), wspace=0.02, hspace=0.02)
    for row, image in enumerate(images):
        plots.radiograph(figure.add_subplot(grid[row, 0]), image).set_anchor("E")
    for column, (title, scores) in enumerate({"Before training": before, "After training": after}.items()):
        ax = plots.score_matrix(figure.add_subplot(grid[:, column + 1]), scores, "score")
        ax.plot(scores.argmax(1), range(n), "o", color=plots.MARK, ms=6)
        ax.set_aspect("auto")
        ax.set_xticks(range(n), labels, rotation=40, ha="right", rotation_mode="anchor")
        ax.set(title=title, xlabel=columns)
    own = plots.entry("the film's own report", marker="s", ms=9, color=plots.REPORT, mfc="none", mew=1.5)
    best = plots.entry("the film's best report", marker="o", ms=6, color=plots.MARK)
    plots.legend(figure, [own, best])
    return figure


TERMS = {  # of `objective_terms`, for readers
    "loss": "all together",
    "image_text": "image–text",
    "image_image": "image–image",
    "text_text": "text–text",
    "kl_image": "KL of images",
    "kl_text": "KL of texts",
    "pseudo_positive": "pseudo-positives",
    "inclusion": "inclusion",
}


def training_curves(
    history: pd.DataFrame, contributions: Mapping[str, Sequence[float]], chance: float
) -> Figure:
    """Weighted terms of the loss and validation R@10 by epoch; `chance` is R@10 of a random order, %."""
    plots.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.8), layout="constrained")
    colours = (plots.INK, plots.IMAGE, plots.ACCENT, plots.REPORT, plots.VIOLET, plots.OCHRE, plots.ROSE)
    named = {TERMS.get(name, name): values for name, values in contributions.items()}
    plots.curves(left, history["epoch"], named, colours, "epoch", "contribution to the loss, nats")
    left.set_yscale("log")
    left.set_title("The objective, term by term")
    recalls = {label: history[f"val_R@10_{name}"] for name, label in DIRECTIONS.items()}
    plots.curves(
        right, history["epoch"], recalls, (plots.IMAGE, plots.REPORT), "epoch", "R@10 on validation, %"
    )
    right.axhline(chance, color=plots.QUIET, ls="--", lw=1.5, label="chance")
    right.set_ylim(bottom=0)
    right.set_title("What it is for")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    return figure


def uncertainty_and_sharing(sharing: pd.DataFrame, ranks: pd.DataFrame, controls: pd.DataFrame) -> Figure:
    """Total variance by shared coding, rank by total variance, and both again with ambiguity set aside.

    The tables of `tables.ambiguity`: `variance_by_sharing`, `rank_by_variance`, `control_table`.
    """
    plots.use_style()
    figure, axes = plt.subplots(2, 2, figsize=(10, 8.4), layout="constrained")
    sides = {"image": ("radiographs", plots.IMAGE, -0.12), "report": ("reports", plots.REPORT, 0.12)}
    for ax, (side, (name, colour, _)) in zip(axes[0], sides.items(), strict=True):
        rows = sharing[sharing["side"] == side]
        plots.quantile_bands(
            ax, rows, "test studies with the same coding", "Σσ², median and quartiles", colour
        )
        ax.set_title(f"Total variance of {name}")
    left, right = axes[1]
    for side, (name, colour, shift) in sides.items():
        rows = ranks[ranks["side"] == side]
        left.errorbar(
            np.arange(len(rows)) + shift, rows["median"], yerr=plots.errors(rows, "median"),
            fmt="o", color=colour, capsize=4, ms=7, label=name,
        )  # fmt: skip
        own = controls[controls["side"] == side]
        for y, row in enumerate(own.itertuples()):
            if np.isfinite(row.rho):
                plots.interval(right, row.rho, row.rho_low, row.rho_high, y + shift, colour)
    groups = ranks["group"].unique()
    left.set(xticks=range(len(groups)), xticklabels=[group.replace(" ", "\n") for group in groups])
    left.set(xlabel="queries by total variance, fifths", ylabel="rank of the right answer")
    left.set(yscale="log", title="Does the variance foretell the rank?")
    left.grid(axis="y")
    plots.plain_log(left.yaxis)
    right.axvline(0, color=plots.QUIET, lw=1.3, zorder=0)
    counts = controls.groupby("property", sort=False)["n"].max()
    plots.lines_of_text(right, [f"{CONTROLS[name]}\n({n} studies)" for name, n in counts.items()], apart=True)
    right.set(xlabel="Spearman’s ρ with the total variance", title="With ambiguity set aside")
    plots.legend(figure, left.get_legend_handles_labels()[0], fontsize=10)
    return figure


def scaling(table: pd.DataFrame) -> Figure:
    """Time and memory by gallery size, one line a method; the table of `evaluation.scaling.scaling_table`."""
    plots.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 5.2), layout="constrained")
    methods = {
        "broadcast": ("broadcast, as published", plots.REPORT),
        "tiles": ("tiles: all scores", plots.OCHRE),
        "search": ("search: the best only", plots.IMAGE),
        "cosine search": ("search by cosine", plots.QUIET),
    }
    sizes = table.iloc[0]
    plots.growth(left, table, "seconds", methods, "search").set_ylabel("time, s")
    left.set_title(f"Time for {sizes['queries']:,} queries,\n{sizes['dim']:,} dimensions")
    plots.growth(right, table, "memory_mb", methods, "tiles", floor=1.0)
    right.set_ylabel("memory, MB (at least 1)")
    right.set_title("What has to be held at once,\nbeyond the inputs")
    for ax in (left, right):
        ax.tick_params(axis="x", labelrotation=45)
    faces = {"compiled": plots.INK, "not compiled": "white"}
    marks = [plots.entry(n, marker="o", color=plots.INK, mfc=face, mew=1.5) for n, face in faces.items()]
    plots.legend(figure, left.get_legend_handles_labels()[0] + marks, ncols=4)
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
