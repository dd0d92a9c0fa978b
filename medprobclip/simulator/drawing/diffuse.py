"""Drawing what happens in the whole of a lung: nets of lines, congestion, air trapping, depth of breath.

Every function draws one finding on one side: `draw(canvas, coding, side, rng)`, lengths in mm.
"""

import numpy as np

from medprobclip.data.coding import Coding
from medprobclip.simulator.chest.deformation import Bump
from medprobclip.simulator.drawing.edits import Canvas


def interstitial(canvas, coding: Coding, side, rng, *, gain=1.0):
    """A net of thin lines and thick vessels, coarser towards the base."""
    low, high = (canvas.anatomy.points[f"lung_{end}/{side}"] for end in ("low", "high"))
    where, (_, _, z) = canvas.box(low, high)
    net = np.maximum(0, 1 - np.abs(canvas.texture(where, 10.0, rng)) * 3.2)
    net = net * np.clip(0.8 + 0.5 * canvas.texture(where, 40.0, rng), 0.15, 1.6)
    focus = _zone(canvas, coding, side, z)
    amount = 0.42 * gain * coding.severity**0.5
    lung = canvas.lung(where, side)
    canvas.add(
        where, (amount * focus * lung * (0.9 * net + 1.2 * canvas.anatomy.vessels[where])).astype(np.float32)
    )


def markings(canvas, coding: Coding, side, rng):
    """Bronchovascular markings: the lung's own vessels, thicker; interstitial ones: a net."""
    if "interstitial" in coding.words or "reticular" in coding.words:
        return interstitial(canvas, coding, side, rng)
    where, z = _lung_box(canvas, side)
    vessels = canvas.smooth(canvas.anatomy.vessels[where], 1.5)
    canvas.add(
        where,
        2.6 * coding.severity**0.5 * _zone(canvas, coding, side, z) * vessels * canvas.lung(where, side),
    )
    _hilar_haze(canvas, side, 0.16 * coding.severity**0.5, 30.0, rng)


def congestion(canvas, coding: Coding, side, rng):
    """Wide vessels, more so upwards, and hazy hila."""
    where, _ = _lung_box(canvas, side)
    vessels = canvas.smooth(canvas.anatomy.vessels[where], 2.5)
    canvas.add(where, (3.4 * coding.severity**0.5 * vessels * canvas.lung(where, side)).astype(np.float32))
    _hilar_haze(canvas, side, 0.30 * coding.severity**0.5, 36.0, rng)


def oedema(canvas, coding: Coding, side, rng):
    """Congestion, a net of lines, and a cloud around each hilum (batwing)."""
    congestion(canvas, coding, side, rng)
    interstitial(canvas, coding, side, rng, gain=0.8)
    if "interstitial" not in coding.words:
        spot = canvas.anatomy.points[f"hilum/{side}"] + [(24 if side == "left" else -24), 0, -8]
        canvas.cloud(
            spot, np.array([34, 45, 48]) * coding.severity**0.3, 0.4 * coding.severity**0.5, rng, side=side
        )


def emphysema(canvas, coding: Coding, side, rng, *, spread=13.0, thinning=0.6):
    """Less tissue, unevenly and more at the apices, with low flat domes and a deep chest."""
    where, z = _lung_box(canvas, side)
    holes = np.clip(0.75 + 0.5 * canvas.texture(where, 26.0, rng), 0, 1.4)
    if coding.region:
        holes = holes * _zone(canvas, coding, side, z)
    share = np.clip(thinning * coding.severity**0.5 * holes, 0, 0.85) * canvas.lung(where, side)
    canvas.add(where, (-share * np.minimum(canvas.volume[where], 0.5)).astype(np.float32))
    hyperinflation(canvas, coding, side, rng, amount=spread, mark=False)


