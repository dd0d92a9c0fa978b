"""Exercises of the notebooks: `check("00.1", answer)` says whether it is right, or gives a hint."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

RIGHT = "Right."
OPEN = "No answer yet: put yours in place of None and run the cell again."
Judge = Callable[[object], str]  # an answer -> a hint; "" if it is right


def check(exercise: str, answer: object) -> None:
    """Print whether the answer is right, or a hint; never the answer itself.

    None is an answer not yet given. An answer that cannot be used (a text for a number) gets a hint, too.
    Raises KeyError for an unknown exercise.
    """
    judge = EXERCISES[exercise]
    if answer is None:
        print(OPEN)
        return
    try:
        print(judge(answer) or RIGHT)
    except Exception as error:  # whatever a learner's function raises belongs to the hint
        print(f"That cannot be used: {type(error).__name__}: {error}")


def best_report_variance(answer: object) -> str:
    """x = N(0, 1), y = N(3, v): which v makes the expected likelihood largest?"""
    value = float(answer)
    if math.isclose(value, 8, abs_tol=0.05):
        return ""
    if math.isclose(value, 9, abs_tol=0.05):
        return "That is s. How much of it does x bring along?"
    if math.isclose(value, 3, abs_tol=0.05):
        return "That is the distance. The score weighs its square."
    if math.isclose(value, 2 * math.sqrt(2), abs_tol=0.05):
        return "That is σ of y. The question is for its variance."
    return "Where is −½ (Δ²/s + log s) flat as a function of s? And s = 1 + v."


def log_density_of_meeting(answer: object) -> str:
    """A function (dmu, s) -> log N(0; dmu, s), in nats, element by element."""
    if not callable(answer):
        return "Give the function itself, without calling it."
    generator = np.random.default_rng(0)
    gap, s = generator.normal(0, 2, 50), generator.uniform(0.1, 5, 50)
    right = -0.5 * (gap**2 / s + np.log(s) + np.log(2 * np.pi))
    got = np.asarray(answer(gap, s), dtype=float)
    if got.shape != right.shape:
        return f"Arrays of shape {gap.shape} went in, {got.shape} came out: keep it element by element."
    if np.allclose(got, right):
        return ""
    if np.allclose(got - right, (got - right)[0]):
        return f"Off by {(got - right)[0]:+.3f} everywhere: a constant is missing, which one?"
    if np.allclose(got, -right):
        return "The sign is turned: this is the distance, not the log density."
    if np.allclose(np.log(np.abs(got)), right):
        return "That is the density. Take its logarithm, before it underflows."
    if np.allclose(got - right, 0.5 * (np.log(s)), atol=1e-8) or np.allclose(
        got - right, 0.5 * (np.log(s) + np.log(2 * np.pi))
    ):
        return "Only the distance is weighed: what does a wide density lose?"
    return "N(0; Δμ, s) has variance s, not standard deviation s. What is its logarithm?"


def black_patch(answer: object) -> str:
    """Black patches (0), trained on whole films only: does Σσ² rise or fall as more is hidden?"""
    if str(answer).strip().lower() == "rises":
        return ""
    if str(answer).strip().lower() == "falls":
        return "That was the white patch. White shouts. What is left of the first layer where the input is 0?"
    return "One word: rises or falls."


EXERCISES: dict[str, Judge] = {
    "00.1": best_report_variance,
    "00.2": log_density_of_meeting,
    "00.3": black_patch,
}
