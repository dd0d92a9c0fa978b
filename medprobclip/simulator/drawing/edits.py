"""Drawing in the prepared chest: soft-edged changes of attenuation, each recorded as it is made.

Lengths are mm, attenuation is relative to water (lung 0.2, water 1, cortical bone 2-3, metal about 20).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from medprobclip.simulator.chest.anatomy import Anatomy
from medprobclip.simulator.chest.deformation import Shape

MARKED_SHARE = (
    0.3  # a voxel belongs to a finding where it changed by at least this share of the largest change
)
NOISE_VOXELS = 80  # period of the texture


@dataclass
class Mark:
    """One change: of attenuation (`where`, `delta`), of shape (`change`) or of the film (`film`)."""

    points: np.ndarray | None = None  # [n, 3] mm, a sample of what changed; None: not worth pointing at
    attenuation: float = 0.0  # largest change in magnitude, signed (water = 1); 0 for changes of shape
    where: tuple[slice, slice, slice] | None = None  # [Z, Y, X]
    delta: np.ndarray | None = None  # added to the volume there
    change: dict = field(default_factory=dict)  # arguments of `Shape.plus`
    film: dict[str, float] = field(default_factory=dict)  # technical faults: arguments of `develop`


@dataclass
class Canvas:
    """A patient in the making: attenuation, shape, and the marks of everything drawn so far."""

    anatomy: Anatomy
    patient: Shape  # before any finding
    volume: np.ndarray  # [Z, Y, X], changed in place
    marks: list[Mark] = field(default_factory=list)

    # -- what the marks add up to --
    @property
    def shape(self) -> Shape:
        return self.shape_without([])

    @property
    def film(self) -> dict[str, float]:
        return self.film_without([])

    def shape_without(self, marks: Sequence[Mark]) -> Shape:
        """The patient's shape had these marks not been made."""
        shape = self.patient
        for mark in self._but(marks):
            if mark.change:
                shape = shape.plus(**mark.change)
        return shape

    def film_without(self, marks: Sequence[Mark]) -> dict[str, float]:
        """The film's faults had these marks not been made; of two faults of a kind the later one counts."""
        return {key: value for mark in self._but(marks) for key, value in mark.film.items()}

    def part_without(self, marks: Sequence[Mark], align: int = 1) -> tuple[tuple[slice, ...], np.ndarray]:
        """The attenuation had these marks not been made, in a box around them (at least a block).

        Returns:
            the box, its corners at multiples of `align` voxels (or at the far edge), and the values in it.
        """
        edits = [mark for mark in marks if mark.delta is not None]
        starts = [min((mark.where[axis].start for mark in edits), default=0) for axis in range(3)]
        stops = [max((mark.where[axis].stop for mark in edits), default=1) for axis in range(3)]
        box = tuple(
            slice(a // align * align, -(-b // align) * align) for a, b in zip(starts, stops, strict=True)
        )
        part = self.volume[box].copy()
        for mark in edits:
            inner = tuple(
                slice(w.start - b.start, w.stop - b.start) for w, b in zip(mark.where, box, strict=True)
            )
            part[inner] = np.maximum(part[inner] - mark.delta, 0)
        return box, part

    def _but(self, marks: Sequence[Mark]) -> list[Mark]:
        leave = {id(mark) for mark in marks}
        return [mark for mark in self.marks if id(mark) not in leave]

    # -- where --
    def box(self, low, high) -> tuple[tuple[slice, slice, slice], tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Voxels between two corners (x, y, z): slices [Z, Y, X] and the open grids x, y, z in mm."""
        v = self.anatomy.voxel_mm
        start = [
            int(np.clip(np.floor(c / v), 0, n - 1)) for c, n in zip(low, self.volume.shape[::-1], strict=True)
        ]
        stop = [
            int(np.clip(np.ceil(c / v), s + 1, n))
            for c, s, n in zip(high, start, self.volume.shape[::-1], strict=True)
        ]
        x, y, z = ((np.arange(a, b, dtype=np.float32) + 0.5) * v for a, b in zip(start, stop, strict=True))
        where = tuple(slice(a, b) for a, b in zip(start[::-1], stop[::-1], strict=True))
        return where, (x[None, None, :], y[None, :, None], z[:, None, None])

    def around(self, centre, half):
        return self.box(np.asarray(centre) - half, np.asarray(centre) + half)

    def under_skin(self, x: float, z: float, depth: float) -> np.ndarray:
        """The point [3] this deep below the skin of the front."""
        v = self.anatomy.voxel_mm
        column = self.anatomy.attenuation[int(z / v), :, int(x / v)]
        return np.array([x, (np.flatnonzero(column > 0.5).max() + 1) * v - depth, z])

    def lung(self, where, side: str | None = None) -> np.ndarray:
        """Soft lung mask of one side, or of both."""
        lungs = self.anatomy.lungs
        return lungs[side][where] if side else lungs["left"][where] + lungs["right"][where]

    def texture(self, where, scale_mm: float, rng: np.random.Generator) -> np.ndarray:
        """A random patch of smooth noise, mean 0, standard deviation 1."""
        noise = self.anatomy.noise(scale_mm)
        return noise[
            np.ix_(
                *(
                    (np.arange(s.start, s.stop) + int(rng.integers(NOISE_VOXELS))) % NOISE_VOXELS
                    for s in where
                )
            )
        ]

    # -- change --
    def blend(self, where, weight: np.ndarray, target: float) -> None:
        """Move the attenuation towards a target where the weight (0..1) says so."""
        self.add(where, weight * (target - self.volume[where]))

    def fill(self, where, weight: np.ndarray, target: float) -> None:
        """Like `blend`, but never makes anything thinner."""
        self.add(where, weight * np.maximum(target - self.volume[where], 0))

    def add(self, where, delta: np.ndarray, point: bool = True) -> None:
        """Add a change of attenuation (no voxel goes below air) and mark it.

        `point=False`: what goes along with a finding (haze, pressed lung) and does not say where it is.
        """
        part = self.volume[where]
        delta = np.maximum(delta, -part).astype(np.float32)
        part += delta
        size = np.abs(delta)
        top = float(size.max(initial=0))
        if top < 1e-3:
            return
        if not point:
            self.marks.append(Mark(where=where, delta=delta))
            return
        at = np.argwhere(size > MARKED_SHARE * top)
        at = at[:: max(1, len(at) // 400)]
        corner = np.array([s.start for s in where])
        points = ((at + corner)[:, ::-1] + 0.5) * self.anatomy.voxel_mm
        extreme = delta.reshape(-1)[size.argmax()]
        self.marks.append(Mark(points.astype(np.float32), float(extreme), where, delta))

    def reshape(self, low, high, **change) -> None:
        """Change the shape (see `Shape.plus`); the mark is the box where it shows."""
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1).reshape(-1, 3)
        self.marks.append(Mark(corners.astype(np.float32), change=change))

    def bend(self, **change) -> None:
        """A change of shape that goes along with a finding and does not say where it is."""
        self.marks.append(Mark(change=change))

    def fault(self, **film) -> None:
        """A technical fault: arguments of `develop`."""
        self.marks.append(Mark(film=film))

    # -- forms --
    def ball(
        self,
        centre,
        radius,
        target: float,
        edge: float = 0.18,
        side: str | None = None,
        in_lung: bool = True,
        ragged: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        """An ellipsoid with a soft edge (share of the radius), raised towards `target`."""
        radius = np.broadcast_to(np.asarray(radius, float), 3)
        where, (x, y, z) = self.around(
            centre, radius * (1.35 + 3 * edge * (edge > 0.2)) + 2 * self.anatomy.voxel_mm
        )
        q = np.sqrt(sum(((c - m) / r) ** 2 for c, m, r in zip((x, y, z), centre, radius, strict=True)))
        if ragged:
            q = q + ragged * self.texture(where, float(radius.mean()) * 0.45, rng)
        soft = max(edge, 0.35 * self.anatomy.voxel_mm / float(radius.min()))
        weight = 1 / (1 + np.exp(np.clip((q - 1) / soft * 2.2, -30, 30)))
        if in_lung:
            weight = weight * np.clip(self.lung(where, side), 0, 1)
        self.fill(where, weight.astype(np.float32), target)

    def cloud(
        self,
        centre,
        radius,
        density: float,
        rng: np.random.Generator,
        grain_mm: float = 9.0,
        grain: float = 0.5,
        side: str | None = None,
    ) -> None:
        """An airspace opacity: fading edge, uneven inside, only where there is lung."""
        radius = np.broadcast_to(np.asarray(radius, float), 3)
        where, (x, y, z) = self.around(centre, radius * 1.5)
        q = sum(((c - m) / r) ** 2 for c, m, r in zip((x, y, z), centre, radius, strict=True))
        field_ = 1.15 - q + grain * self.texture(where, grain_mm, rng)
        weight = density / (1 + np.exp(-np.clip(field_ * 4, -30, 30)))
        weight = weight * np.clip(1.5 - 0.6 * q, 0, 1) * np.clip(self.lung(where, side), 0, 1)
        self.fill(where, weight.astype(np.float32), 1.0)

    def slab(
        self,
        centre,
        normal,
        half_length,
        half_width,
        thickness,
        target: float,
        rng: np.random.Generator,
        bend: float = 0.0,
    ) -> None:
        """A plate in the lung (plate atelectasis, scar): thin along `normal`, rounded outline, slightly
        bent."""
        normal = np.asarray(normal, float) / np.linalg.norm(normal)
        along = np.cross(normal, [0.0, 1.0, 0.0])
        along /= np.linalg.norm(along)
        across = np.cross(normal, along)
        where, (x, y, z) = self.around(centre, max(half_length, half_width) + 4)
        d = (x - centre[0], y - centre[1], z - centre[2])
        a, b, n = (sum(c * e for c, e in zip(d, axis, strict=True)) for axis in (along, across, normal))
        a, b = a / half_length, b / half_width
        n = n - bend * (1 - a * a) - 1.2 * self.texture(where, 14.0, rng)
        half = max(thickness / 2, 0.5 * self.anatomy.voxel_mm)
        scale = min(1.0, thickness / (2 * half))  # thinner than a voxel: same amount of tissue
        weight = np.exp(-((n / half) ** 2)) * np.clip(2.5 * (1 - np.sqrt(a * a + b * b)), 0, 1) * scale
        self.fill(where, (weight * np.clip(self.lung(where), 0, 1)).astype(np.float32), target)

    def wire(self, path: np.ndarray, section_mm2: float) -> None:
        """A thin dense line along points [n, 3]: `section_mm2` is cross-section times attenuation above
        water."""
        v = self.anatomy.voxel_mm
        path = np.asarray(path, float)
        length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
        steps = np.arange(0, length[-1], v / 2)
        dots = np.stack([np.interp(steps, length, path[:, i]) for i in range(3)], 1)
        where, _ = self.box(dots.min(0) - 2 * v, dots.max(0) + 2 * v)
        delta = np.zeros([s.stop - s.start for s in where], np.float32)
        at = dots[:, ::-1] / v - 0.5 - np.array([s.start for s in where])
        keep = ((at >= 0) & (at < np.array(delta.shape) - 1)).all(1)
        at = at[keep]
        low = at.astype(int)
        part = at - low
        amount = section_mm2 * (v / 2) / v**3
        for corner in np.ndindex(2, 2, 2):
            share = np.prod(np.where(corner, part, 1 - part), axis=1)
            np.add.at(delta, tuple((low + corner).T), (amount * share).astype(np.float32))
        self.add(where, delta)

    def tube(
        self, path: np.ndarray, radius, target: float, in_lung: bool = True, edge_mm: float = 1.0
    ) -> None:
        """A thick soft-tissue tube around points [n, 3]; radius is a number or one per point."""
        path = np.asarray(path, float)
        radii = np.broadcast_to(np.asarray(radius, float), len(path))
        where, (x, y, z) = self.box((path - radii[:, None]).min(0) - 4, (path + radii[:, None]).max(0) + 4)
        inside = np.full([s.stop - s.start for s in where], -9.0, np.float32)
        for point, r in zip(path, radii, strict=True):
            zs = np.abs(z[:, 0, 0] - point[2]) < r + 4
            distance = np.sqrt((x - point[0]) ** 2 + (y - point[1]) ** 2 + (z[zs] - point[2]) ** 2)
            inside[zs] = np.maximum(inside[zs], r - distance)
        soft = max(edge_mm, 0.5 * self.anatomy.voxel_mm)
        weight = 1 / (1 + np.exp(np.clip(-inside / soft, -30, 30)))
        if in_lung:
            weight = weight * np.clip(self.lung(where), 0, 1)
        self.fill(where, weight, target)

    def smooth(self, values: np.ndarray, mm: float) -> np.ndarray:
        return ndimage.gaussian_filter(values, mm / self.anatomy.voxel_mm)
