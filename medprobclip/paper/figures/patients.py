"""The same simulated patient with and without a finding: what nothing else could have changed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.paper.figures import plots

TITLES = {
    "gain": "Score: reports that name it,\nless those that do not",
    "variance": "Total variance of the film,\nwith less without",
}


def with_and_without(table: pd.DataFrame, films: np.ndarray, boxes: np.ndarray, finding: str) -> Figure:
    """One patient without and with a finding, beside the changes by finding: mean and interval over patients.

    The table of `lessons.contrast_table`; films uint8 `[2, S, S]`: without, with; boxes `[n, 4]`: where the
    finding is, left, top, right, bottom in pixels.
    """
    plots.use_style()
    figure = plt.figure(figsize=(13, 3.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25), wspace=0.03)
    before, after = left.subplots(1, 2)
    plots.radiograph(before, films[0], "One patient …")
    plots.radiograph(after, films[1], f"… with {finding}")
    for box in boxes:
        plots.corners(after, box)
    findings = list(dict.fromkeys(table["finding"]))
    for ax, what in zip(right.subplots(1, 2, sharey=True), TITLES, strict=True):
        rows = table[table["what"] == what]
        y = [findings.index(name) for name in rows["finding"]]
        bars = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
        colour = plots.REPORT if what == "gain" else plots.IMAGE
        ax.errorbar(rows["value"], y, xerr=bars, fmt="o", color=colour, ms=5, capsize=3)
        ax.axvline(0, color=plots.INK, lw=0.8)
        ax.set_yticks(range(len(findings)), findings)
        ax.set_ylim(len(findings) - 0.4, -0.6)
        ax.set_title(TITLES[what], fontsize=10)
        ax.set_xlabel("change" + (" of logits" if what == "gain" else ""))
        ax.grid(axis="y")
    return figure
