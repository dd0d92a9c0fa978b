"""Arrays in, Axes out. Nothing is computed here but where a mark goes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

from medprobclip.workbench.style import (  # taken from here by every figure
    ACCENT as ACCENT,
    BROWN as BROWN,
    CHANCE as CHANCE,
    GRID as GRID,
    IMAGE as IMAGE,
    INK as INK,
    MARK as MARK,
    OCHRE as OCHRE,
    QUIET as QUIET,
    REPORT as REPORT,
    ROSE as ROSE,
    SERIES as SERIES,
    STYLE as STYLE,
    VIOLET as VIOLET,
    use_style as use_style,
)


def interval(ax: Axes, value: float, low: float, high: float, y: float, colour: str, **look) -> None:
    """A point at its value and a bar from low to high, which need not hold the value."""
    ax.errorbar((low + high) / 2, y, xerr=(high - low) / 2, fmt="none", ecolor=colour, capsize=3)
    ax.plot([value], [y], **{"marker": "o", "color": colour, "ms": 6, "mew": 1.5} | look)


def errors(table: pd.DataFrame, column: str) -> list[pd.Series]:
    """How far the columns `low` and `high` lie from that one, as error bars are told."""
    return [table[column] - table["low"], table["high"] - table[column]]


def lines_of_text(ax: Axes, labels: Sequence[str], edge: float = 0.6, apart: bool = False) -> None:
    """A line of text at y = 0, 1 … from the top, `edge` left at either end; grey lines between if `apart`."""
    ax.set(yticks=range(len(labels)), yticklabels=list(labels), ylim=(len(labels) - 1 + edge, -edge))
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x")
    if apart:
        for y in np.arange(len(labels) - 1) + 0.5:
            ax.axhline(y, color=GRID, lw=1, zorder=0)


def at_edge(ax: Axes, y: float, text: str, gap: float, size: float, colour: str = QUIET) -> None:
    """A text right of the panel at a height, `gap` points off."""
    ax.annotate(
        text, (1, y), (gap, 0), ("axes fraction", "data"), "offset points",
        va="center", fontsize=size, color=colour, annotation_clip=False,
    )  # fmt: skip


def entry(label: str, **look) -> Line2D:
    """An entry of a legend; without a look, text alone."""
    return Line2D([], [], **{"ls": ""} | look, label=label)


def legend(figure: FigureBase, entries: Sequence[Artist], **look) -> None:
    """One legend below all panels, in one line unless `look` has `ncols`."""
    figure.legend(handles=entries, loc="outside lower center", **{"ncols": len(entries)} | look)


def square_root(ax: Axes) -> None:
    """Square roots along x, for percentages: those near 0 and those near 100 can both be read."""
    ax.set_xscale("function", functions=(lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: x * np.abs(x)))
    ax.xaxis.set_major_locator(FixedLocator((1, 10, 30, 70)))


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


def corners(ax: Axes, box: Sequence[float], colour: str = MARK) -> Axes:
    """The four corners of a box (left, top, right, bottom; pixels, inclusive), 3 pixels off it."""
    left, top, right, bottom = box[0] - 3, box[1] - 3, box[2] + 3, box[3] + 3
    arm_x, arm_y = 0.22 * (right - left), 0.22 * (bottom - top)
    for x, inwards in ((left, arm_x), (right, -arm_x)):
        for y, down in ((top, arm_y), (bottom, -arm_y)):
            ax.plot([x + inwards, x, x], [y, y, y + down], color=colour, lw=1.2)
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
        ax.add_patch(plt.Rectangle((i - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec=REPORT, lw=1.5))
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


def quantile_bands(ax: Axes, table: pd.DataFrame, x_label: str, y_label: str, colour: str = IMAGE) -> Axes:
    """Median and middle half per group: rows `group, studies, low, median, high` -> points with bands."""
    x = np.arange(len(table))
    ax.errorbar(x, table["median"], yerr=errors(table, "median"), fmt="o", color=colour, capsize=4, ms=7)
    labels = [f"{g}\n(n = {n})" for g, n in zip(table["group"], table["studies"], strict=True)]
    ax.set(xticks=x, xticklabels=labels, xlabel=x_label, ylabel=y_label)
    ax.grid(axis="y")
    return ax


def quantile_ranges(ax: Axes, table: pd.DataFrame, label: str) -> Axes:
    """Median and quartiles, one line of text a group: `group, studies, low, median, high`, top first."""
    ax.errorbar(table["median"], range(len(table)), xerr=errors(table, "median"), fmt="o", color=IMAGE, ms=5)
    lines_of_text(ax, [f"{group}  ({n})" for group, n in zip(table["group"], table["studies"], strict=True)])
    ax.set_xlabel(label)
    ax.set_xlim(left=0)
    ax.grid(True, axis="y")
    ax.tick_params(axis="y", labelsize=9)
    return ax


def labelled_intervals(
    ax: Axes, table: pd.DataFrame, verdicts: dict[str, tuple[str, str]], limit: float
) -> Axes:
    """AUROC with intervals, one line of text a row: `kind, both, low, high, positives, verdict`, top first.

    `verdicts` gives each verdict its label and colour; small marks are the columns `pa` and `lateral`. A
    dashed line marks the limit, the right edge counts positives. A row without AUROC keeps its place and
    count.
    """
    y = np.arange(len(table))
    for verdict, (label, colour) in verdicts.items():
        chosen = (table["verdict"] == verdict).to_numpy()
        if chosen.any():
            rows = table[chosen]
            bars = errors(rows, "both")
            ax.errorbar(rows["both"], y[chosen], xerr=bars, fmt="o", color=colour, ms=5, label=label)
    for view, label, mark in (("pa", "PA", "|"), ("lateral", "lateral", "x")):
        ax.plot(table[view], y, mark, color=INK, ms=5, mew=1.2, label=f"{label} film alone", zorder=3)
    ax.axvline(limit, color=QUIET, ls="--", lw=1.5, label=f"limit, {limit:g}", zorder=0)
    lines_of_text(ax, table["kind"])
    ax.grid(True, axis="y")
    ax.set_xlim(right=1.005)
    counts = ax.secondary_yaxis("right")
    counts.set_yticks(y, [f"{n}" for n in table["positives"]])
    counts.set_ylabel("held-out patients who have it")
    counts.tick_params(length=0)
    counts.spines["right"].set_visible(False)
    return ax


def growth(
    ax: Axes,
    table: pd.DataFrame,
    column: str,
    methods: dict[str, tuple[str, str]],
    linear: str,
    floor: float = 0,
) -> Axes:
    """A cost against gallery size on logarithmic axes: rows `method, gallery, compiled` and the cost.

    `methods` gives each method its label and colour. Values below `floor` stand on it, NaN is left out,
    markers are hollow where nothing was compiled. The dashed line grows linearly, to the end of `linear`.
    """
    for method, (label, colour) in methods.items():
        rows = table[table["method"] == method]
        values = rows[column].clip(lower=floor)
        ax.plot(rows["gallery"], values, color=colour, lw=2, label=label)
        for compiled, face in ((True, colour), (False, "white")):
            chosen = (rows["compiled"] == compiled).to_numpy()
            ax.plot(rows["gallery"][chosen], values[chosen], "o", ms=6, color=colour, mfc=face, mew=1.5)
    sizes = np.unique(table["gallery"])
    reference = table[table["method"] == linear]
    if reference[column].notna().any():
        last = reference.iloc[reference["gallery"].argmax()]
        guide = last[column] * sizes / last["gallery"]
        shown = guide >= floor
        ax.plot(sizes[shown], guide[shown], color=INK, ls="--", lw=1, label="grows linearly", zorder=0)
    ax.set(xscale="log", xlabel="gallery size, reports")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    if table[column].notna().any():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        ax.text(0.5, 0.5, "not known on this system", ha="center", color=QUIET, transform=ax.transAxes)
    ax.minorticks_off()
    ax.grid(axis="y")
    return ax
