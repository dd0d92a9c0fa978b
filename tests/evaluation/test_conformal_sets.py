"""Sets and risk control against loops, and their promises against random splits, for all and by group."""

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from medprobclip.evaluation.conformal import (
    best_right_scores,
    group_thresholds,
    prediction_sets,
    risk_control_threshold,
    set_threshold,
)

SPLITS, CALIBRATION = 200, 40
SURE = 1e-6  # of all checks of this file together, a false one: two-sided, shared by at most 50 of them


def pool(n: int = 300, m: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and right answers of a weak model: some queries have many right answers, some one."""
    rng = np.random.default_rng(seed)
    right = rng.random((n, m)) < rng.beta(0.5, 3, (n, 1))
    right[np.arange(n), rng.integers(0, m, n)] = True
    return rng.standard_cauchy((n, m)) + 2 * right, right


def splits(n: int, seed: int = 0):
    """Which queries calibrate: bool `[SPLITS, n]`."""
    rng = np.random.default_rng((seed, 1))
    return np.stack([np.isin(np.arange(n), rng.permutation(n)[:CALIBRATION]) for _ in range(SPLITS)])


def assert_kept(counts, tested, calibrating, alpha, at_least=False):
    """Of so many tested queries of each split so many held: the exact law, by its mean and variance.

    Without ties the number is beta-binomial: a random split is a random order of the queries.
    """
    mean = variance = 0.0
    for n, m in zip(calibrating, tested, strict=True):
        k = int(alpha * (n + 1) + 1e-9)
        law = betabinom(m, n + 1 - k, k) if k else binom(m, 1)
        mean, variance = mean + law.mean(), variance + law.var()
    z = (np.sum(counts) - mean) / np.sqrt(variance) if variance else np.sum(counts) - mean
    assert z > -5.5
    assert at_least or z < 5.5


def test_best_right_scores_are_those_of_a_loop():
    scores, right = pool(50)
    expected = [max(s for s, r in zip(*row, strict=True) if r) for row in zip(scores, right, strict=True)]
    assert best_right_scores(scores, right).tolist() == expected


def test_a_larger_gallery_has_no_worse_best_right_answer():
    scores, right = pool()
    right[:, 0] = True
    best = [best_right_scores(scores[:, :m], right[:, :m]) for m in (1, 10, 30)]
    assert (best[0] <= best[1]).all()
    assert (best[1] <= best[2]).all()
    assert (best[0] < best[2]).any()


@pytest.mark.parametrize(
    ("best", "alpha", "expected"),
    [
        ([3, 1, 2, 5, 4, 9, 8, 7, 6], 0.1, 1),
        ([3, 1, 2, 5, 4, 9, 8, 7, 6], 0.19, 1),
        ([3, 1, 2, 5, 4, 9, 8, 7, 6], 0.2, 2),
        ([3, 1, 2, 5, 4, 9, 8, 7, 6], 0.99, 9),
        ([3, 1, 2, 5, 4, 9, 8, 7, 6], 0.09, -np.inf),
        ([2, 2, 1, 2], 0.4, 2),
        (range(1, 100), 0.29, 29),  # the product is 28.999999999999996
        ([], 0.5, -np.inf),
        ([1], 0.0, -np.inf),
    ],
)
def test_thresholds_by_hand(best, alpha, expected):
    assert set_threshold(np.array(best, dtype=float), alpha) == expected


@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.1, 0.31])
def test_sets_hold_a_right_answer_as_often_as_promised(alpha):
    """200 random splits of one fixed pool: of one query a split, and of all of them."""
    scores, right = pool()
    best = best_right_scores(scores, right)
    rng = np.random.default_rng(3)
    held, once = [], 0
    for calibrates in splits(len(best)):
        sets = prediction_sets(scores[~calibrates], set_threshold(best[calibrates], alpha))
        covered = (sets & right[~calibrates]).any(1)
        held.append(covered.sum())
        once += covered[rng.integers(len(covered))]
    k = int(alpha * (CALIBRATION + 1))
    low, high = binom.interval(1 - SURE, SPLITS, 1 - k / (CALIBRATION + 1))
    assert low <= once <= high
    assert_kept(held, [260] * SPLITS, [CALIBRATION] * SPLITS, alpha)


def test_sets_with_ties_hold_a_right_answer_more_often():
    scores, right = pool()
    scores = scores.round()
    best = best_right_scores(scores, right)
    held = [(best[~c] >= set_threshold(best[c], 0.1)).sum() for c in splits(len(best))]
    assert_kept(held, [260] * SPLITS, [CALIBRATION] * SPLITS, 0.1, at_least=True)


def test_groups_of_queries_keep_their_own_promise():
    """One group is harder: it would not keep a promise that is made for all."""
    scores, right = pool()
    groups = np.random.default_rng(5).choice(["easy", "hard"], len(scores), p=[0.7, 0.3])
    scores = scores - 2 * (groups == "hard")[:, None]
    best = best_right_scores(scores, right)
    counts = {"easy": [], "hard": []}
    sizes, calibrating, together = {"easy": [], "hard": []}, {"easy": [], "hard": []}, []
    for calibrates in splits(len(best)):
        thresholds = group_thresholds(best[calibrates], groups[calibrates], 0.2)
        assert list(thresholds) == ["easy", "hard"]
        limits = np.array([[thresholds[group]] for group in groups])
        covered = (prediction_sets(scores, limits) & right).any(1)
        for group in counts:
            assert thresholds[group] == set_threshold(best[calibrates & (groups == group)], 0.2)
            tested = ~calibrates & (groups == group)
            counts[group].append(covered[tested].sum())
            sizes[group].append(tested.sum())
            calibrating[group].append((calibrates & (groups == group)).sum())
        hard = ~calibrates & (groups == "hard")
        together.append((best[hard] >= set_threshold(best[calibrates], 0.2)).mean())
    for group in counts:
        assert_kept(counts[group], sizes[group], calibrating[group], 0.2)
    assert np.mean(together) < 0.7


def test_groups_of_answers_keep_their_promise_without_knowing_the_query():
    """Label-conditional: each answer is held to the threshold of its own group."""
    rng = np.random.default_rng(7)
    n = 300
    groups = rng.choice([0, 1, 2], n, p=[0.5, 0.3, 0.2])
    scores = rng.normal(0, 1, (n, n)) + 2 * np.eye(n) - groups  # answers of group 2 score least
    right = np.eye(n, dtype=bool)
    best = best_right_scores(scores, right & (groups[:, None] == groups))
    counts, sizes, calibrating = ([[], [], []] for _ in range(3))
    for calibrates in splits(n):
        thresholds = group_thresholds(best[calibrates], groups[calibrates], 0.2)
        limits = np.array([thresholds[group] for group in groups])
        sets = prediction_sets(scores, limits)
        np.testing.assert_array_equal(sets, prediction_sets(scores, limits[None]))
        for group in range(3):
            tested = ~calibrates & (groups == group)
            counts[group].append((sets & right).any(1)[tested].sum())
            sizes[group].append(tested.sum())
            calibrating[group].append((calibrates & (groups == group)).sum())
    for group in range(3):
        assert_kept(counts[group], sizes[group], calibrating[group], 0.2)


def test_sets_are_those_of_a_loop():
    scores = np.random.default_rng(0).normal(size=(4, 4)).round(1)
    for thresholds in (0.1, np.arange(4)[:, None] / 4, np.arange(4) / 4, np.arange(4)[None] / 4, -np.inf):
        at = np.broadcast_to(thresholds, (4, 4))
        expected = [[scores[i, j] >= at[i, j] for j in range(4)] for i in range(4)]
        assert prediction_sets(scores, thresholds).tolist() == expected


def naive_risk_control(scores: np.ndarray, right: np.ndarray, alpha: float) -> float:
    """Every score of a right answer is tried."""
    n, found = len(scores), -np.inf
    for t in scores[right]:
        missed = [np.mean(row[good] < t) for row, good in zip(scores, right, strict=True)]
        if (n * np.mean(missed) + 1) / (n + 1) <= alpha + 1e-12:
            found = max(found, t)
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.02, 0.05, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("decimals", [0, 8])
def test_risk_control_tries_every_threshold(alpha, decimals):
    scores, right = pool(30, 12)
    scores = scores.round(decimals)
    assert risk_control_threshold(scores, right, alpha) == naive_risk_control(scores, right, alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_no_more_right_answers_are_missed_than_promised(alpha):
    """On average over splits; and by less than one query's loss, or it would promise too much."""
    scores, right = pool()
    missed = []
    for calibrates in splits(len(scores), seed=1):
        least = risk_control_threshold(scores[calibrates], right[calibrates], alpha)
        lost = (right & (scores < least)).sum(1) / right.sum(1)
        missed.append(lost[~calibrates].mean())
    error = np.std(missed) / np.sqrt(SPLITS)
    assert np.mean(missed) <= alpha + 4 * error
    assert np.mean(missed) >= alpha - 2 / (CALIBRATION + 1) - 4 * error


GOOD, ONE = np.zeros((2, 3)), np.array([[1, 0, 0], [0, 0, 1]], dtype=bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: best_right_scores(GOOD, np.array([[1, 0, 0], [0, 0, 0]])), "query 1 has no match"),
        (lambda: best_right_scores(np.full((2, 3), np.nan), ONE), "contain NaN"),
        (lambda: best_right_scores(GOOD[0], ONE), "one shape"),
        (lambda: set_threshold(np.array([1.0, np.nan]), 0.1), "contain NaN"),
        (lambda: set_threshold(GOOD, 0.1), r"need the shape \[n\]"),
        (lambda: set_threshold(GOOD[0], 1.0), "outside"),
        (lambda: set_threshold(GOOD[0], -0.1), "outside"),
        (lambda: set_threshold(GOOD[0], np.nan), "outside"),
        (lambda: group_thresholds(GOOD[0], np.array([1, 2]), 0.1), "need one shape"),
        (lambda: prediction_sets(GOOD, np.zeros(2)), "fit neither"),
        (lambda: prediction_sets(GOOD, np.zeros((3, 1))), "fit neither"),
        (lambda: prediction_sets(GOOD, np.zeros((1, 1, 1))), "a part"),
        (lambda: prediction_sets(GOOD[0], 0.0), "a part"),
        (lambda: prediction_sets(GOOD, np.nan), "contain NaN"),
        (lambda: risk_control_threshold(GOOD, ~ONE & False, 0.1), "has no match"),
        (lambda: risk_control_threshold(GOOD, ONE, 1.5), "outside"),
    ],
)
def test_what_promises_nothing_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
