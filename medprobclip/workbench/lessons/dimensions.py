"""Hubs as dimensions are added: a few items become everybody's neighbour, though nothing was trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure

from medprobclip.evaluation.many_to_many import hubness, k_occurrences
from medprobclip.gaussian import Gaussian
from medprobclip.similarity import expected_likelihood
from medprobclip.workbench import style

ITEMS, K = 500, 10
DIMS, SEEDS = (2, 8, 32, 128, 512), 3
KINDS = {"equal": "all equally sure", "own": "every item as sure as it likes"}


def crowd(dim: int, kind: str, seed: int = 0) -> tuple[Gaussian, Gaussian]:
    """500 queries and 500 items with means from N(0, I): two of `[500, D]`.

    Variances are 1; of kind "own" an item's are e^(0.2 u) with one u from N(0, 1). Raises KeyError for an
    unknown kind.
    """
    KINDS[kind]
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(2, ITEMS, dim, generator=generator)
    log_var = torch.zeros_like(means)
    if kind == "own":
        log_var[1] = 0.2 * torch.randn(ITEMS, 1, generator=generator)
    return Gaussian(means[0], log_var[0]), Gaussian(means[1], log_var[1])


def hubs_by_dimension(dims: Sequence[int] = DIMS, seeds: int = SEEDS) -> pd.DataFrame:
    """Skew of the 10-occurrences under the expected likelihood: rows `kind, dim, skew, most`, means of seeds.

    `most` is how many of the 500 queries have the greatest hub among their first ten.
    """
    rows = []
    for kind in KINDS:
        for dim in dims:
            scores = [expected_likelihood(*crowd(dim, kind, seed)).numpy() for seed in range(seeds)]
            skew = sum(hubness(s, K) for s in scores) / seeds
            rows.append((kind, dim, skew, sum(k_occurrences(s, K).max() for s in scores) / seeds))
    return pd.DataFrame(rows, columns=["kind", "dim", "skew", "most"])


def chance_skew() -> float:
    """Skew of Binomial(500, 10/500): how often an item is found if every query finds ten at random."""
    p = K / ITEMS
    return (1 - 2 * p) / math.sqrt(ITEMS * p * (1 - p))


def crowding(table: pd.DataFrame, few: int = 2, many: int = 512) -> Figure:
    """Left: skew by dimension, rows of `hubs_by_dimension`. Right: who the hubs are, in few and in many."""
    style.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for (kind, label), colour in zip(KINDS.items(), (style.IMAGE, style.REPORT), strict=True):
        rows = table[table["kind"] == kind]
        left.plot(rows["dim"], rows["skew"], "o-", color=colour, lw=2, label=label)
    left.axhline(chance_skew(), **style.CHANCE, label="ten at random")
    left.set(
        xscale="log",
        xlabel="dimensions D",
        ylabel="skew of the 10-occurrences",
        title="Hubs come with dimensions",
    )
    left.set_xticks(table["dim"].unique(), table["dim"].unique())
    left.minorticks_off()
    left.set_ylim(0, 1.45 * table["skew"].max())
    left.legend(loc="upper left", fontsize=9)
    for dim, colour in ((few, style.OCHRE), (many, style.VIOLET)):
        queries, items = crowd(dim, "equal")
        found = k_occurrences(expected_likelihood(queries, items).numpy(), K)
        centred = items.mean.square().sum(1).argsort().argsort().numpy() / (ITEMS - 1)
        right.plot(100 * centred, found, ".", color=colour, ms=5, label=f"D = {dim}")
    right.set(xlabel="items from the centre outwards, %", ylabel="queries that find the item")
    right.set_title("Hubs are those near the centre")
    right.legend(fontsize=9)
    return figure


def said_of_hubs(table: pd.DataFrame) -> str:
    """What the table shows, in one sentence."""
    ends = table.set_index(["kind", "dim"])
    few, many = table["dim"].min(), table["dim"].max()
    first, last = ends.loc[("equal", few)], ends.loc[("equal", many)]
    peak = ends.loc["equal"]["skew"].idxmax()
    change = "grows" if last["skew"] > first["skew"] else "does not grow"
    return (
        f"From {few} to {many} dimensions the skew {change}: {first['skew']:.1f} to {last['skew']:.1f} "
        f"(largest at {peak}); the greatest hub of {many} is found by {last['most']:.0f} of {ITEMS} queries "
        f"in the mean of {SEEDS} draws, where {K} would be fair. With variances of their own the items have "
        f"a skew of {ends.loc[('own', few), 'skew']:.1f} in {few} and {ends.loc[('own', many), 'skew']:.1f} "
        f"in {many} dimensions."
    )


def centre_correlation(dim: int) -> float:
    """Spearman's ρ of an item's distance from the centre and how often it is found, equal variances."""
    queries, items = crowd(dim, "equal")
    found = k_occurrences(expected_likelihood(queries, items).numpy(), K)
    return float(pd.Series(found).corr(pd.Series(items.mean.square().sum(1).numpy()), "spearman"))
