"""Figure of zero-shot classification: the paper's Table 2."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import METHOD_COLOURS, methods_of
from medprobclip.paper.tables.reported import LABEL

WIDTH, SIZE = 9.6, 9.5  # inches and points, as in `retrieval.py`: for a page of 800 pixels


def table_2(table: pd.DataFrame) -> Figure:
    """Zero-shot AUROC by finding and method, ours and the paper's; `tables.zeroshot.finding_table`.

    At the edge of ours stand the values of the first method.
    """
    plots.use_style()
    findings, methods = list(table["finding"].unique()), methods_of(table)
    high = (0.28 + 0.05 * len(methods)) * len(findings) + 1.4
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, high), layout="constrained", width_ratios=(1.7, 1), sharey=True
    )
    spread = 0.3 * (len(methods) > 1)
    offsets = dict(zip(methods, np.linspace(-spread, spread, len(methods)), strict=True))
    for name, label in methods.items():
        rows = table[table["method"] == name].set_index("finding").loc[findings]
        y = np.arange(len(findings)) + offsets[name]
        left.hlines(y, rows["low"], rows["high"], color=METHOD_COLOURS[name])
        left.plot(rows["value"], y, "o", ms=4, color=METHOD_COLOURS[name], label=label)
        right.plot(rows["reported"], y, "D", ms=5, color=METHOD_COLOURS[name])
    first = next(iter(methods))
    for y, value in enumerate(table[table["method"] == first].set_index("finding").loc[findings, "value"]):
        plots.at_edge(left, y, f"{value:.2f}", 4, SIZE, METHOD_COLOURS[first])
    counts = table.drop_duplicates("finding").set_index("finding")["positives"]
    labels = [f if pd.isna(n) else f"{f}  ({n:.0f})" for f, n in counts.items()]
    for ax, title in (
        (left, f"Our test studies (how many\nhave it), values of {methods[first]}"),
        (right, f"{LABEL[0].upper()}{LABEL[1:]},\n13 findings"),
    ):
        ax.axvline(0.5, **plots.CHANCE, zorder=0)
        plots.lines_of_text(ax, labels, apart=True)
        ax.set(xlim=(-0.02, 1.02), xlabel="AUROC, zero-shot", title=title)
        ax.tick_params(axis="y", labelsize=10)
    chance = plots.entry("coin", **plots.CHANCE)
    entries = [*left.get_legend_handles_labels()[0], chance]
    plots.legend(figure, entries, fontsize=SIZE, ncols=4)
    return figure
