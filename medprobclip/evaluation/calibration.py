"""From scores of pairs to probabilities of a match, and how far these are from the truth.

Calibrators are fitted on all pairs of a score matrix of held-out studies that chose nothing. The measures
take flat pairs `[P]`: all N·M of a matrix (`p.ravel()`), or one for each query, such as the probability of
its first item and whether that is a match. Among all pairs about 1 in M matches, so nearly every
probability is close to 0: there a small Brier score or ECE says little, and equal-width bins put nearly all
pairs into the first. Compare with the same measure of a constant (the share of matches), use equal-mass
bins, or take one pair a query.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

Scheme = Literal["width", "mass"]  # bins as wide as each other, or with as many cases as each other

# What makes a probability of a score, by name: nothing, or a fit on the calibration studies' pairs.
CALIBRATORS = {"before": "as trained", "platt": "Platt", "isotonic": "isotonic"}


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The model's own word, before calibration: logits of any shape read as log odds. ValueError on NaN."""
    logits = np.asarray(logits, dtype=float)
    if np.isnan(logits).any():
        raise ValueError("logits contain NaN")
    return expit(logits)


@dataclass(frozen=True)
class Platt:
    """P(match | score) = 1 / (1 + exp(−(slope · score + intercept))) (Platt 1999)."""

    slope: float
    intercept: float

    @classmethod
    def fit(cls, scores: np.ndarray, matches: np.ndarray) -> Self:
        """Unpenalised logistic regression on all pairs: scores, bool matches of one shape, such as `[N, M]`.

        With Platt's targets (N₊ + 1)/(N₊ + 2) for the N₊ matches and 1/(N₋ + 2) for the rest, which keep the
        slope finite where scores separate the two. Raises ValueError on shapes that differ, scores that are
        not finite or all equal, or pairs of one kind only.
        """
        scores, matches = _checked_fit(scores, matches)
        centre, spread = scores.mean(), scores.std()
        if scores.min() == scores.max():
            raise ValueError("all scores are equal: no slope is defined")
        positives = matches.sum()
        target = np.where(matches, (positives + 1) / (positives + 2), 1 / (len(matches) - positives + 2))
        # LogisticRegression takes no soft targets: each pair stands in twice, as a match and as none
        standard = np.tile((scores - centre) / spread, 2)[:, None]
        label = np.repeat([1, 0], len(scores))
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000)
        model.fit(standard, label, sample_weight=np.concatenate([target, 1 - target]))
        slope = model.coef_.item() / spread
        return cls(float(slope), float(model.intercept_.item() - slope * centre))

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities float64 of scores of any shape. Raises ValueError on NaN."""
        return sigmoid(self.slope * np.asarray(scores, dtype=float) + self.intercept)


@dataclass(frozen=True)
class Isotonic:
    """The increasing function of the score closest to the matches (Zadrozny & Elkan 2002).

    `probabilities [T]` at `scores [T]`, ascending; linear in between and constant outside. Its steps make
    ties of different scores, and its ends may say 0 or 1.
    """

    scores: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def fit(cls, scores: np.ndarray, matches: np.ndarray) -> Self:
        """Least squares on all pairs: scores, bool matches of one shape, such as `[N, M]`.

        Raises ValueError on shapes that differ, scores that are not finite, or pairs of one kind only.
        """
        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(*_checked_fit(scores, matches))
        return cls(model.X_thresholds_, model.y_thresholds_)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities float64 of scores of any shape. Raises ValueError on NaN."""
        scores = np.asarray(scores, dtype=float)
        if np.isnan(scores).any():
            raise ValueError("scores contain NaN")
        return np.interp(scores, self.scores, self.probabilities)


