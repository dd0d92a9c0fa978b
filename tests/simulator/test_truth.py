"""The rendered truth: conspicuity by hand, boxes where a point source puts things."""

from dataclasses import replace

import numpy as np
import pytest

from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.projection import FilmConfig
from medprobclip.simulator.simulate import SimulationConfig, simulate_study
from medprobclip.simulator.truth import NOISE_GREY, conspicuity

CONFIG = SimulationConfig()


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(2.5)


def test_conspicuity_by_hand():
    """A square of 20 grey levels on even ground: 20 over the floor of the surroundings' unrest."""
    plain = np.full((60, 60), 100, np.uint8)
    picture = plain.copy()
    picture[20:30, 20:30] += 20
    assert conspicuity(picture, plain, 2.5) == pytest.approx(20 / NOISE_GREY)
    assert conspicuity(plain, plain, 2.5) == 0
    picture[50, 50] += 4  # 20 % of the largest change: not part of the footprint
    assert conspicuity(picture, plain, 2.5) == pytest.approx(20 / NOISE_GREY)


def test_restless_surroundings_hide_a_finding():
    checks = (np.indices((60, 60)).sum(0) % 2 * 60 + 80).astype(np.uint8)
    picture = checks.copy()
    picture[20:30, 20:30] += 20
    assert conspicuity(picture, checks, 2.5) == pytest.approx(20 / (30 + NOISE_GREY), rel=0.02)


def test_unrest_far_away_does_not_count():
    plain = np.full((80, 80), 100, np.uint8)
    plain[:, 60:] = 200
    picture = plain.copy()
    picture[20:30, 20:30] += 20
    assert conspicuity(picture, plain, 2.5) == pytest.approx(20 / NOISE_GREY)


def test_darker_counts_like_brighter():
    plain = np.full((40, 40), 100, np.uint8)
    picture = plain.copy()
    picture[10:15, 10:15] -= 30
    assert conspicuity(picture, plain, 1.0) == pytest.approx(30 / NOISE_GREY)


@pytest.mark.parametrize("source_mm", [None, 1830.0])
def test_box_holds_the_change_with_either_geometry(chest, source_mm):
    config = replace(CONFIG, film=FilmConfig(source_mm=source_mm))
    for code in ("Calcified Granuloma/lung/upper lobe/left", "Nodule/lung/base/right"):
        plain = simulate_study("CXR7", (), config, chest)
        study = simulate_study("CXR7", (code,), config, chest)
        (row,) = study.rendered
        for view in ("pa", "lateral"):
            change = np.abs(study.pictures[view].astype(float) - plain.pictures[view])
            rows, columns = np.indices(change.shape)
            centre = [(change**2 * c).sum() / (change**2).sum() for c in (rows, columns)]
            left, top, right, bottom = (
                getattr(row, f"{view}_{e}") for e in ("left", "top", "right", "bottom")
            )
            assert centre[0] == pytest.approx((top + bottom) / 2, abs=1.2)
            assert centre[1] == pytest.approx((left + right) / 2, abs=1.2)


def test_voxel_and_millimetres_agree(chest):
    for row in simulate_study("CXR9", ("Mass/lung/left", "Cardiomegaly"), CONFIG, chest).rendered:
        for axis in "xyz":
            assert getattr(row, f"voxel_{axis}") == int(getattr(row, f"{axis}_mm") / 2.5)


def test_a_film_that_was_not_taken_has_no_truth(chest):
    study = simulate_study("CXR9", ("Mass/lung/left",), CONFIG, chest, views=("lateral",))
    (row,) = study.rendered
    assert list(study.pictures) == ["lateral"]
    assert row.pa_conspicuity is None
    assert row.pa_left is None
    assert row.lateral_conspicuity > 0
    assert row.lateral_right > row.lateral_left


def test_conspicuity_grades_what_is_drawn(chest):
    """A calcified ball stands out more than a soft one, a big mass more than nothing."""

    def seen(code):
        rows = [simulate_study(f"CXR{i}", (code,), CONFIG, chest).rendered[0] for i in range(4)]
        return np.mean([row.pa_conspicuity for row in rows])

    assert seen("Calcified Granuloma/lung/base/left") > 2 * seen("Nodule/lung/base/left/small")
    assert seen("Pleural Effusion/right/large") > seen("Pleural Effusion/right/small") > 0.3
