"""Patients: drawn from a seed, sexes and ages differ as they should, whole lungs on every film."""

import numpy as np
import pytest

from medprobclip.simulator.chest.deformation import FRAME_MM, FRAME_TOP_MM, Deformation
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.patients import AGES, PatientConfig, body_of, draw_patient


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(5.0)


def somebody(seed, sex=""):
    return draw_patient(np.random.default_rng(seed), sex)


def test_the_same_seed_is_the_same_person():
    assert somebody(3) == somebody(3)
    assert somebody(3).shape != somebody(4).shape


def test_a_stated_sex_changes_nothing_else():
    woman, man = somebody(5, "female"), somebody(5, "male")
    assert (woman.sex, man.sex) == ("female", "male")
    assert woman.age == man.age
    assert woman.shape.habitus == man.shape.habitus
    np.testing.assert_array_equal(woman.shape.local, man.shape.local)
    config = PatientConfig()
    ratio = np.array(woman.shape.size) / np.array(man.shape.size)
    np.testing.assert_allclose(ratio, config.female_size / config.male_size)
    assert man.breast_mm == 0 < woman.breast_mm


def test_unknown_sex_is_refused():
    with pytest.raises(ValueError, match="'female', 'male' or ''"):
        somebody(0, "F")


def test_both_sexes_and_all_ages_occur_and_age_shows():
    people = [somebody(i) for i in range(400)]
    assert 0.4 < np.mean([p.sex == "female" for p in people]) < 0.6
    ages = np.array([p.age for p in people])
    assert ages.min() < 30
    assert ages.max() > 80
    assert ((ages >= AGES[0]) & (ages <= AGES[1])).all()
    backs = np.array([-sum(min(b.amount, 0) for b in p.shape.bumps) for p in people])
    bones = np.array([p.bone for p in people])
    assert backs[ages > 70].mean() > backs[ages < 40].mean() + 4  # mm of rounding
    assert bones[ages > 70].mean() < bones[ages < 40].mean() - 0.1
    old = [p for p in people if p.age > 70]
    assert np.mean([p.bone for p in old if p.sex == "female"]) < np.mean(
        [p.bone for p in old if p.sex == "male"]
    )


def test_breasts_lie_in_front_and_bones_fade(chest):
    woman, man = somebody(5, "female"), somebody(5, "male")
    more = body_of(woman, chest) - body_of(man, chest)
    added = more > 0.3
    v = chest.voxel_mm
    assert 100e3 < added.sum() * v**3 < 1500e3  # mm3: 0.1 to 1.5 litres
    index = np.argwhere(added)
    skin = chest.skin_mm[index[:, 0], index[:, 2]]
    assert ((index[:, 1] + 0.5) * v > skin - 1.5 * v).all()
    faded = body_of(man, chest) - chest.attenuation
    np.testing.assert_allclose(faded, (man.bone - 1) * chest.mineral, atol=1e-6)
    assert chest.mineral[chest.labels == 51].max() == 0  # the heart is no bone


def test_no_patient_lacks_an_apex_or_a_base(chest):
    """Over many people the top of the lungs and the costophrenic angles lie inside both films."""
    tops = [chest.points[f"apex/{side}"] for side in ("left", "right")]
    sides = [chest.points[f"angle/{side}"] for side in ("left", "right")]
    margins = []
    for seed in range(300):
        film = Deformation(chest, somebody(seed).shape, 64).to_film(np.stack([*tops, *sides]))
        x = film[:, 0] - chest.shape[2] * chest.voxel_mm / 2 + FRAME_MM / 2
        z = FRAME_TOP_MM - film[:, 2]  # downwards from the upper edge
        margins.append([z[:2].min(), FRAME_MM - z[2:].max(), x.min(), FRAME_MM - x.max()])
    lowest = np.min(margins, axis=0)
    assert lowest[0] > 8, "apex"
    assert lowest[1] > 20, "base"
    assert lowest[2:].min() > 5, "side"
