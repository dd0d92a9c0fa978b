"""Does the model know when it is wrong? Risk–coverage curves and rank correlations, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

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
    """Spearman's ρ of paired values `[N]` and its bootstrap interval over the pairs: ρ, low, high.

    NaN where x or y is constant. Raises ValueError as `partial_rank_correlation`.
    """
    return partial_rank_correlation(x, y, np.empty((len(x), 0)), bootstrap)


def partial_rank_correlation(
    x: np.ndarray, y: np.ndarray, given: np.ndarray, bootstrap: BootstrapConfig | None = None
) -> tuple[float, float, float]:
    """Spearman's partial ρ of x and y `[N]` given others `[N, P]`: ρ, and its bootstrap interval low, high.

    All are ranked (ties share their mean rank); those of x and y are taken less what a linear fit with an
    intercept on the ranks of `given` says; ρ is Pearson's correlation of what is left (Conover 1999,
    ch. 5.4). Rows are drawn with replacement and every draw is ranked anew. P = 0 is Spearman's ρ. NaN where
    the others leave nothing of x or of y. Raises ValueError on NaN, unequal lengths, or N = 0.
    """
    bootstrap = bootstrap or BootstrapConfig()
    x, y, given = (np.asarray(values, dtype=float) for values in (x, y, given))
    if x.ndim != 1 or not len(x) or y.shape != x.shape or given.ndim != 2 or len(given) != len(x):
        raise ValueError(f"x {x.shape}, y {y.shape} and given {given.shape} need [N], [N] and [N, P], N > 0")
    columns = np.column_stack([x, y, given])
    if np.isnan(columns).any():
        raise ValueError("values contain NaN")
    rows = np.random.default_rng(bootstrap.seed).integers(0, len(x), (bootstrap.resamples, len(x)))
    own = _partial(_drawn_ranks(columns, np.arange(len(x))[None]))
    return float(own[0]), *_bounds(_partial(_drawn_ranks(columns, rows)), bootstrap)


def correlation_change(
    x: np.ndarray, y: np.ndarray, kept: np.ndarray, bootstrap: BootstrapConfig | None = None
) -> tuple[float, float, float]:
    """How Spearman's ρ of x and y `[N]` changes when only some pairs are kept: change, low, high.

    ρ of the pairs where `kept`, bool `[N]`, less ρ of all N. Both are taken of the same drawn pairs (the
    draws of `rank_correlation`), since the kept are a part of all; draws in which one of them is not defined
    are left out. NaN where that holds of the pairs themselves. Raises ValueError as
    `partial_rank_correlation`, and when `kept` has another shape.
    """
    bootstrap = bootstrap or BootstrapConfig()
    x, y, kept = np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(kept, dtype=bool)
    rank_correlation(x, y, BootstrapConfig(resamples=1))  # checks
    if kept.shape != x.shape:
        raise ValueError(f"kept {kept.shape} needs the shape of x, {x.shape}")
    columns = np.column_stack([x, y])

    def change(rows: np.ndarray) -> np.ndarray:
        parts = [_of_these(columns[own[kept[own]]]) for own in rows]  # of as many pairs as were drawn
        return np.array(parts) - _partial(_drawn_ranks(columns, rows))

    rows = np.random.default_rng(bootstrap.seed).integers(0, len(x), (bootstrap.resamples, len(x)))
    return float(change(np.arange(len(x))[None])[0]), *_bounds(change(rows), bootstrap)


def _of_these(pairs: np.ndarray) -> float:
    """Spearman's ρ of `[n, 2]`; NaN of fewer than two."""
    return float(_partial(rankdata(pairs, axis=0).T[None])[0]) if len(pairs) > 1 else np.nan


def severity_correlation(
    values: np.ndarray, bootstrap: BootstrapConfig | None = None
) -> tuple[float, float, float]:
    """How steadily a value grows with the severity of a fault: mean ρ, and its interval over films low, high.

    values `[F, S, N]`: N films with each of F faults at S severities in rising order, the first usually no
    fault. The mean over faults and films of Spearman's ρ between the film's S values and the severity: 1
    where each step raises it, −1 where each lowers it; a film whose values are all equal counts as 0. Films
    are drawn with replacement, each with all its faults. Raises ValueError on NaN, S < 2, or another shape.
    """
    bootstrap = bootstrap or BootstrapConfig()
    values = np.asarray(values, dtype=float)
    if values.ndim != 3 or values.shape[1] < 2 or not values.size:
        raise ValueError(f"values {values.shape} need the shape [faults, severities, films], 2 severities")
    if np.isnan(values).any():
        raise ValueError("values contain NaN")
    ranks = rankdata(values, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    steps = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    norm = np.sqrt((ranks**2).sum(1) * (steps**2).sum())
    shared = np.einsum("fsn,s->fn", ranks, steps)
    by_film = np.divide(shared, norm, out=np.zeros_like(shared), where=norm > 0).mean(0)
    rows = np.random.default_rng(bootstrap.seed).integers(
        0, len(by_film), (bootstrap.resamples, len(by_film))
    )
    return float(by_film.mean()), *_bounds(by_film[rows].mean(1), bootstrap)


def _drawn_ranks(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean ranks, 1 the least, of drawn rows int `[R, n]` of the columns `[N, C]`: `[R, C, n]`.

    By counting how often each distinct value was drawn: a sort of every draw takes several times as long.
    """
    draws = np.arange(len(rows))[:, None]
    ranks = np.empty((len(rows), columns.shape[1], rows.shape[1]))
    for column, values in enumerate(columns.T):
        distinct, ids = np.unique(values, return_inverse=True)
        drawn = ids[rows]
        places = (drawn + len(distinct) * draws).ravel()
        times = np.bincount(places, minlength=len(rows) * len(distinct)).reshape(len(rows), -1)
        ranks[:, column] = np.take_along_axis(times.cumsum(1) - (times - 1) / 2, drawn, axis=1)
    return ranks


def _partial(ranks: np.ndarray) -> np.ndarray:
    """Correlation of the first two of C variables given the rest, of each draw: `[R, C, n]` -> `[R]`."""
    ranks = ranks - ranks.mean(2, keepdims=True)
    cross = ranks @ ranks.transpose(0, 2, 1)
    pair, beside = cross[:, :2, :2], cross[:, :2, 2:]
    # The pseudo-inverse fits by least squares also where the others are constant or tell the same.
    left = pair - beside @ np.linalg.pinv(cross[:, 2:, 2:], rcond=1e-10, hermitian=True) @ beside.transpose(
        0, 2, 1
    )
    spread = np.diagonal(left, axis1=1, axis2=2)
    known = (spread > 1e-9 * np.diagonal(pair, axis1=1, axis2=2)).all(1)
    scale = np.sqrt(np.where(known[:, None], spread, np.nan).prod(1))
    return left[:, 0, 1] / scale


def _bounds(draws: np.ndarray, bootstrap: BootstrapConfig) -> tuple[float, float]:
    """Of the percentile interval; NaN draws are left out, and if all are, both are NaN."""
    draws = draws[~np.isnan(draws)]
    tail = 100 * (1 - bootstrap.level) / 2
    low, high = np.percentile(draws, [tail, 100 - tail]) if len(draws) else (np.nan, np.nan)
    return float(low), float(high)


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
