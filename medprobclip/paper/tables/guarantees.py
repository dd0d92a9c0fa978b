"""Promises put to the proof: many random splits of the studies that chose nothing, and what was kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import binom

from medprobclip.evaluation.confidence import softmax_maximum
from medprobclip.evaluation.conformal import (
    best_right_scores,
    group_thresholds,
    p_values,
    prediction_sets,
    risk_control_threshold,
)
from medprobclip.evaluation.retrieval import DIRECTIONS, first_match_ranks
from medprobclip.evaluation.selective import selective_threshold
from medprobclip.paper.tables.experiments import REFERENCE
from medprobclip.paper.tables.names import ALARMS, ALPHAS, DELTA, RISKS
from medprobclip.paper.tables.pooled_studies import Pool, film_groups, finding_groups, turned
from medprobclip.paper.tables.scored_runs import Results

K = 10  # answers that are given to a query: it is answered wrongly when none of them is right
MOST = 3_000  # studies of the pool: every split compares all of them with each other, ten minutes in all
SPLITS = 200
LEVEL = 0.95  # of the binomial interval
ALL = "all"


def guarantee_table(
    calibration: Results, test: Results, method: str = REFERENCE, splits: int = SPLITS, seed: int = 0
) -> pd.DataFrame:
    """What was promised and what was kept by a method's first run, over random splits of the pool by patient.

    Every query has the whole pool as gallery, whichever side its study falls on, so that calibration and
    test queries are exchangeable: with a gallery for each side the larger one would hold more right answers
    that are worded or coded alike, and so a better best one. Of more than `MOST` studies a random part of the
    patients is taken, in all that follows. One row a promise:

    - `method`; `what`: "coverage" of sets at least 1 − α, "missed" share of right answers at most α (risk
      control), "false alarms" at most α, "selective" share of splits whose risk is above `level` at most δ.
    - `direction`; `right`, which answers are: "wording" or "coding"; `grouped`: "all", or by "films" or
      "finding" of the query or, for films, by the finding of the answer; `group`.
      Where nobody coded the studies, there are neither groups by finding nor rows by coding: missed and
      selective answers are then right by wording.
    - `level` (α, or r), `promise` (the bound), `value`, what was kept: the mean over test queries and splits.
    - `error`, the standard error of `value`, which random splits have; `least`, `most`, the 2.5th and 97.5th
      percentile over splits; `actual`, of the real tables.
    - `once`, of one test query a split, hence of independent trials, and `low` and `high`, the binomial 95 %
      interval of so many trials at the promise. For "selective" a split is a trial by itself: is the risk
      over the whole pool, from which its calibration queries were drawn, above r? (Of `K` answers a query,
      wrong when none is right, given by the softmax maximum.)
    - `calibration` and `queries`, how many, mean over splits; `size`, the median set (mean over splits);
      `answered`, the share of queries, and `none`, the share of splits without a threshold.
    """
    pool = Pool.of(calibration[method][0], test[method][0]).thinned(MOST, seed)
    first = np.arange(len(pool)) < pool.calibration
    chosen = np.vstack([first, pool.splits(splits, seed)])
    rng, rows = np.random.default_rng((seed, 1)), []
    for direction in DIRECTIONS:
        for right, grouped, groups in _partitions(pool, direction):
            rows += _coverage(pool, direction, right, grouped, groups, chosen, rng)
        rows += _missed(pool, direction, chosen, rng)
        rows += _alarms(pool, direction, chosen, rng)
        rows += _selective(pool, direction, chosen)
    table = pd.DataFrame(rows)
    table.insert(0, "method", method)
    return table


def _partitions(pool: Pool, direction: str) -> Iterator[tuple[str, str, np.ndarray]]:
    whole = np.full(len(pool), ALL)
    for right in pool.right:
        yield right, ALL, whole
    if direction == "i2t":
        yield "wording", "films", film_groups(pool.studies)
    if "coding" in pool.right:
        yield "wording", "finding", finding_groups(pool.studies)


def _coverage(
    pool: Pool,
    direction: str,
    right: str,
    grouped: str,
    groups: np.ndarray,
    chosen: np.ndarray,
    rng: np.random.Generator,
) -> Iterator[dict]:
    """One row a group and α. The finding of a film is not known: answers are held to their own threshold."""
    scores, matches = turned(pool, direction, right)
    of_answers = grouped == "finding" and direction == "i2t"
    best = best_right_scores(scores, matches & (groups[:, None] == groups) if of_answers else matches)
    for alpha in ALPHAS:
        held, sizes = [], []
        for calibrates in chosen:
            by_group = group_thresholds(best[calibrates], groups[calibrates], alpha)
            limits = np.array([by_group.get(group, -np.inf) for group in groups])
            held.append(best >= limits)
            sets = prediction_sets(scores, limits if of_answers else limits[:, None])
            sizes.append(np.count_nonzero(sets, axis=1))
        base = {"what": "coverage", "direction": direction, "right": right, "grouped": grouped}
        for group in np.unique(groups):
            inside = groups == group
            if not (~chosen[1:] & inside).any():
                continue
            kept = _over_splits(np.array(held), chosen, inside, rng, 1 - alpha)
            tested = zip(sizes[1:], ~chosen[1:] & inside, strict=True)
            size = np.mean([np.median(of[rows]) for of, rows in tested if rows.any()])
            yield {**base, "group": group, "level": alpha, "promise": 1 - alpha, **kept, "size": size}


def _missed(pool: Pool, direction: str, chosen: np.ndarray, rng: np.random.Generator) -> Iterator[dict]:
    scores, matches = turned(pool, direction, pool.widest)
    values, query = scores[matches], np.nonzero(matches)[0]
    for alpha in ALPHAS:
        losses = []
        for calibrates in chosen:
            least = risk_control_threshold(scores[calibrates], matches[calibrates], alpha)
            missed = np.bincount(query[values < least], minlength=len(pool))
            losses.append(missed / matches.sum(1))
        kept = _over_splits(np.array(losses), chosen, np.ones(len(pool), bool), rng, alpha)
        base = {"what": "missed", "direction": direction, "right": pool.widest, "grouped": ALL, "group": ALL}
        yield {**base, "level": alpha, "promise": alpha, **kept}


def _alarms(pool: Pool, direction: str, chosen: np.ndarray, rng: np.random.Generator) -> Iterator[dict]:
    """None for a run without strangeness."""
    if direction not in pool.strangeness:
        return
    strange = pool.strangeness[direction]
    p = np.array([p_values(strange, strange[calibrates]) for calibrates in chosen])
    for alpha in ALARMS:
        kept = _over_splits(p <= alpha, chosen, np.ones(len(pool), bool), rng, alpha)
        base = {"what": "false alarms", "direction": direction, "right": "", "grouped": ALL, "group": ALL}
        yield {**base, "level": alpha, "promise": alpha, **kept}


def _selective(pool: Pool, direction: str, chosen: np.ndarray) -> Iterator[dict]:
    """Ten answers a query, as sure of them as the softmax maximum; over the pool a split's risk is known."""
    right = pool.widest
    scores, matches = turned(pool, direction, right)
    sure, wrong = softmax_maximum(scores), first_match_ranks(scores, matches) > K
    for risk in RISKS:
        broken, answered = np.zeros(len(chosen), bool), np.zeros(len(chosen))
        for split, calibrates in enumerate(chosen):
            least = selective_threshold(sure[calibrates], wrong[calibrates], risk, DELTA)
            if least is not None:
                answers = sure >= least
                answered[split] = answers.mean()
                broken[split] = answers.any() and wrong[answers].mean() > risk
        low, high = _binomial(len(chosen) - 1, DELTA)
        base = {"what": "selective", "direction": direction, "right": right, "grouped": ALL, "group": ALL}
        yield {
            **base, "level": risk, "promise": DELTA, "value": broken[1:].mean(), "once": broken[1:].mean(),
            "low": low, "high": high, "actual": float(broken[0]), "calibration": chosen[1:].sum(1).mean(),
            "queries": len(pool), "answered": answered[1:].mean(), "none": (answered[1:] == 0).mean(),
        }  # fmt: skip


