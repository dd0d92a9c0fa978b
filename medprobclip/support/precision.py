"""Which numbers the device computes with."""

from __future__ import annotations

import contextlib
from typing import get_args

import torch

from medprobclip.training_settings import Precision


def has_bfloat16(device: torch.device) -> bool:
    """Does the device multiply bfloat16 matrices in hardware (so that autocast gains speed)?"""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def autocast(device: torch.device, precision: Precision = "auto") -> contextlib.AbstractContextManager:
    """Autocast to the named type; "auto" is bfloat16 where the device gains by it, else plain float32.

    "bfloat16" is taken at its word also where it gains nothing. Raises ValueError for "float16" on a CPU,
    "bfloat16" on a GPU that has none, and another word.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision '{precision}'? Choose one of {', '.join(get_args(Precision))}")
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16(device) else "float32"
    elif precision == "float16" and device.type == "cpu":
        raise ValueError("precision 'float16' needs a GPU: on a CPU take auto, float32 or bfloat16")
    elif precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError("precision 'bfloat16': this GPU has none; take auto, float32 or float16")
    half = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, half, enabled=precision != "float32")
