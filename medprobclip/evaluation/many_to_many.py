"""Retrieval where many items answer a query: precision, graded overlap, plausible errors, hubs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import skew
from sklearn.preprocessing import MultiLabelBinarizer

from medprobclip.data.coding import UNCODED
from medprobclip.evaluation.retrieval import checked


def r_precisions(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Expected R-Precision of each query when ties are broken at random: `[N, M]` each -> `[N]` in [0, 1].

    The share of relevant items among the first R, where R is how many items are relevant to the query
    (Musgrave et al. 2020, "A Metric Learning Reality Check"; many-to-many retrieval: Chun et al. 2022, ECCV
    Caption). The query's own item is one of them: it is an answer, not the query itself. Raises ValueError
    as `retrieval.first_match_ranks`.
    """
    scores, relevant = checked(scores, relevant)
    count = relevant.sum(1, keepdims=True)
    inside = np.arange(scores.shape[1]) < count
    return (expected_gains(scores, relevant) * inside).sum(1) / count[:, 0]


def precisions_at(scores: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Expected P@K of each query when ties are broken at random: `[N, M]` each -> `[N]` in [0, 1].

    The share of relevant items among the first K, or among all M where K > M. Raises ValueError as
    `retrieval.first_match_ranks`, and on K < 1.
    """
    return expected_gains(*checked(scores, relevant))[:, : _checked_cutoff(k)].mean(1)


def coding_overlap(codes: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Graded relevance of studies to each other, float64 `[N, N]` in [0, 1]: how far their codes overlap.

    Jaccard's |A ∩ B| / |A ∪ B| of the sets of codes: 1 exactly where `correspondence.same_coding` has equal
    ids. A study that nobody coded (no codes, or OpenI's "No Indexing") overlaps with none but itself.
    Raises ValueError where there is no study.
    """
    if not len(codes):
        raise ValueError("no study, hence no overlap")
    has = MultiLabelBinarizer(sparse_output=True).fit_transform([set(study) - {UNCODED} for study in codes])
    shared = (has @ has.T).toarray().astype(float)
    size = shared.diagonal()
    united = size[:, None] + size - shared
    overlap = shared / np.maximum(united, 1)  # 0 of 0 codes: nothing is known to be shared
    np.fill_diagonal(overlap, 1)
    return overlap


def overlaps_at(scores: np.ndarray, overlap: np.ndarray, k: int) -> np.ndarray:
    """Mean graded overlap of each query's first K items, expected when ties are broken at random.

    scores, overlap (such as `coding_overlap`, in [0, 1]) `[N, M]` -> `[N]` in [0, 1]; K > M means all M
    items. The query's own item counts like any other. Raises ValueError on shapes that differ, NaN scores,
    an overlap outside [0, 1] or K < 1.
    """
    return expected_gains(*_checked_overlap(scores, overlap))[:, : _checked_cutoff(k)].mean(1)


def normalised_gains_at(scores: np.ndarray, overlap: np.ndarray, k: int) -> np.ndarray:
    """nDCG@K of each query with the graded overlap itself as gain: `[N, M]` each -> `[N]` in [0, 1].

    Σ_{k≤K} overlap_k / log2(k + 1), divided by the same sum of the best order (Järvelin & Kekäläinen 2002);
    tied items share their mean gain, which is the expectation when ties are broken at random (McSherry &
    Najork 2008). Raises ValueError as `overlaps_at`, and for a query that overlaps with nothing.
    """
    scores, overlap = _checked_overlap(scores, overlap)
    if not overlap.any(1).all():
        raise ValueError(f"query {int(np.argmin(overlap.any(1)))} overlaps with nothing in the gallery")
    gains = expected_gains(scores, overlap)[:, : _checked_cutoff(k)]
    best = np.sort(overlap, axis=1)[:, ::-1][:, :k]
    discount = 1 / np.log2(np.arange(gains.shape[1]) + 2)
    return gains @ discount / (best @ discount)


def expected_gains(scores: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Expected gain at each place when ties are broken at random: `[N, M]` each -> float64 `[N, M]`.

    At every place of a block of tied items this is the block's mean gain.
    """
    order = np.argsort(scores, axis=1)[:, ::-1]
    scores, gains = np.take_along_axis(scores, order, 1), np.take_along_axis(gains, order, 1)
    starts = np.ones(scores.shape, dtype=bool)  # each query's first item starts a block of its own
    starts[:, 1:] = scores[:, 1:] != scores[:, :-1]
    block = np.cumsum(starts.ravel()) - 1
    return (np.bincount(block, gains.ravel()) / np.bincount(block))[block].reshape(scores.shape)


@dataclass(frozen=True)
class PlausibleErrors:
    """What comes first where it is not the match, by query.

    `wrong`, bool `[N]`: the first item is no match. `plausible`, bool `[N]`: it is no match but relevant
    (false wherever `wrong` is). `chance`, float64 `[N]` in [0, 1]: the share of relevant items among all the
    query's items that are no match, hence the probability that one of them drawn at random is plausible.
    """

    wrong: np.ndarray
    plausible: np.ndarray
    chance: np.ndarray

    @property
    def share(self) -> float:
        """Share of plausible errors among the errors; its interval: of `plausible[wrong]`."""
        self._refuse_no_error()
        return float(self.plausible[self.wrong].mean())

    @property
    def chance_share(self) -> float:
        """The share expected if each wrong first item were drawn at random among the query's wrong items."""
        self._refuse_no_error()
        return float(self.chance[self.wrong].mean())

    def _refuse_no_error(self) -> None:
        if not self.wrong.any():
            raise ValueError("no query is answered wrongly: no error to call plausible")


def plausible_errors(scores: np.ndarray, matches: np.ndarray, relevant: np.ndarray) -> PlausibleErrors:
    """Which wrong first answers say nearly the same: scores, bool matches, bool relevant `[N, M]` each.

    `matches` are the right answers (such as an equal report), `relevant` the plausible ones (such as equal
    expert coding). Among items that tie for the first place the least right one counts: a wrong item before
    a match as in `retrieval.first_match_ranks`, and an implausible one before a plausible one, so that a
    constant score earns nothing. `chance` is 0 where all items match. Raises ValueError as
    `retrieval.first_match_ranks`, for matches and for relevant.
    """
    scores, matches = checked(scores, matches)
    scores, relevant = checked(scores, relevant)
    first = scores == scores.max(1, keepdims=True)
    wrong = (first & ~matches).any(1)
    plausible = wrong & ~(first & ~matches & ~relevant).any(1)
    chance = (relevant & ~matches).sum(1) / np.maximum((~matches).sum(1), 1)
    return PlausibleErrors(wrong, plausible, chance)


def k_occurrences(scores: np.ndarray, k: int) -> np.ndarray:
    """How many queries have each gallery item among their first K: scores `[N, M]` -> int64 `[M]`.

    Ties at the border are decided by ascending index, so that every query counts exactly min(K, M) items
    (Radovanović et al. 2010, "Hubs in Space"). Raises ValueError on NaN, another number of dimensions, an
    empty matrix or K < 1.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores {scores.shape} need the shape [N, M], N and M > 0")
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN")
    order = np.argsort(-scores, axis=1, kind="stable")[:, : _checked_cutoff(k)]
    return np.bincount(order.ravel(), minlength=scores.shape[1])


def hubness(scores: np.ndarray, k: int) -> float:
    """Skewness of the K-occurrences over the gallery: scores `[N, M]` -> 0 if symmetric, larger with hubs.

    The third standardised moment of the M counts, without a correction for sample size (Radovanović et al.
    2010, JMLR 11). Raises ValueError as `k_occurrences`, and where all counts are equal (K ≥ M, for one),
    which have no skewness.
    """
    counts = k_occurrences(scores, k)
    if (counts == counts[0]).all():
        raise ValueError(f"every item occurs {counts[0]} times: no skewness is defined")
    return float(skew(counts))


def orphans(scores: np.ndarray, k: int) -> float:
    """Share in [0, 1] of gallery items among no query's first K (anti-hubs); raises as `k_occurrences`."""
    return float((k_occurrences(scores, k) == 0).mean())


def _checked_cutoff(k: int) -> int:
    if k < 1:
        raise ValueError(f"no item is among the first {k}")
    return k


def _checked_overlap(scores: np.ndarray, overlap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, overlap = np.asarray(scores), np.asarray(overlap, dtype=float)
    if scores.shape != overlap.shape or scores.ndim != 2 or not scores.size:
        raise ValueError(
            f"scores {scores.shape} and overlap {overlap.shape} need one shape [N, M], N and M > 0"
        )
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN")
    if not ((overlap >= 0) & (overlap <= 1)).all():  # NaN is neither
        raise ValueError("overlap needs values in [0, 1]")
    return scores, overlap
