"""Drawing what sits in one place of a lung: opacities, nodules, collapse, scars, calcium.

Every function draws one finding on one side: `draw(canvas, coding, side, rng)`, lengths in mm.
"""

import numpy as np

from medprobclip.data.coding import Coding
from medprobclip.simulator.drawing.diffuse import interstitial, reshape_lung
from medprobclip.simulator.drawing.edits import Canvas


def place(
    canvas: Canvas,
    coding: Coding,
    side: str,
    rng: np.random.Generator,
    region: str | None = None,
    spread: float = 0.0,
) -> np.ndarray:
    """A point [3] in the region that the code names (or `region`, or anywhere visible) of this side's
    lung."""
    points = canvas.anatomy.points
    name = coding.region or region or "lung"
    outwards = 1.0 if side == "left" else -1.0
    if name in ("hilum", "cardiophrenic angle", "mediastinum", "paratracheal", "trachea, carina"):
        base = points[f"hilum/{side}"] + [outwards * 6, 0, 0]
        if name == "cardiophrenic angle":
            base = points[f"dome/{side}"] + [-outwards * 26, 30, 14]
        elif name == "paratracheal":
            base = points[f"hilum/{side}"] + [0, 0, 45]
        return base + rng.normal(0, 4 + spread, 3)
    if name == "costophrenic angle":
        return points[f"angle/{side}"] + [-outwards * 9, 8, 20] + rng.normal(0, 3, 3)
    cloud = points[f"region/{side}/{name}"]
    if "posterior" in coding.words or "anterior" in coding.words:
        cut = np.median(cloud[:, 1])
        cloud = cloud[cloud[:, 1] < cut] if "posterior" in coding.words else cloud[cloud[:, 1] > cut]
    return cloud[rng.integers(len(cloud))].astype(float) + rng.normal(0, spread + 0.5, 3)


def airspace(canvas, coding: Coding, side, rng, *, radius=30.0, density=0.70, grain=0.45, region=None):
    """Airspace opacity: one cloud, or several smaller ones when patchy, scattered, diffuse."""
    if "interstitial" in coding.words or "reticular" in coding.words:
        return interstitial(canvas, coding, side, rng)
    if "streaky" in coding.words:
        return linear(canvas, coding, side, rng, count=3, thickness=4.0)
    if "round" in coding.words:
        return nodule(canvas, coding, side, rng, diameter=27.0, target=1.1)
    size = radius * coding.severity**0.5
    thick = min(0.9, density * coding.severity**0.4)
    if coding.multiple or "patchy" in coding.words:
        for _ in range(int(rng.integers(3, 6)) + 2 * ("diffuse" in coding.words)):
            spot = place(canvas, coding, side, rng, region, spread=8.0)
            canvas.cloud(
                spot,
                size * rng.uniform(0.6, 0.85, 3),
                min(0.9, thick + 0.12),
                rng,
                grain_mm=8,
                grain=grain + 0.2,
                side=side,
            )
    else:
        spot = place(canvas, coding, side, rng, region)
        canvas.cloud(spot, size * rng.uniform(0.8, 1.25, 3), thick, rng, grain_mm=11, grain=grain, side=side)


def consolidation(canvas, coding, side, rng):
    """Denser and larger than an opacity, with a more even inside; fills much of a lobe."""
    airspace(canvas, coding, side, rng, radius=40.0, density=0.88, grain=0.3)


def nodule(canvas, coding: Coding, side, rng, *, diameter=21.0, target=1.2, count=None):
    """One or several balls of soft tissue (target 1) or calcium (target 2-4)."""
    if count is None:
        count = int(rng.integers(4, 8)) if coding.multiple else 1
    for _ in range(count):
        size = diameter * coding.severity**0.6 * rng.uniform(0.85, 1.2) * (0.8 if count > 1 else 1.0)
        spot = place(canvas, coding, side, rng)
        canvas.ball(spot, size / 2 * rng.uniform(0.9, 1.1, 3), target, edge=0.15)


def granuloma(canvas, coding: Coding, side, rng):
    """Small, dense, sharply outlined: a healed, calcified granuloma."""
    nodule(canvas, coding, side, rng, diameter=11.0, target=5.5)


def mass(canvas, coding: Coding, side, rng):
    """A ball over 3 cm with a ragged edge."""
    size = 46.0 * coding.severity**0.4
    spot = place(canvas, coding, side, rng)
    canvas.ball(spot, size / 2 * rng.uniform(0.85, 1.15, 3), 1.05, edge=0.14, ragged=0.09, rng=rng)


def cavity(canvas, coding: Coding, side, rng):
    """A bulla or cavity: air with a thin wall."""
    spot, size = place(canvas, coding, side, rng, "apex"), 27.0 * coding.severity**0.5
    canvas.ball(spot, size, 0.9, edge=0.1)
    where, (x, y, z) = canvas.around(spot, size)
    q = np.sqrt((x - spot[0]) ** 2 + (y - spot[1]) ** 2 + (z - spot[2]) ** 2) / (size - 4.0)
    weight = np.clip(canvas.lung(where), 0, 1) / (1 + np.exp(np.clip((q - 1) * 14, -30, 30)))
    canvas.blend(where, weight.astype(np.float32), 0.0)


