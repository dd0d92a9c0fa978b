"""One method by itself, as a small table: its value between chance and the ceiling."""

from __future__ import annotations

import pandas as pd

from medprobclip.evaluation.hubs import BANK
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.hubs import criterion

SHARE = "plausible share"
NAMES = {SHARE: "wrong first answers coded alike"}


def one_method(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `recall_table` or `many_to_many_table` when one method was trained, for readers.

    A line a measure and direction, columns "value", "95 % interval", "less the bank's term", "random order"
    and, where the table has one, "oracle ceiling", as texts; what does not exist is "–". Raises ValueError
    for several methods.
    """
    methods = [name for name in METHODS if name in set(table["method"])]
    if len(methods) != 1:
        raise ValueError(f"one method is asked for, not {', '.join(methods) or 'none'}")
    rows = []
    for (metric, direction), of in table.groupby(["metric", "direction"], sort=False):
        values = of[of["score"] != BANK].set_index("method")
        own, less = values.loc[methods[0]], of[of["score"] == BANK]
        rows.append({
            "measure": NAMES.get(metric, metric),
            "direction": DIRECTIONS.get(direction, "both together"),
            "value": _told(own["value"]),
            "95 % interval": f"{_told(own['low'])} to {_told(own['high'])}",
            "less the bank's term": _told(less["value"].iloc[0]) if len(less) else "–",
            "random order": _told(values["value"].get("random")),
            "oracle ceiling": _told(values["value"].get("ceiling")),
        })  # fmt: skip
    lines = pd.DataFrame(rows).set_index(["measure", "direction"])
    return lines if (table["method"] == "ceiling").any() else lines.drop(columns="oracle ceiling")


def _told(value: float | None) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.1f}"


def chosen_strengths(strengths: pd.DataFrame) -> pd.DataFrame:
    """What the chosen strength of the bank's term does on validation studies, by method; `strength_table`.

    Columns: the strength λ, and what it was chosen by (`hubs.criterion`; mAP@R in percent) and the skew, each
    without the term and with it.
    """
    rows, by = [], criterion(strengths)
    for method, of in strengths.groupby("method", sort=False):
        without, chosen = of[of["strength"] == 0].iloc[0], of[of["chosen"]].iloc[0]
        rows.append({
            "method": METHODS[method],
            "λ": f"{chosen['strength']:g}",
            f"{by}, λ = 0": _told(without[by]),
            by: _told(chosen[by]),
            "skew, λ = 0": _told(without["skew"]),
            "skew": _told(chosen["skew"]),
        })  # fmt: skip
    return pd.DataFrame(rows).set_index("method")
