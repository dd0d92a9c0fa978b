"""Mixed radiographs and their targets, against loops over pixels and pairs."""

import pytest
import torch

from medprobclip.targets import BatchTargets, Targets
from medprobclip.training.mixing import Mix


@pytest.fixture
def pixels():
    return torch.rand(2, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("box", [None, (2, 5, 0, 4)])
def test_images_agree_with_a_loop_over_pixels(pixels, box):
    mix = Mix(torch.tensor([2, 0]), torch.tensor([0, 3]), 0.6, box)
    before, mixed = pixels.clone(), mix.images(pixels)
    assert torch.equal(pixels, before)
    partner = {2: 0, 0: 3}
    for v in range(2):
        for b in range(4):
            for y in range(8):
                for x in range(8):
                    own = float(pixels[v, b, 0, y, x])
                    other = float(pixels[v, partner.get(b, b), 0, y, x])
                    expected = own
                    if box is None:
                        expected = 0.6 * own + 0.4 * other if b in partner else own
                    elif box[0] <= y < box[1] and box[2] <= x < box[3]:
                        expected = other
                    assert float(mixed[v, b, 0, y, x]) == pytest.approx(expected, abs=1e-6)


def test_rows_of_the_targets_are_mixed_alike():
    weights = torch.tensor([[1, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 1, 0], [0, 0, 0, 1]])
    left_out = torch.tensor(
        [[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.bool
    )  # 0 and 1, 0 and 3 are neither right nor wrong for one another
    targets = BatchTargets((Targets(weights, ~left_out),) * 2, Targets.diagonal(4), Targets.diagonal(4))
    mixed = Mix(torch.tensor([0, 2]), torch.tensor([3, 0]), 0.75).targets(targets)
    expected = [[0.75, 0, 0.375, 0.25], [0, 1, 0, 0], [0.625, 0, 0.875, 0], [0, 0, 0, 1]]
    counted = [[1, 0, 1, 1], [0, 1, 1, 1], [1, 0, 1, 0], [0, 1, 1, 1]]
    for section in mixed.image_text:
        torch.testing.assert_close(section.weights, torch.tensor(expected))
        assert section.counted.int().tolist() == counted
    assert mixed.image_image is targets.image_image
    assert torch.equal(weights[0], torch.tensor([1, 0, 0.5, 0]))


def test_a_quarter_is_mixed_half_of_the_time_by_cutmix():
    torch.manual_seed(0)
    draws = [Mix.draw(16, 0.25, 32) for _ in range(2000)]
    for mix in draws:
        assert len(mix.rows) == len(set(mix.rows.tolist())) == 4
        assert (mix.rows != mix.partners).all()
        assert 0 < mix.kept <= 1
        if mix.box is not None:
            top, bottom, left, right = mix.box
            assert 0 <= top <= bottom <= 32
            assert 0 <= left <= right <= 32
            assert mix.kept == 1 - (bottom - top) * (right - left) / 32**2
    mixup = torch.tensor([mix.kept for mix in draws if mix.box is None])
    assert 0.45 < len(mixup) / len(draws) < 0.55
    assert float(mixup.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(mixup.var()) == pytest.approx(1 / 20, abs=0.01)  # of Beta(2, 2)


def test_the_same_seed_draws_the_same():
    drawn = []
    for _ in range(2):
        torch.manual_seed(4)
        drawn.append(Mix.draw(8, 0.5, 16))
    first, second = drawn
    assert torch.equal(first.rows, second.rows)
    assert (first.kept, first.box) == (second.kept, second.box)
