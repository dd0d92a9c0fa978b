"""Nine scores of one pair as it moves apart and spreads, and where the variance of a pair is pulled to."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from medprobclip.similarity import SCORES, expected_likelihood
from medprobclip.workbench import style
from medprobclip.workbench.lessons.overlap import gaussian

SIGMA_X = 0.5  # of x, in both dimensions, and of y in the first
APART = 2.0  # both means stand at 2 along the first dimension, so that there is an angle for the cosine
DISTANCES, SIGMAS = np.linspace(0, 4, 81), SIGMA_X * 1.02 ** np.arange(-81, 126)  # 0.1 to 5.9
RATE, LONGEST, STEPS = 0.5, 0.2, 80  # of the ascent in log σ²

TITLES = {
    "expected_likelihood": "expected likelihood",
    "csd": "CSD",
    "wasserstein": "2-Wasserstein²",
    "bhattacharyya": "Bhattacharyya",
    "hellinger": "Hellinger²",
    "kl": "KL(x ‖ y)",
    "reverse_kl": "KL(y ‖ x)",
    "symmetric_kl": "KL, both ways",
    "cosine": "cosine",
}


def score_sweep(distances: np.ndarray, sigmas: np.ndarray) -> dict[str, np.ndarray]:
    """Each of the nine scores of x with y, at every distance `[n]` and σ of y `[m]`: name -> `[m, n]`.

    x = N((2, 0), ½² I), y = N((2, Δ), diag(½², σ²)): they differ in the second dimension only.
    """
    sigma, distance = (v.ravel() for v in np.meshgrid(sigmas, distances, indexing="ij"))
    x = gaussian([APART, 0.0], [SIGMA_X, SIGMA_X])
    y = gaussian(
        np.stack([np.full_like(distance, APART), distance], 1),
        np.stack([np.full_like(sigma, SIGMA_X), sigma], 1),
    )
    shape = len(sigmas), len(distances)
    return {name: score(x, y)[0].numpy().reshape(shape) for name, score in SCORES.items()}


def best_sigma(scores: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """σ `[m]` at which each column of `[m, n]` is largest: `[n]`; NaN where the column is one value."""
    flat = np.ptp(scores, axis=0) < 1e-9 * np.maximum(1, np.abs(scores).max(axis=0))
    return np.where(flat, np.nan, sigmas[scores.argmax(axis=0)])


def nine_scores() -> Figure:
    """A panel a score: distance of the means across, σ of y upwards, bright where it calls them close."""
    style.use_style()
    figure, axes = plt.subplots(3, 3, figsize=(9.2, 8.2), sharex=True, sharey=True, layout="constrained")
    for ax, (name, scores) in zip(axes.flat, score_sweep(DISTANCES, SIGMAS).items(), strict=True):
        low = np.quantile(scores, 0.15)
        ax.contourf(DISTANCES, SIGMAS, scores.clip(low), 24, cmap="mako")
        line = best_sigma(scores, SIGMAS)
        ax.plot(DISTANCES, line, color=style.MARK, lw=2.5, label="its favourite σ of y", clip_on=False)
        ax.set(yscale="log", title=TITLES[name], ylim=SIGMAS[[0, -1]])
        ax.set_yticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
        ax.minorticks_off()
    first = axes.flat[0]
    reach = DISTANCES[DISTANCES > SIGMA_X + 0.02]
    first.plot(reach, np.sqrt(reach**2 - SIGMA_X**2), color="white", ls="--", lw=1.2, label="s = Δ²")
    axes[2, 1].set_xlabel("distance of the means Δ")
    axes[1, 0].set_ylabel("σ of y (that of x is 0.5)")
    handles, labels = first.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=2, labelcolor="white")
    legend.get_frame().set(facecolor=style.QUIET, alpha=1)
    legend.set_frame_on(True)
    return figure


def score_curves(distance: float) -> Figure:
    """A panel a score at one distance of the means: the score over σ of y, and where it is largest."""
    style.use_style()
    figure, axes = plt.subplots(3, 3, figsize=(6.6, 5), sharex=True)
    sweep = score_sweep(np.array([distance]), SIGMAS)
    for i, (ax, (name, scores)) in enumerate(zip(axes.flat, sweep.items(), strict=True)):
        line, best = scores[:, 0], best_sigma(scores, SIGMAS)[0]
        ax.plot(np.log10(SIGMAS), line, color=style.ACCENT if i == 0 else style.INK, lw=2)
        where = "no favourite"
        if np.isfinite(best):
            ax.plot(np.log10([best]), [line.max()], "o", color=style.MARK, ms=7, mec=style.INK)
            edge = "smallest" if best == SIGMAS[0] else "largest" if best == SIGMAS[-1] else f"{best:.2g}"
            where = f"best σ: {edge}"
        room = max(np.ptp(line[SIGMAS > 0.25]), 0.1)
        ax.set(ylim=(line.max() - 1.05 * room, line.max() + 0.2 * room))
        ax.set_title(f"{TITLES[name]} · {where}", fontsize=8, fontweight="normal")
        ax.set_xticks(np.log10([0.1, 0.3, 1, 3]), ["0.1", "0.3", "1", "3"])
        ax.tick_params(labelsize=7)
    axes[2, 1].set_xlabel("σ of y", fontsize=9)
    figure.suptitle(f"Nine scores at distance Δ = {distance:g}", x=0.02, ha="left", fontweight="bold")
    figure.subplots_adjust(0.08, 0.1, 0.98, 0.88, wspace=0.25, hspace=0.42)
    return figure


def pull_on_log_var(distance: np.ndarray, s: np.ndarray) -> np.ndarray:
    """∂ score / ∂ log σx² of a pair in one dimension by autograd, with σx² = σy² = s / 2; one shape `[*]`.

    The expected likelihood: ½ (σx² / s)(Δ² / s − 1). Positive where the pair gains by being wider.
    """
    distance, s = np.broadcast_arrays(distance, s)
    sigma = np.sqrt(s.ravel() / 2)[:, None]
    x, y = gaussian(np.zeros_like(sigma), sigma), gaussian(distance.ravel()[:, None], sigma)
    x.log_var.requires_grad_(True)
    scores = torch.cat([expected_likelihood(x[i : i + 1], y[i : i + 1]) for i in range(len(x))])
    (pull,) = torch.autograd.grad(scores.sum(), x.log_var)
    return pull.numpy().reshape(s.shape)


def spread_path(distance: float, start: float, steps: int = STEPS) -> pd.DataFrame:
    """s of a pair that climbs its own score by gradient ascent in both log σ²: rows `step, s`.

    No step is longer than 0.2 in log σ², as with a clipped gradient.
    """
    s = [start]
    for _ in range(steps):
        step = np.clip(RATE * _pull(distance, s[-1]), -LONGEST, LONGEST)
        s.append(float(s[-1] * np.exp(step)))
    return pd.DataFrame({"step": range(steps + 1), "s": s})


def sigma_flow(distance: float, start: float) -> Figure:
    """Left: which way the variance of a matching pair is pulled. Right: s of one pair that follows it."""
    style.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3))
    distances, spreads = np.linspace(0.02, 3, 40), np.geomspace(0.05, 12, 50)
    field = _pull(distances[None], spreads[:, None])
    colours = ListedColormap(plt.get_cmap("RdBu_r")(np.linspace(0.15, 0.85, 64)))
    left.pcolormesh(distances, spreads, field.clip(-1, 1), cmap=colours, vmin=-1, vmax=1, rasterized=True)
    at, of = np.meshgrid(distances[3::6], spreads[4::6])
    way = np.sign(_pull(at, of)) * np.minimum(np.abs(_pull(at, of)), 1) ** 0.5
    left.quiver(at, of, np.zeros_like(way), way, scale=14, width=0.006, color=style.INK)
    left.plot(distances, distances**2, color=style.INK, ls="--", lw=1.5)
    path = spread_path(distance, start)
    left.plot([distance] * len(path), path["s"], color=style.MARK, lw=3)
    left.plot([distance], [start], "o", color=style.MARK, mec=style.INK, ms=8, zorder=5)  # over the words
    left.set(yscale="log", ylim=(0.05, 12), xlim=(0, 3), xlabel="distance Δ", ylabel="s = σx² + σy²")
    left.set_title("Red widens, blue narrows")
    box = {"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.5}
    left.text(1.5, 0.065, "sure and wrong", ha="center", fontsize=9, bbox=box)
    left.text(0.85, 6.3, "vague without need", ha="center", fontsize=9, bbox=box)
    right.plot(path["step"], path["s"], color=style.OCHRE, lw=2.5)
    right.axhline(distance**2, color=style.INK, ls="--", lw=1.5)
    right.set(yscale="log", ylim=(0.05, 12), xlabel="step of gradient ascent")
    ends = f"from s = {start:g} to {path['s'].iloc[-1]:.2f}"
    right.set_title(f"Δ² = {distance**2:.2f}: {ends}")
    for ax in (left, right):
        ax.set_yticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
        ax.minorticks_off()
    figure.subplots_adjust(0.1, 0.17, 0.985, 0.9, wspace=0.24)
    return figure


def _pull(distance: np.ndarray | float, s: np.ndarray | float) -> np.ndarray:
    """`pull_on_log_var` in closed form, for pictures that move."""
    return 0.25 * (np.square(distance) / s - 1)
