"""Selective answers: whom to answer so that few are wrong, if it can be promised, and whether it helped."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr

# Shares of the queries to be answered, the strictest first. Fixed, so that no data choose among them.
COVERAGES = np.arange(10, 101, 5) / 100


def selective_threshold(confidence: np.ndarray, wrong: np.ndarray, risk: float, delta: float) -> float | None:
    """Least confidence of an answered query: at most the share `risk` of the answers is wrong, or None.

    confidence `[n]` (larger = surer) and bool wrong `[n]` of calibration queries. Answer where confidence ≥
    threshold: with probability at least 1 − `delta` over calibration queries, drawn independently, the risk
    P(wrong | answered) of new ones is at most `risk`. −∞ answers all. None: no threshold can be promised.

    Fixed-sequence testing (Angelopoulos et al. 2021, arXiv 2110.01052): for each coverage of `COVERAGES`,
    the strictest first, "the risk is above `risk`" is tested at level `delta` by the binomial tail of the
    wrong among the answered (Clopper & Pearson 1934; of selected answers: Geifman & El-Yaniv 2017). The first
    that cannot be rejected ends it. Passed over are coverages of so few answers that even half the permitted
    share of wrong ones would not do, or, where all queries are that few, none: a first test that only luck
    can pass would end most sequences.

    The threshold may come from the same queries: to answer m of n, those *strictly* surer than the (m + 1)-th
    are answered. Given its confidence, and how many are surer, these are an independent sample of all queries
    that are surer; itself it is none of them. So equal confidences are answered together or not at all, and
    ties leave fewer than m.

    The tests need no correction for their number where a lower confidence never has a lower risk. There is
    one confidence a, then, down to which answers keep the promise. Given their number, the queries from a
    upwards are an independent sample with the risk `risk` or more; each query below has at least this risk.
    The first test of a false promise is about all of the former and some of the latter, which ones their
    confidences decide, not their answers: it passes with a probability of at most `delta`. Without that
    assumption ask with `delta` / len(`COVERAGES`).

    Raises ValueError on values that are not finite, unequal lengths, no query, or a risk or delta outside
    (0, 1).
    """
    confidence, wrong = np.asarray(confidence, dtype=float), np.asarray(wrong)
    if confidence.shape != wrong.shape or confidence.ndim != 1 or not len(wrong):
        raise ValueError(f"confidence {confidence.shape} and wrong {wrong.shape} need one shape [n], n > 0")
    if not np.isfinite(confidence).all() or not np.isin(wrong, (0, 1)).all():
        raise ValueError("confidence is not finite, or wrong holds what is neither true nor false")
    if not (0 < risk < 1 and 0 < delta < 1):
        raise ValueError(f"risk {risk} and delta {delta} lie between 0 and 1, exclusive")
    falling, found = np.sort(confidence)[::-1], None

    def promised(errors: float, answered: int) -> bool:
        """Is a risk above `risk` rejected? By the probability of as few errors or fewer."""
        return answered > 0 and bool(bdtr(np.floor(errors), answered, risk) <= delta)

    likely = risk / 2 if promised(len(wrong) * risk / 2, len(wrong)) else 0.0
    for answered in np.unique(np.ceil(COVERAGES * len(wrong) - 1e-9).astype(int)):
        # Reaching the next number above is being surer.
        least = np.nextafter(falling[answered], np.inf) if answered < len(wrong) else -np.inf
        chosen = confidence >= least
        answers = int(chosen.sum())
        if not promised(likely * answers, answers):
            continue
        if not promised(wrong[chosen].sum(), answers):
            break
        found = float(least)
    return found


def difference_of_shares(first: float, n: int, second: float, m: int) -> tuple[float, float]:
    """95 % interval of the difference of two shares, of n and m independent cases (Agresti & Caffo 2000)."""
    shares = [(share * count + 1) / (count + 2) for share, count in ((first, n), (second, m))]
    error = sum(p * (1 - p) / (count + 2) for p, count in zip(shares, (n, m), strict=True)) ** 0.5
    gap = shares[0] - shares[1]
    return gap - 1.96 * error, gap + 1.96 * error
