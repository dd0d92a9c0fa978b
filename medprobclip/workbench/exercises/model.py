"""Notebook 02."""

from __future__ import annotations

import math

import numpy as np
import torch

from medprobclip.gaussian import Gaussian

TURN = 6 * math.log(1.5)  # Δ² at which s = 2 and s = 3 give the same score
FILMS = ((0.3, 0.0), (0.2, 0.0)), ((1.0, 0.0), (-0.5, 0.0))  # of exercise 2: mean and log variance
REPORTS = ((0.0, 0.0), (0.0, -1.0)), ((0.0, 0.0), (0.5, -0.5))
CASES = [[Gaussian(*torch.tensor(one)[:, None]) for one in pair] for pair in zip(FILMS, REPORTS, strict=True)]
NEAR, ROUGH = 0.05, 0.4  # nats: right, and right but for too few draws


def where_widening_pays(answer: object) -> str:
    """σx² = σy² = 1; from which Δ² on does doubling σy² raise −½ (Δ²/s + log s)?"""
    value = float(answer)
    if math.isclose(value, TURN, abs_tol=0.02):
        return ""
    hints = {
        math.sqrt(TURN): "That is Δ. The question is for its square.",
        4 * math.log(2): "Only the report's variance doubles. From which s to which?",
        2: "At Δ² = s = 2 the score is *flat* in s. Where is it the same for both values of s?",
        3: "That is where s = 3 is best of all. Where is it only better than s = 2?",
        1: "Both variances count: s is their sum.",
    }
    for number, hint in hints.items():
        if math.isclose(value, number, abs_tol=0.02):
            return hint
    return "Write the score for s before and for s after, set them equal, and solve for Δ²."


def estimate_by_draws(answer: object) -> str:
    """A function (a, b) of Gaussians `[1, 2]` -> log ∫ N(z; a) N(z; b) dz, estimated from draws, in nats."""
    if not callable(answer):
        return "Give the function itself, without calling it."
    got = np.array([float(answer(a, b)) for a, b in CASES])
    right = np.array([_log_overlap(a, b) for a, b in CASES])
    off = got - right
    if np.abs(off).max() < NEAR:
        return ""
    if np.allclose(off, math.log(2 * math.pi), atol=NEAR):
        return "Too high by log 2π, as the published score is, which leaves a constant out. Keep it."
    if np.allclose(got, -right, atol=NEAR):
        return "The sign is turned: this is the distance, not the log density."
    if np.allclose(got, np.exp(right), atol=NEAR):
        return "That is the density. Take its logarithm."
    if np.allclose(got, [_mean_log(a, b) for a, b in CASES], atol=2 * NEAR):
        return "The mean of a logarithm is not the logarithm of the mean: average the densities first."
    if np.allclose(got, [_var_for_sigma(a, b) for a, b in CASES], atol=NEAR / 2):
        return "`Normal` takes a standard deviation. What is `b.var`?"
    if np.abs(off).max() < ROUGH:
        return f"Near, but off by {np.abs(off).max():.2f}: more draws?"
    return "Draw z from a, average the density of b at them (a product over dimensions), take the log."


def _log_overlap(a: Gaussian, b: Gaussian) -> float:
    difference = torch.distributions.Normal(a.mean - b.mean, (a.var + b.var).sqrt())
    return difference.log_prob(torch.zeros(1, 2)).sum().item()


def _mean_log(a: Gaussian, b: Gaussian) -> float:
    """The mean of log N(z; b) over draws z of a, in closed form."""
    gap = (a.mean - b.mean).square() + a.var
    return (-0.5 * (gap / b.var + b.log_var + math.log(2 * math.pi))).sum().item()


def _var_for_sigma(a: Gaussian, b: Gaussian) -> float:
    """log ∫ N(z; a) N(z; b) dz if the variance of b is taken for its standard deviation."""
    return _log_overlap(a, Gaussian(b.mean, 2 * b.log_var))


def targets_of_three(answer: object) -> str:
    """Reports 1 and 2 are worded alike, 3 is not: the targets `[3, 3]`, each row scaled to sum to one."""
    got = np.asarray(answer, dtype=float)
    right = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    if got.shape != (3, 3):
        return f"Three radiographs, three reports: a table of shape (3, 3), not {got.shape}."
    if np.allclose(got, right):
        return ""
    if np.allclose(got, np.eye(3)):
        return "That is the diagonal, as published. What of radiograph 1 and report 2?"
    if np.allclose(got, right > 0):
        return "Those are the weights. A cross-entropy needs shares: what must a row sum to?"
    if not np.allclose(got.sum(1), 1):
        return "A row does not sum to one."
    return "Who answers for radiograph 1, who for 2, who for 3? Right answers of a row share it equally."


EXERCISES = {
    "02.1": where_widening_pays,
    "02.2": estimate_by_draws,
    "02.3": targets_of_three,
}
