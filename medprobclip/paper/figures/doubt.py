"""What the variance goes with, who is sure and who is not, and what makes them so."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from medprobclip.data.privacy import WITHHELD
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import METHOD_COLOURS, methods_of
from medprobclip.paper.tables.variance_knowledge import PROPERTIES, SIDES

CHANGES = plt.get_cmap("RdBu_r")  # red makes less sure, blue surer
MONO = 0.64  # width of a letter of DejaVu Sans Mono, in font sizes: 0.602, and what hinting may add
_NAMES = {"image": "radiographs", "report": "reports"}


def what_variance_knows(table: pd.DataFrame) -> Figure:
    """Rank correlation of Σσ² with each property, a panel a side, a line a property, a mark a method.

    The table of `tables.variance_knowledge.knowledge_table`. Dots are given the other properties, with their
    intervals; small hollow ones alone. What has no partial correlation has the interval of the plain one.
    """
    plots.use_style()
    sides = [table[table["side"] == side] for side in SIDES]
    lines = [max(part["property"].nunique(), 1) for part in sides]
    methods = methods_of(table)
    height = 2.2 + (0.3 + 0.06 * len(methods)) * sum(lines)
    figure, axes = plt.subplots(
        2, 1, figsize=(10, height), layout="constrained", sharex=True, height_ratios=lines
    )
    offsets = dict(zip(methods, np.linspace(-0.3, 0.3, len(methods)), strict=True))
    if len(methods) == 1:
        offsets = dict.fromkeys(methods, 0.0)
    for ax, rows, name in zip(axes, sides, _NAMES.values(), strict=True):
        shown = [p for p in PROPERTIES if p in set(rows["property"])]
        ax.axvline(0, color=plots.QUIET, lw=1.3, zorder=0)
        for method in methods:
            own = rows[rows["method"] == method].set_index("property")
            for place, row in enumerate(own.loc[p] if p in own.index else None for p in shown):
                if row is not None:
                    _correlation(ax, row, place + offsets[method], METHOD_COLOURS[method])
        counts = rows.groupby("property")["n"].max()
        plots.lines_of_text(ax, [f"{PROPERTIES[p]}  ({counts[p]})" for p in shown], apart=True)
        ax.set_title(f"Total variance of {name}")
    low, high = axes[1].get_xlim()
    axes[1].xaxis.set_major_locator(MultipleLocator(0.5 if high - low > 1 else 0.2))  # the axis is shared
    axes[1].set_xlabel("Spearman’s ρ with the total variance")
    entries = [plots.entry(label, marker="o", color=METHOD_COLOURS[m]) for m, label in methods.items()]
    plain = {"marker": "o", "color": plots.INK, "mfc": "white"}
    kinds = [
        plots.entry("given the other properties, 95 % interval", marker="o", color=plots.INK, ms=6),
        plots.entry("alone", ms=3.5, **plain),
    ]
    plots.legend(figure, [*entries, *kinds], fontsize=10, ncols=3)
    return figure


def _correlation(ax: Axes, row: pd.Series, y: float, colour: str) -> None:
    """One method's correlation with one property: alone, and given the others."""
    ax.plot(row["rho"], y, "o", ms=3.5, color=colour, mfc="white", mew=1, zorder=3)
    kind = "rho" if np.isnan(row["partial"]) else "partial"
    ax.plot([row[f"{kind}_low"], row[f"{kind}_high"]], [y, y], color=colour, lw=1.4)
    if kind == "partial":
        ax.plot(row["partial"], y, "o", ms=6, color=colour, zorder=2)


