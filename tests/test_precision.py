"""Autocast follows the device."""

import torch

from medprobclip.precision import autocast, has_bfloat16


def test_matrix_products_use_bfloat16_exactly_where_the_device_has_it():
    cpu = torch.device("cpu")
    with autocast(cpu):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if has_bfloat16(cpu) else torch.float32)
