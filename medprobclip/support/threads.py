"""How many threads compute: it decides the last digits of every sum, and so where a training ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def pinned_threads(number: int | None) -> Iterator[None]:
    """`with pinned_threads(2):` PyTorch computes with so many threads on a CPU, whatever it was told before.

    A sum that is split among threads is added up in another order for each number of them, so a training
    that is to repeat itself on a machine must not depend on how many are free. None leaves it as it is.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
