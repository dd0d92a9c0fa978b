"""One patient's shape: a smooth, invertible map from the radiograph's space back to the prepared chest.

The map is written as two planar steps, because planar resampling is eight times faster than 3-D
resampling: first (x, z) at each depth y (size, roll, tilt, breathing), then (x, y) at each height z
(depth, rotation, habitus, heart, spine). Findings that are changes of shape (cardiomegaly, a raised
diaphragm, scoliosis) are more of the same numbers. Positions are mm: x from the patient's right to left,
y from back to front, z upwards.
"""

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from medprobclip.simulator.chest.anatomy import Anatomy

FRAME_MM = 320.0  # edge of the square radiograph; the lungs are about 250 wide and 260 high
FRAME_TOP_MM = 334.0  # height of the frame's upper edge in the volume: 23 mm above the higher apex
NODE_MM = 14.0  # spacing of the coarse grid on which the map is computed
CAVITY_STEP_MM = 10.0  # the breathing weights are smooth over about 20 mm


@dataclass(frozen=True)
class Bump:
    """A local displacement: `amount` mm along one axis with a Gaussian profile."""

    axis: str  # "x", "y" or "z": content moves this way (x to the patient's left, y forward, z up)
    amount: float
    centre: tuple[float, float, float]
    sigma: tuple[float, float, float]


@dataclass(frozen=True)
class Shape:
    """A patient's shape; the defaults leave the prepared chest as it is."""

    size: tuple[float, float, float] = (1.0, 1.0, 1.0)  # x, y, z
    habitus: float = 0.0  # thickness of the chest wall: 0.3 = 30 % more
    roll_deg: float = 0.0  # in the plane of the PA film
    rotation_deg: float = 0.0  # about the long axis: obliquity
    tilt: float = 0.0  # mm upwards per mm forward
    shift: tuple[float, float] = (0.0, 0.0)  # x, z: centring on the film
    dome_mm: tuple[float, float] = (0.0, 0.0)  # right, left: how far the diaphragm stands higher
    heart: float = 1.0  # transverse size of the heart
    bumps: tuple[Bump, ...] = ()
    local: np.ndarray | None = field(
        default=None, compare=False
    )  # [3, 5, 5, 5] smooth random displacement, mm

    def plus(
        self,
        *,
        dome_mm=(0.0, 0.0),
        heart=1.0,
        size=(1.0, 1.0, 1.0),
        rotation_deg=0.0,
        roll_deg=0.0,
        shift=(0.0, 0.0),
        bumps=(),
    ) -> "Shape":
        """This shape with a finding's change added."""
        return replace(
            self,
            dome_mm=tuple(a + b for a, b in zip(self.dome_mm, dome_mm, strict=True)),
            heart=self.heart * heart,
            size=tuple(a * b for a, b in zip(self.size, size, strict=True)),
            rotation_deg=self.rotation_deg + rotation_deg,
            roll_deg=self.roll_deg + roll_deg,
            shift=tuple(a + b for a, b in zip(self.shift, shift, strict=True)),
            bumps=self.bumps + tuple(bumps),
        )


