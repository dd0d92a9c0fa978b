"""Shapes: the map is invertible, the identity changes nothing, findings move what they should."""

import numpy as np
import pytest

from medprobclip.simulator.chest.deformation import FRAME_MM, FRAME_TOP_MM, Bump, Deformation, Shape
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.patients import draw_patient


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(2.5)


def somebody(seed):
    return draw_patient(np.random.default_rng(seed)).shape


def places(n=200):
    return np.random.default_rng(0).uniform([50, 60, 50], [290, 230, 310], (n, 3))


@pytest.mark.parametrize(
    "extra",
    [{}, {"heart": 1.7}, {"dome_mm": (36.0, 36.0)}, {"dome_mm": (-28.0, -28.0)}, {"rotation_deg": 13.0}],
)
def test_inverse_returns_to_the_start(chest, extra):
    for patient in (1, 2):
        shape = somebody(patient).plus(**extra)
        deformation = Deformation(chest, shape, 128)
        start = places()
        error = np.linalg.norm(deformation.to_source(deformation.to_film(start)) - start, axis=1)
        assert np.quantile(error, 0.95) < 0.5  # mm; a voxel is 2.5
        assert error.max() < 5


def test_no_folding(chest):
    """Along every axis the source position grows with the film position."""
    for patient in range(12):
        shape = somebody(patient).plus(dome_mm=(30.0, -20.0), heart=1.6)
        deformation = Deformation(chest, shape, 128)
        for axis in range(3):
            step = np.zeros(3)
            step[axis] = 1.0
            moved = deformation.to_source(places() + step) - deformation.to_source(places())
            assert moved[:, axis].min() > 0.05


def test_identity_keeps_the_volume(chest):
    out = Deformation(chest, Shape(), 128).apply(chest.attenuation[None])[0]
    assert out.shape == (chest.shape[1], 128, 128)
    # the film's frame lies within the volume: same grid up to an offset of part of a voxel
    x0 = (chest.shape[2] * 2.5 - FRAME_MM) / 2 / 2.5
    z0 = (FRAME_TOP_MM - FRAME_MM) / 2.5
    coarse = chest.attenuation.transpose(1, 0, 2)[:, round(z0) : round(z0) + 120, round(x0) : round(x0) + 128]
    assert np.corrcoef(out[:, :120].ravel(), coarse.ravel())[0, 1] > 0.98


def test_several_volumes_together_are_the_same_as_one_by_one(chest):
    deformation = Deformation(chest, somebody(3), 128)
    volumes = np.stack([chest.attenuation, chest.lungs["left"], chest.depth_mm])
    together = deformation.apply(volumes)
    for volume, out in zip(volumes, together, strict=True):
        np.testing.assert_allclose(deformation.apply(volume[None])[0], out, rtol=1e-5, atol=1e-4)


def test_resampling_follows_the_map(chest):
    """The deformed volume holds at a film position what the chest holds where the map says."""
    deformation = Deformation(chest, somebody(4), 128)
    field = np.indices(chest.shape).sum(0).astype(np.float32) * 2.5  # z + y + x in mm, linear
    out = deformation.apply(field[None])[0]
    depth, row, column = (np.random.default_rng(0).integers(30, n - 30, 60) for n in out.shape)
    film = np.stack([
        (column + 0.5) * 2.5 + deformation.middle_x - FRAME_MM / 2,
        (depth + 0.5) * 2.5,
        (row + 0.5) * 2.5 + FRAME_TOP_MM - FRAME_MM,
    ], 1)  # fmt: skip
    expected = deformation.to_source(film).sum(1) - 3 * 1.25
    np.testing.assert_allclose(out[depth, row, column], expected, atol=2.0)  # mm; the map's grid is coarse


def test_a_bump_moves_content_along(chest):
    centre = tuple(map(float, chest.points["heart"]))
    deformation = Deformation(chest, Shape(bumps=(Bump("x", 10.0, centre, (50.0, 50.0, 50.0)),)), 128)
    moved = deformation.to_film(np.array([centre]))[0]
    assert 7 < moved[0] - centre[0] <= 10.01
    assert moved[1:] == pytest.approx(centre[1:], abs=1e-6)


def test_raised_dome_moves_up_on_its_side_only(chest):
    deformation = Deformation(chest, Shape(dome_mm=(25.0, 0.0)), 128)
    right, left = (chest.points[f"dome/{side}"] for side in ("right", "left"))
    moved = deformation.to_film(np.stack([right, left]))
    assert 12 < moved[0, 2] - right[2] < 27
    assert abs(moved[1, 2] - left[2]) < 1
