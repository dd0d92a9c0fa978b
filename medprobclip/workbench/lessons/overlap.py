"""Two Gaussians: the picture of their overlap, the closed form and its check by Monte Carlo."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import expected_likelihood
from medprobclip.workbench import style

WIDE = (1.2, 0.4)  # σ of the first Gaussian of `overlap_2d`, along and across


def gaussian(mean: object, sigma: object) -> Gaussian:
    """One or more Gaussians from means and standard deviations `[N, D]` (or `[D]`, one row), float64."""
    mean, sigma = (torch.atleast_2d(torch.as_tensor(v, dtype=torch.float64)) for v in (mean, sigma))
    return Gaussian(mean, 2 * sigma.log().expand_as(mean).clone())


def log_overlap(x: Gaussian, y: Gaussian) -> np.ndarray:
    """log ∫ N(z; x) N(z; y) dz with its constant, in nats: `[N, D], [M, D] -> [N, M]`."""
    return (expected_likelihood(x, y) - x.dim / 2 * math.log(2 * math.pi)).numpy()


def idea_table() -> pd.DataFrame:
    """A film and three reports in the plane, made up so that points and Gaussians disagree.

    Rows `name, mean_1, mean_2, sigma_1, sigma_2, distance, score`, the film first: distance of its mean from
    the report's, and `log_overlap`; NaN for the film itself.
    """
    rows = [
        ("film", 0.0, 0.0, 1.2, 0.35),
        ("“Nodule in the left base.”", 0.3, 1.5, 0.35, 0.3),
        ("“No acute disease.”", 2.4, -0.6, 1.3, 0.9),
        ("“Heart slightly enlarged.”", -2.9, 0.5, 0.4, 0.3),
    ]
    table = pd.DataFrame(rows, columns=["name", "mean_1", "mean_2", "sigma_1", "sigma_2"])
    places = (table[[f"{part}_1", f"{part}_2"]].to_numpy(copy=True) for part in ("mean", "sigma"))
    all_of_them = gaussian(*places)
    distance = (all_of_them.mean - all_of_them.mean[0]).norm(dim=1).numpy()
    table = table.assign(distance=distance, score=log_overlap(all_of_them[:1], all_of_them)[0])
    table.loc[0, ["distance", "score"]] = math.nan
    return table


def density(z: np.ndarray, mean: float, sigma: float) -> np.ndarray:
    """Density of N(mean, σ²) at z, any shape."""
    return np.exp(-0.5 * ((z - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


def overlap_1d(distance: float, sigma_x: float, sigma_y: float) -> Figure:
    """Left: N(0, σx²), N(distance, σy²) and their product. Right: the density of z_x − z_y, read off at 0."""
    style.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.8))
    z = np.linspace(-4, 8, 601)
    of_x, of_y = density(z, 0, sigma_x), density(z, distance, sigma_y)
    left.plot(z, of_x, color=style.IMAGE, lw=2, label="film x")
    left.plot(z, of_y, color=style.REPORT, lw=2, label="report y")
    left.fill_between(z, of_x * of_y, color=style.ACCENT, alpha=0.5, lw=0, label="product")
    left.set(
        xlim=(-4, 8), xticks=(-4, 0, 4, 8), xlabel="z", ylabel="density", title="Two clouds and their product"
    )
    area = math.exp(log_overlap(gaussian([0.0], [sigma_x]), gaussian([distance], [sigma_y]))[0, 0])
    spread = math.hypot(sigma_x, sigma_y)
    u = np.linspace(-8, 8, 601)
    right.plot(u, density(u, -distance, spread), color=style.INK, lw=2)
    right.plot([0, 0], [0, area], color=style.ACCENT, lw=2)
    right.plot([0], [area], "o", color=style.ACCENT, ms=8)
    right.set(xlim=(-8, 8), xlabel="$z_x - z_y$", title="Do two draws meet?")
    for ax in (left, right):
        ax.set_ylim(0, 1.4 * ax.get_ylim()[1])  # room for words
    left.legend(loc="upper right", fontsize=9)
    words = f"density at 0 = area of\nthe product = {area:.3g}\nlog = {math.log(area):.2f}"
    right.text(0.98, 0.97, words, transform=right.transAxes, ha="right", va="top", fontsize=9)
    figure.subplots_adjust(0.105, 0.18, 0.99, 0.89, wspace=0.2)
    return figure


def overlap_2d(distance: float, direction: int, spread: float) -> Figure:
    """A wide N(0, diag(1.2², 0.4²)), a round N(m, spread² I) with m at a distance and direction (degrees)
    from it, and their product, filled."""
    style.use_style()
    angle = math.radians(direction)
    place = distance * math.cos(angle), distance * math.sin(angle)
    x, y = gaussian([0.0, 0.0], WIDE), gaussian(place, (spread, spread))
    figure, ax = plt.subplots(figsize=(4.4, 3.9))
    grid = np.linspace(-4, 5.6, 161), np.linspace(-3.2, 5.4, 145)
    pair = [
        density(grid[0], g.mean[0, 0].item(), g.var[0, 0].sqrt().item())[None]
        * density(grid[1], g.mean[0, 1].item(), g.var[0, 1].sqrt().item())[:, None]
        for g in (x, y)
    ]
    product = pair[0] * pair[1]
    levels = product.max() * np.linspace(0.1, 1.01, 8)
    ax.contourf(*grid, product, levels, cmap="Greens", zorder=0)
    cloud(ax, (0, 0), WIDE, style.IMAGE, "film x")
    cloud(ax, place, (spread, spread), style.REPORT, "report y")
    ax.set(xlim=(-4, 5.6), ylim=(-3.2, 5.4), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"log ∫ N(z; x) N(z; y) dz = {log_overlap(x, y)[0, 0]:.2f}")
    ax.legend(loc="lower left", fontsize=9)
    words = f"distance {distance:g}, direction {direction}°, σ of y {spread:g}"
    ax.set_xlabel(words, fontsize=9)
    figure.subplots_adjust(0.03, 0.1, 0.98, 0.92)
    return figure


def cloud(ax: Axes, mean: object, sigma: object, colour: str, label: str | None = None) -> Axes:
    """A Gaussian of the plane: its mean and the ellipses at one and two standard deviations."""
    for times, look in ((1, {"lw": 2}), (2, {"lw": 1, "ls": ":"})):
        width, height = 2 * times * np.asarray(sigma, dtype=float)
        ax.add_patch(Ellipse(tuple(mean), width, height, fill=False, ec=colour, **look))
    ax.plot(*mean, "o", color=colour, ms=5, label=label)
    return ax


def monte_carlo_errors(
    x: Gaussian, y: Gaussian, sizes: list[int], repeats: int = 100, seed: int = 0
) -> pd.DataFrame:
    """∫ N(z; x) N(z; y) dz as the mean of N(z; y) over n draws z of x, `[1, D]` both, n of `sizes`.

    Rows `n, repeat, error`: relative to the closed form.
    """
    generator = torch.Generator().manual_seed(seed)
    truth, rows = math.exp(log_overlap(x, y)[0, 0]), []
    for n in sizes:
        for repeat in range(repeats):
            z = x.sample(n, generator)[:, 0]
            likelihood = torch.distributions.Normal(y.mean, y.var.sqrt()).log_prob(z).sum(-1).exp()
            rows.append((n, repeat, likelihood.mean().item() / truth - 1))
    return pd.DataFrame(rows, columns=["n", "repeat", "error"])


def one_draw_error(x: Gaussian, y: Gaussian) -> float:
    """Relative standard deviation of N(z; y) for one draw z of x, `[1, D]` both: n draws have 1/√n of it.

    N(z; μ, v)² = N(z; μ, v/2) / √(4πv) in each dimension, so that its mean is an overlap, too.
    """
    half = Gaussian(y.mean, y.log_var - math.log(2))
    square = log_overlap(x, half)[0, 0] - 0.5 * (math.log(4 * math.pi) + y.log_var).sum().item()
    return math.sqrt(math.expm1(square - 2 * log_overlap(x, y)[0, 0]))


def monte_carlo(errors: pd.DataFrame, one_draw: float) -> Figure:
    """Relative errors by number of draws, in the band ± 2 · one_draw / √n. Rows of `monte_carlo_errors`."""
    style.use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    sizes = np.unique(errors["n"])
    band = one_draw / np.sqrt(sizes)
    left.fill_between(
        sizes, -200 * band, 200 * band, color=style.GRID, label="closed form ± 2 standard errors"
    )
    left.plot(errors["n"], 100 * errors["error"], ".", color=style.IMAGE, ms=4, label="one estimate")
    left.axhline(0, color=style.INK, lw=1)
    left.set(
        xscale="log", xlabel="draws n", ylabel="error, % of the closed form", title="Closed form and draws"
    )
    left.legend(loc="upper right", fontsize=8)
    root = errors["error"].pow(2).groupby(errors["n"]).mean().pow(0.5)
    right.plot(root.index, 100 * root, "o", color=style.IMAGE, label="measured")
    right.plot(sizes, 100 * band, color=style.INK, lw=1.5, label="standard deviation of one draw / √n")
    right.set(xscale="log", yscale="log", xlabel="draws n", ylabel="root mean square error, %")
    right.set_title("Ten times as exact: 100 times the draws")
    right.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    right.minorticks_off()
    right.legend(fontsize=8)
    return figure