class Deformation:
    """A `Shape` applied to an `Anatomy`."""

    def __init__(self, anatomy: Anatomy, shape: Shape, size_px: int):
        self.anatomy, self.shape, self.size_px = anatomy, shape, size_px
        self.pixel_mm = FRAME_MM / size_px
        nz, ny, nx = anatomy.shape
        self.extent = np.array([nx, ny, nz]) * anatomy.voxel_mm  # x, y, z
        self.middle_x = self.extent[0] / 2
        self.centre_y = 152.0  # depth about which the chest turns: between heart and spine
        self.centre_z = FRAME_TOP_MM - FRAME_MM / 2
        step = max(1, round(CAVITY_STEP_MM / anatomy.voxel_mm))
        self._cavity, self._cavity_mm = anatomy.cavity[::step, ::step, ::step], step * anatomy.voxel_mm
        self._dome_z = anatomy.points["dome/right"][2], anatomy.points["dome/left"][2]

    # -- the map, output -> source --
    def first(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step (x, z) at depth y: position on the film (mm in the volume's frame) -> intermediate x, source
        z."""
        s = self.shape
        turn = np.deg2rad(s.roll_deg)
        u, v = x - self.middle_x - s.shift[0], z - self.centre_z - s.shift[1]
        x1 = self.middle_x + (np.cos(turn) * u + np.sin(turn) * v) / s.size[0]
        above = FRAME_TOP_MM - self.centre_z  # of whatever size, the apices are centred below the upper edge
        z1 = self.centre_z + above + (np.cos(turn) * v - np.sin(turn) * u - above) / s.size[2]
        z1 = z1 - s.tilt * (y - self.centre_y)
        moved = self._local(2, x, y, z) + self._bumps("z", x1, y, z1)
        if any(s.dome_mm):
            left = 1 / (1 + np.exp(-(x1 - self.middle_x) / 9.0))
            rise = s.dome_mm[0] * (1 - left) * _profile(z1, self._dome_z[0]) + s.dome_mm[1] * left * _profile(
                z1, self._dome_z[1]
            )
            moved = moved + rise * self._inside(x1, y, z1)
        return x1, z1 - moved

    def second(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step (x, y) at source height z: intermediate position -> source x, y."""
        s = self.shape
        turn = np.deg2rad(s.rotation_deg)
        u, v = x - self.middle_x, (y - self.centre_y) / s.size[1]
        u, v = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
        if s.habitus:  # beyond the rib cage, distances from the middle are stretched
            radius = np.hypot(u / 132.0, v / 98.0)
            stretched = 1 + np.maximum(radius - 1, 0) / (1 + s.habitus)
            scale = np.where(radius > 1, stretched / np.maximum(radius, 1e-6), 1.0)
            u, v = u * scale, v * scale
        x2, y2 = self.middle_x + u, self.centre_y + v
        local_x, local_y = self._local(0, x, y, z), self._local(1, x, y, z)
        if s.heart != 1:
            x2, y2 = self._heart(x2, y2, z)
        return (x2 - local_x - self._bumps("x", x2, y2, z), y2 - local_y - self._bumps("y", x2, y2, z))

    def to_source(self, points: np.ndarray) -> np.ndarray:
        """Film-space points [n, 3] (x, y, z mm) -> points in the prepared chest."""
        x, y, z = np.asarray(points, float).T
        x1, z1 = self.first(x, y, z)
        x2, y2 = self.second(x1, y, z1)
        return np.stack([x2, y2, z1], 1)

    def to_film(self, points: np.ndarray, steps: int = 10) -> np.ndarray:
        """The inverse, by damped fixed-point iteration: where points of the prepared chest end up."""
        target = np.asarray(points, float)
        current = target.copy()
        for _ in range(steps):
            current = current + 0.7 * (target - self.to_source(current))
        return current

    # -- resampling --
    def apply(self, volumes: np.ndarray, size_px: int | None = None) -> np.ndarray:
        """Deform volumes [C, Z, Y, X] covering the same extent -> [C, Y, S, S]: depth, height (upwards),
        width. Several cost much less than as many calls."""
        size = size_px or self.size_px
        _, nz, ny, nx = volumes.shape
        span = self.extent
        source = torch.from_numpy(np.ascontiguousarray(volumes, np.float32)).transpose(0, 1)
        node_x, node_y, node_z = (np.linspace(0, 1, max(3, round(e / NODE_MM) + 1)) for e in span)
        # second step: voxel centres of the volume's own x, y, z
        x, y, z = (
            _nodes(n, m, e) for n, m, e in zip((node_x, node_y, node_z), (nx, ny, nz), span, strict=True)
        )
        x2, y2 = self.second(x[None, None, :], y[None, :, None], z[:, None, None])
        grid = _dense(_unit(x2, span[0]), _unit(y2, span[1]), nz, ny, nx)
        planes = F.grid_sample(source, grid, padding_mode="border", align_corners=False)
        # first step: pixel centres of the film
        low_x, low_z = self.middle_x - FRAME_MM / 2, FRAME_TOP_MM - FRAME_MM
        fx = low_x + _nodes(node_x, size, FRAME_MM)
        fz = low_z + _nodes(node_z, size, FRAME_MM)
        x1, z1 = self.first(fx[None, None, :], y[:, None, None], fz[None, :, None])
        grid = _dense(_unit(x1, span[0]), _unit(z1, span[2]), ny, size, size)
        planes = planes.permute(2, 1, 0, 3).contiguous()  # [Y, C, Z, X]
        # beyond the CT's first and last section the body is continued by its mirror image
        out = F.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
        return out.transpose(0, 1).numpy()

    # -- pieces --
    def _inside(self, x, y, z):
        index = np.stack(
            [np.broadcast_to(c, np.broadcast_shapes(x.shape, y.shape, z.shape)) for c in (z, y, x)]
        )
        return ndimage.map_coordinates(
            self._cavity,
            index / self._cavity_mm - 0.5 / (self._cavity_mm / self.anatomy.voxel_mm),
            order=1,
            mode="nearest",
        )

    def _local(self, axis, x, y, z):
        """Smooth random displacement along an axis: cubic B-splines on 5 x 5 x 5 knots."""
        if self.shape.local is None:
            return 0.0
        along_x, along_y, along_z = (_spline(c / e * 4) for c, e in zip((x, y, z), self.extent, strict=True))
        rows = np.tensordot(self.shape.local[axis], along_x, axes=1)  # [5, 5, *x.shape]; cheap on open grids
        return np.einsum("k...,k...->...", along_z, np.einsum("kj...,j...->k...", rows, along_y))

    def _bumps(self, axis, x, y, z):
        total = 0.0
        for bump in self.shape.bumps:
            if bump.axis == axis:
                q = sum(
                    ((c - m) / w) ** 2 for c, m, w in zip((x, y, z), bump.centre, bump.sigma, strict=True)
                )
                total = total + bump.amount * np.exp(-0.5 * q)
        return total

    def _heart(self, x, y, z):
        """Radial growth about a point at the heart's right front border: it grows to the left and to the
        back."""
        points = self.anatomy.points
        low, high = points["heart_low"], points["heart_high"]
        centre = points["heart"]
        about = centre + np.array([-0.18 * (high[0] - low[0]), 0.12 * (high[1] - low[1]), 0])
        u, v = x - about[0], y - about[1]
        height = np.exp(-0.5 * ((z - centre[2] + 8) / (0.36 * (high[2] - low[2]))) ** 2)
        reach = np.hypot(u / 1.25, v)
        fade = np.clip((reach - 62.0) / 45.0, 0, 1)  # 1 within the heart, 0 at the chest wall
        factor = 1 + (1 / self.shape.heart - 1) * height * (1 - fade * fade * (3 - 2 * fade))
        return about[0] + u * factor, about[1] + v * (1 + (factor - 1) * 0.6)


def _spline(t: np.ndarray) -> np.ndarray:
    """Weights [5, *t.shape] of five knots at 0..4 for positions t: cubic B-spline."""
    d = np.abs(t - np.arange(5.0).reshape((5,) + (1,) * np.ndim(t)))
    tail = np.maximum(2 - d, 0)
    return np.where(d < 1, 2 / 3 - d * d * (1 - d / 2), tail * tail * tail / 6)


def _profile(z: np.ndarray, dome: float) -> np.ndarray:
    """1 at the dome, 0 from 120 mm above and 110 mm below."""
    t = np.clip((z - dome) / 120.0, 0, 1) + np.clip((dome - z) / 110.0, 0, 1)
    return 1 - t * t * (3 - 2 * t)


def _nodes(unit: np.ndarray, n: int, extent: float) -> np.ndarray:
    """Node positions in mm, the first and last on the first and last of n cell centres."""
    cell = extent / n
    return cell / 2 + unit * (extent - cell)


def _unit(position: np.ndarray, extent: float) -> np.ndarray:
    """mm -> grid_sample's -1..1 with align_corners=False (the volume's outer faces)."""
    return position / extent * 2 - 1


def _dense(u: np.ndarray, v: np.ndarray, batch: int, height: int, width: int) -> torch.Tensor:
    """Coarse sampling positions [b, h, w] -> [batch, height, width, 2], linear in between."""
    coarse = np.stack(np.broadcast_arrays(u, v), 1).astype(np.float32)  # [b, 2, h, w]
    along, down, across = (
        torch.from_numpy(_linear(n, m))
        for n, m in zip((batch, height, width), np.array(coarse.shape)[[0, 2, 3]], strict=True)
    )
    planes = torch.tensordot(along, torch.from_numpy(coarse), dims=1)  # [batch, 2, h, w]
    return (down @ (planes @ across.T)).permute(0, 2, 3, 1)  # three times as fast as F.interpolate


@cache
def _linear(n: int, nodes: int) -> np.ndarray:
    """Weights [n, nodes] of linear interpolation at n even steps from the first to the last node."""
    at = np.linspace(0, nodes - 1, n)
    lower = np.minimum(at.astype(int), nodes - 2)
    weights = np.zeros((n, nodes), np.float32)
    weights[np.arange(n), lower], weights[np.arange(n), lower + 1] = 1 - (at - lower), at - lower
    return weights
