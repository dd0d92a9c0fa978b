"""Does the model know when it is wrong? Risk–coverage curves and rank correlation, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from medprobclip.evaluation.retrieval import BootstrapConfig


@dataclass(frozen=True)
class RiskCoverage:
    """Errors of the most confident share of queries, n of N for n = 1 … N.

    `coverage [N]`, the share n/N; `risk [N]`, the mean error of the n, and its mean over n, `aurc`;
    `generalized_risk [N]`, their errors as a share of all N queries, and its mean over n, `augrc`.
    """

    coverage: np.ndarray
    risk: np.ndarray
    aurc: float
    generalized_risk: np.ndarray
    augrc: float


def risk_coverage(confidence: np.ndarray, errors: np.ndarray) -> RiskCoverage:
    """Selective risk when queries are answered from the most to the least confident.

    confidence `[N]` (larger = surer), errors `[N]` in [0, 1] -> risk at coverage n/N for n = 1 … N, and
    AURC, the mean of these risks (Geifman & El-Yaniv 2017; Geifman et al. 2019). The generalized risk is
    risk · coverage, the rate of errors that pass undetected, and AUGRC its mean (Traub et al. 2024), which
    unlike AURC does not weight the errors of the surest few most. For errors of 0 or 1 with rate e,
    AUGRC = (1 − AUROC) · e(1 − e) + e²/2 + e/(2N), with the AUROC of confidence for the right answers.
    Equal confidences are taken in random order on average: each carries its group's mean error. Raises
    ValueError on NaN or unequal lengths.
    """
    confidence, errors = np.asarray(confidence, dtype=float), np.asarray(errors, dtype=float)
    if confidence.shape != errors.shape or confidence.ndim != 1 or not len(errors):
        raise ValueError(f"confidence {confidence.shape} and errors {errors.shape} need one shape [N], N > 0")
    if np.isnan(confidence).any() or np.isnan(errors).any():
        raise ValueError("confidence or errors contain NaN")
    _, group = np.unique(-confidence, return_inverse=True)  # group 0 is the surest
    group_mean = np.bincount(group, errors) / np.bincount(group)
    expected = group_mean[np.sort(group)]
    answered = np.arange(1, len(errors) + 1)
    undetected = np.cumsum(expected)
    risk, generalized = undetected / answered, undetected / len(errors)
    coverage = answered / len(errors)
    return RiskCoverage(coverage, risk, float(risk.mean()), generalized, float(generalized.mean()))


def drawn_aurc(confidence: np.ndarray, errors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """AURC of each bootstrap draw: confidence, errors `[N]`, drawn queries int `[R, N]` -> `[R]`.

    `risk_coverage(confidence[r], errors[r]).aurc` for each row r, at once where no two queries are equally
    confident. Raises ValueError as `risk_coverage`.
    """
    risk_coverage(confidence, errors)  # checks
    confidence, errors = np.asarray(confidence, dtype=float), np.asarray(errors, dtype=float)
    values, place = np.unique(-confidence, return_inverse=True)
    if len(values) < len(confidence):
        return np.array([risk_coverage(confidence[row], errors[row]).aurc for row in rows])
    order = np.argsort(-confidence)
    undetected = np.cumsum(errors[order][np.sort(place[rows], axis=1)], axis=1)
    return (undetected / np.arange(1, rows.shape[1] + 1)).mean(1)


def oracle_curve(errors: np.ndarray) -> RiskCoverage:
    """The best possible order: every right answer before every wrong one."""
    return risk_coverage(-np.asarray(errors, dtype=float), errors)


def random_curve(errors: np.ndarray) -> RiskCoverage:
    """The expected curve of a random order: risk equal to the error rate at every coverage."""
    return risk_coverage(np.zeros(len(errors)), errors)


def excess_aurc(confidence: np.ndarray, errors: np.ndarray) -> float:
    """AURC above the oracle's (Geifman et al. 2019): 0 is perfect knowledge of one's errors."""
    return risk_coverage(confidence, errors).aurc - oracle_curve(errors).aurc


def rank_correlation(
    x: np.ndarray, y: np.ndarray, bootstrap: BootstrapConfig | None = None
) -> tuple[float, float, float]:
    """Spearman's ρ of paired values `[N]` and its bootstrap interval over the pairs: ρ, low, high."""
    bootstrap = bootstrap or BootstrapConfig()
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    rows = np.random.default_rng(bootstrap.seed).integers(0, len(x), (bootstrap.resamples, len(x)))
    drawn = [spearmanr(x[r], y[r]).statistic for r in rows]
    tail = 100 * (1 - bootstrap.level) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return float(spearmanr(x, y).statistic), float(low), float(high)


def by_group(values: np.ndarray, groups: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Median and middle half of values `[N]` by group index `[N]` into `names`.

    Columns: `group`, `studies`, `low` (first quartile), `median`, `high` (third quartile); empty groups are
    left out.
    """
    rows = []
    for index, name in enumerate(names):
        inside = values[groups == index]
        if len(inside):
            low, median, high = np.percentile(inside, [25, 50, 75])
            rows.append({"group": name, "studies": len(inside), "low": low, "median": median, "high": high})
    return pd.DataFrame(rows)