@dataclass(frozen=True, eq=False)
class ForGallery:
    """A calibrator fitted with galleries of one size, used with galleries of another.

    In a gallery of M items about one in M is the match, so the odds of a pair change by the factor
    (fitted − 1)/(used − 1), whatever its score (prior shift: Saerens et al. 2002). Sizes alone are used, no
    outcome.
    """

    calibrator: Callable[[np.ndarray], np.ndarray]
    fitted: int  # gallery size of the fit
    used: int

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities float64 of scores of any shape. Raises what the calibrator raises."""
        p, factor = self.calibrator(scores), (self.fitted - 1) / (self.used - 1)
        return factor * p / (factor * p + (1 - p))  # so bracketed, rounding leaves no p above 1


def brier(p: np.ndarray, y: np.ndarray) -> float:
    """Mean squared difference of probabilities `[P]` and bool outcomes `[P]`, in [0, 1] (Brier 1950).

    Raises ValueError on unequal lengths, no pair, or values outside [0, 1], NaN among them.
    """
    p, y = _checked(p, y)
    return float(np.mean((p - y) ** 2))


def expected_calibration_error(p: np.ndarray, y: np.ndarray, bins: int = 15) -> float:
    """Mean distance of probability and share of matches over equally wide bins: `[P]` each -> [0, 1].

    Σ_b n_b/P |mean p − mean y| (Naeini et al. 2015; Guo et al. 2017). Biased upwards, see `ece_bias`. Raises
    ValueError as `brier`, and on fewer than one bin.
    """
    return _calibration_error(p, y, bins, "width")


def adaptive_calibration_error(p: np.ndarray, y: np.ndarray, bins: int = 15) -> float:
    """As `expected_calibration_error` over bins that hold equally many pairs (Nixon et al. 2019).

    Bins count by the pairs they hold, since equal probabilities in one bin may make them unequal.
    """
    return _calibration_error(p, y, bins, "mass")


def ece_bias(
    p: np.ndarray, bins: int = 15, scheme: Scheme = "width", resamples: int = 100, seed: int = 0
) -> float:
    """The calibration error that probabilities `[P]` would show by chance if they were exactly right.

    Its mean over outcomes redrawn from p itself, independently: what an error has to exceed to mean anything
    (Kumar et al. 2019; Roelofs et al. 2022). Raises ValueError as `expected_calibration_error`, and on fewer
    than one resample.
    """
    p, _ = _checked(p, np.zeros(np.shape(p)))
    if resamples < 1:
        raise ValueError(f"{resamples} resamples have no mean")
    _, of = _binned(p, bins, scheme)
    generator = np.random.default_rng(seed)
    drawn = [_gap(p, generator.random(len(p)) < p, of) for _ in range(resamples)]
    return float(np.mean(drawn))


def reliability_diagram(
    p: np.ndarray, y: np.ndarray, bins: int = 15, scheme: Scheme = "width", level: float = 0.95
) -> pd.DataFrame:
    """Share of matches by probability: p, bool y `[P]` -> one row for each bin that holds a pair, ascending.

    Columns: `bin_low` and `bin_high`, the bin's edges, of which the upper one belongs to it (the first bin
    has both); `count` of pairs; `confidence`, their mean p; `frequency`, their share of matches, with `low`
    and `high`, its exact interval (Clopper & Pearson 1934) if pairs were independent, which those of one
    query are not. scheme "width": bins of equal width on [0, 1]; "mass": bins of equally many pairs, as far
    as equal probabilities, which are never split, allow. Raises ValueError as `expected_calibration_error`,
    and on another scheme.
    """
    p, y = _checked(p, y)
    edges, of = _binned(p, bins, scheme)
    held, of = np.unique(of, return_inverse=True)
    count, matches = np.bincount(of), np.bincount(of, y).astype(int)
    exact = [binomtest(m, n).proportion_ci(level) for m, n in zip(matches, count, strict=True)]
    return pd.DataFrame({
        "bin_low": edges[held],
        "bin_high": edges[held + 1],
        "count": count,
        "confidence": np.bincount(of, p) / count,
        "frequency": matches / count,
        "low": [interval.low for interval in exact],
        "high": [interval.high for interval in exact],
    })  # fmt: skip


def _calibration_error(p: np.ndarray, y: np.ndarray, bins: int, scheme: Scheme) -> float:
    p, y = _checked(p, y)
    return _gap(p, y, _binned(p, bins, scheme)[1])


def _gap(p: np.ndarray, y: np.ndarray, of: np.ndarray) -> float:
    """Σ_b n_b/P |mean p − mean y| over bins, of which each pair has the index in `of`."""
    return float(np.abs(np.bincount(of, p - y)).sum() / len(p))


def _binned(p: np.ndarray, bins: int, scheme: Scheme) -> tuple[np.ndarray, np.ndarray]:
    """Ascending edges `[B + 1]` of bins (low, high], and the index of the bin of each pair `[P]`.

    Of bins with one upper edge, which many equal probabilities make, the first holds the pairs.
    """
    if bins < 1:
        raise ValueError(f"pairs do not fit into {bins} bins")
    if scheme == "width":
        edges = np.linspace(0, 1, bins + 1)
    elif scheme == "mass":
        last = -(-len(p) * np.arange(1, bins + 1) // bins) - 1  # place of the last pair of each bin
        edges = np.append(p.min(), np.sort(p)[last])
    else:
        raise ValueError(f"scheme {scheme!r} is neither 'width' nor 'mass'")
    return edges, np.searchsorted(edges[1:], p)


def _checked(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(p, dtype=float), np.asarray(y, dtype=float)
    if p.shape != y.shape or p.ndim != 1 or not len(p):
        raise ValueError(f"probabilities {p.shape} and outcomes {y.shape} need one shape [P], P > 0")
    if not ((p >= 0) & (p <= 1)).all():  # NaN is neither
        raise ValueError("probabilities need values in [0, 1]")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("outcomes need to be 0 or 1")
    return p, y


def _checked_fit(scores: np.ndarray, matches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, matches = np.asarray(scores, dtype=float), np.asarray(matches, dtype=bool)
    if scores.shape != matches.shape:
        raise ValueError(f"scores {scores.shape} and matches {matches.shape} need one shape")
    if not np.isfinite(scores).all():
        raise ValueError("scores contain NaN or infinity")
    if not 0 < matches.sum() < matches.size:
        raise ValueError(f"{int(matches.sum())} of {matches.size} pairs match: a fit needs both kinds")
    return scores.ravel(), matches.ravel()
