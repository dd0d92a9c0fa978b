"""Drawing what people brought into the chest: catheters, pacemakers, wires, clips, tubes; and poor technique.

Every function draws one object on one side (or in the midline): `draw(canvas, coding, side, rng)`,
lengths in mm. Wires are given as cross-section times attenuation (mm2 of water).
"""

import numpy as np

from medprobclip.data.coding import Coding
from medprobclip.simulator.drawing.bones import degenerative_spine
from medprobclip.simulator.drawing.edits import Canvas

CATHETER_MM2 = 34.0  # a 7 F silicone line with barium
LEAD_MM2 = 34.0  # a pacing lead: metal coil
STEEL_MM2 = 55.0  # a sternal wire


def _curve(nodes, n: int = 60) -> np.ndarray:
    """A smooth path [n, 3] through a few points (Catmull-Rom)."""
    p = np.asarray(nodes, float)
    p = np.concatenate([[2 * p[0] - p[1]], p, [2 * p[-1] - p[-2]]])
    parts = []
    for i in range(1, len(p) - 2):
        t = np.linspace(0, 1, max(2, n // (len(p) - 3)))[:, None]
        a, b, c, d = p[i - 1], p[i], p[i + 1], p[i + 2]
        parts.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        )
    return np.concatenate(parts)


def _to_svc(canvas: Canvas, side: str, rng) -> list[np.ndarray]:
    """Points from below the collar bone to the upper end of the superior vena cava."""
    points = canvas.anatomy.points
    top = points["svc"][-1].astype(float)
    outwards = 1.0 if side == "left" else -1.0
    bone = np.median(points[f"clavicle/{side}"], axis=0).astype(float)
    middle = points["carina"][0]
    below = np.array([middle + outwards * 92, bone[1] + 5, top[2] + 22 + rng.uniform(-4, 4)])
    under = np.array([middle + outwards * 52, top[1] + 6, top[2] + 40])
    way = [below, under]
    if side == "left":  # crosses the midline in the brachiocephalic vein
        way.append(np.array([middle + 5, top[1] + 12, top[2] + 20]))
    return [*way, top + [0, 0, 4]]


def catheter(canvas: Canvas, coding: Coding, side, rng):
    """A central line from below the collar bone to the vena cava, every second one with a port under the
    skin."""
    way = _to_svc(canvas, side, rng)
    svc = canvas.anatomy.points["svc"].astype(float)
    way += [svc[len(svc) // 2], svc[0] - [0, 0, rng.uniform(0, 15)]]
    outwards = 1.0 if side == "left" else -1.0
    if rng.random() < 0.5:
        port = canvas.under_skin(way[0][0] + outwards * 4, way[0][2] - 38, 12)
        way = [port, way[0] + [outwards * 2, 12, -6], *way[1:]]
        canvas.ball(port, [12, 6, 12], 4.0, edge=0.12, in_lung=False)
    else:  # peripherally inserted: comes from the arm
        way = [way[0] + [outwards * 42, -6, 4], *way]
    canvas.wire(_curve(way), CATHETER_MM2)


def pacemaker(canvas: Canvas, coding: Coding, side, rng):
    """Generator under the collar bone, one lead to the right atrium and one to the apex of the right
    ventricle."""
    if coding.words & {"humerus", "shoulder"}:
        return shoulder_implant(canvas, coding, side, rng)
    if coding.words & {"aortic valve", "mitral valve"}:
        return valve(canvas, coding, side, rng)
    if coding.words & {"cervical vertebrae", "thoracic vertebrae", "spine"}:
        return spinal_fusion(canvas, coding, side, rng)
    points = canvas.anatomy.points
    way = _to_svc(canvas, side, rng)
    outwards = 1.0 if side == "left" else -1.0
    can = canvas.under_skin(way[0][0] + outwards * 6, way[0][2] - 30, 13)
    where, (x, y, z) = canvas.around(can, [32, 14, 30])
    q = (np.abs((x - can[0]) / 21) ** 3 + np.abs((z - can[2]) / 19) ** 3) + np.abs((y - can[1]) / 6.5) ** 4
    weight = 1 / (1 + np.exp(np.clip((q - 1) * 7, -30, 30)))
    canvas.fill(where, weight.astype(np.float32), 12.0)
    svc, heart = points["svc"].astype(float), points["heart"].astype(float)
    low = points["heart_low"]
    atrium = np.array([low[0] + 24, heart[1] + 14, heart[2] + 2])
    apex = np.array([heart[0] + 26 + rng.uniform(-4, 6), heart[1] + 26, heart[2] - 28])
    start = [can + [0, 0, 16], *way[1:], svc[len(svc) // 2]]
    canvas.wire(_curve([*start, svc[0], atrium + [2, 8, -8], atrium + [10, 22, 12]]), LEAD_MM2)
    canvas.wire(
        _curve([*start, svc[0] + [4, 0, 0], atrium + [6, -2, -22], apex - [22, 4, 2], apex], 80), LEAD_MM2
    )


def shoulder_implant(canvas: Canvas, coding: Coding, side, rng):
    """Head of an artificial shoulder joint at the upper corner of the film."""
    points = canvas.anatomy.points
    x = points[f"lung_{'high' if side == 'left' else 'low'}/{side}"][0] + (20 if side == "left" else -20)
    head = np.array([x, points["carina"][1] + 10, points[f"lung_high/{side}"][2] + 2.0])
    canvas.ball(head, 15.0, 8.0, edge=0.1, in_lung=False)
    canvas.wire(head + np.array([[0, 0, 0], [0, 0, -25], [2, -2, -52]]), 500.0)


def valve(canvas: Canvas, coding: Coding, side, rng):
    """The metal ring of an artificial heart valve."""
    centre = canvas.anatomy.points["heart"] + (
        [-6, 2, 24] if "mitral valve" not in coding.words else [14, -14, 4]
    )
    t = np.linspace(0, 2 * np.pi, 40)
    ring = np.stack([12 * np.cos(t), 7 * np.sin(t), 10 * np.sin(t)], 1)
    canvas.wire(centre + ring, 90.0)


def sternal_wires(canvas: Canvas, coding: Coding, side, rng):
    """Five or six wire loops along the breast bone after open heart surgery, and a few clips."""
    bone = canvas.anatomy.points["sternum"].astype(float)
    t = np.linspace(0, 2 * np.pi, 26)
    for z in np.linspace(bone[:, 2].min() + 16, bone[:, 2].max() - 22, int(rng.integers(5, 7))):
        centre = bone[np.abs(bone[:, 2] - z) < 6].mean(0)
        wide, tilt = rng.uniform(8, 11), rng.uniform(-0.3, 0.3)
        loop = np.stack([wide * np.cos(t), 7 * np.sin(t), 3.5 * np.sin(t + 0.5) + tilt * wide * np.cos(t)], 1)
        canvas.wire(centre + loop, STEEL_MM2)
    heart = canvas.anatomy.points["heart"]
    for _ in range(3):
        _clip(canvas, heart + rng.normal(0, [14, 14, 22]) + [10, 20, 30], rng)


def clips(canvas: Canvas, coding: Coding, side, rng):
    """A group of surgical clips where the code says; in the abdomen below the liver (gall bladder)."""
    if "mediastinum" in coding.words:
        return sternal_wires(canvas, coding, side, rng)
    points = canvas.anatomy.points
    outwards = 1.0 if side == "left" else -1.0
    if "abdomen" in coding.words:
        centre = points["gallbladder"] if side == "right" else points["stomach"]
        centre = np.array([centre[0] + 18 * -outwards, centre[1], 62.0])
    elif coding.words & {"neck", "cervical vertebrae"}:
        centre = points["trachea"][-1] + [outwards * 22, 10, -4]
    elif (
        coding.words & {"breast", "thorax", "shoulder"}
        or coding.region is None
        and "lung" not in coding.words
    ):
        centre = points["carina"] + [outwards * 112, 45, 50]  # axilla, breast
    else:
        centre = points[f"hilum/{side}"] + [outwards * 14, 0, 8]
    for _ in range(int(rng.integers(5, 8))):
        _clip(canvas, centre + rng.normal(0, [9, 8, 9]), rng)


def _clip(canvas: Canvas, spot, rng) -> None:
    direction = rng.normal(0, 1, 3) * [1, 0.4, 1]
    direction *= 4.0 / np.linalg.norm(direction)
    canvas.wire(np.stack([spot - direction, spot, spot + direction]), 120.0)


def tube(canvas: Canvas, coding: Coding, side, rng):
    """A breathing tube in the trachea, or a feeding tube down to the stomach."""
    points = canvas.anatomy.points
    trachea = points["trachea"].astype(float)
    if "abdomen" in coding.words or (not coding.words and rng.random() < 0.4):
        down = points["hiatus"].astype(float)
        canvas.wire(
            _curve(
                [
                    trachea[-1] + [4, -12, 20],
                    points["carina"] + [8, -14, 10],
                    down,
                    points["stomach"] + [-8, -10, 10],
                    points["stomach"] + [25, 0, -14],
                ]
            ),
            CATHETER_MM2,
        )
    elif coding.words & {"thorax", "left", "right", "large"}:  # chest drain
        outwards = 1.0 if side == "left" else -1.0
        wall = points[f"lung_{'high' if side == 'left' else 'low'}/{side}"][0]
        entry = np.array([wall, points["carina"][1], points["carina"][2]])
        steps = [[28, 12, -35], [-4, 6, -12], [-24, -10, 55], [-42, -10, 92]]
        canvas.wire(_curve(entry + np.array(steps) * [outwards, 1, 1]), 70.0)
    else:
        path = trachea[trachea[:, 2] > points["carina"][2] + 32]
        for step in (-4.0, 4.0):
            canvas.wire(np.concatenate([path, [path[-1] + [0, 8, 30]]]) + [step, 0, 0], CATHETER_MM2)


def leads(canvas: Canvas, coding: Coding, side, rng):
    """Monitor electrodes and their cables on the skin."""
    for x, z in ((95, 272), (250, 272), (262, 118)):
        spot = canvas.under_skin(x + rng.uniform(-8, 8), z + rng.uniform(-8, 8), -2)
        skin = canvas.under_skin(175, 90, -2)[1]
        canvas.ball(spot, [7, 3.5, 7], 5.0, edge=0.15, in_lung=False)
        canvas.wire(
            _curve(
                [
                    spot,
                    spot + [rng.uniform(-30, 30), 3, -50],
                    [175 + rng.uniform(-40, 40), skin, 70],
                    [180, skin, 8],
                ]
            ),
            30.0,
        )


def foreign_body(canvas: Canvas, coding: Coding, side, rng):
    """Something dense and angular in or on the chest wall: pellet, button, fragment."""
    outwards = 1.0 if side == "left" else -1.0
    height = 60.0 if "abdomen" in coding.words else canvas.anatomy.points["carina"][2] + rng.uniform(-70, 50)
    centre = canvas.under_skin(canvas.anatomy.points["carina"][0] + outwards * rng.uniform(55, 95), height, 9)
    for _ in range(int(rng.integers(2, 4))):
        canvas.ball(centre + rng.normal(0, 9, 3), rng.uniform(3.0, 5.5, 3), 9.0, edge=0.12, in_lung=False)


def stent(canvas: Canvas, coding: Coding, side, rng):
    """A tube of wire mesh in a coronary vessel or in the aorta."""
    points = canvas.anatomy.points
    centre = points["heart"] + [12, 14, 20]
    if "abdomen" in coding.words or "aorta" in coding.words:
        centre = points["aorta_descending"][0] + [0, 0, 10 if "abdomen" in coding.words else 90]
    t = np.linspace(0, 8 * np.pi, 100)
    canvas.wire(centre + np.stack([4 * np.cos(t), 4 * np.sin(t), np.linspace(-11, 11, 100)], 1), 45.0)


def spinal_fusion(canvas: Canvas, coding: Coding, side, rng):
    """Plate and screws, in the neck in front, elsewhere two rods."""
    points = canvas.anatomy.points
    if "cervical vertebrae" in coding.words or not coding.words & {
        "lumbar vertebrae",
        "thoracic vertebrae",
        "posterior",
    }:
        neck = points["body/C7"].astype(float) + [0, 12, 0]
        for step in (-6.0, 6.0):
            canvas.wire(np.stack([neck + [step, 0, -16], neck + [step, 2, 16]]), 190.0)
        for z in (-13.0, 0.0, 11.0):
            canvas.wire(np.stack([neck + [-6, 0, z], neck + [6, 0, z]]), 150.0)
        return
    names = ("L2", "L1", "T12") if "lumbar vertebrae" in coding.words else ("T11", "T9", "T7")
    bodies = np.stack([points[f"body/{n}"] for n in names]).astype(float)
    for step in (-15.0, 15.0):
        canvas.wire(bodies + [step, -28, 0], 260.0)
        for body in bodies:
            canvas.wire(np.stack([body + [step, -26, 0], body + [0.5 * step, 6, 0]]), 150.0)
    degenerative_spine(canvas, coding, side, rng, count=1)


def poor_technique(canvas: Canvas, coding: Coding, side, rng):
    """A technically poor image: turned patient, leaning patient, too little dose, or a chest cut off."""
    fault = int(rng.integers(4))
    sign = 1.0 if rng.random() < 0.5 else -1.0
    whole = (np.array([60.0, 50.0, 60.0]), np.array([280.0, 200.0, 300.0]))
    if fault == 0:
        canvas.reshape(*whole, rotation_deg=sign * rng.uniform(9, 13))
    elif fault == 1:
        canvas.reshape(*whole, roll_deg=sign * rng.uniform(5, 8), shift=(sign * 14.0, -8.0))
    elif fault == 3:  # the bases or one side lie outside the film
        cut = (0.0, -42.0) if rng.random() < 0.5 else (sign * 40.0, 0.0)
        canvas.reshape(*whole, shift=cut)
        return
    else:
        canvas.reshape(*whole)
    canvas.fault(dose=0.02 if fault == 2 else 0.12, darker=sign * (0.30 if fault == 2 else 0.18))
