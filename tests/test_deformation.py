"""Shapes: the map is invertible, the identity changes nothing, findings move what they should."""

import numpy as np
import pytest

from medprobclip.data.anatomy import load_anatomy
from medprobclip.data.deformation import FRAME_MM, FRAME_TOP_MM, Bump, Deformation, Shape
from medprobclip.data.simulate import SimulationConfig, draw_patient


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(2.5)


def places(n=200):
    return np.random.default_rng(0).uniform([50, 60, 50], [290, 230, 310], (n, 3))


@pytest.mark.parametrize(
    "extra",
    [{}, {"heart": 1.7}, {"dome_mm": (36.0, 36.0)}, {"dome_mm": (-28.0, -28.0)}, {"rotation_deg": 13.0}],
)
def test_inverse_returns_to_the_start(chest, extra):
    for patient in ("A", "B"):
        shape = draw_patient(patient, SimulationConfig()).plus(**extra)
        deformation = Deformation(chest, shape, 128)
        start = places()
        error = np.linalg.norm(deformation.to_source(deformation.to_film(start)) - start, axis=1)
        assert np.quantile(error, 0.95) < 0.5  # mm; a voxel is 2.5
        assert error.max() < 5


def test_no_folding(chest):
    """Along every axis the source position grows with the film position."""
    shape = draw_patient("A", SimulationConfig()).plus(dome_mm=(30.0, -20.0), heart=1.6)
    deformation = Deformation(chest, shape, 128)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1.0
        moved = deformation.to_source(places() + step) - deformation.to_source(places())
        assert moved[:, axis].min() > 0.05


def test_identity_keeps_the_volume(chest):
    out = Deformation(chest, Shape(), 128).apply(chest.attenuation)
    assert out.shape == (chest.shape[1], 128, 128)
    # the film's frame lies within the volume: same grid up to an offset of part of a voxel
    x0 = (chest.shape[2] * 2.5 - FRAME_MM) / 2 / 2.5
    z0 = (FRAME_TOP_MM - FRAME_MM) / 2.5
    coarse = chest.attenuation.transpose(1, 0, 2)[:, round(z0) : round(z0) + 120, round(x0) : round(x0) + 128]
    assert np.corrcoef(out[:, :120].ravel(), coarse.ravel())[0, 1] > 0.98


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
