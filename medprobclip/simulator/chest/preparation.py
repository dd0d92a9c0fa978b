"""The labelled chest CT, prepared once as the volume that every simulated patient starts from.

Prepared means: table removed, contrast agent taken out, HU turned into attenuation, breathed in (the CT
was taken lying and half inspired, a radiograph is taken standing and fully inspired), and resampled to
cubes. Axes are [z, y, x]: z from feet to head, y from back to front, x from the patient's right to left.
Positions are (x, y, z) in mm from the corner of the volume.
"""

import csv
import zipfile

import nibabel
import numpy as np
from scipy import ndimage

from medprobclip.data.assets import cache_folder, fetch
from medprobclip.simulator.chest.anatomy import BONE_LABELS, Anatomy, read_anatomy, write_anatomy
from medprobclip.simulator.chest.landmarks import find_landmarks
from medprobclip.support.files import replaced_file

PREPARATION_VERSION = 8  # raise when the prepared volume changes: old caches and pictures are then rebuilt
ORIGIN_MM = (
    9.0,
    25.0,
    0.0,
)  # corner of the working volume in the CT (x, y, z): leaves out table and empty air
EXTENT_MM = (342.0, 302.0, 332.0)  # its size (x, y, z); the CT is 360 x 360 x 332.5
EDGE_MM = 12.0  # at the left and right edge of the CT
INSPIRATION_MM = 34.0  # how far the domes descend from the lying half inspiration of the CT
BONE_FACTOR = (
    1.7  # bone attenuates more at radiographic (~60 keV) than at CT energies; also sets rib contrast
)
VESSEL_GAIN = 0.8  # gives back to lung vessels what 2.5 mm thick sections have smeared
SOFT_TISSUE_HU = 45.0  # enhanced blood and organs are set back to this
LUNG_LABELS = {"left": (10, 11), "right": (12, 13, 14)}


def load_anatomy(voxel_mm: float) -> Anatomy:
    """The prepared volume at this voxel size, from the user's cache or built once (about 15 s).

    Raises:
        AssetError: the CT cannot be fetched.
    """
    path = cache_folder() / "anatomy" / f"chest_v{PREPARATION_VERSION}_{voxel_mm:.3f}mm.npz"
    if path.is_file():
        try:
            return read_anatomy(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            path.unlink()  # damaged: build again
    anatomy = prepare_anatomy(voxel_mm)
    with replaced_file(path) as temporary, temporary.open("wb") as file:
        write_anatomy(anatomy, file)
    for old in path.parent.glob("chest_v*.npz"):  # up to 160 MB each
        if not old.name.startswith(f"chest_v{PREPARATION_VERSION}_"):
            old.unlink(missing_ok=True)
    return read_anatomy(path)  # as every later call gives it: some arrays are kept in half precision


def prepare_anatomy(voxel_mm: float) -> Anatomy:
    """Build the working volume from the CT and its labels."""
    hounsfield, labels, spacing = _read_ct()
    attenuation = np.where(_body(hounsfield), _attenuation(_without_contrast(hounsfield, labels)), 0.0)
    attenuation = attenuation.astype(np.float32)
    del hounsfield
    # anti-aliasing: what a voxel of the new size averages over
    attenuation = ndimage.gaussian_filter(attenuation, [0.35 * max(voxel_mm / s - 0.7, 0.0) for s in spacing])

    axes = [np.arange(round(e / voxel_mm)) * voxel_mm + voxel_mm / 2 for e in reversed(EXTENT_MM)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)  # z, y, x in mm
    source = grid + np.array(ORIGIN_MM[::-1], np.float32)[:, None, None, None]
    index = source / np.array(spacing, np.float32)[:, None, None, None]
    lying = ndimage.map_coordinates(labels, index, order=0, mode="nearest")
    cavity = _cavity(lying, voxel_mm)
    index[0] += (
        INSPIRATION_MM * cavity * _breathing_profile(grid[0], _dome_height(lying, voxel_mm)) / spacing[0]
    )
    standing = ndimage.map_coordinates(labels, index, order=0, mode="nearest")
    attenuation = ndimage.map_coordinates(attenuation, index, order=1, mode="nearest")
    # the CT cuts the arms off: they fade out, so that a small patient is not continued to the film's edge
    edge = np.minimum(axes[2], EXTENT_MM[0] - axes[2]) / EDGE_MM
    attenuation *= np.clip(edge, 0, 1).astype(np.float32) ** 2 * (3 - 2 * np.clip(edge, 0, 1))

    lungs = {
        side: ndimage.gaussian_filter(np.isin(standing, ids).astype(np.float32), 0.5)
        for side, ids in LUNG_LABELS.items()
    }
    lung = lungs["left"] + lungs["right"] > 0.5
    outside = ndimage.binary_dilation(lung, iterations=1) & ~lung & ~_not_chest_wall(standing, voxel_mm)
    depth = ndimage.distance_transform_edt(~outside, sampling=voxel_mm).astype(np.float32) * lung
    filled = np.where(lung, attenuation, 0)
    mean = ndimage.gaussian_filter(filled, 10 / voxel_mm) / np.maximum(
        ndimage.gaussian_filter(lung.astype(np.float32), 10 / voxel_mm), 0.05
    )
    inner = ndimage.binary_erosion(lung, iterations=max(1, round(2.5 / voxel_mm)))
    vessels = np.clip(attenuation - mean - 0.03, 0, 0.4) * inner
    attenuation = attenuation + VESSEL_GAIN * vessels
    anatomy = Anatomy(
        voxel_mm,
        attenuation.astype(np.float32),
        standing.astype(np.uint8),
        lungs,
        depth,
        vessels.astype(np.float32),
        _cavity(standing, voxel_mm),
    )
    anatomy.points = find_landmarks(anatomy)
    return anatomy


def label_names() -> dict[int, str]:
    """Structure id -> name of the CT's labels."""
    with fetch("ct_label_names").open() as file:
        return {int(row["id"]): row["structure"] for row in csv.DictReader(file)}


def _read_ct() -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """HU and labels as [z, y, x], x from the patient's right to left, and the voxel spacing in mm (z, y,
    x)."""
    volume = nibabel.load(fetch("ct_volume"))
    mask = nibabel.load(fetch("ct_labels"))
    # LAS: x grows towards the patient's left, y to the front, z to the head
    turn = nibabel.orientations.axcodes2ornt(("L", "A", "S"))
    arrays = []
    for image in (volume, mask):
        image = image.as_reoriented(
            nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), turn)
        )
        arrays.append(np.ascontiguousarray(np.asarray(image.dataobj).transpose(2, 1, 0)))
    spacing = tuple(float(s) for s in volume.header.get_zooms()[::-1])
    return arrays[0].astype(np.float32), arrays[1].astype(np.uint8), spacing


