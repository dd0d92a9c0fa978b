"""The prepared chest: one volume of attenuation with its labels, lungs and landmarks.

Axes are [z, y, x]: z from feet to head, y from back to front, x from the patient's right to left.
Positions are (x, y, z) in mm from the corner of the volume.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy import ndimage

BONE_LABELS = (*range(25, 51), *range(69, 79), 91, *range(92, 117), 118)


@dataclass
class Anatomy:
    """The prepared volume; all arrays are [Z, Y, X] on cubes of `voxel_mm`."""

    voxel_mm: float
    attenuation: np.ndarray  # float32, water = 1, air = 0, cortical bone about 2-3
    labels: np.ndarray  # uint8, TotalSegmentator structure ids
    lungs: dict[str, np.ndarray]  # "left"/"right" -> float32 0..1, soft-edged
    depth_mm: np.ndarray  # float32, inside the lungs: distance from the chest wall
    vessels: np.ndarray  # float32, lung vessels above their surroundings (water = 1)
    cavity: np.ndarray  # float32 0..1, interior of rib cage and abdomen: what moves when breathing
    points: dict[str, np.ndarray] = field(default_factory=dict)  # landmarks in mm, see `landmarks.py`
    _noise: dict[float, np.ndarray] = field(default_factory=dict, repr=False)  # textures made so far

    def noise(self, scale_mm: float, voxels: int = 80) -> np.ndarray:
        """Periodic smooth noise [voxels]*3, mean 0, standard deviation 1; always the same for a scale."""
        key = round(scale_mm / self.voxel_mm, 1)
        if key not in self._noise:
            white = np.random.default_rng(20240607).standard_normal((voxels,) * 3, dtype=np.float32)
            smooth = ndimage.gaussian_filter(white, max(0.4, key / 2), mode="wrap")
            self._noise[key] = smooth / smooth.std()
        return self._noise[key]

    @cached_property
    def skin_mm(self) -> np.ndarray:
        """float32 [Z, X]: how far forward the body reaches, 0 where there is none."""
        solid = self.attenuation[:, ::-1] > 0.5
        return np.where(solid.any(1), self.shape[1] - solid.argmax(1), 0).astype(np.float32) * self.voxel_mm

    @cached_property
    def mineral(self) -> np.ndarray:
        """float32 [Z, Y, X]: the bones' attenuation above soft tissue."""
        bone = np.isin(self.labels, BONE_LABELS)
        return np.where(bone, np.clip(self.attenuation - 1.05, 0, None), 0).astype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.attenuation.shape


def write_anatomy(anatomy: Anatomy, file: BinaryIO) -> None:
    """Write as .npz, what needs no more precision in half."""
    arrays = {
        "attenuation": anatomy.attenuation,
        "labels": anatomy.labels,
        "left": anatomy.lungs["left"],
        "right": anatomy.lungs["right"],
        "depth": anatomy.depth_mm,
        "vessels": anatomy.vessels,
        "cavity": anatomy.cavity,
        "voxel_mm": np.array(anatomy.voxel_mm),
    }
    half = {"left", "right", "depth", "vessels", "cavity"}
    arrays = {k: v.astype(np.float16) if k in half else v for k, v in arrays.items()}
    np.savez(file, **arrays, **{f"point/{k}": v for k, v in anatomy.points.items()})


def read_anatomy(path: Path) -> Anatomy:
    """Inverse of `write_anatomy`. A damaged file raises OSError, ValueError, KeyError, EOFError or
    BadZipFile."""
    with np.load(path) as data:
        single = {
            k: data[k].astype(np.float32)
            for k in ("attenuation", "left", "right", "depth", "vessels", "cavity")
        }
        return Anatomy(
            float(data["voxel_mm"]),
            single["attenuation"],
            data["labels"],
            {"left": single["left"], "right": single["right"]},
            single["depth"],
            single["vessels"],
            single["cavity"],
            {k[6:]: data[k] for k in data.files if k.startswith("point/")},
        )
