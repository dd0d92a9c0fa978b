"""Memory that is freed and asked for again is not fetched from the system anew, where glibc is in use."""

import ctypes
import subprocess
import sys

import pytest

COUNT = """
import ctypes
import numpy as np
from medprobclip.support.memory import keep_freed_memory

class Book(ctypes.Structure):  # struct mallinfo2 of malloc.h
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Book

def held():
    book = libc.mallinfo2()
    return book.arena + book.hblkhd

def asked_and_kept():
    before = held()
    block = np.ones(20_000_000)
    during = held()
    del block
    return during - before, held() - before

plain = asked_and_kept()
told = keep_freed_memory()
asked_and_kept()
print(told, *plain, *asked_and_kept())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="only glibc keeps a book"
)
def test_blocks_are_reused():
    """160 MB: given back when freed; after the call they are kept, and the next block asks for nothing."""
    told, *counts = subprocess.check_output([sys.executable, "-c", COUNT], text=True).split()
    asked, kept, asked_again, kept_again = (int(count) / 1e6 for count in counts)
    assert told == "True"
    assert asked >= 160
    assert kept < 1
    assert asked_again < 1
    assert kept_again < 1
