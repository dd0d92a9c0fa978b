"""Exercises of notebook 02: what is right, and which hint fits what is not."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from medprobclip.similarity import expected_likelihood
from medprobclip.workbench.checks import RIGHT, check


def said(capsys, exercise, answer) -> str:
    check(exercise, answer)
    return capsys.readouterr().out.strip()


def gain(squared: float) -> float:
    """What the score of one dimension gains when s goes from 2 to 3."""
    return -0.5 * (squared / 3 + np.log(3)) + 0.5 * (squared / 2 + np.log(2))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (brentq(gain, 0, 10), RIGHT),
        (2.43, RIGHT),
        (brentq(gain, 0, 10) ** 0.5, "That is Δ."),
        (4 * np.log(2), "Only the report's"),
        (2, "flat"),
        (3, "best of all"),
        (1, "their sum"),
        (17, "set them equal"),
        ("far", "cannot be used"),
    ],
)
def test_where_widening_pays(capsys, answer, hint):
    assert hint in said(capsys, "02.1", answer)


def densities(a, b, n=100_000, power=0.5):
    z = a.sample(n, torch.Generator().manual_seed(0))
    return torch.distributions.Normal(b.mean, b.var**power).log_prob(z).sum(-1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda a, b: densities(a, b).exp().mean().log(), RIGHT),
        (lambda a, b: densities(b, a).exp().mean().log(), RIGHT),
        (lambda a, b: expected_likelihood(a, b) - np.log(2 * np.pi), RIGHT),
        (lambda a, b: expected_likelihood(a, b), "Too high by log 2π"),
        (lambda a, b: -densities(a, b).exp().mean().log(), "sign"),
        (lambda a, b: densities(a, b).exp().mean(), "That is the density"),
        (lambda a, b: densities(a, b, power=1).exp().mean().log(), "a standard deviation"),
        (lambda a, b: densities(a, b).mean(), "the logarithm of the mean"),
        (lambda a, b: densities(a, b).exp().mean().log() + 0.2, "off by 0.2"),
        (lambda a, b: 5.0, "Draw z"),
        (0.3, "without calling it"),
        (lambda a: a, "cannot be used"),
    ],
)
def test_estimate_by_draws(capsys, answer, hint):
    assert hint in said(capsys, "02.2", answer)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]], RIGHT),
        (torch.tensor([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]), RIGHT),
        (np.eye(3), "the diagonal"),
        ([[1, 1, 0], [1, 1, 0], [0, 0, 1]], "weights"),
        (np.full((3, 3), 0.5), "does not sum to one"),
        (np.full((3, 3), 1 / 3), "who for 3"),
        (np.eye(2), "shape (3, 3)"),
        ("alike", "cannot be used"),
    ],
)
def test_targets_of_three(capsys, answer, hint):
    assert hint in said(capsys, "02.3", answer)
