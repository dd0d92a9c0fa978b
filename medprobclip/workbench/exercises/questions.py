"""Notebook 06."""

from __future__ import annotations

import math

import numpy as np

WORDS = ("doubles", "halves", "stays")


def least_alpha(answer: object) -> str:
    """A function n -> the smallest alpha that n calibration studies can promise."""
    if not callable(answer):
        return "Give the function itself, of the number n, without calling it."
    counts = (1, 9, 99, 256)
    got = [float(answer(n)) for n in counts]
    if np.allclose(got, [1 / (n + 1) for n in counts]):
        return ""
    if np.allclose(got, [1 / n for n in counts]):
        return "Nearly. The new film is one of those whose places are counted, too."
    if np.allclose(got, [n / (n + 1) for n in counts]):
        return "That is what may be promised at most, not the chance that is left."
    return "Which place, floor of alpha (n + 1), does a threshold need at least? Solve it for alpha."


def indexed_twice(answer: object) -> str:
    """What happens to set, odds and promise when every study is indexed twice: three of `WORDS`."""
    words = answer.replace(",", " ").split() if isinstance(answer, str) else answer
    said = [str(word).strip().lower() for word in words]
    if len(said) != 3 or not set(said) <= set(WORDS):
        return f"Three words, in the order of the question, each one of: {', '.join(WORDS)}."
    size, odds, promise = said
    if size != "doubles":
        return "The set looks at scores alone: what does the twin of a study in it score?"
    if odds != "halves":
        return "A film has still one report of its own, but among how many?"
    if promise != "stays":
        return "Was the threshold, counted on calibration films, moved by what was indexed?"
    return ""


def hidden_behind(answer: object) -> str:
    """Three numbers: a mean of which the shadow lies on the film, and that loses to (1, 0, 0)."""
    place = np.asarray(answer, dtype=float)
    if place.shape != (3,) or not np.isfinite(place).all():
        return "Three numbers: the mean of report B."
    if math.hypot(*place[:2]) > 1e-6:
        return "In the plane of the first two coordinates B is to lie exactly on the film."
    if abs(place[2]) <= 1:
        return "With equal variances the nearer mean wins. In three dimensions B is not further off than A."
    return ""


EXERCISES = {"06.1": least_alpha, "06.2": indexed_twice, "06.3": hidden_behind}
