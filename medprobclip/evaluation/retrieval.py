"""Retrieval as pure functions of scores and correspondence: ranks, recall, chance, intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln

CUTOFFS = (1, 5, 10, 100)  # the K of R@K reported by arXiv 2602.16019; RSUM adds all of them both ways
DIRECTIONS = {"i2t": "image to text", "t2i": "text to image"}


def first_match_ranks(scores: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """Rank (1 = best) of each query's best-placed match: scores, bool matches `[N, M]` -> int `[N]`.

    A wrong item that ties with the match counts as ranked before it, so that a constant score earns
    nothing. Raises ValueError on shapes that differ, NaN scores, or a query without any match.
    """
    scores, matches = np.asarray(scores), np.asarray(matches, dtype=bool)
    if scores.shape != matches.shape or scores.ndim != 2:
        raise ValueError(f"scores {scores.shape} and matches {matches.shape} need one shape [N, M]")
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN")
    if not matches.any(1).all():
        raise ValueError(f"query {int(np.argmin(matches.any(1)))} has no match in the gallery")
    best = np.where(matches, scores, -np.inf).max(1, keepdims=True)
    return 1 + ((scores >= best) & ~matches).sum(1)


def recall_at(ranks: np.ndarray, k: int) -> float:
    """R@K in percent: the share of queries with a match among their first K items."""
    return 100.0 * float(np.mean(ranks <= k))


def chance_recall_at(matches: np.ndarray, k: int) -> float:
    """Expected R@K in percent of a random order: 1 − C(M−m, K)/C(M, K), averaged over the queries.

    m is the number of matches of a query among M items (hypergeometric distribution).
    """
    count, total = matches.sum(1).astype(float), matches.shape[1]
    k = min(k, total)
    misses = np.full(len(count), -np.inf)
    possible = total - count >= k
    m = count[possible]
    misses[possible] = (
        gammaln(total - m + 1) - gammaln(total - m - k + 1) - gammaln(total + 1) + gammaln(total - k + 1)
    )
    return 100.0 * float(np.mean(1 - np.exp(misses)))


@dataclass(frozen=True)
class BootstrapConfig:
    """Intervals by resampling queries; the gallery stays whole."""

    resamples: int = 2000
    level: float = 0.95  # coverage of the percentile interval
    seed: int = 0


def bootstrap_interval(values: np.ndarray, config: BootstrapConfig | None = None) -> tuple[float, float]:
    """Percentile interval of the mean of per-query values `[N]`."""
    config = config or BootstrapConfig()
    generator = np.random.default_rng(config.seed)
    values = np.asarray(values, dtype=float)
    rows = generator.integers(0, len(values), (config.resamples, len(values)))
    tail = 100 * (1 - config.level) / 2
    low, high = np.percentile(values[rows].mean(1), [tail, 100 - tail])
    return float(low), float(high)


def rsum(scores: np.ndarray, matches: np.ndarray) -> float:
    """Sum of R@1, 5, 10 and 100 in both directions, in percent points: at most 800."""
    ranks = (first_match_ranks(scores, matches), first_match_ranks(scores.T, matches.T))
    return sum(recall_at(r, k) for r in ranks for k in CUTOFFS)


def retrieval_table(
    scores: np.ndarray, matches: np.ndarray, bootstrap: BootstrapConfig | None = None
) -> pd.DataFrame:
    """Every retrieval number of an image × text score matrix `[N, M]`, one row a metric.

    Columns: `direction` (i2t, t2i or both), `metric`, `value`, `low`, `high` (bootstrap interval over
    queries), `chance` (expected of a random order), `queries`, `gallery`. R@K and RSUM in percent points;
    median rank in items. RSUM has an interval where both sides hold the same N studies, resampled together.
    """
    rows, hits_of = [], {}
    for direction, (s, m) in {"i2t": (scores, matches), "t2i": (scores.T, matches.T)}.items():
        ranks = first_match_ranks(s, m)
        size = {"queries": len(ranks), "gallery": s.shape[1]}
        for k in CUTOFFS:
            hits = hits_of[direction, k] = 100.0 * (ranks <= k)
            low, high = bootstrap_interval(hits, bootstrap)
            chance = chance_recall_at(m, k)
            rows.append({"direction": direction, "metric": f"R@{k}", "value": hits.mean(),
                         "low": low, "high": high, "chance": chance, **size})  # fmt: skip
        rows.append({"direction": direction, "metric": "median rank", "value": np.median(ranks), **size})
    recalls = [row for row in rows if row["metric"].startswith("R@")]
    total = {key: sum(row[key] for row in recalls) for key in ("value", "chance")}
    if scores.shape[0] == scores.shape[1]:
        total["low"], total["high"] = bootstrap_interval(sum(hits_of.values()), bootstrap)
    rows.append({"direction": "both", "metric": "RSUM", **total})
    return read_table(rows)


def read_table(rows: list[dict]) -> pd.DataFrame:
    """The table from its rows, as `retrieval_table` returns it: counts are integers, absent where unknown."""
    return pd.DataFrame(rows).astype({"queries": "Int64", "gallery": "Int64"})