def hyperlucent(canvas, coding: Coding, side, rng):
    """Air trapping without change of shape."""
    where, z = _lung_box(canvas, side)
    share = 0.6 * coding.severity**0.5 * _zone(canvas, coding, side, z) * canvas.lung(where, side)
    canvas.add(where, (-np.clip(share, 0, 0.9) * np.minimum(canvas.volume[where], 0.5)).astype(np.float32))


def hyperinflation(canvas, coding: Coding, side, rng, *, amount=21.0, mark=True):
    """Deep breath or trapped air: domes low and flat, chest deep, heart narrow."""
    fall = -amount * coding.severity**0.6
    change = {"dome_mm": (fall, 0.0) if side == "right" else (0.0, fall)}
    if side == "right":  # once per patient
        change |= {"size": (1.0, 1 + 0.04 * coding.severity, 1.0), "heart": 0.94}
    reshape_lung(canvas, side, mark, **change)


def hypoinflation(canvas, coding: Coding, side, rng):
    """A shallow breath: domes high, markings crowded."""
    rise = 27.0 * coding.severity**0.6
    where, _ = _lung_box(canvas, side)
    vessels = 0.9 * canvas.anatomy.vessels[where] + 0.05
    canvas.add(where, (coding.severity**0.5 * vessels * canvas.lung(where, side)).astype(np.float32))
    change = {"dome_mm": (rise, 0.0) if side == "right" else (0.0, rise)}
    if side == "right":
        change["heart"] = 1.06
    reshape_lung(canvas, side, True, **change)


def volume_loss(canvas, coding: Coding, side, rng):
    """One lung smaller: dome up, heart and mediastinum drawn over."""
    rise, pull = 22.0 * coding.severity, (9.0 if side == "left" else -9.0) * coding.severity
    points = canvas.anatomy.points
    bump = Bump("x", pull, tuple(map(float, points["heart"] + [0, 0, 25])), (55.0, 70.0, 75.0))
    reshape_lung(canvas, side, True, dome_mm=(rise, 0.0) if side == "right" else (0.0, rise), bumps=(bump,))


def reshape_lung(canvas: Canvas, side: str, mark: bool, **change) -> None:
    points = canvas.anatomy.points
    if not mark:
        canvas.bend(**change)
        return
    low, high = points[f"lung_low/{side}"], points[f"lung_high/{side}"]
    canvas.reshape(low, [high[0], high[1], points[f"dome/{side}"][2] + 75], **change)


def _lung_box(canvas: Canvas, side: str):
    where, (_, _, z) = canvas.box(*(canvas.anatomy.points[f"lung_{end}/{side}"] for end in ("low", "high")))
    return where, z


def _zone(canvas: Canvas, coding: Coding, side: str, z: np.ndarray) -> np.ndarray:
    """0..1 by height: the part of the lung that a code names."""
    low, high = canvas.anatomy.points[f"dome/{side}"][2], canvas.anatomy.points[f"lung_high/{side}"][2]
    t = (z - low) / (high - low)
    if coding.region in ("base", "lower lobe", "middle lobe", "lingula", "costophrenic angle"):
        return 1 / (1 + np.exp((t - 0.38) * 14))
    if coding.region in ("apex", "upper lobe"):
        return 1 / (1 + np.exp((0.62 - t) * 14))
    return np.clip(1.15 - 0.35 * t, 0, 1)


def _hilar_haze(canvas: Canvas, side: str, amount: float, reach: float, rng: np.random.Generator) -> None:
    centre = canvas.anatomy.points[f"hilum/{side}"] + [(8 if side == "left" else -8), 0, 0]
    where, (x, y, z) = canvas.around(centre, reach * 1.7)
    q = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + ((z - centre[2]) / 1.3) ** 2) / reach**2
    haze = np.exp(-1.4 * q) * np.clip(1 + 0.4 * canvas.texture(where, 12.0, rng), 0.2, 2)
    canvas.add(where, (amount * haze * np.clip(canvas.lung(where), 0, 1)).astype(np.float32))
