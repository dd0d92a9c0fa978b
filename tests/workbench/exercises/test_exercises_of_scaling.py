"""Exercises of notebook 07: right ways are called right, each mistake gets its hint."""

import numpy as np
import pytest
import torch

from medprobclip.workbench.checks import RIGHT, check


def said(capsys, exercise, answer) -> str:
    check(exercise, answer)
    return capsys.readouterr().out.strip()


def one_by_one(a, s):
    """The textbook's way: each numerator times all other denominators."""
    return sum(a[i] * np.prod(np.delete(s, i)) for i in range(len(s))), np.prod(s)


def by_pairs(a, s):
    while len(s) > 1:
        a, s = a[::2] * s[1::2] + a[1::2] * s[::2], s[::2] * s[1::2]
    return a[0], s[0]


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (one_by_one, RIGHT),
        (lambda a, s: ((a / s).sum() * s.prod(), s.prod()), RIGHT),
        (by_pairs, "do not pair up"),
        (lambda a, s: (a.sum(), s.prod()), "common denominator"),
        (lambda a, s: (one_by_one(a, s)[0], s.sum()), "P is the sum"),
        (lambda a, s: (one_by_one(a, s)[0], s.prod() ** 2), "something else"),
        (lambda a, s: ((a * s).sum(), s.prod()), "multiplied with"),
        (lambda a, s: 1.0, "cannot be used"),
        (7.0, "without calling it"),
    ],
)
def test_folding(capsys, answer, hint):
    assert hint in said(capsys, "07.1", answer)


def merged(hits, sizes, k, offset=True, stable=True, most=None):
    """By sorting all hits; the mistakes that a reader may make are switches."""
    starts = np.cumsum([0, *sizes[:-1]]) * offset
    ids = np.concatenate([h.ids.numpy() + start for h, start in zip(hits, starts, strict=True)], 1)
    scores = np.concatenate([h.scores.numpy() for h in hits], 1)
    keys = (ids if stable else -ids, -scores)
    return np.take_along_axis(ids, np.lexsort(keys, axis=1)[:, : most or k], 1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (merged, RIGHT),
        (lambda *given: torch.from_numpy(merged(*given)), RIGHT),
        (lambda *given: merged(*given, offset=False), "counts its ids from 0"),
        (lambda *given: merged(*given, stable=False), "smaller id"),
        (lambda *given: merged(*given, most=2), "shape"),
        (lambda hits, sizes, k: hits[0].ids + 100, "no report has"),
        (lambda hits, sizes, k: hits[2].ids + 11, "hold the k best"),
        (lambda hits: hits, "cannot be used"),
        ([1, 2, 3], "without calling it"),
    ],
)
def test_merging(capsys, answer, hint):
    assert hint in said(capsys, "07.2", answer)


def further(sizes, seconds, m):
    """From the last two sizes."""
    slope = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
    return seconds[-1] + slope * (m - sizes[-1])


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (further, RIGHT),
        (lambda n, t, m: np.polyval(np.polyfit(n[1:], t[1:], 1), m), RIGHT),
        (lambda n, t, m: t[-1] * m / n[-1], "every call costs once"),
        (lambda n, t, m: (t[-1] - t[-2]) / (n[-1] - n[-2]) * m, "is missing"),
        (lambda n, t, m: np.polyval(np.polyfit(n, t, 1), m), "not compiled"),
        (lambda n, t, m: 1.0, "on top of the last size"),
        (lambda n, t, m: "soon", "cannot be used"),
        (14.0, "without calling it"),
    ],
)
def test_extrapolating(capsys, answer, hint):
    assert hint in said(capsys, "07.3", answer)
