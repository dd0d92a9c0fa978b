"""Memory that is freed and asked for again is not fetched page by page, where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
import numpy as np
from medprobclip.support.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.full(20_000_000, 1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
told = keep_freed_memory()
np.full(20_000_000, 1.0)
print(told, first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_blocks_are_reused():
    told, before, after = subprocess.check_output([sys.executable, "-c", COUNT], text=True).split()
    assert told == "True"
    assert int(after) < int(before) / 10
