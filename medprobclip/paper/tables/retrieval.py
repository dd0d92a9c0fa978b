"""Retrieval of several methods as tables: recall, many-to-many, hubs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from medprobclip.evaluation.hubs import BANK, OWN
from medprobclip.evaluation.many_to_many import (
    hubness,
    normalised_gains_at,
    orphans,
    overlaps_at,
    plausible_errors,
    precisions_at,
    r_precisions,
)
from medprobclip.evaluation.resampling import resampled, resampled_means, summaries
from medprobclip.evaluation.retrieval import (
    CUTOFFS,
    TURNS,
    average_precisions,
    chance_recall_at,
    expected_recall_at,
)
from medprobclip.paper.tables.hubs import HUB_K
from medprobclip.paper.tables.reported import beside
from medprobclip.paper.tables.scored_runs import Result, Results, reference_of, stacked
from medprobclip.similarity import SCORES

FITTING = ("1", "2–10", "11–100", "over 100")  # how many reports fit a film
Drawn = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]  # by method: a number a run, and paired draws


def recall_table(results: Results, less_hubs: Results) -> pd.DataFrame:
    """Table 1: recall both ways, RSUM and median rank, by method, with the paper's numbers beside.

    Columns: `direction`, `metric`, `score` (`own`; `bank`, of `less_hubs`), those of
    `evaluation.resampling.compare` (percent; ranks for the median rank), and `reported`. The difference of a
    row `bank` is from the method's own score, that of the others from the reference. Rows `random` (expected
    of a random order, exact) and, for simulated radiographs only, `ceiling` (expected of a perfect reader)
    have a value only.
    """
    own = reference_of(results)
    truth = results[own][0].truth
    scored, sums = {OWN: results, BANK: less_hubs}, {}
    parts, hits = {}, {score: dict.fromkeys(of, 0.0) for score, of in scored.items()}
    for direction, turn in TURNS.items():
        ranks = {
            score: {name: np.stack([run.ranks[direction] for run in runs]) for name, runs in of.items()}
            for score, of in scored.items()
        }
        matches = turn(truth.matches)
        for k in CUTOFFS:
            values = {
                score: {name: 100.0 * (r <= k) for name, r in of.items()} for score, of in ranks.items()
            }
            lines = {"random": chance_recall_at(matches, k)}
            if truth.reader is not None:
                lines["ceiling"] = expected_recall_at(turn(truth.reader), matches, k)
            hits = {s: {name: hits[s][name] + v for name, v in of.items()} for s, of in values.items()}
            sums = {name: sums.get(name, 0.0) + value for name, value in lines.items()}
            parts[direction, f"R@{k}"] = _with_lines(_by_score(_means, values, own), lines)
        parts[direction, "median rank"] = _by_score(_medians, ranks, own)
    parts["both", "RSUM"] = _with_lines(_by_score(_means, hits, own), sums)
    table = stacked(parts, "direction", "metric")
    both = table["direction"] == "both"
    metrics = table["metric"].where(both, table["direction"] + "_" + table["metric"])
    reported = beside("table1", table["method"], metrics)
    return table.assign(reported=np.where(table["score"] != BANK, reported, np.nan))


def _by_score(
    drawn: Callable[[dict[str, np.ndarray]], Drawn], values: dict[str, dict[str, np.ndarray]], reference: str
) -> pd.DataFrame:
    """The methods by their own score, beside the reference; each with the bank's, beside itself."""
    (runs, draws), (bank_runs, bank_draws) = drawn(values[OWN]), drawn(values[BANK])
    parts = {OWN: summaries(runs, draws, reference)}
    rows = [
        summaries({name: runs[name], BANK: of}, {name: draws[name], BANK: bank_draws[name]}, name)
        .iloc[1:]
        .assign(method=name)
        for name, of in bank_runs.items()
    ]
    parts[BANK] = pd.concat(rows, ignore_index=True)
    return stacked(parts, "score")


def _means(values: dict[str, np.ndarray]) -> Drawn:
    """Of per-query values `[S, N]`. Own and bank have equal salts: the same runs are drawn of both."""
    draws = {name: resampled_means(v, salt) for salt, (name, v) in enumerate(values.items())}
    return {name: v.mean(1) for name, v in values.items()}, draws


def _medians(ranks: dict[str, np.ndarray]) -> Drawn:
    """Of ranks `[S, N]`."""
    draws = {
        name: resampled(lambda run, rows, r=r: np.median(r[run][rows], axis=1), *r.shape, salt)
        for salt, (name, r) in enumerate(ranks.items())
    }
    return {name: np.median(r, axis=1) for name, r in ranks.items()}, draws


def _with_lines(table: pd.DataFrame, lines: dict[str, float]) -> pd.DataFrame:
    """The rows of one metric, and those of chance and ceiling below them."""
    below = pd.DataFrame([{"method": name, "value": value} for name, value in lines.items()])
    return pd.concat([table, below], ignore_index=True)


