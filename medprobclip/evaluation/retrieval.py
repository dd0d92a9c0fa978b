"""Retrieval as pure functions of scores and correspondence: ranks, recall, precision, chance, intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

CUTOFFS = (1, 5, 10, 100)  # the K of R@K reported by arXiv 2602.16019; RSUM adds all of them both ways
DIRECTIONS = {"i2t": "image to text", "t2i": "text to image"}
TURNS = {"i2t": np.asarray, "t2i": np.transpose}  # image × text scores -> query × gallery


def checked(scores: np.ndarray, matches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of one shape `[N, M]`.

    Raises ValueError on shapes that differ, NaN scores, or a query without any match.
    """
    scores, matches = np.asarray(scores), np.asarray(matches, dtype=bool)
    if scores.shape != matches.shape or scores.ndim != 2:
        raise ValueError(f"scores {scores.shape} and matches {matches.shape} need one shape [N, M]")
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN")
    if not matches.any(1).all():
        raise ValueError(f"query {int(np.argmin(matches.any(1)))} has no match in the gallery")
    return scores, matches


def first_match_ranks(scores: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """Rank (1 = best) of each query's best-placed match: scores, bool matches `[N, M]` -> int `[N]`.

    A wrong item that ties with the match counts as ranked before it, so that a constant score earns
    nothing. Raises ValueError on shapes that differ, NaN scores, or a query without any match.
    """
    scores, matches = checked(scores, matches)
    best = np.where(matches, scores, -np.inf).max(1, keepdims=True)
    return 1 + ((scores >= best) & ~matches).sum(1)


def recall_at(ranks: np.ndarray, k: int) -> float:
    """R@K in percent: the share of queries with a match among their first K items."""
    return 100.0 * float(np.mean(ranks <= k))


def expected_recall_at(scores: np.ndarray, matches: np.ndarray, k: int) -> float:
    """Expected R@K in percent when ties are broken at random: scores, bool matches `[N, M]`.

    The K-th place falls into a block of n tied items, r of them matches. Above the block are K−q places, all
    certain; the q others are drawn from the block, so that a query without a match above it is answered
    with probability 1 − C(n−r, q)/C(n, q) (hypergeometric distribution). Raises ValueError as
    `first_match_ranks`.
    """
    scores, matches = checked(scores, matches)
    k = min(k, scores.shape[1])
    edge = np.partition(scores, -k, axis=1)[:, [-k]]
    above, tied = scores > edge, scores == edge
    from scipy.stats import hypergeom  # a third of a second, and not needed to train

    missed = hypergeom.pmf(0, tied.sum(1), (tied & matches).sum(1), k - above.sum(1))
    return 100.0 * float(np.mean(np.where((above & matches).any(1), 1, 1 - missed)))


def chance_recall_at(matches: np.ndarray, k: int) -> float:
    """Expected R@K in percent of a random order: of scores that all tie. Raises ValueError likewise."""
    return expected_recall_at(np.zeros(np.shape(matches), dtype=np.int8), matches, k)


def average_precisions(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Expected AP@R of each query when ties are broken at random: `[N, M]` each -> float64 `[N]` in [0, 1].

    AP@R = 1/R Σ_{k≤R} P@k · rel_k, where R is how many items are relevant to the query (Musgrave et al.
    2020, "A Metric Learning Reality Check"; many-to-many retrieval: Chun et al. 2022, ECCV Caption). The
    query's own item is one of them: it is an answer, not the query itself. At place p of a block of n tied
    items, r of them relevant, below a relevant ones, E[P@k · rel_k] = r/n · (a + 1 + (p−1)(r−1)/(n−1)) / k.
    Raises ValueError as `first_match_ranks`.
    """
    scores, relevant = checked(scores, relevant)
    place = np.arange(scores.shape[1])  # k − 1
    precisions = np.empty(len(scores))
    for query, (s, rel) in enumerate(zip(scores, relevant, strict=True)):
        order = np.argsort(s)[::-1]
        s, rel = s[order], rel[order]
        block = np.cumsum(np.append(False, s[1:] != s[:-1]))
        n, r = np.bincount(block), np.bincount(block, rel)
        start, above = np.cumsum(n) - n, np.cumsum(r) - r
        n, r, start, above = n[block], r[block], start[block], above[block]
        expected = above + 1 + (place - start) * (r - 1) / np.maximum(n - 1, 1)
        count = rel.sum()
        precisions[query] = np.sum((r / n * expected / (place + 1))[:count]) / count
    return precisions


def expected_map_at_r(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Expected mAP@R in percent when ties are broken at random: the mean of `average_precisions`."""
    return 100.0 * float(average_precisions(scores, relevant).mean())


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


def expected_rsum(scores: np.ndarray, matches: np.ndarray) -> float:
    """RSUM in percent points as `rsum`, expected when ties are broken at random."""
    directions = ((scores, matches), (scores.T, matches.T))
    return sum(expected_recall_at(s, m, k) for s, m in directions for k in CUTOFFS)


def retrieval_table(
    scores: np.ndarray,
    matches: np.ndarray,
    bootstrap: BootstrapConfig | None = None,
    *,
    relevant: np.ndarray | None = None,
    reader: np.ndarray | None = None,
) -> pd.DataFrame:
    """Every retrieval number of an image × text score matrix `[N, M]`, one row a metric.

    Columns: `direction` (i2t, t2i or both), `metric`, `value`, `low`, `high` (bootstrap interval over
    queries), `chance` (expected of a random order), `queries`, `gallery`. R@K and RSUM in percent points;
    median rank in items. RSUM has an interval where both sides hold the same N studies, resampled together.

    `relevant` (bool `[N, M]`, such as equal expert coding) adds mAP@R in percent. `reader` (the `[N, M]`
    scores of a perfect reader, `ceiling.reader_scores`) adds the columns `ceiling`, what these scores are
    expected to reach with ties broken at random, and `attained`, the percentage of the way from chance to
    the ceiling (absent where both are the same). Reader and model are held to the same `matches` and
    `relevant`. The ceiling is the reader's who looks for the one study that belongs to the query: a model
    may in principle exceed it by favouring common wordings or codings, since all equal ones are right.
    """
    rows, hits_of = [], {}
    for direction, turn in TURNS.items():
        s, m = turn(scores), turn(matches)
        ranks = first_match_ranks(s, m)
        size = {"queries": len(ranks), "gallery": s.shape[1]}
        for k in CUTOFFS:
            hits = hits_of[direction, k] = 100.0 * (ranks <= k)
            ceiling = None if reader is None else expected_recall_at(turn(reader), m, k)
            rows.append({"direction": direction, "metric": f"R@{k}", **mean_interval(hits, bootstrap),
                         **references(hits.mean(), chance_recall_at(m, k), ceiling), **size})  # fmt: skip
        rows.append({"direction": direction, "metric": "median rank", "value": np.median(ranks), **size})
        if relevant is not None:
            values = 100.0 * average_precisions(s, turn(relevant))
            chance = expected_map_at_r(np.zeros(s.shape, dtype=np.int8), turn(relevant))
            ceiling = None if reader is None else expected_map_at_r(turn(reader), turn(relevant))
            rows.append({"direction": direction, "metric": "mAP@R", **mean_interval(values, bootstrap),
                         **references(values.mean(), chance, ceiling), **size})  # fmt: skip
    recalls = [row for row in rows if row["metric"].startswith("R@")]
    total = {"value": sum(row["value"] for row in recalls)}
    if scores.shape[0] == scores.shape[1]:
        total = mean_interval(sum(hits_of.values()), bootstrap)
    ceiling = None if reader is None else sum(row["ceiling"] for row in recalls)
    total |= references(total["value"], sum(row["chance"] for row in recalls), ceiling)
    rows.append({"direction": "both", "metric": "RSUM", **total})
    return read_table(rows)


def mean_interval(values: np.ndarray, bootstrap: BootstrapConfig | None) -> dict[str, float]:
    """`value`, the mean of per-query values `[N]`, and the bounds `low`, `high` of its bootstrap interval."""
    low, high = bootstrap_interval(values, bootstrap)
    return {"value": float(np.mean(values)), "low": low, "high": high}


def references(value: float, chance: float, ceiling: float | None) -> dict[str, float]:
    """`chance` and, where there is a ceiling, `ceiling` and `attained`: how far from chance to it, in %."""
    if ceiling is None:
        return {"chance": chance}
    room = ceiling - chance
    attained = 100.0 * (value - chance) / room if room > 1e-9 else np.nan
    return {"chance": chance, "ceiling": ceiling, "attained": attained}


def read_table(rows: list[dict]) -> pd.DataFrame:
    """The table from its rows, as `retrieval_table` returns it: counts are integers, absent where unknown."""
    table = pd.DataFrame(rows).astype({"queries": "Int64", "gallery": "Int64"})
    return table.astype({name: float for name in ("ceiling", "attained") if name in table})
