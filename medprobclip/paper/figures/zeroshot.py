"""Figure of zero-shot classification: the paper's Table 2."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.paper.figures import plots
from medprobclip.paper.figures.methods import (
    METHOD_COLOURS,
    methods_of,
)
from medprobclip.paper.tables.reported import LABEL


def table_2(table: pd.DataFrame) -> Figure:
    """Zero-shot AUROC by finding and method, ours and the paper's; `tables.zeroshot.finding_table`."""
    plots.use_style()
    findings = list(table["finding"].unique())
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(14, 0.62 * len(findings) + 1.2),
        layout="constrained",
        width_ratios=(1.7, 1),
        sharey=True,
    )
    methods = methods_of(table)
    offsets = dict(zip(methods, np.linspace(-0.3, 0.3, len(methods)), strict=True))
    for name, label in methods.items():
        rows = table[table["method"] == name].set_index("finding").loc[findings]
        y = np.arange(len(findings)) + offsets[name]
        left.hlines(y, rows["low"], rows["high"], color=METHOD_COLOURS[name])
        left.plot(rows["value"], y, "o", ms=4, color=METHOD_COLOURS[name], label=label)
        right.plot(rows["reported"], y, "D", ms=5, color=METHOD_COLOURS[name])
    counts = table.drop_duplicates("finding").set_index("finding")["positives"]
    labels = [f if pd.isna(n) else f"{f}  ({n:.0f})" for f, n in counts.items()]
    for ax, title in (
        (left, "Our test studies (how many have it)"),
        (right, f"{LABEL[0].upper()}{LABEL[1:]}, 13 findings"),
    ):
        ax.axvline(0.5, **plots.CHANCE, zorder=0)
        plots.lines_of_text(ax, labels, apart=True)
        ax.set(xlim=(-0.02, 1.02), xlabel="AUROC, zero-shot", title=title)
    plots.legend(figure, left.get_legend_handles_labels()[0])
    return figure
