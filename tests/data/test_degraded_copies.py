"""Stored radiographs spoilt for a choice: what `degrade` does, and always the same."""

import numpy as np
import pytest
import torch

from medprobclip.data.degraded import DEGRADATIONS, degrade, degraded_copies

SIZE = 32


@pytest.fixture(scope="module")
def images():
    """Six smooth pictures, uint8."""
    at = np.linspace(0, 1, SIZE)
    waves = [np.sin(3 * at[:, None] + i) * np.cos(4 * at + i) for i in range(6)]
    return (127 + 80 * np.array(waves)).astype(np.uint8)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_copy_is_what_training_sees_in_grey_values(images, name):
    before = images.copy()
    worse = degraded_copies(images, name, 0.6, ())
    np.testing.assert_array_equal(images, before)
    assert (worse.dtype, worse.shape) == (np.uint8, images.shape)
    number = list(DEGRADATIONS).index(name)
    pixels = torch.from_numpy(images).double()[:, None] / 255
    torch.manual_seed(number)
    expected = degrade(pixels.float(), torch.full((6,), 0.6), torch.full((6,), number))
    assert abs(255 * expected[:, 0].numpy() - worse).max() <= 0.501
    assert (worse != images).mean() > 0.05


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_worse_with_severity_and_as_it_was_at_none(images, name):
    np.testing.assert_array_equal(degraded_copies(images, name, 0, ()), images)
    off = [
        np.abs(degraded_copies(images, name, severity, ()).astype(float) - images).mean()
        for severity in (0.2, 0.6, 1.0)
    ]
    assert off[0] < off[1] < off[2]


def test_always_the_same_whatever_was_drawn_before(images):
    torch.manual_seed(1)
    one = degraded_copies(images, "dust", 0.5, ["a"] * 6)
    torch.rand(3)
    np.testing.assert_array_equal(degraded_copies(images, "dust", 0.5, ["b"] * 6), one)
    assert (one[0] == one[1]).mean() < 0.99  # each image has its own dust


def test_torchs_own_random_numbers_are_as_they_were(images):
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    degraded_copies(images, "warped", 0.5, ())
    assert torch.equal(torch.rand(4), expected)


def test_only_the_cpus_numbers_are_drawn_and_put_back(images, monkeypatch):
    """`torch.manual_seed` would seed every device, and nothing puts those back."""
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("seeded every device"))
    degraded_copies(images, "shading", 0.5, ())


def test_an_unknown_family_is_refused(images):
    with pytest.raises(KeyError, match="noise"):
        degraded_copies(images, "noise", 0.5, ())
    with pytest.raises(ValueError, match="between 0 and 1"):
        degraded_copies(images, "dust", 3, ())
