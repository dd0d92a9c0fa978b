"""What a promise costs, against what any reader would have to pay; and where faulty films break it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from medprobclip.data.coding import codes_of
from medprobclip.data.correspondence import group_sizes, same_coding
from medprobclip.evaluation.conformal import best_right_scores, p_values, prediction_sets, set_threshold
from medprobclip.evaluation.reliability import by_group
from medprobclip.evaluation.retrieval import DIRECTIONS, TURNS
from medprobclip.paper.tables.experiments import REFERENCE
from medprobclip.paper.tables.names import ALPHA, CALIBRATED, LEAST, MODEL, RATE, SHARED
from medprobclip.paper.tables.pooled_studies import Pool, turned
from medprobclip.paper.tables.scored_runs import Results, stacked


def size_table(
    calibration: Results, test: Results, method: str = REFERENCE, alpha: float = ALPHA
) -> pd.DataFrame:
    """How many answers a set holds, by how many test studies share the query's coding; test items as gallery.

    Right is what is worded alike; of the method's first run. Columns: `method`, `direction`; `by`: `MODEL`,
    calibrated on the calibration studies, each beside the test items; for simulated radiographs `CALIBRATED`,
    the perfect reader of `evaluation.ceiling` in the same way, and `LEAST`, this reader's `least_sets` on the
    very test queries; `group` (of `SHARED`, and "all", the only one where nobody coded the studies),
    `studies`, `low`, `median`, `high` (quartiles of the set size), `mean`, and `coverage`, the share of sets
    with a right answer.
    """
    run = test[method][0]
    pool = Pool.of(calibration[method][0], run)
    codes = codes_of(run.truth.studies)
    bins = np.searchsorted(list(SHARED.values()), group_sizes(same_coding(codes)))
    parts = {}
    for direction in DIRECTIONS:
        scores, right = turned(pool, direction, "wording")
        readers = {MODEL: scores}
        if "appearance" in pool.studies:
            readers |= dict.fromkeys((CALIBRATED, LEAST), TURNS[direction](pool.reader))
        for name, of in readers.items():
            fitted, asked = pool.beside_test(of, right)
            if name != MODEL:
                fitted, asked = ((_posterior(s), r) for s, r in (fitted, asked))
            if name == LEAST:
                sizes, held = least_sets(*asked, alpha)
            else:
                sets = prediction_sets(asked[0], set_threshold(best_right_scores(*fitted), alpha))
                sizes, held = sets.sum(1).astype(float), (sets & asked[1]).any(1)
            parts[direction, name] = _by_sharing(sizes, held, bins if any(codes) else None)
    table = stacked(parts, "direction", "by")
    table.insert(0, "method", method)
    return table


def least_sets(scores: np.ndarray, right: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Expected size of each query's set, and its probability to hold a right answer: `[N, M]` -> `[N]` each.

    One threshold for all queries, the highest at which the mean of the probabilities is 1 − α; an answer that
    ties at it is in the set with a probability that makes it exactly that.
    """
    best = best_right_scores(scores, right)
    threshold = np.sort(best)[int(np.floor(alpha * len(best) + 1e-9))]
    tied, above = scores == threshold, (scores > threshold).sum(1)
    answers = (tied & right).sum(1)

    def held(share: float) -> np.ndarray:
        return np.where(best > threshold, 1, 1 - (1 - share) ** answers)

    wanted = min(1 - alpha, held(1).mean())  # no rounding beyond what all that tie reach
    share = brentq(lambda share: held(share).mean() - wanted, 0, 1)
    return above + share * tied.sum(1), held(share)


def _by_sharing(sizes: np.ndarray, held: np.ndarray, bins: np.ndarray | None) -> pd.DataFrame:
    tables, every = [], (np.zeros(len(sizes), int), ["all"])
    for of, names in (every,) if bins is None else ((bins, list(SHARED)), every):
        table = by_group(sizes, of, names)
        inside = [of == names.index(group) for group in table["group"]]
        table["mean"] = [sizes[rows].mean() for rows in inside]
        table["coverage"] = [held[rows].mean() for rows in inside]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _posterior(scores: np.ndarray) -> np.ndarray:
    """Of each query over this gallery; rounded, so that equal fractions of other queries are equal."""
    return np.round(scores / scores.sum(1, keepdims=True), 12)


def broken_promise_table(
    test_films: pd.DataFrame, calibration: Results, test: Results, alpha: float = ALPHA
) -> pd.DataFrame:
    """Does a faulty film's set hold a right report? Before and after abstaining on strange films, by method.

    `test_films` is the table of `faulty_films`; the sets are calibrated on good films. One row a fault and
    severity ("none" and 0: good films), and "all", the films of every fault together: `method`,
    `corruption`, `severity`, `promise` (1 − α). `coverage`, the share of sets with a right report, and
    `coverage_answered`, of the films that are not called strange at `RATE` (NaN without one); `answered`,
    their share; `failed` and `failed_answered`, the share of all films that are given a set without a right
    report. The promise is for films like those of the calibration: neither faulty films nor the answered ones
    are like them.
    """
    parts = {}
    for method, films in test_films.groupby("method", sort=False):
        fitted, run = calibration[method][0], test[method][0]
        pool = Pool.of(fitted, run)
        asked, _ = pool.beside_test(*turned(pool, "i2t", "wording"))
        threshold = set_threshold(best_right_scores(*asked), alpha)
        p = p_values(films["strangeness"].to_numpy(), fitted.embeddings.image_strangeness.numpy())
        films = films.assign(held=films["best_right"] >= threshold, answered=p > RATE)
        films["both"] = films["held"] & films["answered"]
        faulty = films[films["corruption"] != "none"]
        cells = [
            of.groupby(["corruption", "severity"], sort=False)[["held", "answered", "both"]].mean()
            for of in (films, faulty.assign(corruption="all").sort_values("severity", kind="stable"))
        ]
        held, answered, both = (pd.concat(cells)[name] for name in ("held", "answered", "both"))
        parts[method] = pd.DataFrame({
            "promise": 1 - alpha, "coverage": held, "coverage_answered": both / answered.where(answered > 0),
            "answered": answered, "failed": 1 - held, "failed_answered": answered - both,
        }).reset_index()  # fmt: skip
    return stacked(parts, "method")
