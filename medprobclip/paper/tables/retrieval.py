"""Retrieval of several methods as tables: recall, many-to-many, hubs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from medprobclip.evaluation.many_to_many import (
    hubness,
    normalised_gains_at,
    orphans,
    overlaps_at,
    plausible_errors,
    precisions_at,
    r_precisions,
)
from medprobclip.evaluation.resampling import compare, resampled, resampled_means, summaries
from medprobclip.evaluation.retrieval import (
    CUTOFFS,
    average_precisions,
    chance_recall_at,
    expected_recall_at,
)
from medprobclip.paper.tables.comparison import TURNS, Results, reference_of
from medprobclip.paper.tables.reported import reported
from medprobclip.similarity import SCORES

HUB_K = 10  # first places that are counted for hubs


def recall_table(results: Results) -> pd.DataFrame:
    """Table 1: recall both ways, RSUM and median rank, by method, with the paper's numbers beside.

    Columns: `direction`, `metric`, those of `evaluation.resampling.compare` (percent; ranks for the median
    rank), and `reported`. Rows `random` (expected of a random order, exact) and `ceiling` (expected of a
    perfect reader of the simulated radiographs) have a value only.
    """
    truth = results[reference_of(results)][0].truth
    parts, hits = [], {name: 0.0 for name in results}
    rows = {"random": {"RSUM": 0.0}, "ceiling": {"RSUM": 0.0}}
    for direction, turn in TURNS.items():
        matches = turn(truth.matches)
        for k in CUTOFFS:
            values = {
                n: np.stack([100.0 * (r.ranks[direction] <= k) for r in runs]) for n, runs in results.items()
            }
            hits = {name: hits[name] + values[name] for name in results}
            references = {
                "random": chance_recall_at(matches, k),
                "ceiling": expected_recall_at(turn(truth.reader), matches, k),
            }
            for name, value in references.items():
                rows[name]["RSUM"] += value
            parts.append(
                _with_references(compare(values, reference_of(results)), references, direction, f"R@{k}")
            )
        ranks = {name: np.stack([r.ranks[direction] for r in runs]) for name, runs in results.items()}
        parts.append(_with_references(_medians(ranks, reference_of(results)), {}, direction, "median rank"))
    sums = {name: row["RSUM"] for name, row in rows.items()}
    parts.append(_with_references(compare(hits, reference_of(results)), sums, "both", "RSUM"))
    table = pd.concat(parts, ignore_index=True)
    paper = reported("table1")
    keys = [
        (method, metric if direction == "both" else f"{direction}_{metric}")
        for direction, metric, method in table[["direction", "metric", "method"]].itertuples(index=False)
    ]
    return table.assign(reported=[paper.get(key, np.nan) for key in keys])


def _medians(ranks: dict[str, np.ndarray], reference: str) -> pd.DataFrame:
    """As `compare`, for the median of ranks `[S, N]`."""
    draws = {
        name: resampled(lambda run, rows, r=r: np.median(r[run][rows], axis=1), *r.shape, salt)
        for salt, (name, r) in enumerate(ranks.items())
    }
    return summaries({name: np.median(r, axis=1) for name, r in ranks.items()}, draws, reference)


def _with_references(
    table: pd.DataFrame, references: dict[str, float], direction: str, metric: str
) -> pd.DataFrame:
    """The rows of one metric, and those of chance and ceiling below them."""
    below = pd.DataFrame([{"method": name, "value": value} for name, value in references.items()])
    joined = pd.concat([table, below], ignore_index=True)
    joined.insert(0, "direction", direction)
    joined.insert(1, "metric", metric)
    return joined


def many_to_many_table(results: Results) -> pd.DataFrame:
    """Retrieval when every study with the same expert coding answers the query, by method.

    Columns as `recall_table` without `reported`, in percent. mAP@R, R-Precision, P@5 and P@10 count studies
    coded alike (the query's own among them). overlap@10 is the mean share of common codes of the first ten;
    nDCG@10 grades by the same share. "plausible share" is the share of wrong first answers (neither own nor
    worded alike) that are coded alike. Chance is exact, for the plausible share that of the reference's wrong
    queries; the ceiling is that of a perfect reader of the simulated radiographs and absent for the
    plausible share.
    """
    truth = results[reference_of(results)][0].truth
    metrics: dict[str, Callable[[np.ndarray, Callable], np.ndarray]] = {
        "mAP@R": lambda s, turn: average_precisions(s, turn(truth.relevant)),
        "R-Precision": lambda s, turn: r_precisions(s, turn(truth.relevant)),
        "P@5": lambda s, turn: precisions_at(s, turn(truth.relevant), 5),
        "P@10": lambda s, turn: precisions_at(s, turn(truth.relevant), 10),
        "overlap@10": lambda s, turn: overlaps_at(s, turn(truth.overlap), 10),
        "nDCG@10": lambda s, turn: normalised_gains_at(s, turn(truth.overlap), 10),
    }
    parts = []
    for direction, turn in TURNS.items():
        for metric, function in metrics.items():
            values = {
                name: np.stack([100 * function(turn(r.scores), turn) for r in runs])
                for name, runs in results.items()
            }
            constant = np.zeros(truth.matches.shape, dtype=np.int8)
            references = {
                "random": 100 * function(constant, turn).mean(),
                "ceiling": 100 * function(turn(truth.reader), turn).mean(),
            }
            parts.append(
                _with_references(compare(values, reference_of(results)), references, direction, metric)
            )
        table, chance = _plausible_shares(results, direction)
        parts.append(_with_references(table, {"random": chance}, direction, "plausible share"))
    return pd.concat(parts, ignore_index=True)


def _plausible_shares(results: Results, direction: str) -> tuple[pd.DataFrame, float]:
    """Share of wrong first answers that are plausible, percent, and the reference's by chance."""
    turn = TURNS[direction]
    errors = {
        name: [plausible_errors(turn(r.scores), turn(r.truth.matches), turn(r.truth.relevant)) for r in runs]
        for name, runs in results.items()
    }
    shares = {name: np.array([100 * e.share for e in of]) for name, of in errors.items()}
    draws = {  # a ratio of two means over the same drawn queries and runs
        name: 100
        * resampled_means(np.stack([e.plausible for e in of]), salt)
        / resampled_means(np.stack([e.wrong for e in of]), salt)
        for salt, (name, of) in enumerate(errors.items())
    }
    return summaries(shares, draws, reference_of(results)), 100 * float(
        np.mean([e.chance_share for e in errors[reference_of(results)]])
    )


def hub_table(results: Results) -> pd.DataFrame:
    """How unevenly gallery items are found: by each method's own score, and by each score of the reference.

    Columns: `direction`, `kind` ("method": its own score; "score": the reference's Gaussians scored
    otherwise), `name`, `skew` of how often an item is among the first 10 of a query, `orphans` (percent of
    items that never are), each a mean over the runs with its `_least` and `_most`. Kind "random": the
    expectation if every item were found equally likely.
    """
    rows = []
    n = len(results[reference_of(results)][0].truth)
    for direction, turn in TURNS.items():
        for name, runs in results.items():
            rows.append(_hubs("method", name, direction, [turn(r.scores) for r in runs]))
        for name, score in SCORES.items():
            scored = [
                turn(score(r.embeddings.image, r.embeddings.report).numpy())
                for r in results[reference_of(results)]
            ]
            rows.append(_hubs("score", name, direction, scored))
        p = min(1, HUB_K / n)
        binomial = {"skew": (1 - 2 * p) / np.sqrt(n * p * (1 - p)), "orphans": 100 * (1 - p) ** n}
        rows.append({"direction": direction, "kind": "random", "name": "random", **binomial})
    return pd.DataFrame(rows)


def _hubs(kind: str, name: str, direction: str, scores: list[np.ndarray]) -> dict:
    row = {"direction": direction, "kind": kind, "name": name}
    for column, values in {
        "skew": [hubness(s, HUB_K) for s in scores],
        "orphans": [100 * orphans(s, HUB_K) for s in scores],
    }.items():
        row |= {column: np.mean(values), f"{column}_least": min(values), f"{column}_most": max(values)}
    return row
