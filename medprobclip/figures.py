"""Every figure: its id, who makes it, caption and one function. `save` writes it with its numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medprobclip import plots
from medprobclip.evaluation.reliability import RiskCoverage
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.files import replaced_file


@dataclass(frozen=True)
class Entry:
    """Which notebook or command makes a figure, and what it shows."""

    maker: str  # a notebook without its ending, or a module that is run as a command
    caption: str


FIGURES = {
    "contact_sheet": Entry(
        "01_data_inspection",
        "Twelve findings: the simulated patient without and with it, expert code, a sentence of the report",
    ),
    "rendered_truth": Entry(
        "01_data_inspection", "What was drawn in one study, and the conspicuity of every kind of finding"
    ),
    "shared_meaning": Entry(
        "01_data_inspection", "How many studies share a study's wording or its expert coding"
    ),
    "untrained_similarity": Entry("02_model_definition", "Scores of an untrained model for eight studies"),
    "training_curves": Entry(
        "03_training", "The objective term by term, and retrieval on the validation studies"
    ),
    "retrieval": Entry(
        "04_retrieval_evaluation",
        "Retrieval of the held-out test studies, with bootstrap intervals, between chance and the ceiling",
    ),
    "risk_coverage": Entry(
        "05_uncertainty_analysis",
        "Risk and coverage at R@10 when the least uncertain queries are answered first",
    ),
    "uncertainty_and_sharing": Entry(
        "05_uncertainty_analysis",
        "Total variance against how many studies share the coding, and against the rank of the answer",
    ),
    "scaling": Entry(
        "07_scaling",
        "Time and memory of scoring a gallery: the published broadcast as far as memory allows, tiles, exact "
        "search, and search by cosine; less than 1 MB stands at 1 MB",
    ),
    "readability": Entry(
        "medprobclip.readability",
        "AUROC of a small classifier on held-out simulated patients, by kind of finding",
    ),
}


def save(name: str, figure: Figure, numbers: pd.DataFrame, folder: Path) -> Path:
    """Write `<name>.png` and, beside it, its numbers as `<name>.csv`. Raises KeyError if unlisted."""
    FIGURES[name]
    with replaced_file(Path(folder) / f"{name}.csv") as temporary:
        numbers.to_csv(temporary, index=False, float_format="%.6g")
    path = Path(folder) / f"{name}.png"
    with replaced_file(path) as temporary:
        figure.savefig(
            temporary, format="png", bbox_inches="tight", facecolor="white", metadata={"Software": None}
        )
    return path


def contact_sheet(
    pictures: np.ndarray, boxes: np.ndarray, codes: Sequence[str], sentences: Sequence[str]
) -> Figure:
    """Cards in two columns, one a finding: PA and lateral of the patient without and with it.

    pictures uint8 `[n, 2, 2, S, S]`: finding; PA, lateral; without, with. boxes `[n, 2, 4]`: where the
    finding is on either film, left, top, right, bottom in pixels; drawn as corners.
    """
    plots.use_style()
    rows = -(-len(pictures) // 2)
    figure = plt.figure(figsize=(17, 2.72 * rows), layout="constrained")
    cards = figure.subfigures(rows, 2, wspace=0.02, hspace=0.03, squeeze=False).flatten()
    for card, films, places, code, sentence in zip(cards, pictures, boxes, codes, sentences, strict=False):
        axes = card.subplots(1, 4)
        for view, (name, place) in enumerate(zip(("PA", "lateral"), places, strict=True)):
            plots.radiograph(axes[2 * view], films[view, 0], f"{name}, without")
            plots.corners(plots.radiograph(axes[2 * view + 1], films[view, 1], f"{name}, with"), place)
        card.suptitle(textwrap.shorten(code, 80, placeholder=" …"), fontsize=11, fontweight="bold")
        quote = f"“{textwrap.shorten(sentence, 110, placeholder=' …')}”"
        card.supxlabel(quote, fontsize=10.5, style="italic", color=plots.INK)
    return figure


def rendered_truth(
    pa: np.ndarray, lateral: np.ndarray, found: pd.DataFrame, conspicuity: pd.DataFrame
) -> Figure:
    """One study with everything that was drawn marked, and how well each kind of finding can be seen.

    pa, lateral uint8 `[S, S]`; `found`: its rows of the rendered table; `conspicuity`: `group, studies,
    low, median, high` by kind, best seen first.
    """
    plots.use_style()
    figure = plt.figure(figsize=(12, 7.6), layout="constrained")
    films, ranges = figure.subfigures(1, 2, width_ratios=(1, 1.35))
    colours = dict(zip(found["kind"].unique(), plots.SERIES, strict=False))
    for ax, image, view in zip(films.subplots(2, 1), (pa, lateral), ("pa", "lateral"), strict=True):
        plots.radiograph(ax, image, view if view == "lateral" else "PA")
        for row in found.to_dict("records"):
            place = [row[f"{view}_{edge}"] for edge in ("left", "top", "right", "bottom")]
            plots.corners(ax, place, colours[row["kind"]])
    handles = [plt.Line2D([], [], color=colour, lw=2, label=kind) for kind, colour in colours.items()]
    films.legend(handles=handles, loc="outside lower center", ncols=2)
    ax = plots.quantile_ranges(ranges.subplots(), conspicuity, "conspicuity in the better view")
    ax.set_title("How well findings can be seen (median and quartiles)")
    return figure


def shared_meaning(tables: dict[str, pd.DataFrame]) -> Figure:
    """Share of studies whose wording or coding is shared; each table has `size, studies` columns."""
    plots.use_style()
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for (label, table), colour in zip(
        tables.items(), (plots.REPORT, plots.ACCENT, plots.IMAGE), strict=False
    ):
        plots.share_counts(ax, table["size"].to_numpy(), table["studies"].to_numpy(), label, colour)
    ax.legend()
    ax.set_title("How many studies say the same")
    return figure


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
    colours = (plots.INK, plots.IMAGE, plots.ACCENT, plots.REPORT, "#8e6bb3", "#c9a227")
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


def retrieval(table: pd.DataFrame) -> Figure:
    """R@K and, where the table has it, mAP@R, both ways with intervals, beside chance and the ceiling."""
    plots.use_style()
    parts = {
        "queries answered, %": table["metric"].str.startswith("R@"),
        "mAP@R, %": table["metric"] == "mAP@R",
    }
    parts = {label: table[rows] for label, rows in parts.items() if rows.any()}
    figure, axes = plt.subplots(
        1, len(parts), figsize=(6.2 + 1.6 * len(parts), 4.6), layout="constrained", squeeze=False,
        width_ratios=[part["metric"].nunique() for part in parts.values()],
    )  # fmt: skip
    for ax, (label, part) in zip(axes[0], parts.items(), strict=True):
        plots.recall_intervals(ax, part, DIRECTIONS).set_ylabel(label)
    axes[0, 0].set_title(f"Retrieval on {table['queries'].iloc[0]:.0f} held-out studies")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def risk_coverage(curves: dict[str, dict[str, RiskCoverage]]) -> Figure:
    """One panel a direction; in each the model's own order beside a random and the best possible one."""
    plots.use_style()
    figure, axes = plt.subplots(
        1, len(curves), figsize=(5.5 * len(curves), 4.8), layout="constrained", sharey=True
    )
    colours = (plots.IMAGE, plots.QUIET, plots.ACCENT)
    for ax, (title, orders) in zip(np.atleast_1d(axes), curves.items(), strict=True):
        risks = {f"{name} (AURC {curve.aurc:.3f})": curve.risk for name, curve in orders.items()}
        coverage = next(iter(orders.values())).coverage
        plots.risk_coverage_curve(ax, coverage, risks, colours, title)
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
    """Time and memory by gallery size, one line a method; the table of `scaling.scaling_table`."""
    plots.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    methods = {
        "broadcast": ("broadcast, as published", plots.REPORT),
        "tiles": ("tiles: all scores", "#c9a227"),
        "search": ("search: the best only", plots.IMAGE),
        "cosine search": ("search by cosine", plots.QUIET),
    }
    sizes = table.iloc[0]
    plots.growth(left, table, "seconds", methods, "search").set_ylabel("time, s")
    left.set_title(f"Time for {sizes['queries']:,} queries, {sizes['dim']:,} dimensions")
    plots.growth(right, table, "memory_mb", methods, "tiles", floor=1.0)
    right.set_ylabel("memory beyond the inputs, MB (at least 1)")
    right.set_title("What has to be held at once")
    handles, labels = left.get_legend_handles_labels()
    for label, face in (("compiled", plots.INK), ("not compiled", "white")):
        handles.append(plt.Line2D([], [], ls="", marker="o", color=plots.INK, mfc=face, mew=1.5))
        labels.append(label)
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def readability(table: pd.DataFrame, hard_below: float) -> Figure:
    """AUROC by kind with intervals, best first, coloured by verdict; the table of `readability`."""
    plots.use_style()
    figure, ax = plt.subplots(figsize=(7.5, 1.4 + 0.21 * len(table)), layout="constrained")
    verdicts = {
        "readable": ("readable", plots.IMAGE),
        "small": ("hard: small", "#c9a227"),
        "subtle": ("hard: subtle", "#8e6bb3"),
        "wrong": ("hard: wrong", plots.REPORT),
    }
    plots.labelled_intervals(ax, table, verdicts, hard_below)
    ax.set(xlabel="AUROC on held-out patients, 95 % bootstrap interval", title="What a small network can see")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure
