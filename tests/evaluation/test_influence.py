"""Influence on the variance: one word or patch left out at a time, against a loop and toy models."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from tiny import RESNET, build

from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.evaluation.influence import patch_influence, word_influence
from medprobclip.gaussian import Gaussian

TEXT = "Small effusion at the left base.  No\npneumothorax."
GREY = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)


class Toy(torch.nn.Module):
    """log σ² of both dimensions is the sum of token ids, or of the pixels under a template."""

    device = torch.device("cpu")
    config = SimpleNamespace(image_mean=0.0, image_std=1.0)

    def __init__(self, template: torch.Tensor | None = None) -> None:
        super().__init__()
        self.template = template

    def encode_text(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Gaussian:
        return self._gaussian((input_ids * attention_mask).sum(1))

    def encode_image(self, pixels: torch.Tensor) -> Gaussian:
        return self._gaussian((pixels * self.template).sum((1, 2, 3)))

    def _gaussian(self, log_var: torch.Tensor) -> Gaussian:
        log_var = log_var[:, None].float().repeat(1, 2)
        return Gaussian(torch.zeros_like(log_var), log_var)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([TEXT], 50, 32)


@pytest.fixture(scope="module")
def model():
    """Of every token, and with a head that lets them matter: fresh ones hardly do."""
    model = build(RESNET, text_pooling="mean")
    model.text_head.linear.weight.data *= 5
    return model


def total(gaussian: Gaussian) -> float:
    return float(gaussian.log_var.double().exp().sum())


def alone(model, tokenizer, text: str) -> float:
    """log Σσ² of one text, unpadded."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        return np.log(total(model.encode_text(ids, torch.ones_like(ids))))


def test_a_word_counts_for_what_it_adds(tokenizer):
    """Where log Σσ² is a sum over tokens, a word's influence is its own tokens' part."""
    words, change = word_influence(Toy(), tokenizer, TEXT)
    assert words == TEXT.split()
    expected = [sum(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words]
    assert change.tolist() == pytest.approx(expected)


def test_words_agree_with_a_loop(model, tokenizer):
    words, change = word_influence(model, tokenizer, TEXT)
    whole = alone(model, tokenizer, TEXT)
    for i in range(len(words)):
        without = alone(model, tokenizer, " ".join(words[:i] + words[i + 1 :]))
        assert change[i] == pytest.approx(whole - without, abs=1e-5)
    assert np.ptp(change) > 1e-3


def test_a_word_beyond_the_cut_has_no_influence(tokenizer):
    """The tokenizer keeps 32 pieces: [CLS], thirty words, [SEP]; without one of them the next moves up."""
    words, change = word_influence(Toy(), tokenizer, " ".join(["base"] * 30 + ["left"] * 5))
    base, left = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("base", "left"))
    assert len(words) == 35
    assert change.tolist() == [base - left] * 30 + [0] * 5
    assert base != left


def test_a_text_of_one_word_is_compared_with_none(tokenizer):
    words, change = word_influence(Toy(), tokenizer, " effusion ")
    assert words == ["effusion"]
    assert change.tolist() == tokenizer("effusion", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_text_without_words_is_refused(tokenizer, text):
    with pytest.raises(ValueError, match="without a word"):
        word_influence(Toy(), tokenizer, text)


@pytest.mark.parametrize(("patch", "stride"), [(8, 4), (6, 5), (32, 1)])
def test_a_patch_counts_for_what_it_changes(patch, stride):
    """Where log Σσ² is linear in the pixels: cover (a blurred square) · (pixel − mean), weighted."""
    template = np.random.default_rng(1).normal(size=GREY.shape)
    change = patch_influence(Toy(torch.from_numpy(template)), GREY, patch, stride)
    count = (32 - patch) // stride + 1
    assert change.shape == (count, count)
    pixels = GREY / 255
    for i in range(count):
        for j in range(count):
            square = np.zeros(GREY.shape)
            square[i * stride : i * stride + patch, j * stride : j * stride + patch] = 1
            cover = gaussian_filter(square, patch / 8, mode="nearest")
            expected = (template * cover * (pixels - pixels.mean())).sum()
            assert change[i, j] == pytest.approx(expected, abs=1e-3)


def test_only_where_the_model_looks_is_influence():
    """A model that sees one corner: other places change nothing, bright there is less sure."""
    template, image = torch.zeros(32, 32), np.full((32, 32), 60, dtype=np.uint8)
    template[:4, 24:28], image[:8, 24:] = 1.0, 250
    change = patch_influence(Toy(template), image, 8, 8)
    assert np.unravel_index(change.argmax(), change.shape) == (0, 3)
    assert change[0, 3] > 1
    assert np.abs(change[2:]).max() == np.abs(change[:, :2]).max() == 0


def test_patches_agree_with_one_at_a_time(model):
    """A real encoder, in batches, on an even image: where grey replaces the same grey, nothing changes."""
    change = patch_influence(model, GREY, 8, 4)
    assert change.shape == (7, 7)
    assert change.dtype == np.float64
    assert np.ptp(change) > 1e-4
    even = patch_influence(model, np.full((32, 32), 90, dtype=np.uint8), 8, 4)
    np.testing.assert_allclose(even, 0, atol=1e-5)


def test_the_model_keeps_its_mode(model, tokenizer):
    model.train()
    word_influence(model, tokenizer, "effusion")
    patch_influence(model, GREY, 16, 16)
    assert model.training
    model.eval()


@pytest.mark.parametrize(
    ("image", "patch", "stride", "message"),
    [
        (GREY / 255, 8, 4, "uint8"),
        (GREY[None], 8, 4, r"\[S, S\]"),
        (GREY[:20], 8, 4, r"\[S, S\]"),
        (GREY, 33, 4, "fit"),
        (GREY, 0, 4, "fit"),
        (GREY, 8, 0, "fit"),
    ],
)
def test_what_does_not_fit_is_refused(image, patch, stride, message):
    with pytest.raises(ValueError, match=message):
        patch_influence(Toy(torch.zeros(32, 32)), image, patch, stride)
