"""Notebook 01."""

from __future__ import annotations

import numpy as np

from medprobclip.data.correspondence import group_sizes, same_coding

GROUPS, DRAWN = np.array([5, 3, 1, 1]), 4  # made up: ten studies, a batch of four
CODES = [
    ("Opacity/lung/left",), ("Opacity/lung/right",), ("Mass/left", "Opacity"), ("Opacity/right", "Mass"),
    ("Nodule/right",), ("Scoliosis",), ("Scoliosis",), ("Mass",), (), (), ("No Indexing",),
]  # fmt: skip
PLACES = {"ribs": 12 / (28 + 2), "lung": 12 / (4 + 2)}  # of exercise 3


def duplicates_of_a_batch(answer: object) -> str:
    """A function (sizes of groups of equal texts, B) -> expected ordered pairs of a batch in one group."""
    if not callable(answer):
        return "Give the function itself, without calling it."
    n, b = GROUPS.sum(), DRAWN
    agree = (GROUPS * (GROUPS - 1)).sum() / (n * (n - 1))
    got = float(answer(GROUPS.copy(), b))
    if np.isclose(got, agree * b * (b - 1)):
        return ""
    hints = {
        agree * b * (b - 1) / 2: "Every pair has two entries off the diagonal: (i, j) and (j, i).",
        agree: "That is the probability that two studies agree. How many ordered pairs has a batch?",
        agree * b**2: "A study is no duplicate of itself: how many entries lie off the diagonal?",
        (GROUPS**2).sum() / n**2 * b * (b - 1): "A batch does not draw the same study twice.",
    }
    fallback = "How many ordered pairs of two *different* studies are in one group, and how many are there?"
    return next((hint for value, hint in hints.items() if np.isclose(got, value)), fallback)


def share_by_heading(answer: object) -> str:
    """A function (codes, a tuple a study) -> share of studies whose set of headings another one has, too."""
    if not callable(answer):
        return "Give the function itself, without calling it."
    coarse = [frozenset(code.split("/")[0] for code in codes) for codes in CODES]
    empty = [codes - {"No Indexing"} for codes in coarse]
    right = _shared(same_coding(tuple(codes) for codes in coarse))
    got = float(answer(list(CODES)))
    if np.isclose(got, right):
        return ""
    hints = {
        100 * right: "That is in percent: give the share itself, between 0 and 1.",
        _shared(same_coding(CODES)): "Those are the whole codes. Keep what stands before the first slash.",
        _shared(_ids(empty)): "Studies that nobody coded are not alike: nobody looked.",
        _shared(_ids(coarse)): "Studies that nobody coded are not alike: nobody looked.",
        _shared(_ids(codes[0].split("/")[0] if codes else row for row, codes in enumerate(CODES))): (
            "A study may have several codes: compare the sets."
        ),
        _shared(_ids(_headings_in_order())): "A *set* of headings: neither order nor repetition counts.",
        1 - right: "That is the share of those who stand alone.",
    }
    fallback = "Headings as a set for each study, ids of equal sets, and whose id occurs more than once?"
    return next((hint for value, hint in hints.items() if np.isclose(got, value)), fallback)


def _headings_in_order() -> list[object]:
    """Headings as they stand, a tuple a study; a number of its own for one that nobody coded."""
    return [
        tuple(code.split("/")[0] for code in codes) if set(codes) - {"No Indexing"} else row
        for row, codes in enumerate(CODES)
    ]


def _ids(keys) -> np.ndarray:
    """Ids `[N]`, equal where the keys are."""
    ids: dict[object, int] = {}
    return np.array([ids.setdefault(key, len(ids)) for key in keys])


def _shared(ids: np.ndarray) -> float:
    return float(np.mean(group_sizes(ids) > 1))


def conspicuity_of_two_places(answer: object) -> str:
    """Mean |Δ grey| = 12; standard deviations 28 (over ribs) and 4 (over lung) of the surroundings."""
    over_ribs, over_lung = (float(value) for value in answer)
    ribs, lung = PLACES["ribs"], PLACES["lung"]
    if np.allclose([over_ribs, over_lung], [ribs, lung], atol=0.01):
        return ""
    if np.allclose([over_ribs, over_lung], [lung, ribs], atol=0.01):
        return "The two are exchanged: ribs come first."
    if np.allclose([over_ribs, over_lung], [12 / 28, 12 / 4], atol=0.01):
        return "The formula adds something below the line, so that an even ground does not divide by 0."
    if np.allclose([over_ribs, over_lung], [1 / ribs, 1 / lung], atol=0.01):
        return "Upside down: a restless ground hides a finding."
    return "Contrast above the line, the unrest of the surroundings and 2 below it. Two numbers: ribs, lung."


EXERCISES = {
    "01.1": duplicates_of_a_batch,
    "01.2": share_by_heading,
    "01.3": conspicuity_of_two_places,
}
