"""A study: recognisable pictures, same bytes for any threads, the patient apart from the findings."""

import numpy as np
import pytest
import torch

from medprobclip.simulator.chest.deformation import FRAME_MM, FRAME_TOP_MM, Deformation
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.simulate import SimulationConfig, _coarser, simulate_study

CODES = ("Pleural Effusion/right/small", "Opacity/lung/base/left", "Cardiomegaly/mild", "Nipple Shadow")
CONFIG = SimulationConfig()


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(2.5)


def test_two_square_grey_pictures(chest):
    study = simulate_study("CXR9", CODES, CONFIG, chest)
    for image in (study.pa, study.lateral):
        assert image.shape == (128, 128)
        assert image.dtype == np.uint8
    lung, spine = study.pa[40:75, 28:45], study.pa[40:75, 62:72]
    assert np.median(lung) + 70 < np.median(spine)  # bone bright
    assert study.uncovered == ("Nipple Shadow",)


def test_heart_is_at_the_image_right(chest):
    """The patient's right is at the image's left, so the heart's mass lies right of the spine."""
    study = simulate_study("CXR9", (), CONFIG, chest)
    heart, midline = chest.points["heart"], chest.points["carina"][0]
    left = heart + [30, 0, 0]  # in the heart; and where it would be were the picture flipped
    mirrored = [2 * midline - left[0], left[1], left[2]]
    deformation = Deformation(chest, study.patient.shape, CONFIG.size_px)
    film = deformation.to_film(np.stack([left, mirrored]))
    columns = ((film[:, 0] - deformation.middle_x + FRAME_MM / 2) / CONFIG.pixel_mm).astype(int)
    row = int((FRAME_TOP_MM - film[0, 2]) / CONFIG.pixel_mm)
    assert columns[0] > 64 > columns[1]
    inside, other = (study.pa[row - 3 : row + 4, c - 3 : c + 4].astype(float).mean() for c in columns)
    assert inside > other + 25


def test_same_bytes_for_any_number_of_threads(chest):
    before = torch.get_num_threads()
    try:
        pictures = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            study = simulate_study("CXR9", CODES, CONFIG, chest)
            pictures.append(study.pa.tobytes() + study.lateral.tobytes())
    finally:
        torch.set_num_threads(before)
    assert pictures[0] == pictures[1]


def test_order_of_codes_and_unknown_codes_change_nothing(chest):
    one = simulate_study("CXR9", ("Nodule/lung/left", "Opacity/lung/base/right"), CONFIG, chest)
    two = simulate_study(
        "CXR9", ("Opacity/lung/base/right", "Nodule/lung/left", "Nipple Shadow"), CONFIG, chest
    )
    assert np.abs(one.pa.astype(int) - two.pa).max() <= 1  # sums of floats in another order


def test_patients_differ_and_do_not_depend_on_codes(chest):
    one, two = (simulate_study(f"CXR{i}", CODES, CONFIG, chest).patient for i in (1, 2))
    assert one.shape != two.shape
    assert simulate_study("CXR1", (), CONFIG, chest).patient == one
    far = simulate_study("CXR1", ("Calcified Granuloma/lung/apex/right",), CONFIG, chest).pa[70:]
    same = simulate_study("CXR1", (), CONFIG, chest).pa[70:]
    assert np.abs(far.astype(int) - same).max() <= 3
    other = simulate_study("CXR2", (), CONFIG, chest).pa[70:]
    assert np.abs(other.astype(int) - same).mean() > 3


def test_normal_draws_nothing(chest):
    study = simulate_study("CXR5", ("normal",), CONFIG, chest)
    assert study.rendered == []
    assert np.array_equal(study.pa, simulate_study("CXR5", (), CONFIG, chest).pa)


def test_rendered_truth_is_complete(chest):
    study = simulate_study("CXR9", CODES, CONFIG, chest)
    assert [(r.kind, r.side) for r in study.rendered] == [
        ("effusion", "right"),
        ("airspace opacity", "left"),
        ("cardiomegaly", "midline"),
    ]
    for row in study.rendered:
        assert 0 <= row.pa_left <= row.pa_right < 128
        assert 0 <= row.pa_top <= row.pa_bottom < 128
        assert row.pa_left <= row.x_mm / 2.5 <= row.pa_right + 1
        assert row.pa_top <= (320 - row.z_mm) / 2.5 <= row.pa_bottom + 1
        assert row.size_mm > 5
        assert row.pa_conspicuity > 0.2


def test_views_that_are_not_taken_do_not_change_the_others(chest):
    both = simulate_study("CXR9", CODES, CONFIG, chest)
    alone = simulate_study("CXR9", CODES, CONFIG, chest, views=("lateral",))
    assert np.array_equal(alone.lateral, both.lateral)
    with pytest.raises(ValueError, match="choose from"):
        simulate_study("CXR9", CODES, CONFIG, chest, views=("PA",))


def test_sex_is_honoured(chest):
    woman, man = (simulate_study("CXR9", (), CONFIG, chest, sex) for sex in ("female", "male"))
    assert (woman.patient.sex, man.patient.sex) == ("female", "male")
    assert np.abs(woman.pa.astype(int) - man.pa).mean() > 2


@pytest.mark.parametrize("size", [192, 224])
def test_larger_pictures_show_the_same_patient(size):
    """Lungs, spine and heart lie where the small picture has them, and are sharper."""
    config = SimulationConfig(size_px=size)
    large = simulate_study("CXR9", ("Mass/lung/right",), config)
    small = simulate_study("CXR9", ("Mass/lung/right",), CONFIG)
    at = ((np.arange(128) + 0.5) * size / 128).astype(int)
    for view in ("pa", "lateral"):
        assert large.pictures[view].shape == (size, size)
        a, b = (p.astype(float) for p in (large.pictures[view][np.ix_(at, at)], small.pictures[view]))
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97


def test_coarser_is_the_block_mean():
    volume = np.random.default_rng(0).random((9, 8, 6)).astype(np.float32)
    expected = volume[:8, :8, :4].reshape(2, 4, 2, 4, 1, 4).mean((1, 3, 5))
    np.testing.assert_allclose(_coarser(volume, 4), expected, rtol=1e-5)
    assert _coarser(volume, 1).shape == volume.shape
