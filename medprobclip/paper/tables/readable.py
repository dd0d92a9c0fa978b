"""Tables for readers: few columns with plain names, rounded; what a notebook shows beside its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from medprobclip.evaluation.calibration import CALIBRATORS
from medprobclip.evaluation.confidence import LABELS
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.variance_knowledge import PROPERTIES

if TYPE_CHECKING:  # figures need the names, but no model
    from medprobclip.paper.tables.scored_runs import Results

QUESTIONS = {
    "pairs": "Is this pair a match?",
    "i2t": "Is the report among the first ten?",
    "t2i": "Is the radiograph among the first ten?",
}
SIDE_NAMES = {"image": "radiographs", "report": "reports"}


def trained_runs(test: Results) -> pd.DataFrame:
    """How many runs each method has, one a seed, and on how many test studies."""
    rows = {METHODS[method]: (len(runs), len(runs[0].truth)) for method, runs in test.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["trained runs", "test studies"])


def named_confidences(chosen: dict[tuple[str, str], str]) -> pd.DataFrame:
    """The confidence of each method, a column a direction; from `reliability.chosen_confidences`."""
    names = {(METHODS[m], DIRECTIONS[d]): LABELS[name] for (m, d), name in chosen.items()}
    return pd.Series(names).unstack(sort=False)


def areas_of(areas: pd.DataFrame, method: str) -> pd.DataFrame:
    """One method's AURC with its interval, between oracle and random order; `reliability.area_table`."""
    rows = areas[areas["method"] == method]
    table = pd.DataFrame({
        "direction": rows["direction"].map(DIRECTIONS),
        "right answer in": [f"the first {k}" for k in rows["k"]],
        "oracle": rows["oracle"], "AURC": rows["value"], "from": rows["low"], "to": rows["high"],
        "random order": rows["random"],
    })  # fmt: skip
    return table.set_index(["direction", "right answer in"]).round(3)


def confidences_of(selective: pd.DataFrame, method: str) -> pd.DataFrame:
    """One method's excess AURC and AUGRC by confidence, means over the K; `reliability.selective_table`."""
    rows = selective[selective["method"] == method]
    parts = {}
    for direction, label in DIRECTIONS.items():
        mean = rows[rows["direction"] == direction].groupby("confidence")[["excess", "augrc"]].mean()
        parts[label] = mean.loc[list(LABELS)].rename(columns={"excess": "excess AURC", "augrc": "AUGRC"})
    return pd.concat(parts, axis=1).rename(index=LABELS).rename_axis("confidence").round(3)


def less_entropy(selective: pd.DataFrame) -> pd.DataFrame:
    """AURC at R@10 by total variance less that by entropy, with intervals, a line a method."""
    rows = selective[selective["less_entropy"].notna()]
    told = {(METHODS[r["method"]], DIRECTIONS[r["direction"]]): _told(r, "less_entropy", 3)
            for _, r in rows.iterrows()}  # fmt: skip
    return pd.Series(told, dtype=object).unstack(sort=False).rename_axis("variance less entropy")


def calibration_of(calibration: pd.DataFrame, method: str) -> pd.DataFrame:
    """One method's calibration before and after a fit; `reliability.calibration_table`."""
    rows = calibration[calibration["method"] == method]
    rows = rows.sort_values("level", key=lambda levels: levels.map(list(QUESTIONS).index), kind="stable")
    table = pd.DataFrame({
        "question": rows["level"].map(QUESTIONS), "fit": rows["calibrator"].map(CALIBRATORS),
        "mean probability": rows["p"], "share that is right": rows["matches"], "adaptive ECE": rows["ace"],
        "by chance": rows["ace_bias"], "Brier score": rows["brier"],
        "of the base rate": rows["brier_constant"],
    })  # fmt: skip
    return table.set_index(["question", "fit"]).round(4)


def correlations_of(knowledge: pd.DataFrame, method: str) -> pd.DataFrame:
    """One method's ρ with each property, alone and given the others, a column a side, with intervals.

    The table of `variance_knowledge.knowledge_table`; what was not measured is left empty.
    """
    own = knowledge[knowledge["method"] == method]
    columns = {}
    for side, name in SIDE_NAMES.items():
        rows = own[own["side"] == side].set_index("property")
        for kind, said in (("rho", "alone"), ("partial", "given the others")):
            columns[name, said] = {p: _told(row, kind) for p, row in rows.iterrows()}
    shown = [p for p in PROPERTIES if p in set(own["property"])]
    table = pd.DataFrame(columns, index=shown).fillna("").rename(index=PROPERTIES)
    return table.rename_axis("property")


def _told(row: pd.Series, kind: str, digits: int = 2) -> str:
    value, low, high = (f"{row[name]:+.{digits}f}" for name in (kind, f"{kind}_low", f"{kind}_high"))
    return "" if pd.isna(row[kind]) else f"{value} [{low}, {high}]"
