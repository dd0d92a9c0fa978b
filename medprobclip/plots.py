"""Arrays in, Axes out. Nothing is computed here but where a mark goes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

INK, QUIET, GRID = "#22303c", "#7b8794", "#e3e8ec"
IMAGE, REPORT, ACCENT = "#1f77a4", "#c8553d", "#3d8b5f"  # image to text, text to image, best or reference

STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "image.cmap": "gray",
}


def use_style() -> None:
    """Set the look of every figure of the project."""
    sns.set_theme(style="ticks", rc=STYLE)


def plain_log(axis) -> None:
    """Logarithmic axis with plain numbers (1, 2, 5, 10 …) instead of powers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def radiograph(ax: Axes, image: np.ndarray, title: str = "") -> Axes:
    """One grey image `[H, W]`, 0 black and 255 white."""
    ax.imshow(image, cmap="gray", vmin=0, vmax=255)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9, fontweight="normal", color=QUIET)
    sns.despine(ax=ax, left=True, bottom=True)
    return ax


def share_counts(ax: Axes, sizes: np.ndarray, studies: np.ndarray, label: str, colour: str) -> Axes:
    """Share of studies whose group (equal wording, equal coding) has at least each size.

    sizes, studies `[n]`: group sizes in ascending order and how many studies are in groups of that size.
    """
    reached = 100 * studies[::-1].cumsum()[::-1] / studies.sum()
    ax.step(np.append(sizes, sizes[-1]), np.append(reached, 0), where="pre", label=label, color=colour, lw=2)
    ax.set(xscale="log", xlabel="shared by at least so many studies", ylabel="share of all studies, %")
    ax.set_ylim(0, 103)
    plain_log(ax.xaxis)
    ax.grid(axis="y")
    return ax


def score_matrix(ax: Axes, scores: np.ndarray, label: str) -> Axes:
    """Image × report scores `[N, M]` with a colour bar; the diagonal marks the pairs of one study."""
    picture = ax.imshow(scores, cmap="mako")
    n = min(scores.shape)
    for i in range(n):
        ax.add_patch(plt.Rectangle((i - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec="white", lw=1.5))
    ax.set(xticks=[], yticks=[])
    bar = ax.figure.colorbar(picture, ax=ax, fraction=0.046, pad=0.03)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return ax


def curves(
    ax: Axes,
    x: Sequence[float],
    lines: dict[str, Sequence[float]],
    colours: Sequence[str],
    x_label: str,
    y_label: str,
) -> Axes:
    """Named lines over one x, with a legend."""
    for (name, y), colour in zip(lines.items(), colours, strict=False):
        ax.plot(x, y, label=name, color=colour, lw=2, marker="o", ms=3)
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.grid(axis="y")
    if len(lines) > 1:
        ax.legend()
    return ax


def recall_intervals(ax: Axes, table: pd.DataFrame, labels: dict[str, str]) -> Axes:
    """R@K with bootstrap intervals beside chance: the `direction, metric, value, low, high, chance` rows.

    `labels` names the directions to show, in order.
    """
    metrics = list(dict.fromkeys(table["metric"]))
    offsets = np.linspace(-0.16, 0.16, len(labels))
    for (direction, label), offset, colour in zip(labels.items(), offsets, (IMAGE, REPORT), strict=False):
        rows = table[table["direction"] == direction].set_index("metric").loc[metrics]
        x = np.arange(len(metrics)) + offset
        errors = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        ax.errorbar(x, rows["value"], yerr=errors, fmt="o", color=colour, capsize=4, ms=7, label=label)
        ax.plot(x, rows["chance"], "_", color=QUIET, ms=16, mew=2)
        for xi, value, high in zip(x, rows["value"], rows["high"], strict=True):
            ax.annotate(
                f"{value:.1f}", (xi, high), (0, 4), textcoords="offset points", ha="center", color=colour
            )
    ax.plot([], [], "_", color=QUIET, ms=16, mew=2, label="chance")
    ax.set(xticks=range(len(metrics)), xticklabels=metrics, ylabel="queries answered, %")
    ax.set_ylim(0, min(118, 1.18 * table["high"].max()))
    ax.grid(axis="y")
    ax.legend(loc="upper left")
    return ax


def risk_coverage_curve(
    ax: Axes, coverage: np.ndarray, risks: dict[str, np.ndarray], colours: Sequence[str], title: str
) -> Axes:
    """Risk against coverage for several orders of answering."""
    for (name, risk), colour in zip(risks.items(), colours, strict=True):
        ax.plot(100 * coverage, risk, label=name, color=colour, lw=2)
    ax.set(xlabel="coverage, % of queries answered", ylabel="risk: share not found", title=title)
    ax.set(xlim=(0, 100), ylim=(0, 1.03))
    ax.grid(axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return ax


def quantile_bands(ax: Axes, table: pd.DataFrame, x_label: str, y_label: str, colour: str = IMAGE) -> Axes:
    """Median and middle half per group: rows `group, studies, low, median, high` -> points with bands."""
    x = np.arange(len(table))
    errors = [table["median"] - table["low"], table["high"] - table["median"]]
    ax.errorbar(x, table["median"], yerr=errors, fmt="o", color=colour, capsize=4, ms=7)
    labels = [f"{g}\n(n = {n})" for g, n in zip(table["group"], table["studies"], strict=True)]
    ax.set(xticks=x, xticklabels=labels, xlabel=x_label, ylabel=y_label)
    ax.grid(axis="y")
    return ax
