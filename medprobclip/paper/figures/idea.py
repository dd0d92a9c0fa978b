"""The idea in one picture: what a point says of a film and its reports, and what a Gaussian says."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from medprobclip.paper.figures import plots
from medprobclip.workbench.lessons.overlap import cloud

COLOURS = (plots.IMAGE, plots.REPORT, plots.OCHRE, plots.ACCENT)
LIMITS = (-5.0, 5.0), (-2.7, 3.1)
FILM = (-4.85, -2.6, 2.2)  # left, bottom and edge of the film


def two_gaussians(table: pd.DataFrame, film: np.ndarray) -> Figure:
    """Left: a film and reports as points. Right: the same as Gaussians of the plane.

    Rows `name, mean_1, mean_2, sigma_1, sigma_2, distance, score`, the film first, whose `distance` and
    `score` are NaN. Each report is told with its rank by distance (left) and by score (right). `film` is the
    radiograph itself, grey `[S, S]`.
    """
    plots.use_style()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.3), sharex=True, sharey=True, layout="constrained")
    for ax, column, ascending in zip(axes, ("distance", "score"), (True, False), strict=True):
        _picture(ax, film, (table["mean_1"].iloc[0], table["mean_2"].iloc[0]))
        ranks = table[column].rank(ascending=ascending)
        for colour, row, rank in zip(COLOURS, table.itertuples(), ranks, strict=False):
            mean, sigma = (row.mean_1, row.mean_2), (row.sigma_1, row.sigma_2)
            if column == "score":
                cloud(ax, mean, sigma, colour)
                for ellipse in ax.patches[-2:]:
                    ellipse.set(fill=True, facecolor=to_rgba(colour, 0.1))
            ax.plot(*mean, "o", color=colour, ms=7)
            if rank > 0:
                wide = column == "score"
                edge = row.mean_2 + (2 * row.sigma_2 + 0.1 if wide else 0.2)
                middle = row.mean_1 + 0.4 * row.sigma_1 * wide  # beside its neighbour, not upon it
                ax.annotate(
                    f"{row.name}\n{rank:.0f}. by {column}, {getattr(row, column):.2f}", (middle, edge),
                    color=colour, fontsize=10, ha="center", va="bottom", linespacing=1.3,
                    weight="bold" if rank == 1 else "normal",
                )  # fmt: skip
        ax.set(xticks=[], yticks=[], aspect="equal", xlim=LIMITS[0], ylim=LIMITS[1])
        ax.spines[:].set_visible(False)
    axes[0].set_title("As points, the nearest report wins")
    axes[1].set_title("As Gaussians, the best overlap wins")
    return figure


def _picture(ax: Axes, film: np.ndarray, mean: tuple[float, float]) -> None:
    """The film in its corner, framed in its colour, with a line to where it lies."""
    left, bottom, edge = FILM
    ax.plot([left + edge, mean[0]], [bottom + edge, mean[1]], color=plots.IMAGE, lw=1, zorder=1)
    ax.imshow(film, extent=(left, left + edge, bottom, bottom + edge), cmap="gray", zorder=2)
    ax.add_patch(Rectangle((left, bottom), edge, edge, fill=False, ec=plots.IMAGE, lw=2.5, zorder=3))
