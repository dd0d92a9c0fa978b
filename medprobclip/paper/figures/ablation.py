"""Figure of the ablation: MedProbCLIP with one thing changed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import hollow, method_intervals, seed_marks
from medprobclip.paper.tables.experiments import METHODS, REFERENCE


def ablation(table: pd.DataFrame, labels: dict[str, str]) -> Figure:
    """MedProbCLIP with one thing changed, by what it costs; `tables.ablation.ablation_table`."""
    plots.use_style()
    titles = {
        "RSUM": "RSUM, of 800",
        "mAP@R": "mAP@R, %,\ncoded alike",
        "AURC": "AURC at R@10,\nless is better",
    }
    titles = {metric: title for metric, title in titles.items() if metric in set(table["metric"])}
    figure, axes = plt.subplots(
        1, len(titles), figsize=(9.6, 0.42 * len(labels) + 1.9), layout="constrained", sharey=True
    )
    for ax, (metric, title) in zip(axes, titles.items(), strict=True):
        rows = table[table["metric"] == metric].set_index("method").reindex(labels).reset_index()
        colours = {name: plots.IMAGE if name == REFERENCE else plots.INK for name in labels}
        own = rows.set_index("method").loc[REFERENCE]
        ax.axvspan(own["low"], own["high"], color=plots.IMAGE, alpha=0.08, lw=0)
        wrapped = {name: label.replace(": ", ":\n") for name, label in labels.items()}
        method_intervals(ax, rows[rows["value"].notna()], wrapped, colours)
        ax.set_title(title)
        ax.grid(False, axis="x")
        ax.grid(True, axis="y")
    band = plots.entry(f"interval of {METHODS[REFERENCE]}", color=plots.IMAGE, alpha=0.2, ls="-", lw=8)
    plots.legend(figure, [hollow(), seed_marks(), band], ncols=2)
    return figure
