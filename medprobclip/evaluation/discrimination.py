"""How well scores tell positives from negatives: AUROC and its bootstrap interval, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from medprobclip.evaluation.retrieval import BootstrapConfig


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve of scores `[N]` (larger = surer) for bool labels `[N]`, in [0, 1].

    The share of pairs of a positive and a negative in which the positive scores higher, a tie counting
    half: the Mann-Whitney statistic from mean ranks (Hanley & McNeil 1982). Raises ValueError on unequal
    lengths, NaN, or labels without a positive or without a negative, for which no area is defined.
    """
    scores, labels = _checked(scores, labels)
    positives = int(labels.sum())
    surplus = rankdata(scores)[labels].sum() - positives * (positives + 1) / 2
    return float(surplus / (positives * (len(labels) - positives)))


def auroc_interval(
    scores: np.ndarray, labels: np.ndarray, config: BootstrapConfig | None = None
) -> tuple[float, float]:
    """Percentile bootstrap interval of `auroc` over the N cases, positives and negatives drawn together.

    Draws that happen to hold only one class are left out. Raises ValueError as `auroc`.
    """
    scores, labels = _checked(scores, labels)
    config = config or BootstrapConfig()
    n = len(labels)
    rows = np.random.default_rng(config.seed).integers(0, n, (config.resamples, n))
    rows += n * np.arange(config.resamples)[:, None]
    times = np.bincount(rows.ravel(), minlength=rows.size).reshape(rows.shape).astype(float)
    higher, lower = scores[labels][:, None], scores[~labels][None, :]
    won = (higher > lower) + 0.5 * (higher == lower)  # by pair of a positive and a negative
    drawn = times[:, labels], times[:, ~labels]  # how often each case stands in each draw
    pairs = drawn[0].sum(1) * drawn[1].sum(1)
    total = np.einsum("rn,rn->r", drawn[0] @ won, drawn[1])
    tail = 100 * (1 - config.level) / 2
    low, high = np.percentile(total[pairs > 0] / pairs[pairs > 0], [tail, 100 - tail])
    return float(low), float(high)


def paired_auroc(
    changed: Sequence[np.ndarray], plain: np.ndarray, config: BootstrapConfig | None = None
) -> tuple[float, float, float]:
    """AUROC of values for telling N changed things from the same N plain ones, mean over ways to change them.

    `changed`: for each way values `[N]`, `plain` `[N]`. Returns the mean AUROC and its percentile bootstrap
    interval over the N things, each drawn with all its values: they are no two samples. Raises ValueError on
    unequal lengths or NaN.
    """
    plain, config = np.asarray(plain, dtype=float), config or BootstrapConfig()
    changed = [np.asarray(values, dtype=float) for values in changed]
    if not changed or any(values.shape != plain.shape for values in changed) or plain.ndim != 1:
        raise ValueError(f"need values [N] of the same N, got {[v.shape for v in changed]} and {plain.shape}")
    if np.isnan(plain).any() or any(np.isnan(values).any() for values in changed):
        raise ValueError("values contain NaN")
    n = len(plain)
    won = np.zeros((n, n))  # by changed and plain thing, a tie counts half
    for values in changed:
        won += (values[:, None] > plain) + 0.5 * (values[:, None] == plain)
    rows = np.random.default_rng((config.seed, 0)).integers(0, n, (config.resamples, n))
    rows += n * np.arange(config.resamples)[:, None]
    times = np.bincount(rows.ravel(), minlength=rows.size).reshape(rows.shape).astype(float)
    # Halves are counted exactly and divided once: what always ties is at 0.5, not just above it.
    drawn = np.einsum("rn,rn->r", times @ won, times) / (n * n * len(changed))
    tail = 100 * (1 - config.level) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(won.sum() / (n * n * len(changed))), float(low), float(high)


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} need one shape [N]")
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN")
    if not 0 < labels.sum() < len(labels):
        raise ValueError(f"{int(labels.sum())} of {len(labels)} labels are positive: AUROC needs both kinds")
    return scores, labels