def linear(canvas, coding: Coding, side, rng, *, count=2, thickness=5.0, region="base", target=0.95):
    """Streaks: thin plates in the lung, nearly horizontal at the bases."""
    for _ in range(count):
        spot = place(canvas, coding, side, rng, region, spread=4.0)
        tilt = rng.normal(0, 0.22, 2) + [(0.25 if side == "left" else -0.25), 0.0]
        canvas.slab(
            spot,
            [tilt[0], 0.4 * tilt[1], 1.0],
            rng.uniform(24, 36) * coding.severity**0.4,
            rng.uniform(20, 32),
            thickness * coding.severity**0.4,
            target,
            rng,
            bend=rng.normal(0, 3),
        )


def atelectasis(canvas, coding: Coding, side, rng):
    """Plates of collapsed lung and a small patch, with loss of volume: the diaphragm rises.

    Round: a ball at the pleura. Patchy: clouds instead of plates. In a lobe: the patch is a segment.
    """
    if "round" in coding.words:
        return nodule(canvas, coding, side, rng, diameter=32.0, target=1.05)
    lobar = coding.region in ("upper lobe", "middle lobe", "lower lobe", "lingula")
    if "patchy" not in coding.words:
        linear(canvas, coding, side, rng, count=2 if coding.severity < 1.2 else 3, thickness=6.5)
    for _ in range(3 if "patchy" in coding.words else int(lobar or coding.severity >= 1)):
        spot = place(canvas, coding, side, rng, "base")
        size = np.array([26, 30, 16] if lobar else [20, 22, 12]) * coding.severity**0.5
        canvas.cloud(spot, size, 0.7 if lobar else 0.5, rng, side=side)
    rise = 7.0 * coding.severity
    reshape_lung(canvas, side, True, dome_mm=(rise, 0.0) if side == "right" else (0.0, rise))


def scar(canvas, coding: Coding, side, rng):
    """Scar: a few thin strands from one centre; at the apex a ragged cap."""
    if coding.region == "apex":
        return pleural_cap(canvas, coding, side, rng)
    spot = place(canvas, coding, side, rng, "base")
    for _ in range(5):
        normal = rng.normal(0, 1, 3) * [1.0, 0.35, 1.0]
        canvas.slab(
            spot + rng.normal(0, 4, 3),
            normal,
            rng.uniform(20, 32) * coding.severity**0.4,
            rng.uniform(18, 27),
            4.8 * coding.severity**0.4,
            1.1,
            rng,
            bend=rng.normal(0, 2),
        )


def pleural_cap(canvas, coding: Coding, side, rng):
    """Irregular thickening over the apex."""
    top = canvas.anatomy.points[f"lung_high/{side}"]
    low = canvas.anatomy.points[f"lung_low/{side}"]
    where, (_, _, z) = canvas.box([low[0], low[1], top[2] - 55], [top[0], top[1], top[2] + 5])
    thickness = 9.0 * coding.severity**0.5 + 2.5 * canvas.texture(where, 12.0, rng)
    height = np.clip((z - (top[2] - 50)) / 25.0, 0, 1)
    weight = canvas.lung(where, side) / (
        1 + np.exp(np.clip((canvas.anatomy.depth_mm[where] - thickness * height), -9, 9))
    )
    canvas.fill(where, (weight * (height > 0)).astype(np.float32), 0.95)


def hilum(canvas, coding: Coding, side, rng):
    """A large hilum: vessels or nodes of soft tissue."""
    centre = canvas.anatomy.points[f"hilum/{side}"]
    outwards = 1.0 if side == "left" else -1.0
    size = 15.5 * coding.severity**0.5
    for step in ([6, 0, 12], [13, 4, -4], [9, -5, -21]):
        canvas.ball(
            centre + np.array(step) * [outwards, 1, 1] + rng.normal(0, 2, 3),
            size * rng.uniform(0.85, 1.15),
            1.05,
            edge=0.25,
        )


def calcified_nodes(canvas, coding: Coding, side, rng, *, where_="hilum"):
    """A cluster of calcified lymph nodes at the hilum or beside the trachea."""
    points = canvas.anatomy.points
    if where_ == "hilum":
        centre = points[f"hilum/{side}"]
    else:
        centre = points["carina"] + [(14 if side == "left" else -14), 4, rng.uniform(-14, 30)]
    for _ in range(int(rng.integers(4, 7))):
        canvas.ball(
            centre + rng.normal(0, [6, 6, 8]),
            rng.uniform(3.6, 5.4) * coding.severity**0.3,
            4.2,
            edge=0.2,
            in_lung=False,
        )


def calcinosis(canvas, coding: Coding, side, rng):
    """Calcium in nodes or in the lung."""
    if coding.region == "hilum":
        calcified_nodes(canvas, coding, side, rng)
    elif coding.words & {"lymph nodes", "mediastinum", "paratracheal", "trachea, carina"}:
        calcified_nodes(canvas, coding, side, rng, where_="mediastinum")
    elif "abdomen" in coding.words:  # gall or kidney stone, spleen
        spot = canvas.anatomy.points[f"dome/{side}"] + [rng.normal(0, 15), rng.normal(0, 15), -55]
        canvas.ball(spot, 6.0 * coding.severity**0.4, 4.2, edge=0.2, in_lung=False)
    else:
        granuloma(canvas, coding, side, rng)


def granulomatous(canvas, coding: Coding, side, rng):
    """Healed granulomatous disease: a few calcified granulomas and calcified hilar nodes."""
    nodule(canvas, coding, side, rng, diameter=10.0, target=5.5, count=3)
    calcified_nodes(canvas, coding, side, rng)
