"""The ways of `benchmarks/variance.py`: training films in, a function of films to log variances out.

Read by that script alone; it says what they are for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import expected_likelihood
from medprobclip.strangeness import FeatureDensity

STEPS, BATCH, RATE = 600, 128, 1e-3  # of every head


@dataclass(frozen=True)
class Films:
    """What the frozen encoder says of N radiographs: pooled and inner features, and its own Gaussian."""

    features: Tensor
    inner: Tensor
    own: Gaussian

    def __getitem__(self, rows) -> Films:
        return Films(self.features[rows], self.inner[rows], self.own[rows])


@dataclass(frozen=True, eq=False)
class Split:
    """One table: clean films, a dictionary of degraded copies, reports, and which pairs match."""

    clean: Films
    worse: dict
    reports: Gaussian
    matches: np.ndarray


Variance = Callable[[Films], Tensor]  # films -> log_var [N, D]
Way = Callable[[Split, tuple[str, ...], bool], Variance]  # films, families to learn from, inner too?


def stacked(parts: list[Films]) -> Films:
    return Films(
        torch.cat([part.features for part in parts]),
        torch.cat([part.inner for part in parts]),
        Gaussian.cat([part.own for part in parts]),
    )


def reader(train: Split, inner: bool, outputs: int) -> tuple[nn.Module, Variance]:
    """A fresh head, giving 0, and what it says of films: `[N, outputs]`."""

    def seen(films: Films) -> Tensor:
        return torch.cat([films.features, films.inner], 1) if inner else films.features

    torch.manual_seed(1)
    width = seen(train.clean).shape[1]
    net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 128), nn.GELU(), nn.Linear(128, outputs))
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    return net, lambda films: net(seen(films))


def learn(net: nn.Module, loss: Callable[[Tensor], Tensor], n: int) -> None:
    """AdamW on batches of row numbers."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(torch.randint(n, (BATCH,))).backward()
        optimizer.step()
        schedule.step()


def pick(split: Split, rows: Tensor, families: tuple[str, ...]) -> Films:
    """A degraded copy of each row, family and copy at random."""
    keys = [key for key in split.worse if key[0] in families]
    chosen = torch.randint(len(keys), (len(rows),)).tolist()
    return stacked(
        [split.worse[keys[k]][row : row + 1] for k, row in zip(chosen, rows.tolist(), strict=True)]
    )


def as_trained(train: Split, families: tuple[str, ...], inner: bool) -> Variance:
    return lambda films: films.own.log_var


def corrected(train: Split, inner: bool) -> tuple[nn.Module, Variance]:
    """A head, and the run's own log variances with what it reads off the features added."""
    net, read = reader(train, inner, train.clean.own.dim)
    return net, lambda films: (films.own.log_var + read(films)).clamp(-6, 6)


def mutual_likelihood(train: Split, families: tuple[str, ...], inner: bool) -> Variance:
    """A variance head alone, fitted to how far each mean is from its own report's (Shi 2019, PFE)."""
    net, log_var = corrected(train, inner)

    def loss(rows: Tensor) -> Tensor:
        half = len(rows) // 2
        worse = pick(train, rows[:half], families)
        clean = train.clean[rows[half:]]
        total = 0.0
        for films, which in ((worse, rows[:half]), (clean, rows[half:])):
            report = train.reports[which]
            spread = log_var(films).exp() + report.var
            total = total + ((films.own.mean - report.mean).square() / spread + spread.log()).sum(1).mean()
        return total / 2

    learn(net, loss, len(train.reports))
    return log_var


def contrast(train: Split, families: tuple[str, ...], inner: bool) -> Variance:
    """The same head by the training's own softmax over the batch, degraded copies included."""
    net, log_var = corrected(train, inner)

    def loss(rows: Tensor) -> Tensor:
        half = len(rows) // 2
        worse, clean = pick(train, rows[:half], families), train.clean[rows[half:]]
        mean = torch.cat([worse.own.mean, clean.own.mean])
        logits = scores(Gaussian(mean, torch.cat([log_var(worse), log_var(clean)])), train.reports[rows])
        targets = torch.from_numpy(train.matches[rows][:, rows]).float()
        return F.cross_entropy(logits, targets / targets.sum(1, keepdim=True))

    learn(net, loss, len(train.reports))
    return log_var