def surest_and_least_sure(cards: pd.DataFrame, pictures: np.ndarray) -> Figure:
    """The surest radiographs and the least sure, and below them the surest and the least sure reports.

    The table and pictures uint8 `[2n, S, S]` of `tables.cards.extremes`; texts are shortened. Without codes
    neither they nor who shares them are told.
    """
    plots.use_style()
    n = len(pictures) // 2
    figure = plt.figure(figsize=(10, 5.6 + 23 / n), layout="constrained")
    halves = figure.subfigures(2, 1, hspace=0.02)
    for half, end in zip(halves, cards["end"].unique(), strict=True):
        films, reports = half.subfigures(2, 1, height_ratios=(1.4 + 2.6 / n, 1))
        for part, (side, name) in zip((films, reports), _NAMES.items(), strict=True):
            part.suptitle(f"The {end} {name}", x=0.01, ha="left", fontsize=12, fontweight="bold")
            of = (cards["side"] == side).to_numpy()
            rows = cards[of].assign(picture=range(of.sum())).query("end == @end").sort_values("place")
            for ax, row in zip(part.subplots(1, n, squeeze=False)[0], rows.to_dict("records"), strict=True):
                if side == "image":
                    plots.radiograph(ax, pictures[row["picture"]]).set_anchor("N")
                    _title(ax, _headline(row))
                    codes = _lines(_apart(row["codes"]), 104 // n, 3) if "codes" in row else ""
                    ax.set_xlabel(codes, fontsize=10, va="top")
                else:
                    _card(ax, row, 100 // n)
    return figure


def _headline(row: dict) -> str:
    return f"Σσ² = {row['total_variance']:.4g}"


def _title(ax: Axes, text: str) -> None:
    """A quiet title, as large as the text of a page."""
    ax.set_title(text, fontsize=10, fontweight="normal", color=plots.QUIET)


def _card(ax: Axes, row: dict, width: int) -> None:
    """A report as a card, so many letters wide: its variance, a sentence, its codes, below each other.

    Where the sentence is withheld, more of the codes has room.
    """
    ax.set(xticks=[], yticks=[], facecolor="#f2f5f7")
    ax.spines[:].set_visible(False)
    about, shown = f"{_headline(row)}, {row['words']} words", row["findings"] != WITHHELD
    quote = f"“{row['findings']}”" if shown else WITHHELD
    codes = _lines(_apart(row["codes"]), width, 2 if shown else 4) if "codes" in row else ""
    if row.get("codes"):
        about += f"\ncoded as {row['sharing'] - 1} others" if row["sharing"] > 1 else "\na coding of its own"
    texts = (
        (about, 0.96, {"fontsize": 10, "color": plots.QUIET}),
        (_lines(quote, width, 4), 0.73, {"fontsize": 10, "style": "italic"}),
        (codes, 0.03, {"fontsize": 10, "va": "bottom"}),
    )
    for text, y, look in texts:
        ax.text(0.04, y, text, transform=ax.transAxes, in_layout=False, **{"va": "top"} | look)


def _apart(codes: str) -> str:
    """Codes that may be broken after a slash."""
    return codes.replace("/", " / ") or "not coded"


def _lines(text: str, width: int, most: int) -> str:
    """Wrapped to so many letters and at most so many lines."""
    lines = textwrap.wrap(text, width, max_lines=most, placeholder=" …")
    return "\n".join(lines)


def influence_on_variance(table: pd.DataFrame, pictures: np.ndarray) -> Figure:
    """Two radiographs, what each place of them does to the variance, and each word of a sentence.

    The table and pictures uint8 `[2, S, S]` of `tables.cards.influence_table`. A place is covered the more
    the more it changes; all places share one scale, and all words another.
    """
    plots.use_style()
    figure = plt.figure(figsize=(10, 7.6))
    grid = figure.add_gridspec(
        3, 3, width_ratios=(1, 1, 1.55), height_ratios=(1, 1, 0.045), left=0.02, right=0.98, top=0.95,
        bottom=0.11, wspace=0.08, hspace=0.55,
    )  # fmt: skip
    norms = {
        side: CenteredNorm(halfrange=max(float(rows["change"].abs().max()), 1e-12))
        for side, rows in table.groupby("side")
    }
    for line, (end, picture) in enumerate(zip(table["end"].unique(), pictures, strict=True)):
        patches, words = (table[(table["end"] == end) & (table["side"] == side)] for side in SIDES)
        first = patches.iloc[0]
        film, places, text = (figure.add_subplot(grid[line, column]) for column in range(3))
        plots.radiograph(film, picture)
        if "codes" in first:
            film.set_xlabel(_lines(_apart(first["codes"]), 32, 3), fontsize=10)
        plots.radiograph(places, picture)
        _overlay(places, patches, norms["image"])
        _title(film, f"{end}: {_headline(first)}")
        _title(places, "which places change it")
        _title(text, f"a sentence of its report, {_headline(words.iloc[0])}")
        _coloured(text, words["word"].tolist(), words["change"].to_numpy(), norms["report"])
    for column, side, what in ((1, "image", "this place"), (2, "report", "this word")):
        bar = figure.colorbar(
            ScalarMappable(norms[side], CHANGES),
            figure.add_subplot(grid[2, column]),
            orientation="horizontal",
            ticks=MaxNLocator(4, prune="both"),
        )
        bar.ax.tick_params(labelsize=10)
        bar.set_label(f"change of log Σσ² by {what}:\nblue makes surer, red less sure", fontsize=10)
        bar.outline.set_visible(False)
    return figure


def _overlay(ax: Axes, patches: pd.DataFrame, norm: CenteredNorm) -> None:
    """Changes over a radiograph, each around the centre of its patch: columns `x`, `y`, `change`."""
    changes = patches.pivot(index="y", columns="x", values="change")
    ends = []
    for centres in (changes.columns.to_numpy(), changes.index.to_numpy()):
        half = np.diff(centres).mean() / 2 if len(centres) > 1 else centres[0]
        ends.append((centres[0] - half, centres[-1] + half))
    (left, right), (top, bottom) = ends
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(
        changes, cmap=CHANGES, norm=norm, alpha=0.85 * np.abs(changes.to_numpy()) / norm.halfrange,
        extent=(left, right, bottom, top), interpolation="bilinear",
    )  # fmt: skip
    ax.set(xlim=limits[0], ylim=limits[1])


def _coloured(ax: Axes, words: Sequence[str], changes: np.ndarray, norm: CenteredNorm) -> None:
    """Words in reading order, each on its colour, in letters of one width, so that none meets the next.

    A line holds 42 letters; more, and smaller ones, where that is not enough for all or for the longest word.
    """
    ax.set_axis_off()
    box, spread = ax.get_position(), 1.9  # from line to line, in font sizes
    width, height = ax.figure.get_size_inches() * 72 * (box.width, box.height)
    letters = max(42, *map(len, words))
    while (places := _in_lines(words, letters))[-1][1] + 1 > height / (spread * width / (letters * MONO)):
        letters += 1
    size = width / (letters * MONO)
    for word, change, (x, y) in zip(words, changes, places, strict=True):
        red, green, blue, _ = colour = CHANGES(norm(change))
        ax.text(
            x * size * MONO / width, 1 - (y + 0.5) * size * spread / height, word, transform=ax.transAxes,
            fontfamily="DejaVu Sans Mono", fontsize=size, va="center_baseline",
            color="white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else plots.INK,
            bbox={"facecolor": colour, "lw": 0, "pad": 0.12 * size},
        )  # fmt: skip


def _in_lines(words: Sequence[str], letters: int) -> list[tuple[int, int]]:
    """Where each word starts, in letters and lines, when a line holds so many letters."""
    places, x, y = [], 0, 0
    for word in words:
        if x and x + len(word) > letters:
            x, y = 0, y + 1
        places.append((x, y))
        x += len(word) + 1
    return places
