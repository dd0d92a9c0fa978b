"""How sure is a query of its answer? Confidences from scores, variances and probabilities, larger = surer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

LABELS = {  # every confidence, in the order in which `confidences` returns them
    "variance": "total variance, negative",
    "top_score": "best score",
    "margin": "best score − second best",
    "softmax": "softmax maximum",
    "entropy": "softmax entropy, negative",
    "match_probability": "P(a match among the first K)",
}


def confidences(
    scores: np.ndarray,
    total_variance: np.ndarray,
    to_probability: Callable[[np.ndarray], np.ndarray],
    k: int,
) -> dict[str, np.ndarray]:
    """Every confidence of N queries by its name in `LABELS`, in that order, each float64 `[N]`.

    scores `[N, M]` are logits, total_variance `[N]` is the queries' own, to_probability maps scores to
    probabilities of a match (`calibration.Platt`, `Isotonic` or `sigmoid`), k is the K of the R@K that the
    confidence is to foretell. Fixed variances give equal confidences, which say nothing of the order of
    queries (`reliability.risk_coverage` averages over them). Raises ValueError as the functions below.
    """
    values = {
        "variance": negative_variance(total_variance),
        "top_score": top_score(scores),
        "margin": margin(scores),
        "softmax": softmax_maximum(scores),
        "entropy": negative_entropy(scores),
        "match_probability": match_probability(scores, to_probability, k),
    }
    if len(values["variance"]) != len(values["top_score"]):
        raise ValueError(f"{len(total_variance)} total variances for {len(scores)} queries")
    return {name: values[name] for name in LABELS}


def negative_variance(total_variance: np.ndarray) -> np.ndarray:
    """−Σσ² of each query: total variance `[N]` -> `[N]`. Raises ValueError unless finite and not negative."""
    total_variance = np.asarray(total_variance, dtype=float)
    if total_variance.ndim != 1:
        raise ValueError(f"total variance {total_variance.shape} needs the shape [N]")
    if not (np.isfinite(total_variance) & (total_variance >= 0)).all():
        raise ValueError("total variance needs finite values of at least 0")
    return -total_variance


def top_score(scores: np.ndarray) -> np.ndarray:
    """Best score of each query: `[N, M]` -> `[N]`, in units of the scores. ValueError unless finite."""
    return _checked(scores).max(1)


def margin(scores: np.ndarray) -> np.ndarray:
    """Best score less the second best: `[N, M]` -> `[N]`, in units of the scores, 0 where two items tie.

    Raises ValueError on scores that are not finite or a gallery of fewer than two items.
    """
    scores = _checked(scores)
    if scores.shape[1] < 2:
        raise ValueError("a gallery of one item has no second best")
    second, best = np.partition(scores, -2, axis=1)[:, -2:].T
    return best - second


def softmax_maximum(scores: np.ndarray) -> np.ndarray:
    """Largest softmax probability over the gallery: logits `[N, M]` -> `[N]` in (0, 1].

    (Hendrycks & Gimpel 2017.) Rounds to 1, hence ties, where the rest is below 1e-16. Raises ValueError on
    scores that are not finite.
    """
    return np.exp(_log_softmax(scores).max(1))


def negative_entropy(scores: np.ndarray) -> np.ndarray:
    """Σ p log p of the softmax over the gallery: logits `[N, M]` -> `[N]` in nats, from −log M to 0.

    Raises ValueError on scores that are not finite.
    """
    log_p = _log_softmax(scores)
    return (np.exp(log_p) * log_p).sum(1)


def match_probability(
    scores: np.ndarray, to_probability: Callable[[np.ndarray], np.ndarray], k: int
) -> np.ndarray:
    """Probability that at least one of a query's first K items is a match: `[N, M]` -> `[N]` in [0, 1].

    1 − Π_{j≤K} (1 − p_j), as if the items matched independently, where p_j is what to_probability
    (elementwise, increasing) says of the j-th best score; K > M means all M items. For K = 1 it orders the
    queries as `top_score`, of which it is then a monotone function; for K > 1 it also counts the runners-up.
    Raises ValueError on scores that are not finite, K < 1, or probabilities outside [0, 1].
    """
    scores = _checked(scores)
    if k < 1:
        raise ValueError(f"no item is among the first {k}")
    k = min(k, scores.shape[1])
    p = np.asarray(to_probability(np.partition(scores, -k, axis=1)[:, -k:]), dtype=float)
    if not ((p >= 0) & (p <= 1)).all():  # NaN is neither
        raise ValueError("to_probability gave values outside [0, 1]")
    with np.errstate(divide="ignore"):  # log 0 = −inf: a certain match
        return -np.expm1(np.log1p(-p).sum(1))


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    scores = _checked(scores)
    scores = scores - scores.max(1, keepdims=True)  # keeps the digits of a log p close to 0
    return scores - logsumexp(scores, axis=1, keepdims=True)


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores {scores.shape} need the shape [N, M], N and M > 0")
    if not np.isfinite(scores).all():
        raise ValueError("scores contain NaN or infinity")
    return scores