@cache
def predicted_loss(train: Split, families: tuple[str, ...], inner: bool) -> Variance:
    """films -> `[N, 1]`: the loss of a film's retrieval, as its features let expect it, less the typical one
    (Yoo & Kweon 2019)."""
    net, read = reader(train, inner, 1)
    with torch.no_grad():
        missed = {
            key: -torch.logsumexp(
                scores(f.own, train.reports)
                .log_softmax(1)
                .masked_fill(~torch.from_numpy(train.matches), -torch.inf),
                1,
            )
            for key, f in {**train.worse, "clean": train.clean}.items()
        }
    keys = [key for key in train.worse if key[0] in families]

    def loss(rows: Tensor) -> Tensor:
        half, key = len(rows) // 2, keys[int(torch.randint(len(keys), ()))]
        worse = F.smooth_l1_loss(read(train.worse[key][rows[:half]])[:, 0], missed[key][rows[:half]])
        clean = F.smooth_l1_loss(read(train.clean[rows[half:]])[:, 0], missed["clean"][rows[half:]])
        return worse + clean

    learn(net, loss, len(train.reports))
    with torch.no_grad():
        typical = read(train.clean).mean()
    return lambda films: read(films) - typical


def loss_prediction(slope: float = 0.5) -> Way:
    """One number a film, added to every log σ²: its predicted loss times the slope."""

    def make(train: Split, families: tuple[str, ...], inner: bool) -> Variance:
        loss = predicted_loss(train, families, inner)
        return lambda films: (films.own.log_var + slope * loss(films)).clamp(-6, 6)

    return make


def margin(train: Split, families: tuple[str, ...], inner: bool) -> Variance:
    """One number a film, added to every log σ²: at least 1 more for the copy, the clean film's near 0."""
    net, read = reader(train, inner, 1)

    def loss(rows: Tensor) -> Tensor:
        worse, clean = pick(train, rows, families), train.clean[rows]
        before = (worse.own.log_var - clean.own.log_var).mean(1)
        more = before + (read(worse) - read(clean))[:, 0]
        return F.relu(1 - more).mean() + read(clean).square().mean()

    learn(net, loss, len(train.reports))
    return lambda films: (films.own.log_var + read(films)).clamp(-6, 6)


def excess(train: Split, inner: bool, quantile: float) -> Variance:
    """films -> `[N, 1]`: log of how much stranger than this quantile of the training films, 0 below it."""
    density = FeatureDensity.fit([train.clean.inner if inner else train.clean.features])
    limit = density.strangeness(train.clean.inner if inner else train.clean.features).quantile(quantile)

    def over(films: Films) -> Tensor:
        strange = density.strangeness(films.inner if inner else films.features)
        return (strange / limit).clamp(min=1).log()[:, None]

    return over


def distance_aware(slope: float = 2.0, quantile: float = 0.99) -> Way:
    """No learning: every log σ² grows with how much stranger a film is than most training films."""

    def make(train: Split, families: tuple[str, ...], inner: bool) -> Variance:
        over = excess(train, inner, quantile)
        return lambda films: (films.own.log_var + slope * over(films)).clamp(-6, 6)

    return make


def both(loss_slope: float, slope: float, quantile: float) -> Way:
    """Predicted loss and strangeness together. The loss is read off the pooled features."""

    def make(train: Split, families: tuple[str, ...], inner: bool) -> Variance:
        loss, over = predicted_loss(train, families, False), excess(train, inner, quantile)
        return lambda films: (films.own.log_var + loss_slope * loss(films) + slope * over(films)).clamp(-6, 6)

    return make


def scores(images: Gaussian, reports: Gaussian) -> Tensor:
    """Expected likelihood without its constant: `[N, M]`."""
    return expected_likelihood(images, reports)


WAYS: dict[str, Way] = {
    "as trained": as_trained,
    "mutual likelihood": mutual_likelihood,
    "contrast": contrast,
    "loss prediction": loss_prediction(),
    "margin": margin,
    "distance-aware": distance_aware(),
    # The learned variance itself varies little from film to film, so a little is enough to be seen above it.
    "loss prediction, gentle": loss_prediction(0.04),
    "distance-aware, gentle": distance_aware(0.2, 0.75),
    "distance-aware, gentle, from the median": distance_aware(0.2, 0.5),
    "both, gentle": both(0.04, 0.2, 0.75),
    "both, gentle, from the median": both(0.04, 0.2, 0.5),
}
