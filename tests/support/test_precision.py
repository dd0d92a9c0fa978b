"""Autocast follows the device, or the word."""

from typing import get_args

import pytest
import torch

import medprobclip.support.precision
from medprobclip.support.precision import autocast
from medprobclip.training_settings import Precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def product_in(*of) -> torch.dtype:
    """The type of a matrix product."""
    with autocast(*of):
        return (torch.ones(2, 2, device=of[0]) @ torch.ones(2, 2, device=of[0])).dtype


@pytest.fixture(params=[True, False])
def has(request, monkeypatch):
    """Whether the device multiplies bfloat16."""
    monkeypatch.setattr(medprobclip.support.precision, "has_bfloat16", lambda device: request.param)
    return request.param


def test_matrix_products_use_bfloat16_exactly_where_the_device_has_it(has):
    expected = torch.bfloat16 if has else torch.float32
    assert product_in(CPU) == product_in(CPU, "auto") == expected


def test_a_word_is_obeyed_whatever_is_quick(has):
    assert product_in(CPU, "float32") == torch.float32
    assert product_in(CPU, "bfloat16") == torch.bfloat16


def test_float32_holds_inside_of_another_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert product_in(CPU, "float32") == torch.float32


def test_what_the_device_cannot_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="'float16' needs a GPU: on a CPU take auto, float32 or bfloat16"):
        autocast(CPU, "float16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    with pytest.raises(ValueError, match="'bfloat16': this GPU has none; take auto, float32 or float16"):
        autocast(GPU, "bfloat16")


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="'fp16'.*auto, float32, bfloat16, float16"):
        autocast(CPU, "fp16")


@pytest.mark.gpu
@pytest.mark.parametrize("word", get_args(Precision)[1:])
def test_every_word_on_a_gpu(word):
    assert product_in(GPU, word) == getattr(torch, word)


def test_a_device_without_known_support_stays_in_float32():
    assert not medprobclip.support.precision.has_bfloat16(torch.device("meta"))
