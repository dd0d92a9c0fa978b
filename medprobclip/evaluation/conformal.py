"""Conformal prediction: promises that hold whatever the model, from studies that chose nothing.

A promise is kept for queries that are exchangeable with the calibration queries: drawn alike, asked alike. It
speaks of scores as they are, not of ranks or softmax, which change with the size of the gallery.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from medprobclip.evaluation.retrieval import checked

_SLACK = 1e-9  # of a product that is whole but for rounding


def best_right_scores(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Score of each query's best right answer: scores, bool right `[N, M]` -> float64 `[N]`.

    It depends on the gallery where a query has several right answers: more of them have a better best one. A
    threshold from a smaller gallery therefore keeps its promise in a larger one, with larger sets than
    needed. Raises ValueError on shapes that differ, NaN scores, or a query without a right answer.
    """
    scores, right = checked(scores, right)
    return np.where(right, scores, -np.inf).max(1).astype(float)


def set_threshold(best: np.ndarray, alpha: float) -> float:
    """Least score of an answer in the set, so that it holds a right answer with probability at least 1 − α.

    From `best_right_scores` of n calibration queries, `[n]`: the ⌊α (n + 1)⌋-th smallest; −∞, hence every
    answer, where that is the 0th. Over calibration sets and a query that is exchangeable with them, the
    probability is at least 1 − ⌊α (n + 1)⌋ / (n + 1), and exactly that where no two values are equal (split
    conformal prediction: Vovk et al. 2005, "Algorithmic Learning in a Random World"). Raises ValueError on
    NaN, another shape, or α outside [0, 1).
    """
    best, alpha = _checked_values(best), _checked_level(alpha)
    place = int(np.floor(alpha * (len(best) + 1) + _SLACK))
    return float(np.partition(best, place - 1)[place - 1]) if place else -np.inf


def group_thresholds(best: np.ndarray, groups: np.ndarray, alpha: float) -> dict[Hashable, float]:
    """`set_threshold` of each group's own queries: the promise is kept within every group.

    best `[n]`, groups `[n]` -> threshold by group, in sorted order (Mondrian conformal prediction: Vovk et
    al. 2005, ch. 4.5). A group is what is known of a query (how many films), or of an answer: then `best` are
    the right answers in the query's own group, and each answer is held to its own group's threshold, which
    needs no knowledge of the query (label-conditional). A group that no calibration query has is not in it:
    its threshold would be −∞. Raises ValueError as `set_threshold` and on unequal lengths.
    """
    best, groups = _checked_values(best), np.asarray(groups)
    if groups.shape != best.shape:
        raise ValueError(f"best scores {best.shape} and groups {groups.shape} need one shape [n]")
    return {group.item(): set_threshold(best[groups == group], alpha) for group in np.unique(groups)}


def prediction_sets(scores: np.ndarray, thresholds: float | np.ndarray) -> np.ndarray:
    """Which answers are in each query's set, those that reach their threshold: bool `[N, M]`.

    scores `[N, M]`; one threshold, `[N, 1]` (one a query, by its group) or `[M]` or `[1, M]` (one an answer,
    label-conditional). A set may be empty. Raises ValueError on NaN or other shapes.
    """
    scores, thresholds = np.asarray(scores), np.asarray(thresholds, dtype=float)
    if scores.ndim != 2 or thresholds.ndim > 2:
        raise ValueError(f"scores {scores.shape} and thresholds {thresholds.shape} need [N, M] and a part")
    if np.isnan(scores).any() or np.isnan(thresholds).any():
        raise ValueError("scores or thresholds contain NaN")
    rows, columns = np.broadcast_shapes((1, 1), thresholds.shape)
    if rows not in (1, scores.shape[0]) or columns not in (1, scores.shape[1]):
        raise ValueError(f"thresholds {thresholds.shape} fit neither queries nor answers of {scores.shape}")
    return scores >= thresholds


def risk_control_threshold(scores: np.ndarray, right: np.ndarray, alpha: float) -> float:
    """Least score of an answer in the set, so that on average at most the share α of right answers is missed.

    scores, bool right `[n, M]` of calibration queries -> the largest threshold t with
    (n R(t) + 1) / (n + 1) ≤ α, where R(t) is the mean over queries of the share of their right answers that
    score below t; −∞ where there is none. The expected share missed is then at most α for a query that is
    exchangeable with these (conformal risk control with losses in [0, 1]: Angelopoulos et al. 2024, ICLR).
    Raises ValueError as `best_right_scores`, and for α outside [0, 1).
    """
    scores, right = checked(scores, right)
    spare = _checked_level(alpha) * (len(scores) + 1) - 1 + _SLACK  # how much loss, summed over queries
    if spare < 0:
        return -np.inf
    values = scores[right].astype(float)
    shares = np.broadcast_to(1 / right.sum(1, keepdims=True), right.shape)[right]
    levels, place = np.unique(values, return_inverse=True)
    weights = np.bincount(place, shares)
    missed = np.cumsum(weights) - weights  # in a set down to that level: all below it
    return float(levels[np.flatnonzero(missed <= spare)[-1]])


def p_values(strangeness: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """How rarely a good input is as strange: `[N]`, of n good ones `[n]` -> `[N]` in [1/(n + 1), 1].

    (1 + the number of calibration values that are at least as large) / (n + 1). Calling what has p <= α
    strange is a false alarm with probability at most α for an input that is exchangeable with the calibration
    inputs, whatever the distribution (Vovk 2005; Bates 2023, arXiv 2104.08279). Raises ValueError on NaN and
    without calibration values.
    """
    strangeness, calibration = (np.asarray(values, dtype=float) for values in (strangeness, calibration))
    if strangeness.ndim != 1 or calibration.ndim != 1 or not len(calibration):
        raise ValueError(
            f"strangeness {strangeness.shape} and calibration {calibration.shape} need shapes [N] and [n > 0]"
        )
    if np.isnan(strangeness).any() or np.isnan(calibration).any():
        raise ValueError("strangeness or calibration values contain NaN")
    less = np.searchsorted(np.sort(calibration), strangeness, side="left")
    return (1 + len(calibration) - less) / (len(calibration) + 1)


def _checked_values(best: np.ndarray) -> np.ndarray:
    best = np.asarray(best, dtype=float)
    if best.ndim != 1:
        raise ValueError(f"best scores {best.shape} need the shape [n]")
    if np.isnan(best).any():
        raise ValueError("best scores contain NaN")
    return best


def _checked_level(alpha: float) -> float:
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha {alpha} lies outside [0, 1)")
    return alpha
