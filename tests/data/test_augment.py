"""Training views stay close to the radiograph, stay in range, and are never mirrored."""

from dataclasses import replace

import pytest
import torch
from accelerate.utils import set_seed

from medprobclip.data.augment import TrainingViews, normalise, to_float
from medprobclip.settings import AugmentationConfig


def test_views_keep_shape_and_range():
    set_seed(0)
    images = torch.randint(0, 256, (2, 6, 48, 48), dtype=torch.uint8)
    views = TrainingViews(48)(images)
    assert views.shape == (2, 6, 1, 48, 48)
    assert views.min() >= 0
    assert views.max() <= 1


def test_views_differ_between_studies_and_calls():
    set_seed(0)
    images = torch.zeros(2, 2, 32, 32, dtype=torch.uint8)
    images[:, :, 8:24, 8:24] = 200
    views = TrainingViews(32)
    first, second = views(images), views(images)
    assert not torch.equal(first[0, 0], first[0, 1])
    assert not torch.equal(first, second)


def test_the_same_seed_gives_the_same_views():
    set_seed(0)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    drawn = []
    for _ in range(2):
        set_seed(7)
        drawn.append(TrainingViews(32)(images))
    assert torch.equal(*drawn)


def test_no_view_is_mirrored():
    """A bright square at the image's left stays there in a thousand draws."""
    set_seed(1)
    images = torch.zeros(2, 500, 32, 32, dtype=torch.uint8)
    images[:, :, 12:20, 3:9] = 255
    views = TrainingViews(32)(images).squeeze(2)
    assert (views[..., :16].amax((-1, -2)) > 0.8).all()
    assert (views[..., 16:].amax((-1, -2)) < 0.2).all()


def test_without_any_change_the_image_comes_through():
    still = AugmentationConfig(
        crop_area_1=1, crop_area_2=1, rotation=0, brightness=0, contrast=0, blur_sigma=0.1001
    )
    set_seed(0)
    images = torch.randint(0, 256, (2, 4, 32, 32), dtype=torch.uint8)
    views = TrainingViews(32, still)(images)
    middle = (slice(None), slice(None), slice(4, 28), slice(4, 28))
    difference = (views.squeeze(2) - images.float() / 255)[middle].abs().max()
    assert difference < 1e-3  # a quarter of a grey value: places and sums are rounded


def drawn_with(config, images, spoilt=False):
    """Views, and where torch's random numbers stand afterwards."""
    views = TrainingViews(32, config)
    set_seed(5)
    return views(images, spoilt), torch.get_rng_state()


@pytest.fixture
def pictures():
    return torch.randint(
        0, 256, (2, 40, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_without_degraded_views_the_random_numbers_are_those_of_the_bare_pipelines(pictures):
    """Runs of before can be resumed and repeated."""
    found, state = drawn_with(AugmentationConfig(), pictures)
    bare = TrainingViews(32).pipelines
    set_seed(5)
    expected = torch.stack([pipe(to_float(view)) for pipe, view in zip(bare, pictures, strict=True)])
    assert torch.equal(found, expected)
    assert torch.equal(state, torch.get_rng_state())


def test_a_share_of_the_views_is_degraded(pictures):
    """The others are as they would have been, in both views; with all of them, hardly one."""
    plain, _ = drawn_with(AugmentationConfig(), pictures)
    for share, low, high in ((0.5, 24, 56), (1.0, 79, 80)):  # of 80; 0.5 within 3.6 standard deviations
        found, _ = drawn_with(AugmentationConfig(degraded_share=share), pictures)
        assert found.shape == plain.shape
        assert 0 <= found.min() <= found.max() <= 1
        changed = (found != plain).any(-1).any(-1)
        assert low <= int(changed.sum()) <= high
        assert changed[0].any()
        assert changed[1].any()


def test_less_severe_views_change_less(pictures):
    plain, _ = drawn_with(AugmentationConfig(), pictures)
    light, heavy = (
        drawn_with(AugmentationConfig(degraded_share=1.0, degraded_severity=s), pictures)[0]
        for s in (0.2, 1.0)
    )
    assert (light - plain).abs().mean() < 0.5 * (heavy - plain).abs().mean()


def test_spoilt_copies_are_of_the_first_views_and_come_last(pictures):
    plain, _ = drawn_with(AugmentationConfig(), pictures)
    for config in (AugmentationConfig(), AugmentationConfig(degraded_severity=0.01)):
        found, _ = drawn_with(config, pictures, spoilt=True)
        assert found.shape == (3, 40, 1, 32, 32)
        assert torch.equal(found[:2], plain)
        assert (found[2] != plain[0]).any(-1).any(-1).sum() >= 30  # a severity near 0 may touch no pixel
        assert 0 <= found[2].min() <= found[2].max() <= 1
    slight = (found[2] - plain[0]).abs().mean()
    assert slight < 0.1 * (plain[1] - plain[0]).abs().mean()
    one, _ = drawn_with(AugmentationConfig(), pictures[:1], spoilt=True)
    assert one.shape == (2, 40, 1, 32, 32)


def test_spoilt_copies_are_of_the_views_as_the_model_sees_them(pictures):
    """A copy of a degraded view is degraded once more, so that it tells less than what lies in it."""
    config = AugmentationConfig(degraded_share=0.5)
    found, _ = drawn_with(config, pictures, spoilt=True)
    without, _ = drawn_with(config, pictures)
    assert torch.equal(found[:2], without)
    slight, _ = drawn_with(replace(config, degraded_severity=0.01), pictures, spoilt=True)
    assert (slight[2] - slight[0]).abs().mean() < 0.1 * (slight[2] - slight[1]).abs().mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"degraded_share": -0.1}, "degraded_share = -0.1 is out of range"),
        ({"degraded_share": 1.1}, "degraded_share = 1.1 is out of range"),
        ({"degraded_severity": 0.0}, "degraded_severity = 0.0 is out of range"),
        ({"degraded_severity": 1.5}, "degraded_severity = 1.5 is out of range"),
        ({"degraded_severity": float("nan")}, "degraded_severity = nan is out of range"),
    ],
    ids=str,
)
def test_shares_and_severities_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**changes)


def test_normalise():
    pixels = to_float(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    assert pixels.shape == (1, 1, 1, 2)
    assert normalise(pixels, 0.5, 0.25).flatten().tolist() == [-2.0, 2.0]
