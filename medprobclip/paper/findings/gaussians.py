"""What the figure of notebook 00 shows."""

from __future__ import annotations

import pandas as pd


def _two_gaussians(numbers: pd.DataFrame) -> str:
    reports = numbers.dropna(subset=["score"]).set_index("name")
    nearest, best = reports["distance"].idxmin(), reports["score"].idxmax()
    if nearest == best:
        return f"By distance and by overlap {best} is the film's best report."
    vague = reports["sigma_1"] * reports["sigma_2"]
    kind = "vaguer" if vague[best] > vague[nearest] else "surer"
    return f"By distance {nearest} is the film's best report, by overlap the {kind} {best} is."


HEADLINES = {"two_gaussians": _two_gaussians}
DETAILS = {}
