"""Where things are in the prepared chest: named points and point clouds in mm, from the CT's labels.

Landmarks (x, y, z) [3] or clouds [n, 3]; "side" is "left" or "right" of the patient.
"""

from __future__ import annotations

import numpy as np

from medprobclip.simulator.chest.anatomy import Anatomy

CLOUD = 1500  # points kept per region, taken evenly: enough to draw a random place from
VERTEBRAE = {"C7": 44, **{f"T{i}": 44 - i for i in range(1, 13)}, "L1": 31, "L2": 30, "L3": 29}
FIRST_RIB = {"left": 92, "right": 104}
HEART, AORTA, TRACHEA, OESOPHAGUS, CORD, LIVER, STOMACH, SVC, STERNUM = 51, 52, 16, 15, 79, 5, 6, 62, 116
CLAVICLE = {"left": 73, "right": 74}
LOBES = {
    "upper lobe": {"left": (10,), "right": (12,)},
    "lower lobe": {"left": (11,), "right": (14,)},
    "middle lobe": {"left": (10,), "right": (13,)},
}


def find_landmarks(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """All landmarks of the prepared volume, float32 mm."""
    points = {}
    points.update(_midline(anatomy))
    points.update(_spine(anatomy))
    points.update(_bones(anatomy))
    for side in ("left", "right"):
        points.update(_lung_regions(anatomy, side, points))
    return {name: np.asarray(value, np.float32) for name, value in points.items()}


def _where(anatomy: Anatomy, mask: np.ndarray) -> np.ndarray:
    """Voxel centres of a mask as (x, y, z) mm, [n, 3]."""
    return (np.argwhere(mask)[:, ::-1] + 0.5) * anatomy.voxel_mm


def _midline(anatomy: Anatomy) -> dict[str, np.ndarray]:
    labels = anatomy.labels
    trachea, heart, aorta = (_where(anatomy, labels == i) for i in (TRACHEA, HEART, AORTA))
    carina = _carina(trachea)
    centre = heart.mean(0)
    # the descending aorta lies behind the heart's centre, the ascending one in front of the trachea
    heights = np.unique(aorta[:, 2])
    behind = aorta[aorta[:, 1] < trachea[:, 1].mean() - 8]
    descending = np.stack([behind[behind[:, 2] == z].mean(0) for z in heights if (behind[:, 2] == z).any()])
    arch = aorta[aorta[:, 2] > aorta[:, 2].max() - 22]
    front = aorta[(aorta[:, 1] > trachea[:, 1].mean() + 12) & (aorta[:, 2] > carina[2] - 45)]
    ascending = np.stack([front[front[:, 2] == z].mean(0) for z in np.unique(front[:, 2])])
    svc = _where(anatomy, labels == SVC)
    svc_path = np.stack([svc[svc[:, 2] == z].mean(0) for z in np.unique(svc[:, 2])])
    oesophagus = _where(anatomy, labels == OESOPHAGUS)
    liver = _where(anatomy, labels == LIVER)
    low_front = liver[(liver[:, 2] < np.quantile(liver[:, 2], 0.2)) & (liver[:, 1] > np.median(liver[:, 1]))]
    return {
        "carina": carina,
        "trachea": np.stack([trachea[trachea[:, 2] == z].mean(0) for z in np.unique(trachea[:, 2])]),
        "heart": centre,
        "heart_low": heart.min(0),
        "heart_high": heart.max(0),
        "heart_apex": heart[heart[:, 0] > np.quantile(heart[:, 0], 0.97)].mean(0),
        "aorta_descending": descending,
        "aorta_arch": arch.mean(0),
        "aorta_ascending": ascending,
        "aortic_knob": arch[arch[:, 0] > np.quantile(arch[:, 0], 0.9)].mean(0),
        "svc": svc_path,
        "hiatus": oesophagus[oesophagus[:, 2] < centre[2] - 20].mean(0)
        if (oesophagus[:, 2] < centre[2] - 20).any()
        else oesophagus[oesophagus[:, 2].argmin()],
        "gallbladder": low_front.mean(0),
        "stomach": _where(anatomy, labels == STOMACH).mean(0),
    }


def _carina(trachea: np.ndarray) -> np.ndarray:
    """Where the trachea forks: the highest section wider than 26 mm, centred as the sections above it."""
    heights = np.unique(trachea[:, 2])
    wide = [z for z in heights if np.ptp(trachea[trachea[:, 2] == z, 0]) > 26]
    fork = max(wide) if wide else heights[0]
    above = trachea[(trachea[:, 2] > fork) & (trachea[:, 2] < fork + 14)]
    return np.array([*above.mean(0)[:2], fork])


def _spine(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Vertebral bodies: centre [3] and half size [3]; the body is the part in front of the cord."""
    result = {}
    cord = _where(anatomy, anatomy.labels == CORD)
    for name, label in VERTEBRAE.items():
        vertebra = _where(anatomy, anatomy.labels == label)
        if len(vertebra) * anatomy.voxel_mm**3 < 500:  # mm3: cut off by the edge of the CT
            continue
        near = cord[np.abs(cord[:, 2] - vertebra[:, 2].mean()) < 12]
        edge = near[:, 1].max() if len(near) else np.quantile(vertebra[:, 1], 0.45)
        body = vertebra[vertebra[:, 1] > edge]
        if len(body) * anatomy.voxel_mm**3 < 250:
            continue
        result[f"body/{name}"] = body.mean(0)
        result[f"body_half/{name}"] = (np.quantile(body, 0.97, axis=0) - np.quantile(body, 0.03, axis=0)) / 2
    return result


def _bones(anatomy: Anatomy) -> dict[str, np.ndarray]:
    labels = anatomy.labels
    result = {"sternum": _thin(_where(anatomy, labels == STERNUM))}
    for side in ("left", "right"):
        for i in range(2, 11):
            rib = _where(anatomy, labels == FIRST_RIB[side] + i - 1)
            if len(rib):
                result[f"rib/{side}/{i}"] = _thin(rib)
        result[f"clavicle/{side}"] = _thin(_where(anatomy, labels == CLAVICLE[side]))
    return result


def _lung_regions(anatomy: Anatomy, side: str, points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Clouds of lung places by region, kept away from the pleura and from where nothing shows on the PA
    view."""
    lung = anatomy.lungs[side] > 0.5
    cloud = _where(anatomy, lung)
    thickness = lung.sum(1) * anatomy.voxel_mm  # [Z, X]: lung behind each PA pixel
    low, high = cloud.min(0), cloud.max(0)
    middle = cloud.mean(0)
    column = np.where(lung.any(0), lung.argmax(0) * anatomy.voxel_mm, np.nan)  # underside of the lung [Y, X]
    column[(anatomy.labels == HEART).any(0)] = np.nan  # above the heart is no diaphragm
    width = np.abs((np.arange(column.shape[1]) + 0.5) * anatomy.voxel_mm - points["carina"][0])
    dome, top = np.nanquantile(column[:, width > 50], [0.6, 0.95])
    top = min(top, dome + 20)  # fat beside the heart is not the dome
    sign = 1.0 if side == "left" else -1.0  # towards the side
    wall = low[0] if side == "right" else high[0]
    lateral = cloud[np.abs(cloud[:, 0] - wall) < 22]
    angle = lateral[lateral[:, 2] < np.quantile(lateral[:, 2], 0.04)].mean(0)
    index = (cloud / anatomy.voxel_mm).astype(int)
    depth = anatomy.depth_mm[tuple(index[:, ::-1].T)]
    visible = (thickness[index[:, 2], index[:, 0]] > 50) & (cloud[:, 2] > top) & (depth > 14)
    label = anatomy.labels[tuple(index[:, ::-1].T)]
    carina = points["carina"]
    out = np.abs(cloud[:, 0] - carina[0])  # distance from the midline
    beside_heart = 58 if side == "left" else 42
    regions = {
        "lung": visible,
        "apex": (cloud[:, 2] > high[2] - 48) & (depth > 5),
        "base": visible & (cloud[:, 2] < top + 34) & (out > beside_heart),
        "lingula": visible & (cloud[:, 1] > middle[1] + 5) & (np.abs(cloud[:, 2] - top - 22) < 24),
        "retrocardiac": (cloud[:, 1] < middle[1] - 5)
        & (out < 75)
        & (np.abs(cloud[:, 2] - top - 12) < 30)
        & (depth > 8),
    }
    for lobe, ids in LOBES.items():
        # the part that readers mean: the upper lobe also reaches far down in front, the lower one up behind
        height = {"upper lobe": cloud[:, 2] > carina[2] - 25, "lower lobe": cloud[:, 2] < carina[2]}
        regions[lobe] = visible & np.isin(label, ids[side]) & height.get(lobe, True)
    if side == "left":  # no middle lobe on the left: the lingula takes its place
        regions["middle lobe"] = regions["lingula"]
    result = {f"region/{side}/{name}": _thin(cloud[mask]) for name, mask in regions.items()}
    # the border of the mediastinum as the PA view shows it, at the height of the hilum and above
    level = thickness[int((carina[2] - 18) / anatomy.voxel_mm)]
    free = (np.flatnonzero(level > 60) + 0.5) * anatomy.voxel_mm
    border = free.min() if side == "left" else free.max()
    hilum = np.array([border + sign * 9, carina[1], carina[2] - 16])
    result |= {
        f"hilum/{side}": hilum,
        f"dome/{side}": np.array([middle[0], middle[1], dome]),
        f"angle/{side}": angle,
        f"apex/{side}": np.array([middle[0], middle[1], high[2]]),
        f"lung_low/{side}": low,
        f"lung_high/{side}": high,
    }
    return result


def _thin(cloud: np.ndarray, n: int = CLOUD) -> np.ndarray:
    """At most n points, evenly taken: deterministic."""
    return cloud if len(cloud) <= n else cloud[np.linspace(0, len(cloud) - 1, n).astype(int)]
