"""Ten pairs in the plane: contrast pushes strangers apart, the bottleneck pulls all to the middle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import expected_likelihood
from medprobclip.targets import Targets, softmax_loss, symmetric
from medprobclip.workbench import style
from medprobclip.workbench.lessons.overlap import cloud

PAIRS, STEPS = 10, 200


@dataclass(frozen=True)
class Training:
    """Every step of a training, the untrained state first: T + 1 of each.

    `mean`, `sigma` `[T + 1, 2, PAIRS, 2]`: films and reports, pairs, coordinates. `contrast` and `kl`
    `[T + 1]`, in nats, unweighted.
    """

    mean: np.ndarray
    sigma: np.ndarray
    contrast: np.ndarray
    kl: np.ndarray


@lru_cache
def train_plane(kl_weight: float, steps: int = STEPS, seed: int = 0) -> Training:
    """Ten films and ten reports as free Gaussians of the plane, trained to find each other.

    The loss is S(X, Y) + β (KL_X + KL_Y) with the expected likelihood, a = 1, and Adam at 0.05.
    """
    generator = torch.Generator().manual_seed(seed)
    mean = (0.7 * torch.randn(2, PAIRS, 2, generator=generator)).requires_grad_(True)
    log_var = torch.full_like(mean, -1.0).detach().requires_grad_(True)
    optimizer = torch.optim.Adam([mean, log_var], lr=0.05)
    targets, states = Targets.diagonal(PAIRS), []
    for _ in range(steps + 1):
        films, reports = (Gaussian(m, v) for m, v in zip(mean, log_var, strict=True))
        contrast = symmetric(softmax_loss, expected_likelihood(films, reports), targets)
        kl = films.kl_to_standard_normal().mean() + reports.kl_to_standard_normal().mean()
        sigma = (0.5 * log_var.detach()).exp()
        states.append((mean.detach().clone().numpy(), sigma.numpy(), contrast.item(), kl.item()))
        optimizer.zero_grad()
        (contrast + kl_weight * kl).backward()
        optimizer.step()
    return Training(*(np.array(part) for part in zip(*states, strict=True)))


def plane(bottleneck: float, step: int) -> Figure:
    """Left: the pairs after so many steps, as ellipses of one σ. Right: both terms up to there."""
    style.use_style()
    training = train_plane(bottleneck)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.1), width_ratios=(1.1, 1))
    for kind, colour, label in ((0, style.IMAGE, "films"), (1, style.REPORT, "their reports")):
        for i in range(PAIRS):
            cloud(
                left,
                training.mean[step, kind, i],
                training.sigma[step, kind, i],
                colour,
                None if i else label,
            )
    for film, report in zip(*training.mean[step], strict=True):
        left.plot(*np.stack([film, report], 1), color=style.QUIET, lw=1, zorder=0)
    left.set(xlim=(-4.6, 4.6), ylim=(-3.9, 4.9), aspect="equal", xticks=[], yticks=[])
    left.set_title(f"β = {bottleneck:g}, step {step}")
    left.legend(loc="upper left", fontsize=8, ncols=2, handletextpad=0.1)
    steps = np.arange(len(training.kl))
    for values, colour, label in (
        (training.contrast, style.INK, "contrast"),
        (training.kl, style.VIOLET, "KL to N(0, I)"),
    ):
        right.plot(steps, values, color=colour, lw=1, alpha=0.3)
        right.plot(steps[: step + 1], values[: step + 1], color=colour, lw=2.5, label=label)
    right.axhline(np.log(PAIRS), **style.CHANCE)
    known = {"ha": "right", "va": "top", "fontsize": 8, "color": style.QUIET}
    right.text(STEPS, 0.85 * np.log(PAIRS), "log 10: knows nothing", **known)
    right.set(yscale="log", ylim=(0.001, 200), xlabel="step", title="nats, unweighted")
    right.legend(loc="upper center", fontsize=7.5, ncols=2, columnspacing=1, handlelength=1.4)
    right.minorticks_off()
    figure.subplots_adjust(0.02, 0.17, 0.98, 0.9, wspace=0.2)
    return figure
