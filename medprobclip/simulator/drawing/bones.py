"""Drawing what happens to spine, ribs and shoulders.

Every function draws one finding on one side (or in the midline): `draw(canvas, coding, side, rng)`, lengths
in mm.
"""

import numpy as np

from medprobclip.data.coding import Coding
from medprobclip.simulator.chest.deformation import Bump
from medprobclip.simulator.drawing.edits import Canvas

THORACIC = tuple(f"T{i}" for i in range(5, 13))
LUMBAR = ("T12", "L1", "L2")  # L3 lies below the film


def _levels(canvas: Canvas, coding: Coding) -> tuple[str, ...]:
    names = LUMBAR if "lumbar vertebrae" in coding.words or coding.heading == "Lumbar Vertebrae" else THORACIC
    return tuple(n for n in names if f"body/{n}" in canvas.anatomy.points)


def _half(canvas: Canvas, name: str) -> np.ndarray:
    return np.maximum(canvas.anatomy.points[f"body_half/{name}"], [14.0, 11.0, 8.0])


def degenerative_spine(canvas: Canvas, coding: Coding, side, rng, *, spurs=1.0, plates=1.0, count=4):
    """Dense end plates at narrow discs, and spurs on the front and side rims of the bodies."""
    names = _levels(canvas, coding)
    count = min(len(names) - 1, count + 2 * coding.multiple + (coding.severity > 1.2))
    start = int(rng.integers(0, len(names) - count)) if len(names) > count else 0
    strength = coding.severity**0.6
    for upper, lower in list(zip(names, names[1:], strict=False))[start : start + count]:
        a, b = (canvas.anatomy.points[f"body/{n}"].astype(float) for n in (upper, lower))
        disc, half = (a + b) / 2, (_half(canvas, upper) + _half(canvas, lower)) / 2
        where, (x, y, z) = canvas.around(disc, [half[0] + 14, half[1] + 14, 9])
        slope = (a[1] - b[1]) / (a[2] - b[2])
        v = y - disc[1] - slope * (z - disc[2])
        q = np.hypot((x - disc[0]) / half[0], v / half[1])
        plate = np.exp(-(((np.abs(z - disc[2]) - 3.0) / 2.2) ** 2)) / (
            1 + np.exp(np.clip((q - 1) * 14, -30, 30))
        )
        angle = np.arctan2(v / half[1], (x - disc[0]) / half[0])
        front = np.clip(1.1 * np.sin(angle) + 0.35 + 0.5 * np.abs(np.cos(angle)), 0, 1) * (v > -0.5 * half[1])
        reach = 1.0 + (4.0 + rng.uniform(0, 5.0)) * strength / half[0]
        rim = np.exp(-(((np.abs(z - disc[2]) - 2.5) / 2.5) ** 2))  # of the bodies above and below the disc
        spur = np.exp(-(((q - reach) / 0.15) ** 2)) * rim * front
        canvas.add(
            where,
            (strength * rng.uniform(0.7, 1.15) * (0.35 * plates * plate + 1.1 * spurs * spur)).astype(
                np.float32
            ),
        )


def osteophytes(canvas: Canvas, coding: Coding, side, rng):
    """Large spurs, end plates hardly changed."""
    degenerative_spine(canvas, coding, side, rng, spurs=1.7, plates=0.4, count=4)


def scoliosis(canvas: Canvas, coding: Coding, side, rng):
    """The spine bends to one side, and back below: content near the spine is carried along."""
    points = canvas.anatomy.points
    lumbar = "lumbar vertebrae" in coding.words
    z = points["body/L1" if lumbar else "body/T8"][2] + rng.uniform(-10, 10)
    amount = (18.0 if side == "left" else -18.0) * coding.severity**0.7
    x, y = points["body/T9"][0], points["body/T9"][1]
    bumps = (
        Bump("x", amount, (float(x), float(y), float(z)), (44.0, 62.0, 44.0)),
        Bump(
            "x",
            -0.45 * amount,
            (float(x), float(y), float(z - 88 if not lumbar else z + 88)),
            (44.0, 62.0, 36.0),
        ),
    )
    canvas.reshape([x - 40, y - 25, z - 70], [x + 40, y + 25, z + 70], bumps=bumps)


def kyphosis(canvas: Canvas, coding: Coding, side, rng):
    """The upper spine bends forward over a backward hump; the chest gets deep."""
    points = canvas.anatomy.points
    amount = 17.0 * coding.severity**0.6
    hump, top = points["body/T7"], points["body/T2"]
    bumps = (
        Bump("y", -amount, (float(hump[0]), float(hump[1]), float(hump[2])), (90.0, 55.0, 46.0)),
        Bump("y", 0.8 * amount, (float(top[0]), float(top[1] + 10), float(top[2] + 25)), (110.0, 70.0, 36.0)),
    )
    low = [hump[0] - 75, hump[1] - 50, hump[2] - 75]
    canvas.reshape(low, [hump[0] + 75, top[1] + 90, top[2] + 40], bumps=bumps, size=(1.0, 1.03, 0.985))


