"""Drawing what happens around the lungs: pleura, diaphragm, heart, aorta, mediastinum.

Every function draws one finding on one side (or in the midline): `draw(canvas, coding, side, rng)`, lengths
in mm.
"""

import numpy as np

from medprobclip.data.coding import Coding
from medprobclip.simulator.chest.deformation import Bump
from medprobclip.simulator.drawing.edits import Canvas


def effusion(canvas: Canvas, coding: Coding, side, rng, *, level=None, climb=None):
    """Free fluid at the bottom of the pleural space: a level with a meniscus that climbs the chest wall."""
    points = canvas.anatomy.points
    low, high = points[f"lung_low/{side}"], points[f"lung_high/{side}"]
    dome = points[f"dome/{side}"][2]
    if level is None:
        grade = coding.severity if coding.severity != 1 else 0.95
        level = dome + np.interp(grade, [0.6, 0.7, 0.95, 1.25, 1.7], [-6, 1, 16, 36, 80])
        level += rng.uniform(-3, 3)
    climb = climb or np.interp(coding.severity, [0.6, 1.0, 1.7], [24, 32, 46])
    top = level + climb + 12
    where, (x, y, z) = canvas.box(low, [high[0], high[1], top])
    depth = canvas.anatomy.depth_mm[where]
    inner, outer = points["carina"][0], low[0] if side == "right" else high[0]
    lateral = np.clip((x - inner) / (outer - inner), 0, 1)  # the film of fluid is thickest at the side
    climb = climb * (0.30 + 0.70 * lateral**1.5)
    surface = level + climb * (0.55 * np.exp(-depth / 10.0) + 0.45 * np.exp(-depth / 42.0))
    surface = surface + 1.5 * canvas.texture(where, 24.0, rng)
    # the lung's edge as well: no rim of air is left
    lung = np.clip(6 * canvas.smooth(canvas.lung(where, side), 2.0), 0, 1)
    soft = 1 / (1 + np.exp(np.clip((z - surface) / 4.5, -30, 30)))
    if "posterior" in coding.words:  # pooled in the posterior sulcus only: for the lateral view to show
        soft = soft / (1 + np.exp(np.clip((y - low[1] - 0.35 * (high[1] - low[1])) / 5.0, -30, 30)))
    canvas.fill(where, (soft * lung).astype(np.float32), 1.0)
    pressed = np.exp(-np.clip(z - level, 0, None) / 16.0) * (z > level - 4)  # lung squeezed above the fluid
    canvas.add(where, 0.10 * coding.severity * pressed * lung * (1 - soft), point=False)


def blunted_angle(canvas: Canvas, coding: Coding, side, rng):
    """A little fluid or scar that rounds off the costophrenic angle."""
    level = canvas.anatomy.points[f"dome/{side}"][2] - 20 + 6 * coding.severity + rng.uniform(-2, 2)
    effusion(canvas, coding, side, rng, level=level, climb=24.0)


def pneumothorax(canvas: Canvas, coding: Coding, side, rng):
    """Air between lung and chest wall, widest at the apex; the lung's edge is a thin line, the lung
    denser."""
    points = canvas.anatomy.points
    low, high = points[f"lung_low/{side}"], points[f"lung_high/{side}"]
    where, (_, _, z) = canvas.box(low, high)
    t = np.clip((z - low[2]) / (high[2] - low[2]), 0, 1)
    # the lung rests on the diaphragm; an apical one is a cap
    foot = high[2] - 75 if coding.region == "apex" else points[f"dome/{side}"][2] + 12
    above = np.clip((z - foot) / 30.0, 0, 1)
    width = (28.0 * coding.severity**0.7) * (0.3 + 0.7 * t**1.5) * above
    depth = canvas.anatomy.depth_mm[where]
    lung = np.clip(canvas.lung(where, side), 0, 1)
    air = lung / (1 + np.exp(np.clip((depth - width) / 0.9, -30, 30)))
    canvas.blend(where, air.astype(np.float32), 0.0)
    line = np.exp(-(((depth - width - 1.5) / (0.8 * canvas.anatomy.voxel_mm)) ** 2)) * (width > 2)
    collapse = (depth > width + 1) * 0.15 * coding.severity**0.5
    canvas.add(where, (0.45 * line + collapse) * lung, point=False)