def _over_splits(
    values: np.ndarray, chosen: np.ndarray, inside: np.ndarray, rng: np.random.Generator, promise: float
) -> dict[str, float]:
    """Of values of every query `[1 + R, P]`, the real split first: over test queries `inside`, and over one.

    A split without such a query counts nowhere.
    """
    tested = ~chosen & inside
    actual = values[0][tested[0]]
    values, tested = (of[1:][tested[1:].any(1)] for of in (values, tested))
    drawn = _means(values, tested)
    once = values[np.arange(len(values)), np.where(tested, rng.random(values.shape), -1).argmax(1)]
    least, most = np.percentile(drawn, [2.5, 97.5])
    low, high = _binomial(len(once), promise)
    return {
        "value": drawn.mean(), "error": drawn.std() / np.sqrt(len(drawn)), "least": least, "most": most,
        "actual": actual.mean() if len(actual) else np.nan, "once": once.mean(), "low": low, "high": high,
        "calibration": (chosen[1:] & inside).sum(1).mean(), "queries": tested.sum(1).mean(),
    }  # fmt: skip


def _means(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean of each line over its own rows, at least one: `[L, P]` each -> `[L]`."""
    return (values * rows).sum(1) / rows.sum(1)


def _binomial(trials: int, promise: float) -> tuple[float, float]:
    low, high = binom.interval(LEVEL, trials, promise)
    return low / trials, high / trials
