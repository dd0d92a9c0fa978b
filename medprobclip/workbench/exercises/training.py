"""Notebook 03."""

from __future__ import annotations

import math

import numpy as np

BATCH = 64


def least_with_a_duplicate(answer: object) -> str:
    """A row whose report stands twice in a batch of 64: the smallest cross-entropy it can reach, in nats."""
    value = float(answer)
    if math.isclose(value, math.log(2), abs_tol=0.005):
        return ""
    if math.isclose(value, 0, abs_tol=0.005):
        return "For that, one place would need all the probability. What does the target say?"
    if math.isclose(value, math.log(BATCH), abs_tol=0.02):
        return "That is the price of indifference. What does the best row of probabilities pay?"
    if math.isclose(value, 1, abs_tol=0.005):
        return "That is in bits. The loss takes the natural logarithm."
    if math.isclose(value, 0.5, abs_tol=0.005):
        return "That is the probability of each of the two. What does it cost?"
    return "The target is ½ on two places. Which probabilities suit it best, and what is −Σ w log p then?"


def warm_up_and_cosine(answer: object) -> str:
    """A function (step, total, warmup) -> share of the highest rate; `warmup` counts steps."""
    if not callable(answer):
        return "Give the function itself, without calling it."
    cases = [(step, total, warm) for total, warm in ((80, 8), (80, 0), (50, 20)) for step in range(total + 1)]
    right = [_rate(*case) for case in cases]
    got = np.array([float(answer(*case)) for case in cases])
    if np.allclose(got, right, atol=1e-6):
        return ""
    rising = np.array([step < warm for step, _, warm in cases])
    if np.allclose(got[~rising], np.array(right)[~rising], atol=1e-6):
        return "The fall is right. How does the rate rise in the first `warmup` steps, and from what?"
    if not np.allclose(got[[step == total for step, total, _ in cases]], 0, atol=1e-6):
        return "At the last step the rate should have reached 0."
    if np.allclose(got[rising], np.array(right)[rising], atol=1e-6):
        return "The rise is right. Half a cosine is left for the steps *after* it: from 1 to 0, 0.5 half way."
    return "First step / warmup; then ½ (1 + cos πt), where t runs from 0 to 1 over the remaining steps."


def _rate(step: int, total: int, warmup: int) -> float:
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def parts_of_kl(answer: object) -> str:
    """A function (mean, log_var), `[N, D]` each -> the KL's share of mean and of variance, `[N]`."""
    if not callable(answer):
        return "Give the function itself, without calling it."
    generator = np.random.default_rng(0)
    mean, log_var = generator.normal(0, 1, (2, 7, 5))
    got = answer(mean, log_var)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        return "Two arrays are asked for: what the mean pays, and what the variance pays."
    of_mean, of_variance = (np.asarray(part, dtype=float) for part in got)
    if of_mean.shape != (7,) or of_variance.shape != (7,):
        return "Sum over the dimensions, not over the studies: [N, D] goes in, [N] comes out."
    squares = 0.5 * (mean**2).sum(1)
    spreads = 0.5 * (np.exp(log_var) - log_var - 1).sum(1)
    if np.allclose(of_mean, squares) and np.allclose(of_variance, spreads):
        return ""
    if np.allclose(of_mean, spreads) and np.allclose(of_variance, squares):
        return "The two are the wrong way round: the mean comes first."
    if np.allclose(of_mean, 2 * squares) or np.allclose(of_variance, 2 * spreads):
        return "Twice too much: where is the ½?"
    if not np.allclose(of_mean, squares):
        return "The mean pays for its distance from 0 alone: how does the square of it enter?"
    if np.allclose(of_variance, spreads + 2.5):
        return "A variance of 1 in every dimension should cost nothing. What is missing?"
    return "The variance pays ½ Σ (σ² − log σ² − 1). Is log_var already the logarithm?"


EXERCISES = {
    "03.1": least_with_a_duplicate,
    "03.2": warm_up_and_cosine,
    "03.3": parts_of_kl,
}
