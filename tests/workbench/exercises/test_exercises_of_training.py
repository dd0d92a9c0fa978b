"""What is said of answers to the exercises of notebook 03."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence
from transformers import get_cosine_schedule_with_warmup

from medprobclip.workbench.checks import RIGHT, check


def said(capsys, exercise, answer) -> str:
    check(exercise, answer)
    return capsys.readouterr().out.strip()


def rate(step, total, warmup):
    """As the library that trains has it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    return get_cosine_schedule_with_warmup(optimizer, warmup, total).lr_lambdas[0](step)


def by_torch(mean, log_var):
    """KL of each part by PyTorch: the mean's with variance 1, the variance's with mean 0."""
    mean, spread = torch.tensor(mean), torch.tensor(log_var).mul(0.5).exp()
    unit, zero = Normal(0.0, 1.0), torch.zeros_like(mean)
    of_mean = kl_divergence(Normal(mean, torch.ones_like(spread)), unit).sum(1)
    return of_mean.numpy(), kl_divergence(Normal(zero, spread), unit).sum(1).numpy()


def doubled(mean, log_var):
    of_mean, of_variance = by_torch(mean, log_var)
    return 2 * of_mean, of_variance


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("03.1", math.log(2), RIGHT),
        ("03.1", 0.69, RIGHT),
        ("03.1", 0, "all the probability"),
        ("03.1", math.log(64), "indifference"),
        ("03.1", 1, "bits"),
        ("03.1", 0.5, "cost"),
        ("03.1", 3, "½ on two places"),
        ("03.1", "none", "cannot be used"),
        ("03.2", rate, RIGHT),
        ("03.2", lambda s, t, w: rate(s, t, w) if s >= w else 1.0, "The fall is right"),
        ("03.2", lambda s, t, w: min(1.0, s / w) if w else 1.0, "reached 0"),
        ("03.2", lambda s, t, w: s / w if s < w else 1 - (s - w) / (t - w), "Half a cosine"),
        ("03.2", lambda s, t, w: 0.5 * (1 + math.cos(math.pi * s / t)), "First step / warmup"),
        ("03.2", 0.5, "without calling it"),
        ("03.2", lambda s: s, "cannot be used"),
        ("03.3", by_torch, RIGHT),
        ("03.3", lambda m, v: by_torch(m, v)[::-1], "wrong way round"),
        ("03.3", doubled, "Twice"),
        ("03.3", lambda m, v: (np.abs(m).sum(1), by_torch(m, v)[1]), "square"),
        ("03.3", lambda m, v: (by_torch(m, v)[0], 0.5 * (np.exp(v) - v).sum(1)), "cost nothing"),
        ("03.3", lambda m, v: (by_torch(m, v)[0], 0.5 * (v - np.log(np.abs(v)) - 1).sum(1)), "already"),
        ("03.3", lambda m, v: (m, v), "[N] comes out"),
        ("03.3", lambda m, v: by_torch(m, v)[0], "Two arrays"),
        ("03.3", 3, "without calling it"),
    ],
)
def test_what_is_said_of_an_answer(capsys, exercise, answer, hint):
    told = said(capsys, exercise, answer)
    assert hint in told
    assert (told == RIGHT) == (hint == RIGHT)