def recall_by_fit(run: Result) -> pd.DataFrame:
    """R@10 of simulated films by how many reports fit what was drawn in them, beside its ceiling.

    Columns: "reports that fit" (`FITTING`), "films", and in percent "belief in the right one, %" (that of a
    perfect reader, mean), "R@10, %" of the run and "ceiling of R@10, %". A size that no film has, has no row.
    """
    reader, matches, ranks = run.truth.reader, run.truth.matches, run.ranks["i2t"]
    fitting, rows = pd.cut((reader > 0).sum(1), [0, 1, 10, 100, np.inf], labels=FITTING), []
    for name in fitting.unique().sort_values():
        of = np.asarray(fitting == name)
        rows.append({
            "reports that fit": name,
            "films": of.sum(),
            "belief in the right one, %": 100 * reader.diagonal()[of].mean(),
            "R@10, %": 100 * np.mean(ranks[of] <= 10),
            "ceiling of R@10, %": expected_recall_at(reader[of], matches[of], 10),
        })  # fmt: skip
    return pd.DataFrame(rows)


def many_to_many_table(results: Results, less_hubs: Results) -> pd.DataFrame:
    """Retrieval when every study with the same coding answers the query, by method.

    Columns as `recall_table` without `reported`, in percent. mAP@R, R-Precision, P@5 and P@10 count studies
    coded alike (the query's own among them). overlap@10 is the mean share of common codes of the first ten;
    nDCG@10 grades by the same share. "plausible share" is the share of wrong first answers (neither own nor
    worded alike) that are coded alike. Chance is exact, for the plausible share that of the reference's wrong
    queries; the ceiling is that of a perfect reader, of simulated radiographs only, and absent for the
    plausible share.
    """
    own = reference_of(results)
    truth, scored = results[own][0].truth, {OWN: results, BANK: less_hubs}
    metrics = {
        "mAP@R": (average_precisions, truth.relevant),
        "R-Precision": (r_precisions, truth.relevant),
        "P@5": (precisions_at, truth.relevant, 5),
        "P@10": (precisions_at, truth.relevant, 10),
        "overlap@10": (overlaps_at, truth.overlap, 10),
        "nDCG@10": (normalised_gains_at, truth.overlap, 10),
    }
    constant = np.zeros(truth.matches.shape, dtype=np.int8)
    parts = {}
    for direction, turn in TURNS.items():
        for metric, (measure, answers, *k) in metrics.items():
            asked = turn(answers), *k
            values = {
                score: {
                    name: np.stack([100 * measure(turn(run.scores), *asked) for run in runs])
                    for name, runs in of.items()
                }
                for score, of in scored.items()
            }
            lines = {"random": 100 * measure(constant, *asked).mean()}
            if truth.reader is not None:
                lines["ceiling"] = 100 * measure(turn(truth.reader), *asked).mean()
            parts[direction, metric] = _with_lines(_by_score(_means, values, own), lines)
        errors = {score: _errors(of, turn) for score, of in scored.items()}
        chance = 100 * float(np.mean([e.chance_share for e in errors[OWN][own]]))
        shares = _by_score(_plausible_shares, errors, own)
        parts[direction, "plausible share"] = _with_lines(shares, {"random": chance})
    return stacked(parts, "direction", "metric")


def _errors(results: Results, turn: Callable[[np.ndarray], np.ndarray]) -> dict[str, list]:
    """Which first answers are wrong, and which of these plausible, by method and run."""
    return {
        name: [plausible_errors(turn(r.scores), turn(r.truth.matches), turn(r.truth.relevant)) for r in runs]
        for name, runs in results.items()
    }


def _plausible_shares(errors: dict[str, list]) -> Drawn:
    """Share of wrong first answers that are plausible, percent."""
    draws = {  # a ratio of two means over the same drawn queries and runs
        name: 100
        * resampled_means(np.stack([e.plausible for e in of]), salt)
        / resampled_means(np.stack([e.wrong for e in of]), salt)
        for salt, (name, of) in enumerate(errors.items())
    }
    return {name: np.array([100 * e.share for e in of]) for name, of in errors.items()}, draws


def hub_table(results: Results, less_hubs: Results) -> pd.DataFrame:
    """How unevenly gallery items are found: by each method's scores, and by each score of the reference.

    Columns: `direction`, `kind` ("method": its own score; "bank": the same less the bank's term, of
    `less_hubs`; "score": the reference's Gaussians scored otherwise), `name`, `skew` of how often an item is
    among the first 10 of a query, `orphans` (percent of items that never are), each a mean over the runs
    with its `_least` and `_most`. Kind "random": the expectation if every item were found equally likely.
    """
    rows, own = [], results[reference_of(results)]
    n = len(own[0].truth)
    for direction, turn in TURNS.items():
        for name, runs in results.items():
            rows.append(_hubs("method", name, direction, [turn(r.scores) for r in runs]))
        for name, runs in less_hubs.items():
            rows.append(_hubs("bank", name, direction, [turn(r.scores) for r in runs]))
        for name, score in SCORES.items():
            scored = [turn(score(r.embeddings.image, r.embeddings.report).numpy()) for r in own]
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
