"""The idea in one picture: what a point says of a film and its reports, and what a Gaussian says."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.paper.figures import plots
from medprobclip.workbench.lessons.overlap import cloud

COLOURS = (plots.IMAGE, plots.REPORT, plots.OCHRE, plots.ACCENT)


def two_gaussians(table: pd.DataFrame) -> Figure:
    """Left: a film and reports as points. Right: the same as Gaussians of the plane.

    Rows `name, mean_1, mean_2, sigma_1, sigma_2, distance, score`, the film first, whose `distance` and
    `score` are NaN. Each report is told with its rank by distance (left) and by score (right).
    """
    plots.use_style()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.3), sharex=True, sharey=True, layout="constrained")
    for ax, column, ascending in zip(axes, ("distance", "score"), (True, False), strict=True):
        ranks = table[column].rank(ascending=ascending)
        for colour, row, rank in zip(COLOURS, table.itertuples(), ranks, strict=False):
            mean, sigma = (row.mean_1, row.mean_2), (row.sigma_1, row.sigma_2)
            if column == "score":
                cloud(ax, mean, sigma, colour)
            ax.plot(*mean, "o", color=colour, ms=7)
            rank = f"\n{rank:.0f}. by {column}, {getattr(row, column):.2f}" if rank > 0 else ""
            up = -1 if rank == "" else 1  # the film is named below, as reports lie above it
            edge = row.mean_2 + up * (2 * row.sigma_2 + 0.1 if column == "score" else 0.2)
            ax.annotate(
                f"{row.name}{rank}", (row.mean_1, edge), color=colour, fontsize=9, ha="center",
                va="bottom" if up > 0 else "top", linespacing=1.3,
            )  # fmt: skip
        ax.set(xticks=[], yticks=[], aspect="equal", xlim=(-4.9, 5.3), ylim=(-2.6, 3.1))
    axes[0].set_title("Points: the nearest wins")
    axes[1].set_title("Gaussians: distance counts in units of doubt")
    return figure
