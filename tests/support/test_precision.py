"""Autocast follows the device."""

import pytest
import torch

import medprobclip.support.precision
from medprobclip.support.precision import autocast


@pytest.mark.parametrize(("has", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_matrix_products_use_bfloat16_exactly_where_the_device_has_it(has, dtype, monkeypatch):
    monkeypatch.setattr(medprobclip.support.precision, "has_bfloat16", lambda device: has)
    with autocast(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == dtype


def test_a_device_without_known_support_stays_in_float32():
    assert not medprobclip.support.precision.has_bfloat16(torch.device("meta"))
