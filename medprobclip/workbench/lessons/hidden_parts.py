"""What a variance learns from hidden parts, and when: forty lines of training.

A film has twelve parts that are −1 or 1, and its report names them all. To occlude a part is to paint it
over with one value, as a white patch would.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import ScaledSimilarity
from medprobclip.targets import Targets, softmax_loss, symmetric
from medprobclip.workbench import style

PARTS, BATCH, STEPS, WHITE = 12, 64, 300, 2.0
PATIENTS = 1000  # of the examination


class Toy(nn.Module):
    """Two encoders with Gaussian heads: films `[N, 12]` and reports `[N, 12]` -> Gaussians `[N, 12]`."""

    def __init__(self) -> None:
        super().__init__()
        self.film = nn.Sequential(nn.Linear(PARTS, 64), nn.ReLU(), nn.Linear(64, 2 * PARTS))
        self.report = nn.Linear(PARTS, 2 * PARTS)
        self.similarity = ScaledSimilarity()

    def forward(self, films: Tensor, reports: Tensor) -> tuple[Gaussian, Gaussian]:
        return Gaussian(*self.film(films).chunk(2, 1)), Gaussian(*self.report(reports).chunk(2, 1))


def patients(n: int, generator: torch.Generator) -> Tensor:
    """Parts of n patients, −1 or 1: `[n, 12]`."""
    return 2.0 * torch.randint(0, 2, (n, PARTS), generator=generator) - 1


def occlude(films: Tensor, hidden: Tensor, paint: float, generator: torch.Generator) -> Tensor:
    """Paint over as many random parts of each film `[N, 12]` as `hidden` `[N, 1]` says."""
    order = torch.rand(films.shape, generator=generator).argsort(1)
    return films.masked_fill(order < hidden, paint)


def train_toy(with_occluded: bool, paint: float = WHITE, seed: int = 0) -> Toy:
    """Train on whole films only, or on films of which 0 to 11 parts are hidden."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        toy = Toy()
    optimizer = torch.optim.Adam(toy.parameters(), lr=0.01)
    for _ in range(STEPS):
        whole = patients(BATCH, generator)
        hidden = torch.randint(0, PARTS if with_occluded else 1, (BATCH, 1), generator=generator)
        films, reports = toy(occlude(whole, hidden, paint, generator), whole)
        contrast = symmetric(softmax_loss, toy.similarity(films, reports), Targets.diagonal(BATCH))
        bottleneck = sum(g.kl_to_standard_normal().mean() for g in (films, reports))
        loss = contrast + 1e-3 * bottleneck
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return toy


@torch.no_grad()
def examine(toy: Toy, paint: float = WHITE, seed: int = 1) -> pd.DataFrame:
    """New patients by number of hidden parts: rows `hidden, variance, surprise`.

    `variance` is the mean total variance of the films, Σσ². `surprise` is the mean of Δ² / s over patients
    and dimensions: about 1 where films and reports lie as far apart as their variances say, more where the
    pair is surer than it should be.
    """
    generator = torch.Generator().manual_seed(seed)
    whole, rows = patients(PATIENTS, generator), []
    for hidden in range(PARTS):
        films, reports = toy(occlude(whole, torch.full((PATIENTS, 1), hidden), paint, generator), whole)
        surprise = (films.mean - reports.mean).square() / (films.var + reports.var)
        rows.append((hidden, films.total_variance().mean().item(), surprise.mean().item()))
    return pd.DataFrame(rows, columns=["hidden", "variance", "surprise"])


def occlusion_table(seeds: int = 3, paint: float = WHITE) -> pd.DataFrame:
    """`examine` of toys trained without and with occluded films: columns `trained_with, seed` and its own."""
    parts = [
        examine(train_toy(with_occluded, paint, seed), paint).assign(trained_with=with_occluded, seed=seed)
        for with_occluded in (False, True)
        for seed in range(seeds)
    ]
    return pd.concat(parts, ignore_index=True)


def occlusion(table: pd.DataFrame) -> Figure:
    """Total variance and surprise by hidden parts, a line a seed; rows of `occlusion_table`."""
    style.use_style()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    looks = {
        False: (style.REPORT, "trained on whole films only"),
        True: (style.ACCENT, "on occluded ones, too"),
    }
    for ax, column, title in zip(
        axes, ("variance", "surprise"), ("How unsure it says it is", "How wrong it is for that"), strict=True
    ):
        for (with_occluded, seed), rows in table.groupby(["trained_with", "seed"]):
            colour, label = looks[with_occluded]
            ax.plot(rows["hidden"], rows[column], color=colour, lw=2, label=None if seed else label)
        ax.set(xlabel=f"hidden parts of {PARTS}", title=title)
        ax.grid(axis="y")
    axes[0].set(ylabel="total variance of the film, Σσ²", ylim=(0, None))
    axes[1].set(ylabel="mean of Δ² / s", yscale="log")
    axes[1].axhline(1, **style.CHANCE)
    axes[1].set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes[0].legend(loc="upper left", fontsize=9)
    return figure


def said_of_occlusion(table: pd.DataFrame) -> str:
    """What the table shows, in one sentence: mean over seeds of the variance, whole and mostly hidden."""
    ends = table[table["hidden"].isin([0, PARTS - 1])]
    means = ends.groupby(["trained_with", "hidden"])["variance"].mean().unstack()
    wrong = ends.groupby(["trained_with", "hidden"])["surprise"].mean().unstack()[PARTS - 1]
    first, last = means[0], means[PARTS - 1]
    words = {
        key: f"{'rises' if last[key] > first[key] else 'falls'} from {first[key]:.1f} to {last[key]:.1f}"
        for key in (False, True)
    }
    return (
        f"With {PARTS - 1} of {PARTS} parts hidden, Σσ² {words[False]} if training saw whole films only "
        f"(Δ²/s {wrong[False]:.1f}), and {words[True]} if it saw occluded ones, too (Δ²/s {wrong[True]:.1f})."
    )
