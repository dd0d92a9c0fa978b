"""Which words of a report and which places of a radiograph make its total variance: leave out, and look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medprobclip.data.augment import normalise, to_float
from medprobclip.data.dataset import padded
from medprobclip.evaluation.embedding import default_batch
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel


@torch.no_grad()
def word_influence(
    model: MedProbCLIPModel, tokenizer: PreTrainedTokenizerBase, text: str
) -> tuple[list[str], np.ndarray]:
    """The W words of a text, parted by white space, and what each does to its variance, float64 `[W]`.

    The change is log Σσ² of the whole text minus log Σσ² of the text without that word (leave one out: Li,
    Monroe & Jurafsky 2016): positive where the word makes the report less sure. Changes do not add up to
    that of leaving out several words. Texts are cut at the tokenizer's `model_max_length`, so a word beyond
    it that lets none in has no influence. Computed in float32: differences are small. Raises ValueError for
    a text without a word.
    """
    words = text.split()
    if not words:
        raise ValueError("a text without a word has nothing to leave out")
    texts = [" ".join(words), *(" ".join(words[:i] + words[i + 1 :]) for i in range(len(words)))]
    tokens = tokenizer(texts, truncation=True)["input_ids"]
    size = default_batch(model)
    parts = []
    with _in_full_precision(model):
        for start in range(0, len(tokens), size):
            batch = padded(tokens[start : start + size], tokenizer.pad_token_id).to(model.device)
            parts.append(_log_total(model.encode_text(batch.input_ids, batch.attention_mask)))
    whole, *without = torch.cat(parts).tolist()
    return words, whole - np.array(without)


@torch.no_grad()
def patch_influence(
    model: MedProbCLIPModel, image: np.ndarray, patch: int = 16, stride: int = 8
) -> np.ndarray:
    """What each place of a radiograph, uint8 `[S, S]`, does to its variance: float64 `[h, w]`.

    A square of `patch` pixels is replaced by the image's mean grey, its edge blurred by a Gaussian of an
    eighth of the patch, so that no line is drawn (occlusion: Zeiler & Fergus 2014). The change is log Σσ² of
    the image as it is minus log Σσ² of that: positive where what is there makes the image less sure. The
    entry (i, j) is of the square from row i · stride and column j · stride on; h = w =
    (S − patch) // stride + 1. Grey is darker or brighter than what it covers, and the change holds that,
    too: look at what stands out, not at single values. Computed in float32. Raises ValueError for another
    image, or a patch or stride that does not fit.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 2 or image.shape[0] != image.shape[1]:
        raise ValueError(f"image {image.dtype} {image.shape} needs to be uint8 [S, S]")
    if not 1 <= patch <= len(image) or stride < 1:
        raise ValueError(f"patch {patch} and stride {stride} do not fit {len(image)} pixels")
    pixels = to_float(torch.from_numpy(image)[None])
    starts = range(0, len(image) - patch + 1, stride)
    edges = _edges(len(image), patch, starts)
    places = torch.cartesian_prod(torch.arange(len(starts)), torch.arange(len(starts)))
    parts = []
    with _in_full_precision(model):
        whole = _log_total(_encoded(model, pixels))
        for rows, columns in (batch.T for batch in places.split(default_batch(model))):
            covered = edges[rows][:, None, :, None] * edges[columns][:, None, None, :]
            parts.append(_log_total(_encoded(model, torch.lerp(pixels, pixels.mean(), covered))))
    return (whole - torch.cat(parts)).reshape(len(starts), len(starts)).numpy()


def _edges(size: int, patch: int, starts: range) -> Tensor:
    """How much a row (or column) is covered, 0 to 1, by a patch from each start on: `[len(starts), size]`."""
    sharp = np.zeros((len(starts), size))
    for line, start in zip(sharp, starts, strict=True):
        line[start : start + patch] = 1
    return torch.from_numpy(gaussian_filter1d(sharp, patch / 8, mode="nearest")).float()


def _encoded(model: MedProbCLIPModel, pixels: Tensor) -> Gaussian:
    config = model.config
    return model.encode_image(normalise(pixels.to(model.device), config.image_mean, config.image_std))


def _log_total(gaussian: Gaussian) -> Tensor:
    """log Σσ² `[B]` in float64 on the CPU; the sum would lose the digits that differences are made of."""
    return gaussian.log_var.to("cpu", torch.float64).logsumexp(-1)


@contextmanager
def _in_full_precision(model: MedProbCLIPModel) -> Iterator[None]:
    """In evaluation mode, and in float32 even where the device has bfloat16."""
    training = model.training
    model.eval()
    try:
        with torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        model.train(training)
