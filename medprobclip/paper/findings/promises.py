"""What the figures of promises say, in sentences made by their numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medprobclip.data.corruptions import CORRUPTIONS
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.findings.words import percent
from medprobclip.paper.tables.experiments import METHODS, REFERENCE
from medprobclip.paper.tables.names import ALPHA, DELTA, LEAST, MODEL, RIGHT

SEVERITIES = (1, 3, 5)
_WRONG = {  # by which answers are right
    "coding": "none of ten coded alike, which asks less than the retriever, whose right answers are worded "
    "alike",
    "wording": "none of ten worded alike",
}
_SHARING = {"all": "", "1": " where no other study shares the coding", "more": " where more than 20 do"}


def kept_promises(guarantees: pd.DataFrame, method: str = REFERENCE) -> Iterator[str]:
    """Were promises kept over random splits? From `tables.guarantee_table`, two a direction, one for all."""
    own = guarantees[guarantees["method"] == method]
    sets = sets_for_all(own)
    for direction, rows in own.groupby("direction", sort=False):
        who = f"{METHODS[method]}, {DIRECTIONS[direction]}"
        told = "; ".join(
            f"{RIGHT[row.right]} {percent(row.value)} ({percent(row.least)} to {percent(row.most)} in "
            f"95 % of the splits, {percent(row.actual)} on the real tables), {row.size:.0f} answers in the "
            "median"
            for row in sets[sets["direction"] == direction].itertuples()
        )
        promise = percent(1 - ALPHA)
        yield f"{who}: sets that promise a right answer to {promise} of the queries hold one for: {told}."
        selective = rows[rows["what"] == "selective"]
        told = "; ".join(
            f"at most {percent(row.level)} in {percent(1 - row.none)} of the splits "
            f"({percent(row.answered)} of the queries answered, the promise broken in {percent(row.value)})"
            for row in selective.itertuples()
        )
        sure = f"with {percent(1 - DELTA)} confidence"
        yield (
            f"{who}: how few wrong answers could be promised {sure} "
            f"(wrong: {_WRONG[selective['right'].iloc[0]]}): {told}."
        )
    if len(own):
        yield f"{METHODS[method]}: {_counted(own)}."


def sets_for_all(guarantees: pd.DataFrame) -> pd.DataFrame:
    """The rows of `tables.guarantee_table` on sets at `ALPHA`, promised to all queries alike."""
    of_all = (guarantees["what"] == "coverage") & (guarantees["grouped"] == "all")
    return guarantees[of_all & np.isclose(guarantees["level"], ALPHA)]


def kept_on_average(guarantees: pd.DataFrame) -> pd.Series:
    """Which rows of `tables.guarantee_table` keep their promise by the mean, within two standard errors."""
    more = np.where(guarantees["what"] == "coverage", 1, -1)  # is good
    return more * (guarantees["promise"] - guarantees["value"]) <= 2 * guarantees["error"]


def _counted(rows: pd.DataFrame) -> str:
    """How many promises were kept, by their mean over splits and by independent trials."""
    more = np.where(rows["what"] == "coverage", 1, -1)  # is good
    selective = rows["what"] == "selective"
    outside = more * (np.where(more > 0, rows["low"], rows["high"]) - rows["once"]) > 0
    kept = kept_on_average(rows[~selective])
    return (
        f"of {len(kept)} promises of coverage, for all and by group, of few missed and of few false "
        f"alarms, {kept.sum()} were kept on average over splits (within two standard "
        f"errors); of {len(rows)} series of independent trials {(~outside).sum()} were inside their binomial "
        "95 % interval, or better"
    )


def what_sets_cost(sizes: pd.DataFrame, method: str = REFERENCE) -> Iterator[str]:
    """How large are sets, and how small could they be? From `tables.size_table`, one a direction."""
    for direction, own in sizes[sizes["method"] == method].groupby("direction", sort=False):
        told = [_sizes(own[own["by"] == MODEL].set_index("group"))]
        if LEAST in set(own["by"]):
            told.append(f"a perfect reader needs {_sizes(own[own['by'] == LEAST].set_index('group'))}")
        yield f"{METHODS[method]}, {DIRECTIONS[direction]}: answers in the median set: {'; '.join(told)}."


def _sizes(rows: pd.DataFrame) -> str:
    said = [f"{rows.loc[g, 'median']:.0f}{where}" for g, where in _SHARING.items() if g in rows.index]
    return f"{', '.join(said)} ({percent(rows.loc['all', 'coverage'])} of all hold a right one)"


def broken_promises(table: pd.DataFrame, method: str = REFERENCE) -> Iterator[str]:
    """What faults do to the promise, before and after abstaining. From `tables.broken_promise_table`.

    One a severity of `SEVERITIES`.
    """
    own = table[(table["method"] == method) & (table["corruption"] == "all")]
    for row in own[own["severity"].isin(SEVERITIES)].sort_values("severity").itertuples():
        kept = row.coverage >= row.promise
        answered = "; every film is called strange"
        if row.answered > 0:
            still = row.coverage_answered >= row.promise
            answered = (
                f", {'and' if kept == still else 'but'} {'kept' if still else 'broken'} for the "
                f"{percent(row.answered)} that are not called strange ({percent(row.coverage_answered)})"
            )
        yield (
            f"{METHODS[method]}, films at severity {row.severity:g} of all {len(CORRUPTIONS)} faults: the "
            f"promise of {percent(row.promise)} is {'kept' if kept else 'broken'} "
            f"({percent(row.coverage)} of the sets hold a right report){answered}. A set without one is "
            f"given for {percent(row.failed)} of the films, or {percent(row.failed_answered)} when strange "
            "ones are not answered."
        )
