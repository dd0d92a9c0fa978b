"""Training views stay close to the radiograph, stay in range, and are never mirrored."""

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


def test_normalise():
    pixels = to_float(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    assert pixels.shape == (1, 1, 1, 2)
    assert normalise(pixels, 0.5, 0.25).flatten().tolist() == [-2.0, 2.0]
