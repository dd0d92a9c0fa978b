"""Which numbers the device computes with."""

from __future__ import annotations

import contextlib

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Does the device multiply bfloat16 matrices in hardware (so that autocast gains speed)?"""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """bfloat16 autocast where the device has it, else plain float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))
