"""Notebook 00."""

from __future__ import annotations

import math

import numpy as np


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
    if _but_for_a_constant(got, right):
        return f"Off by {(got - right)[0]:+.3f} everywhere: a constant is missing or wrong, which one?"
    if _but_for_a_constant(got, 2 * right):
        return "The weighed distance and log s count twice: where is the ½?"
    if _but_for_a_constant(got, -right):
        return "The sign is turned: this is the distance, not the log density."
    if np.allclose(np.log(np.abs(got)), right):
        return "That is the density. Take its logarithm, before it underflows."
    if np.allclose(got - right, 0.5 * (np.log(s)), atol=1e-8) or np.allclose(
        got - right, 0.5 * (np.log(s) + np.log(2 * np.pi))
    ):
        return "Only the distance is weighed: what does a wide density lose?"
    if _but_for_a_constant(got, -0.5 * (gap / s) ** 2 - np.log(s)):
        return "N(0; Δμ, s) has variance s, not standard deviation s."
    return "Write down the density of a Gaussian with mean Δμ and variance s, at 0. What is its logarithm?"


def _but_for_a_constant(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.ptp(one - other) < 1e-6)


def black_patch(answer: object) -> str:
    """Black patches (0), trained on whole films only: does Σσ² rise or fall as more is hidden?"""
    if str(answer).strip().lower() == "rises":
        return ""
    if str(answer).strip().lower() == "falls":
        return "That was the white patch. White shouts. What is left of the first layer where the input is 0?"
    return "One word: rises or falls."


EXERCISES = {
    "00.1": best_report_variance,
    "00.2": log_density_of_meeting,
    "00.3": black_patch,
}
