"""Notebook 07."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from medprobclip.gaussian import Gaussian
from medprobclip.search import top_k
from medprobclip.similarity import expected_likelihood

_CALL = "Give the function itself, without calling it."


def fold(answer: object) -> str:
    """A function (a, s) -> (A, P) with Σ a/s = A/P and P = Π s, by products and sums only; any length."""
    if not callable(answer):
        return _CALL
    generator = np.random.default_rng(0)
    for length in (2, 8, 1, 5):
        a, s = generator.uniform(0, 4, length), generator.uniform(0.5, 2, length)
        try:
            numerator, product = (float(value) for value in answer(a.copy(), s.copy()))
        except (ValueError, IndexError) as error:
            if length == 5:
                return f"It works for powers of 2, but five fractions do not pair up ({error})."
            raise
        if not np.isclose(product, s.prod()):
            said = "the sum" if np.isclose(product, s.sum()) else "something else"
            return f"With {length} dimensions P is {said}; it has to be the product of all s."
        if np.isclose(numerator, a.sum()) and length > 1:
            return "A is the sum of the numerators: each has to be brought onto the common denominator first."
        if not np.isclose(numerator / product, (a / s).sum()):
            return f"With {length} dimensions A / P is not Σ a/s. Which s is each a multiplied with?"
    return ""


def merged_hits(answer: object) -> str:
    """A function (hits, sizes, k) -> ids `[N, k]`: the k best of several files, each searched alone."""
    if not callable(answer):
        return _CALL
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 6, (20,), generator=generator)  # six reports, most of them several times
    mean = torch.randn(6, 4, generator=generator)[rows]
    gallery = Gaussian(mean, torch.zeros(20, 4))
    queries = Gaussian(torch.randn(7, 4, generator=generator), torch.zeros(7, 4))
    sizes, k = [8, 3, 9], 3
    ends = np.cumsum([0, *sizes]).tolist()
    hits = [top_k(queries, gallery[start:end], k) for start, end in pairwise(ends)]
    right = top_k(queries, gallery, k).ids
    got = torch.as_tensor(answer(hits, sizes, k))
    if got.shape != right.shape:
        return (
            f"{len(queries)} queries and k = {k}: ids of shape {tuple(right.shape)}, not {tuple(got.shape)}."
        )
    if torch.equal(got, right):
        return ""
    if got.max() < max(sizes):
        return "Every file counts its ids from 0. Where does the second file begin in the archive?"
    if not bool(((got >= 0) & (got < len(gallery))).all()):
        return "There are ids that no report has. How many reports stand before each file?"
    scores = expected_likelihood(queries, gallery)
    if torch.allclose(scores.gather(1, got), scores.gather(1, right)):
        return "The scores are right, the order of equal ones is not: first the smaller id."
    return (
        "Some of these are not the best. The k best of each file hold the k best of all: sort them by score."
    )


def longer_search(answer: object) -> str:
    """A function (sizes, seconds, m) -> seconds for m reports, from the last two sizes."""
    if not callable(answer):
        return _CALL
    sizes = np.array([100.0, 1000.0, 4000.0, 16000.0])
    for cost, rate in ((0.5, 1e-3), (0.1, 2e-3)):
        seconds = cost + rate * sizes
        seconds[0] += 3.0  # not compiled
        got, m = float(answer(sizes.copy(), seconds.copy(), 1e6)), 1e6
        if np.isclose(got, cost + rate * m, rtol=1e-6):
            continue
        if np.isclose(got, seconds[-1] * m / sizes[-1]):
            return "That multiplies what every call costs once, too. What does one report more cost?"
        if np.isclose(got, rate * m):
            return "The cost of one report more is right; what was spent up to the last size is missing."
        if np.isclose(got, np.polyval(np.polyfit(sizes, seconds, 1), m)):
            return "A line through all sizes: but the first was not compiled, and is no part of it."
        return (
            "Seconds a report from the last two sizes, times the reports that come on top of the last size."
        )
    return ""


EXERCISES = {"07.1": fold, "07.2": merged_hits, "07.3": longer_search}