def _body(hounsfield: np.ndarray) -> np.ndarray:
    """The patient without table, mattress and lines on the skin: largest piece after opening, holes
    filled."""
    cross = ndimage.generate_binary_structure(2, 1)[None]
    solid = ndimage.binary_opening(hounsfield > -350, cross, iterations=4)
    pieces, n = ndimage.label(solid)
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)[1:]
    body = pieces == 1 + int(sizes.argmax())
    body = np.stack([ndimage.binary_fill_holes(section) for section in body])
    return ndimage.binary_dilation(body, cross, iterations=1)


def _without_contrast(hounsfield: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Blood and organs without contrast agent; bone is left alone."""
    bone = np.isin(labels, BONE_LABELS)
    near_bone = ndimage.binary_dilation(bone, iterations=3)
    lung = (labels >= 10) & (labels <= 14)
    organ = (labels > 0) & ~bone & ~lung & (labels != 16)
    bright_fluid = (labels == 0) & ~near_bone & (hounsfield > 120)
    # undiluted agent in the arm vein: brighter than bone, partly labelled as rib
    undiluted = ndimage.binary_propagation(
        hounsfield > 1800, mask=(hounsfield > 130) & (~bone | (hounsfield > 1200))
    )
    undiluted = ndimage.binary_dilation(undiluted) & (hounsfield > 80)
    soft = organ | bright_fluid | undiluted | (lung & (hounsfield > SOFT_TISSUE_HU))
    return np.where(soft, np.minimum(hounsfield, SOFT_TISSUE_HU), hounsfield)


def _attenuation(hounsfield: np.ndarray) -> np.ndarray:
    """Linear attenuation relative to water at radiographic energies, from HU (two straight pieces)."""
    return (
        np.clip(1 + hounsfield / 1000, 0, None)
        + (BONE_FACTOR - 1) * np.clip(hounsfield - 100, 0, None) / 1000
    )


def _cavity(labels: np.ndarray, voxel_mm: float) -> np.ndarray:
    """0..1: 1 well inside the rib cage and abdomen, falling smoothly to 0 at ribs and spine."""
    organs = np.isin(labels, (*range(1, 17), *range(18, 24), *range(51, 69)))
    radius = round(18 / voxel_mm)
    inside = np.stack([_closed(section, radius) for section in organs])
    inside &= ~np.isin(labels, BONE_LABELS)
    distance = np.stack([ndimage.distance_transform_edt(section) for section in inside]) * voxel_mm
    ramp = np.clip(distance / 32.0, 0, 1)
    ramp = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return ndimage.gaussian_filter(ramp, np.array([14, 7, 7]) / voxel_mm)  # sections differ abruptly in z


def _closed(section: np.ndarray, radius: int) -> np.ndarray:
    """Gaps between organs filled: closing by a disc of `radius` pixels, then holes."""
    if not section.any():
        return section
    padded = np.pad(section, radius, mode="constant")
    grown = ndimage.distance_transform_edt(~padded) <= radius
    closed = ndimage.distance_transform_edt(grown) > radius
    return ndimage.binary_fill_holes(closed)[radius:-radius, radius:-radius]


def _not_chest_wall(labels: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Heart, vessels, airways and upper abdomen: their border with the lung is not chest wall."""
    middle = np.isin(labels, (*range(1, 10), 15, 16, *range(18, 25), *range(51, 64)))
    return ndimage.binary_dilation(middle, iterations=max(1, round(8 / voxel_mm)))


def _dome_height(labels: np.ndarray, voxel_mm: float) -> float:
    """Height (mm) of the right dome of the diaphragm: the top of the liver."""
    return float(np.flatnonzero((labels == 5).any((1, 2))).max()) * voxel_mm


def _breathing_profile(z_mm: np.ndarray, dome_mm: float) -> np.ndarray:
    """1 at the dome, fading over the lungs above and the abdomen below: the map stays one-to-one."""
    above = np.clip((z_mm - dome_mm) / 130.0, 0, 1)
    below = np.clip((dome_mm - z_mm) / 150.0, 0, 1)
    t = above + below
    return 1 - t * t * (3 - 2 * t)