def pleural_thickening(canvas: Canvas, coding: Coding, side, rng):
    """A band of soft tissue along the chest wall (or over the apex)."""
    points = canvas.anatomy.points
    low, high = points[f"lung_low/{side}"].copy(), points[f"lung_high/{side}"].copy()
    apical = coding.region in ("apex", "upper lobe")
    middle = points["carina"][2] - 30 + rng.uniform(-15, 15)
    where, (x, _, z) = canvas.box(low, high)
    height = np.clip((z - (high[2] - 48)) / 25, 0, 1) if apical else np.exp(-(((z - middle) / 60.0) ** 4))
    height = height * np.clip((z - points[f"dome/{side}"][2]) / 12.0, 0, 1)
    inner = points["carina"][0]
    outer = np.clip((np.abs(x - inner) - 55) / 25, 0, 1) if not apical else 1.0
    thickness = (9.0 * coding.severity**0.5 + 2.0 * canvas.texture(where, 16.0, rng)) * height * outer
    lung = np.clip(canvas.lung(where, side), 0, 1)
    band = (
        lung
        * (thickness > 1)
        / (1 + np.exp(np.clip((canvas.anatomy.depth_mm[where] - thickness) / 0.8, -30, 30)))
    )
    canvas.fill(where, band.astype(np.float32), 1.0)


def cardiomegaly(canvas: Canvas, coding: Coding, side, rng):
    """The heart wider: grows to the left and to the back."""
    growth = np.interp(coding.severity, [0.6, 0.7, 1.0, 1.25, 1.7], [1.20, 1.26, 1.40, 1.50, 1.70])
    points = canvas.anatomy.points
    canvas.reshape(points["heart_low"] - 8, points["heart_high"] + [28, 5, -10], heart=float(growth))


def _aorta_path(canvas: Canvas, bulge: float) -> tuple[np.ndarray, np.ndarray]:
    """Centre line of arch and descending aorta, pushed out to the left, and its radii."""
    points = canvas.anatomy.points
    down = points["aorta_descending"].astype(float)
    arch = points["aortic_knob"].astype(float)
    down = down[(down[:, 2] > points["heart"][2] - 30) & (down[:, 2] < arch[2])][::2]
    t = (down[:, 2] - down[0, 2]) / (arch[2] - down[0, 2])
    out = bulge * (0.55 * np.sin(np.pi * np.clip(t * 1.25, 0, 1)) + 0.8 * np.exp(-(((t - 1) / 0.22) ** 2)))
    path = np.concatenate([down + np.stack([out, 0 * out, 0 * out], 1), [arch + [bulge * 0.8, 0, 4]]])
    return path, np.full(len(path), 15.5)


def tortuous_aorta(canvas: Canvas, coding: Coding, side, rng):
    """A long, winding aorta: large knob, descending part bulging to the left, ascending part to the right."""
    bulge = 23.0 * coding.severity**0.6 + rng.uniform(-1.5, 1.5)
    path, radii = _aorta_path(canvas, bulge)
    canvas.tube(path, radii, 1.05)
    up = canvas.anatomy.points["aorta_ascending"].astype(float)[::2]
    t = np.linspace(0, 1, len(up))
    up[:, 0] -= 0.9 * bulge * np.sin(np.pi * t)
    canvas.tube(up, 18.0, 1.05)


def aortic_calcification(canvas: Canvas, coding: Coding, side, rng):
    """Calcium plaques in the wall of the arch and the upper descending aorta: an arc at the knob."""
    points = canvas.anatomy.points
    knob, arch = points["aortic_knob"], points["aorta_arch"]
    centre = (knob + arch) / 2
    amount = 15.0 * coding.severity**0.5
    for _ in range(9):  # plaques; seen from the front they follow the knob's outer edge ...
        start = rng.uniform(-0.6, 1.6)
        angles = np.linspace(start, start + rng.uniform(0.3, 0.8), 8)
        depth = rng.uniform(-12, 12) + rng.normal(0, 2, 8).cumsum()
        ring = [centre[0] + 17 * np.cos(angles), knob[1] + depth, centre[2] - 2 + 17 * np.sin(angles)]
        canvas.wire(np.stack(ring, 1), amount * rng.uniform(0.6, 1.4))
    for _ in range(7):  # ... and from the side the arch
        start = rng.uniform(0.1, 2.6)
        angles = np.linspace(start, start + rng.uniform(0.2, 0.6), 8)
        across = rng.uniform(-9, 9) + rng.normal(0, 1.5, 8).cumsum()
        bow = [arch[0] + across, arch[1] + 30 * np.cos(angles), arch[2] - 12 + 24 * np.sin(angles)]
        canvas.wire(np.stack(bow, 1), amount * rng.uniform(0.6, 1.4))


