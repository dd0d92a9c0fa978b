"""Is the variance about ambiguity? Variance, shared codings and rank of one run, with two controls."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprobclip.evaluation.reliability import by_group, correlation_change, rank_correlation
from medprobclip.paper.tables.scored_runs import Result
from medprobclip.paper.tables.variance_knowledge import CONTROLLED, SIDES, counted_studies

SHARING = {1: "only it", 2: "2 – 5", 6: "6 – 30", 31: "more"}  # studies coded alike, from so many on
FIFTHS = ("surest", "2nd", "3rd", "4th", "least sure")


def sharing_panels(
    run: Result, properties: pd.DataFrame, method: str
) -> tuple[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    """The three tables below of a run, as the figure takes them, and all of them below each other.

    The latter has the columns `method` and `panel` besides. Needs studies that are coded.
    """
    panels = {
        "variance by sharing": variance_by_sharing(run, properties),
        "rank by variance": rank_by_variance(run),
        "correlation": control_table(run, properties),
    }
    numbers = pd.concat([table.assign(method=method, panel=name) for name, table in panels.items()])
    return tuple(panels.values()), numbers


def variance_by_sharing(run: Result, properties: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles of Σσ² by how many test studies have the same coding.

    `properties` is the table of `variance_knowledge.properties`; studies that nobody coded are left out.
    Columns: `side` ("image", "report"), and those of `evaluation.reliability.by_group`.
    """
    coded = counted_studies(properties)["sharing"]
    groups = np.digitize(properties["sharing"][coded], list(SHARING)[1:])
    parts = [
        by_group(run.total_variance[direction][coded], groups, list(SHARING.values())).assign(side=side)
        for side, direction in SIDES.items()
    ]
    return pd.concat(parts, ignore_index=True)


def rank_by_variance(run: Result) -> pd.DataFrame:
    """Median and quartiles of the rank of the right answer by fifths of the queries' Σσ², the surest first.

    Columns as of `variance_by_sharing`; `side` is whose variance it is.
    """
    parts = []
    for side, direction in SIDES.items():
        order = np.argsort(run.total_variance[direction], kind="stable")
        fifths = np.empty(len(order), dtype=int)
        fifths[order] = np.arange(len(order)) * len(FIFTHS) // len(order)
        parts.append(by_group(run.ranks[direction], fifths, list(FIFTHS)).assign(side=side))
    return pd.concat(parts, ignore_index=True)


def control_table(run: Result, properties: pd.DataFrame) -> pd.DataFrame:
    """Spearman's ρ of Σσ² with sharing and with rank: of all coded studies, and with ambiguity set aside.

    Set aside are, for sharing, the normal studies, which alone make its largest group; for the rank, all
    whose coding another test study has, so that no other answer is as good as the right one. Columns:
    `side`; `property`, of `variance_knowledge.PROPERTIES`; `n`; `rho` with `rho_low` and `rho_high` over the
    studies; of the rows with studies set aside also `change`, ρ less that of all, with `change_low` and
    `change_high` (`evaluation.reliability.correlation_change`), NaN in the others.
    """
    counted, rows = counted_studies(properties), []
    for side, direction in SIDES.items():
        variance = run.total_variance[direction]
        values = {"sharing": properties["sharing"].to_numpy(), "rank": run.ranks[direction]}
        for fewer, whole in CONTROLLED.items():
            for name in (whole, fewer):
                kept = counted[name]
                pair = variance[kept], values[whole][kept]
                rho = rank_correlation(*pair) if kept.any() else (np.nan,) * 3
                row = {"side": side, "property": name, "n": int(kept.sum())}
                row |= zip(("rho", "rho_low", "rho_high"), rho, strict=True)
                if name == fewer and counted[whole].any():
                    every = counted[whole]
                    change = correlation_change(variance[every], values[whole][every], kept[every])
                    row |= zip(("change", "change_low", "change_high"), change, strict=True)
                rows.append(row)
    columns = ["side", "property", "n", "rho", "rho_low", "rho_high", "change", "change_low", "change_high"]
    return pd.DataFrame(rows, columns=columns)
