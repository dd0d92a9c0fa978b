"""A query and its answers as ellipses in a plane, and what the plane does not show."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke
from scipy.stats import spearmanr

from medprobclip.gaussian import Gaussian
from medprobclip.workbench import style
from medprobclip.workbench.lessons.desk import Desk

COLOURS = {"own": style.ACCENT, "worded alike": style.ACCENT, "coded alike": style.OCHRE, "": style.QUIET}
HALO = [withStroke(linewidth=2.5, foreground="white")]


def principal_plane(means: np.ndarray) -> np.ndarray:
    """Two orthonormal directions `[D, 2]` of n means `[n, D]`: their first principal components.

    Of all planes it keeps most of the sum of squared distances between the means: that sum is 2n times their
    scatter about the common mean (Hotelling 1933). The larger part of each direction is made positive.
    Raises ValueError for fewer than three means.
    """
    if len(means) < 3:
        raise ValueError(f"a plane needs at least three means, got {len(means)}")
    _, _, axes = np.linalg.svd(means - means.mean(0), full_matrices=False)
    signs = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(1)])
    return (axes[:2] * signs[:, None]).T


def kept_share(means: np.ndarray, axes: np.ndarray) -> float:
    """Share of the squared distances between means `[n, D]` that a plane `[D, 2]` shows; NaN without any."""
    centred = means - means.mean(0)
    whole = (centred**2).sum()
    return float(((centred @ axes) ** 2).sum() / whole) if whole > 0 else float("nan")


def projected(gaussian: Gaussian, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """n Gaussians in a plane `[D, 2]`: means `[n, 2]` and covariances Pᵀ diag(σ²) P `[n, 2, 2]`.

    That is exactly the distribution of a draw's shadow in the plane.
    """
    mean, var = (t.double().numpy() for t in (gaussian.mean, gaussian.var))
    return mean @ axes, np.einsum("dp,nd,dq->npq", axes, var, axes)


def ellipse(ax: Axes, mean: np.ndarray, covariance: np.ndarray, **look: object) -> Axes:
    """One standard deviation of a Gaussian of the plane: mean `[2]`, covariance `[2, 2]`."""
    values, vectors = np.linalg.eigh(covariance)
    width, height = 2 * np.sqrt(values[::-1])
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    ax.add_patch(Ellipse(tuple(mean), width, height, angle=angle, **look))
    return ax


def apart(places: np.ndarray, least: float, rounds: int = 60) -> np.ndarray:
    """Places for labels `[n, 2]`, pushed off one another until any two are so far apart, or nearly."""
    places = places + 1e-3 * least * np.arange(len(places))[:, None] * np.array(
        [1, -1]
    )  # none quite the same
    for _ in range(rounds):
        gap = places[:, None] - places[None]
        far = np.linalg.norm(gap, axis=-1) + np.eye(len(places)) * least
        push = np.clip(least - far, 0, None) / far
        places = places + 0.5 * (gap * push[..., None]).sum(1)
    return places


def distinct(desk: Desk, order: np.ndarray, answers: int) -> list[int]:
    """The first answers of an order, one of each wording: those worded alike are one and the same ellipse."""
    _, first = np.unique(desk.wording[order], return_index=True)
    return order[np.sort(first)[:answers]].tolist()


def neighbourhood(desk: Desk, study: str, answers: int) -> Figure:
    """The film of a study among its best answers, one of each wording, in the plane of their means.

    The own report is there in any case.
    """
    style.use_style()
    own, reply = desk.row(study), desk.ask_study(study)
    rows = distinct(desk, reply.order, answers)
    rows = [own if desk.wording[row] == desk.wording[own] else row for row in rows]
    rows += [] if own in rows else [own]
    reports = desk.sides["report"][rows]
    means = np.concatenate([reply.gaussian.mean.double().numpy(), reports.mean.double().numpy()])
    axes = principal_plane(means)
    (film,), (spread,) = projected(reply.gaussian, axes)
    places, covariances = projected(reports, axes)
    kinds = [desk.relation(row, own) for row in rows]
    figure, ax = plt.subplots(figsize=(5.8, 5.2))
    for place, covariance, kind in zip(places, covariances, kinds, strict=True):
        ellipse(ax, place, covariance, fill=False, ec=COLOURS[kind], lw=2 if kind else 0.8, alpha=0.9)
    ellipse(ax, film, spread, fc=style.IMAGE, ec=style.IMAGE, alpha=0.2, lw=2)
    ax.plot(*film, "o", color=style.IMAGE, ms=8)
    ax.set_aspect("equal", adjustable="datalim")
    ax.autoscale_view()
    figure.subplots_adjust(0.02, 0.215, 0.98, 0.94)
    labels = apart(places, 0.05 * max(np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())))
    for place, label, kind, row in zip(places, labels, kinds, rows, strict=True):
        ax.plot(*zip(place, label, strict=True), color=COLOURS[kind], lw=0.6)
        ax.plot(*place, ".", color=COLOURS[kind], ms=3)
        look = {"color": COLOURS[kind], "weight": "bold", "ha": "center", "va": "center"}
        ax.text(*label, f"{reply.rank(row)}", size=9.5, **look).set_path_effects(HALO)
    looks = {"the film": style.IMAGE, "own report, at its rank": style.ACCENT}
    looks |= {"coded alike": style.OCHRE} if desk.coded else {}
    looks |= {"another report": style.QUIET}
    for name, colour in looks.items():
        ax.plot([], [], "o", color=colour, label=name)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, fontsize=9, handletextpad=0.3)
    ax.set_title(
        f"{study}: the plane keeps {kept_share(means, axes):.0%} of the squared distances", size=10.5
    )
    ax.set(xticks=[], yticks=[])
    far = np.linalg.norm(places - film, axis=1)
    figure.text(0.5, 0.015, warning(far, reply.scores[rows], means.shape[1]), ha="center", size=8.5)
    return figure


def warning(far: np.ndarray, scores: np.ndarray, dim: int) -> str:
    """What the plane must not be read for: distances in it `[n]` against the scores in D dimensions `[n]`."""
    nearest, best = far.argmin(), scores.argmax()
    same = "the same report" if nearest == best else "another one"
    first = f"Overlap here is not overlap in {dim} dimensions: the nearest mean in the plane is"
    if len(far) < 3 or np.ptp(scores) == 0:
        return (
            f"{first}\n{same} as the best by score." if nearest == best else f"{first}\n{same} than the best."
        )
    agree = spearmanr(-far, scores).statistic
    than = "as" if nearest == best else "than"
    return (
        f"{first}\n{same} {than} the best by score, and the two orders agree to ρ = {agree:.2f} (1: wholly)."
    )
