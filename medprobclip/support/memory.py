"""Freed memory is kept for the next step instead of being given back to the system."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h: when to give back, when to ask the system for a block of its own, how much at once.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _TOP_PAD = -1, -3, -2
_NEVER, _GIBIBYTE, _QUARTER = 2**31 - 1, 2**30, 2**28


def keep_freed_memory() -> bool:
    """Let this process reuse the memory of large tensors; returns whether the C library can be told so.

    Each training step frees what the next one asks for. By default glibc hands large blocks back to the
    system and takes them again page by page, which on a CPU was a fifth of a training step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return False
    wanted = ((_TRIM_THRESHOLD, _NEVER), (_MMAP_THRESHOLD, _GIBIBYTE), (_TOP_PAD, _QUARTER))
    return all([mallopt(option, value) for option, value in wanted])
