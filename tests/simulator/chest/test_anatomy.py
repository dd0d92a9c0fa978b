"""The prepared chest: table and contrast gone, sides right, landmarks where anatomy has them."""

import numpy as np
import pytest
from scipy import ndimage

from medprobclip.simulator.chest import preparation
from medprobclip.simulator.chest.anatomy import Anatomy
from medprobclip.simulator.chest.preparation import EXTENT_MM, load_anatomy


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(2.5)


def test_covers_the_frame_with_cubes(chest):
    assert chest.shape == tuple(round(e / 2.5) for e in reversed(EXTENT_MM))
    assert chest.attenuation.dtype == np.float32
    assert chest.attenuation.min() == 0


def test_table_is_gone(chest):
    """Only the patient is left: one piece of tissue; the CT's table would be a second one behind the back."""
    pieces, n = ndimage.label((chest.attenuation > 0.15) | (chest.lungs["left"] + chest.lungs["right"] > 0))
    sizes = np.sort(np.bincount(pieces.ravel())[1:])
    assert sizes[:-1].sum() < 0.002 * sizes[-1]
    assert chest.attenuation[40, :4, :].max() < 0.05


def test_contrast_agent_is_gone(chest):
    heart = chest.attenuation[chest.labels == 51]
    assert np.quantile(heart, 0.99) < 1.1
    assert 0.95 < np.median(heart) < 1.1


def test_lungs_are_air_and_on_their_sides(chest):
    for side in ("left", "right"):
        assert 0.08 < np.median(chest.attenuation[chest.lungs[side] > 0.9]) < 0.3
    columns = np.arange(chest.shape[2])
    centre = {
        side: (chest.lungs[side].sum((0, 1)) * columns).sum() / chest.lungs[side].sum()
        for side in ("left", "right")
    }
    assert centre["right"] < chest.shape[2] / 2 < centre["left"]
    liver = np.argwhere(chest.labels == 5).mean(0)
    assert liver[2] < chest.shape[2] / 2  # the patient's right comes first


def test_whole_lungs_inside_the_volume(chest):
    lung = chest.lungs["left"] + chest.lungs["right"] > 0.5
    rows = np.flatnonzero(lung.any((1, 2)))
    assert rows[0] * 2.5 > 30  # bases
    assert (chest.shape[0] - 1 - rows[-1]) * 2.5 > 10  # apices


def test_landmarks_follow_anatomy(chest):
    points = chest.points
    heights = [points[f"body/T{i}"][2] for i in range(3, 13)]
    assert all(a > b for a, b in zip(heights, heights[1:], strict=False))
    assert points["hilum/right"][0] < points["carina"][0] < points["hilum/left"][0]
    assert points["dome/right"][2] < points["carina"][2] < points["apex/right"][2]
    assert points["heart"][0] > points["carina"][0]  # the heart lies to the left
    assert points["sternum"][:, 1].mean() > points["heart"][1] > points["body/T8"][1]
    for side in ("left", "right"):
        assert points[f"region/{side}/apex"][:, 2].min() > points[f"region/{side}/base"][:, 2].max()


def test_every_region_has_places_inside_the_lung(chest):
    for name, cloud in chest.points.items():
        if name.startswith("region/"):
            side = name.split("/")[1]
            index = tuple((cloud[:, ::-1] / 2.5).astype(int).T)
            assert len(cloud) > 50
            assert (chest.lungs[side][index] > 0.4).all()


def test_noise_is_standard_and_repeatable(chest):
    noise = chest.noise(9.0)
    assert abs(noise.mean()) < 0.1
    assert noise.std() == pytest.approx(1, abs=1e-3)
    assert noise is chest.noise(9.0)


def test_cache_round_trip_and_damage(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDPROBCLIP_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    cube = rng.random((4, 5, 6)).astype(np.float32)
    half = cube.astype(np.float16).astype(np.float32)
    made = Anatomy(
        9.0,
        cube,
        (cube * 99).astype(np.uint8),
        {"left": half, "right": half},
        half,
        half,
        half,
        {"carina": np.ones(3, np.float32)},
    )
    calls = []
    monkeypatch.setattr(preparation, "prepare_anatomy", lambda voxel: calls.append(voxel) or made)
    made.depth_mm = cube  # finer than the half precision in which it is kept
    first = load_anatomy(9.0)
    again = load_anatomy(9.0)
    assert len(calls) == 1
    np.testing.assert_array_equal(first.depth_mm, again.depth_mm)  # the first call gives what all others do
    np.testing.assert_array_equal(again.attenuation, cube)
    np.testing.assert_array_equal(again.points["carina"], made.points["carina"])
    path = next((tmp_path / "anatomy").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    load_anatomy(9.0)
    assert len(calls) == 2