def mediastinum(canvas: Canvas, coding: Coding, side, rng):
    """A wide upper mediastinum, on the side that the code names or on both."""
    side = coding.side or side
    points = canvas.anatomy.points
    trachea = points["trachea"].astype(float)
    path = trachea[(trachea[:, 2] > points["carina"][2] - 5) & (trachea[:, 2] < points["carina"][2] + 75)][
        ::3
    ]
    for step in (-1.0,) if side == "right" else (1.0,) if side == "left" else (-1.0, 1.0):
        wave = rng.uniform(0, 3)
        rise = (path[:, 2] - path[0, 2]) / (path[-1, 2] - path[0, 2])
        out = step * (20 + 3 * np.sin(4 * rise + wave))
        column = path + np.stack([out, 6 + 0 * out, 0 * out], 1)
        reach = 27.0 * coding.severity**0.5 * (1 - 0.25 * rise**2)
        canvas.tube(column, reach, 1.05, edge_mm=3.0)


def hiatal_hernia(canvas: Canvas, coding: Coding, side, rng):
    """Stomach behind the heart: a round mass with an air-fluid level."""
    points = canvas.anatomy.points
    size = 33.0 * coding.severity**0.55
    centre = points["hiatus"] + [6 + rng.uniform(-4, 8), -14, 0.75 * size + 8]
    where, (x, y, z) = canvas.around(centre, size * 1.3)
    q = np.sqrt(((x - centre[0]) / 1.15) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / size
    inside = 1 / (1 + np.exp(np.clip((q - 1) * 12, -30, 30)))
    spine = canvas.volume[where] > 1.15
    canvas.fill(where, (inside * ~spine).astype(np.float32), 1.05)
    air = (
        1
        / (1 + np.exp(np.clip((q - 0.82) * 16, -30, 30)))
        / (1 + np.exp(-np.clip((z - centre[2] - 0.25 * size) / 1.5, -30, 30)))
    )
    canvas.blend(where, (air * ~spine).astype(np.float32), 0.1)


def raised_diaphragm(canvas: Canvas, coding: Coding, side, rng, *, amount=30.0):
    """One half of the diaphragm high."""
    rise = amount * coding.severity**0.6
    _dome(canvas, side, rise, dome_mm=(rise, 0.0) if side == "right" else (0.0, rise))


def flat_diaphragm(canvas: Canvas, coding: Coding, side, rng):
    """Dome low and flat, on one side."""
    fall = -21.0 * coding.severity**0.6
    _dome(canvas, side, 20, dome_mm=(fall, 0.0) if side == "right" else (0.0, fall))


def eventration(canvas: Canvas, coding: Coding, side, rng):
    """A local bulge of the dome, usually in front and towards the midline."""
    points = canvas.anatomy.points
    outwards = 1.0 if side == "left" else -1.0
    centre = points[f"dome/{side}"] + [-outwards * 8, -18 if "posterior" in coding.words else 22, 0]
    rise = 27.0 * coding.severity**0.6
    bump = Bump("z", rise, tuple(map(float, centre + [0, 0, 6])), (24.0, 34.0, 30.0))
    canvas.reshape(centre - [35, 40, 12], centre + [35, 40, rise + 8], bumps=(bump,))


def _dome(canvas: Canvas, side: str, reach: float, **change) -> None:
    points = canvas.anatomy.points
    low, high, dome = points[f"lung_low/{side}"], points[f"lung_high/{side}"], points[f"dome/{side}"][2]
    canvas.reshape([low[0], low[1], dome - 35], [high[0], high[1], dome + reach + 8], **change)


def fat_pad(canvas: Canvas, coding: Coding, side, rng):
    """Fat beside the heart in the angle with the diaphragm."""
    points = canvas.anatomy.points
    outwards = 1.0 if side == "left" else -1.0
    edge = points["heart_high"][0] - 12 if side == "left" else points["heart_low"][0] + 4
    centre = [edge + outwards * 4, points["heart"][1] + 18, points[f"dome/{side}"][2] + 6]
    canvas.ball(centre, np.array([22, 26, 18]) * coding.severity**0.4, 0.92, edge=0.3)


def shift(canvas: Canvas, coding: Coding, side, rng):
    """Heart and mediastinum pulled to one side."""
    points = canvas.anatomy.points
    pull = (15.0 if side == "left" else -15.0) * coding.severity
    bump = Bump("x", pull, tuple(map(float, points["heart"] + [0, 0, 30])), (52.0, 75.0, 80.0))
    canvas.reshape(points["heart_low"], points["heart_high"] + [0, 0, 60], bumps=(bump,))
