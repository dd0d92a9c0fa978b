"""The look of every picture of the project: colours and type."""

from __future__ import annotations

import seaborn as sns

INK, QUIET, GRID = "#22303c", "#7b8794", "#e3e8ec"
IMAGE, REPORT, ACCENT = "#1f77a4", "#c8553d", "#3d8b5f"  # image to text, text to image, best or reference
VIOLET, OCHRE, ROSE, BROWN = "#8e6bb3", "#c9a227", "#b0447f", "#7a5c3e"  # more series
MARK = "#f2c14e"  # on radiographs
SERIES = ("#f2c14e", "#5ab4e5", "#e8735a", "#6fcf97", "#c39bd3", "#f0f0f0", "#d98cb3", "#9fb4c7")  # on black

CHANCE = {"color": QUIET, "ls": "--", "lw": 1.3}  # the line of what knows nothing

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
