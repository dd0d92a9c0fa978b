"""Every figure: its id, notebook, caption and one maker. `save` writes it with its numbers."""

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
    """Which notebook makes a figure, and what it shows."""

    notebook: str
    caption: str


FIGURES = {
    "study_cards": Entry(
        "01_data_inspection",
        "Studies: simulated PA and lateral radiographs, expert codes, one sentence of the report",
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
        "Recall on the held-out test studies, with bootstrap intervals, beside chance",
    ),
    "risk_coverage": Entry(
        "05_uncertainty_analysis",
        "Risk and coverage at R@10 when the least uncertain queries are answered first",
    ),
    "uncertainty_and_sharing": Entry(
        "05_uncertainty_analysis",
        "Total variance against how many studies share the coding, and against the rank of the answer",
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


def study_cards(
    pa: np.ndarray, lateral: np.ndarray, codes: Sequence[str], sentences: Sequence[str]
) -> Figure:
    """Cards in two columns: both radiographs uint8 `[n, S, S]`, expert codes and one quoted sentence each."""
    plots.use_style()
    rows = -(-len(pa) // 2)
    figure = plt.figure(figsize=(11, 3.4 * rows), layout="constrained")
    cards = figure.subfigures(rows, 2, wspace=0.04, hspace=0.03).flatten()
    for card, front, side, code, sentence in zip(cards, pa, lateral, codes, sentences, strict=False):
        left, right = card.subplots(1, 2)
        plots.radiograph(left, front, "PA")
        plots.radiograph(right, side, "lateral")
        card.suptitle(
            textwrap.shorten(code, 64, placeholder=" …"), fontsize=10, fontweight="bold", color=plots.INK
        )
        quote = textwrap.fill(f"“{textwrap.shorten(sentence, 130, placeholder=' …')}”", 68)
        card.supxlabel(quote, fontsize=9, style="italic", color=plots.INK)
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
    """R@K both ways with intervals, beside chance."""
    plots.use_style()
    figure, ax = plt.subplots(figsize=(7.5, 4.3), layout="constrained")
    plots.recall_intervals(ax, table[table["metric"].str.startswith("R@")], DIRECTIONS)
    size = table.iloc[0]
    ax.set_title(f"Retrieval on {size['queries']:.0f} held-out studies")
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
