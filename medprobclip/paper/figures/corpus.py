"""Figures of the corpus: findings, what was drawn, who says the same."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator

from medprobclip.data.lookalikes import Lookalikes
from medprobclip.paper.figures import plots


def contact_sheet(
    pictures: np.ndarray, boxes: np.ndarray, codes: Sequence[str], sentences: Sequence[str]
) -> Figure:
    """Cards in two columns, one a finding: PA and lateral of the patient without and with it.

    pictures uint8 `[n, 2, 2, S, S]`: finding; PA, lateral; without, with. boxes `[n, 2, 4]`: where the
    finding is on either film, left, top, right, bottom in pixels; drawn as corners.
    """
    plots.use_style()
    rows = -(-len(pictures) // 2)
    figure = plt.figure(figsize=(11, 2.13 * rows), layout="constrained")
    cards = figure.subfigures(rows, 2, wspace=0.03, hspace=0.03, squeeze=False).flatten()
    for card, films, places, code, sentence in zip(cards, pictures, boxes, codes, sentences, strict=False):
        axes = card.subplots(1, 4)
        for view, (name, place) in enumerate(zip(("PA", "lateral"), places, strict=True)):
            plots.radiograph(axes[2 * view], films[view, 0], f"{name}, without")
            plots.corners(plots.radiograph(axes[2 * view + 1], films[view, 1], f"{name}, with"), place)
        card.suptitle(textwrap.shorten(code, 52, placeholder=" …"), fontsize=10.5, fontweight="bold")
        quote = textwrap.fill(f"“{textwrap.shorten(sentence, 110, placeholder=' …')}”", 64)
        card.supxlabel(quote, fontsize=9.5, style="italic", color=plots.INK)
    return figure


def rendered_truth(
    pa: np.ndarray, lateral: np.ndarray, found: pd.DataFrame, conspicuity: pd.DataFrame
) -> Figure:
    """One study with everything that was drawn marked, and how well each kind of finding can be seen.

    pa, lateral uint8 `[S, S]`; `found`: its rows of the rendered table; `conspicuity`: `group, studies,
    low, median, high` by kind, best seen first.
    """
    plots.use_style()
    figure = plt.figure(figsize=(10.5, 7.6), layout="constrained")
    films, ranges = figure.subfigures(1, 2, width_ratios=(1, 1.7))
    colours = dict(zip(found["kind"].unique(), plots.SERIES, strict=False))
    for ax, image, view in zip(films.subplots(2, 1), (pa, lateral), ("pa", "lateral"), strict=True):
        plots.radiograph(ax, image, view if view == "lateral" else "PA")
        for row in found.to_dict("records"):
            place = [row[f"{view}_{edge}"] for edge in ("left", "top", "right", "bottom")]
            plots.corners(ax, place, colours[row["kind"]])
    entries = [plots.entry(kind, color=colour, ls="-", lw=2) for kind, colour in colours.items()]
    plots.legend(films, entries, ncols=2)
    label = "conspicuity in the better view: median, quartiles"
    ax = plots.quantile_ranges(ranges.subplots(), conspicuity, label)
    ax.set_title("How well findings can be seen")
    return figure


def figure_1(
    groups: Sequence[Lookalikes], pictures: Sequence[Sequence[np.ndarray]], tables: dict[str, pd.DataFrame]
) -> Figure:
    """Studies that say the same, a row a group, beside the share of studies that have such doubles.

    pictures uint8 `[groups, n, S, S]`; up to four tables `size, studies`, ascending, by name. A group
    whose title is the name of a table has the colour of its curve. Without groups there are curves only.
    """
    plots.use_style()
    colours = dict(zip(tables, (plots.REPORT, plots.ACCENT, plots.IMAGE, plots.VIOLET), strict=False))
    if not groups:
        figure = plt.figure(figsize=(5, 4.9), layout="constrained")
        _curves(figure, "How many studies say the same", tables, colours)
        return figure
    figure = plt.figure(figsize=(11, 0.7 + 2.1 * max(len(groups), 2)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.06)
    left, right = figure.subfigures(1, 2, width_ratios=(2.0, 1), wspace=0.03)
    title = f"a   Different {groups[0].whose}, the same content"
    left.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
    n = len(pictures[0])
    axes = left.subplots(len(groups), 1 + n, squeeze=False, width_ratios=(1.3, *[1] * n))
    for (heading, *cells), group, images in zip(axes, groups, pictures, strict=True):
        _heading(heading, group, colours.get(group.title, plots.INK))
        for ax, image, caption in zip(cells, images, group.captions, strict=True):
            plots.radiograph(ax, image)
            if len(groups) == 1:  # the row has room for two
                ax.set_anchor("N")
            style = "italic" if group.quotes else "normal"
            ax.set_xlabel(textwrap.fill(caption, 22), fontsize=9, style=style, color=plots.INK)
    _curves(right, "b   How many studies say the same", tables, colours)
    return figure


def _curves(
    figure: Figure | SubFigure, title: str, tables: dict[str, pd.DataFrame], colours: dict[str, str]
) -> None:
    """The key, and below it the share of studies that have so many doubles."""
    figure.suptitle(title, x=0.02, ha="left", fontsize=12, weight="bold")
    key, ax = figure.subplots(2, 1, height_ratios=(1, 3))
    _key(key, tables, colours)
    for name, table in tables.items():
        plots.share_counts(ax, table["size"].to_numpy(), table["studies"].to_numpy(), name, colours[name])
    ax.xaxis.set_major_locator(LogLocator())  # 1, 10, 100: more have no room


def _heading(ax: Axes, group: Lookalikes, colour: str) -> None:
    """What the studies of a row have in common: how they are alike, how many there are, their code."""
    ax.set_axis_off()
    code = f"\n\n{textwrap.fill(f'{group.coder}: {group.coding}', 28)}" if group.coding else ""
    lines = textwrap.fill(group.counted, 28) + code
    bold = {"fontweight": "bold", "color": colour}
    for text, below, look in (
        (group.title, 0, {"fontsize": 11, **bold}),
        (f"{group.shared:,}", 17, {"fontsize": 24, **bold}),
        (lines, 52, {"fontsize": 9.5, "linespacing": 1.3}),
    ):
        ax.annotate(text, (0, 1), (0, -below), "axes fraction", "offset points", va="top", **look)


def _key(ax: Axes, tables: dict[str, pd.DataFrame], colours: dict[str, str]) -> None:
    """The names of the curves, each with its share of studies that are not alone: the legend in numbers."""
    ax.set_axis_off()
    ax.annotate("studies with at least one lookalike", (0, 1), va="top", color=plots.QUIET)
    for line, (name, table) in enumerate(tables.items(), start=1):
        share = table.loc[table["size"] > 1, "studies"].sum() / table["studies"].sum()
        for text, x in ((f"{100 * share:.0f} %", 0), (name, 50)):
            ax.annotate(
                text, (0, 1), (x, 4 - 23 * line), "axes fraction", "offset points",
                va="top", fontsize=14 if x == 0 else 10, fontweight="bold", color=colours[name],
            )  # fmt: skip
