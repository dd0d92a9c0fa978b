"""Several methods beside each other: their names, colours and intervals, and panels by direction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.figures import plots
from medprobclip.paper.tables.experiments import METHODS, REFERENCE
from medprobclip.paper.tables.reported import LABEL

METHOD_COLOURS = {  # of METHODS
    "medprobclip": plots.IMAGE,
    "clip": plots.VIOLET,
    "cxr-clip": plots.REPORT,
    "pcme++": plots.OCHRE,
    "medprobclip-soft": plots.ACCENT,
    "medprobclip-coded": plots.ROSE,
    "medprobclip-inclusion": plots.BROWN,
}
CEILING = plots.CHANCE | {"color": plots.ACCENT}  # the line of what knows all
REPORTED = f"grey numbers: {LABEL}"


def methods_of(table: pd.DataFrame) -> dict[str, str]:
    """Those of METHODS that have rows in a table."""
    return {name: label for name, label in METHODS.items() if name in set(table["method"])}


def panels(
    axes: np.ndarray, table: pd.DataFrame, column: str, titles: Mapping
) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """Each panel of a grid with its rows of a table: directions below each other, beside each other `titles`.

    `titles` names what stands in a `column` of the table.
    """
    for ax, title in zip(axes[0], titles.values(), strict=True):
        ax.set_title(title)
    for row, (direction, label) in zip(axes, DIRECTIONS.items(), strict=True):
        row[0].set_ylabel(label, fontweight="bold")
        for ax, value in zip(row, titles, strict=True):
            yield ax, table[(table["direction"] == direction) & (table[column] == value)]


def method_intervals(
    ax: Axes,
    table: pd.DataFrame,
    labels: dict[str, str],
    colours: dict[str, str] = METHOD_COLOURS,
    references: dict[str, float] | None = None,
    beside: str = "",
) -> Axes:
    """A value with its interval for each method, one line of text each in the order of `labels`, top first.

    Rows `method, value, low, high, least, most` and, but for the reference, `difference_low` and
    `difference_high`. A hollow point cannot be told from the reference: the interval of the paired difference
    holds 0. Small marks are single runs, the least and the most. `references` draws a dashed line each (in
    grey, and for "ceiling" in green); the column `beside` is written at the right edge, with
    three decimals below 1 and one above.
    """
    rows = table.set_index("method")
    for y, name in enumerate(labels):
        if name not in rows.index:
            continue
        row, colour = rows.loc[name], colours.get(name, plots.INK)
        same = row.get("difference_low", np.nan) <= 0 <= row.get("difference_high", np.nan)
        plots.interval(ax, *row[["value", "low", "high"]], y, colour, mfc="white" if same else colour)
        if row["most"] > row["least"]:
            ax.plot([row["least"], row["most"]], [y + 0.3] * 2, "|", color=colour, ms=5)
        if beside and np.isfinite(row[beside]):
            decimals = 1 if row[beside] >= 1 else 3
            plots.at_edge(ax, y, f"{row[beside]:.{decimals}f}", gap=3, size=8)
    for name, value in (references or {}).items():
        ax.axvline(value, **(CEILING if name == "ceiling" else plots.CHANCE), zorder=0)
    plots.lines_of_text(ax, list(labels.values()), edge=0.55)
    return ax


def hollow() -> Line2D:
    """What a hollow point means, for a legend."""
    label = f"hollow: the paired difference from {METHODS[REFERENCE]} may be 0"
    return plots.entry(label, marker="o", color=plots.INK, mfc="white")


def seed_marks() -> Line2D:
    """What the small marks of `method_intervals` mean, for a legend."""
    return plots.entry("least and most of the seeds", marker="|", color=plots.INK)


def method_lines(
    ax: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    labels: dict[str, str] = METHODS,
    colours: dict[str, str] = METHOD_COLOURS,
) -> Axes:
    """One line a method over the column `x`, with a band where the table has `<y>_low` and `<y>_high`."""
    for name, label in labels.items():
        rows = table[table["method"] == name]
        if len(rows):
            ax.plot(rows[x], rows[y], color=colours[name], lw=2, label=label)
            if f"{y}_low" in rows:
                ax.fill_between(
                    rows[x], rows[f"{y}_low"], rows[f"{y}_high"], color=colours[name], alpha=0.15, lw=0
                )
    ax.grid(axis="y")
    return ax