def wedge_vertebra(canvas: Canvas, coding: Coding, side, rng):
    """A collapsed vertebral body: lower in front, denser."""
    names = _levels(canvas, coding)
    for name in rng.choice(names, size=min(len(names), 2 if coding.multiple else 1), replace=False):
        body, half = canvas.anatomy.points[f"body/{name}"].astype(float), _half(canvas, str(name))
        front = body + [0, 0.5 * half[1], 0]
        squeeze = 7.0 * coding.severity**0.5
        canvas.bend(
            bumps=(
                Bump("z", -squeeze, tuple(front + [0, 0, 9]), (20.0, 15.0, 9.0)),
                Bump("z", squeeze, tuple(front - [0, 0, 9]), (20.0, 15.0, 9.0)),
            )
        )
        canvas.ball(body, half * [1, 1, 0.75], 2.2 + 0.4 * coding.severity, edge=0.25, in_lung=False)


def dense_vertebra(canvas: Canvas, coding: Coding, side, rng):
    """One dense vertebral body, of normal shape."""
    name = rng.choice(_levels(canvas, coding))
    body, half = canvas.anatomy.points[f"body/{name}"].astype(float), _half(canvas, str(name))
    canvas.ball(body, 0.8 * half, 2.6 * coding.severity**0.3, edge=0.25, in_lung=False)


def pale_bones(canvas: Canvas, coding: Coding, side, rng):
    """Loss of bone mineral: the spine fades."""
    points = canvas.anatomy.points
    low, high = points["body/L2"], points["body/T3"]
    where, _ = canvas.box([low[0] - 60, 0, 0], [low[0] + 40, low[1] + 25, high[2] + 12])
    bone = np.clip(canvas.volume[where] - 1.08, 0, None) * (canvas.anatomy.labels[where] >= 25)
    canvas.add(where, -np.clip(0.65 * coding.severity, 0, 0.85) * bone)


def _on_rib(canvas: Canvas, coding: Coding, side: str, rng) -> np.ndarray:
    """A point on a rib where it stands free beside the spine and the heart."""
    points = canvas.anatomy.points
    rib = points[f"rib/{side}/{int(rng.integers(4, 9))}"]
    free = rib[:, 2] > points[f"dome/{side}"][2] + 8  # not hidden by the abdomen
    outer = rib[free & (np.abs(rib[:, 0] - points["carina"][0]) > 62)]
    middle = np.median(outer[:, 1])
    if "posterior" in coding.words:
        outer = outer[outer[:, 1] < middle]
    elif "anterior" in coding.words:
        outer = outer[outer[:, 1] > middle]
    return outer[rng.integers(len(outer))].astype(float)


def rib_fracture(canvas: Canvas, coding: Coding, side, rng):
    """A thick callus with a step in the rib's line; several neighbours if multiple."""
    count = int(rng.integers(3, 5)) if coding.multiple else 1
    first = _on_rib(canvas, coding, side, rng)
    for i in range(count):
        spot = first if i == 0 else _on_rib(canvas, coding, side, rng)
        canvas.ball(spot, np.array([8.0, 7.0, 6.0]) * coding.severity**0.3, 2.8, edge=0.35, in_lung=False)
        canvas.bend(bumps=(Bump("z", 4.0, tuple(spot), (9.0, 9.0, 9.0)),))


def clavicle_fracture(canvas: Canvas, coding: Coding, side, rng):
    """A healed fracture of the collar bone: callus and a step."""
    bone = canvas.anatomy.points[f"clavicle/{side}"]
    inner = bone[
        np.abs(bone[:, 2] - np.quantile(bone[:, 2], 0.3)) < 5
    ]  # the outer third may lie above the film
    spot = inner[np.linalg.norm(inner - inner.mean(0), axis=1).argmin()].astype(float)
    canvas.ball(spot, 8.5 * coding.severity**0.3, 2.5, edge=0.35, in_lung=False)
    canvas.bend(bumps=(Bump("z", 6.0, tuple(spot), (12.0, 14.0, 12.0)),))


def sternum_fracture(canvas: Canvas, coding: Coding, side, rng):
    """A step and callus in the breast bone."""
    bone = canvas.anatomy.points["sternum"]
    spot = np.median(bone, axis=0).astype(float)
    canvas.ball(spot, [12, 8, 7], 2.8, edge=0.3, in_lung=False)
    canvas.bend(bumps=(Bump("y", 5.0, tuple(spot + [0, 0, 8]), (25.0, 15.0, 10.0)),))


def bone_injury(canvas: Canvas, coding: Coding, side, rng):
    """Fracture or deformity: which bone the code says, ribs otherwise."""
    if coding.words & {"thoracic vertebrae", "lumbar vertebrae", "spine"}:
        return wedge_vertebra(canvas, coding, side, rng)
    if "clavicle" in coding.words:
        return clavicle_fracture(canvas, coding, side, rng)
    if "sternum" in coding.words:
        return sternum_fracture(canvas, coding, side, rng)
    return rib_fracture(canvas, coding, side, rng)


def rib_density(canvas: Canvas, coding: Coding, side, rng):
    """A dense spot within a rib (bone island, healed fracture)."""
    canvas.ball(_on_rib(canvas, coding, side, rng), 6.5 * coding.severity**0.4, 3.2, edge=0.2, in_lung=False)
