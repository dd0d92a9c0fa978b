"""The expected likelihood on a CPU: `cpu_kernel.cpp`, compiled in each process that needs it.

torch.compile makes one loop of the formula, but keeps neither a query's numbers in registers nor a tile of
items in the cache; the C++ does both, which makes it more than twice as fast. It compiles in half a second,
so that nothing is kept on disk: no file can belong to another processor.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

SOURCE = Path(__file__).with_suffix(".cpp")
STEP = 8  # dimensions that share a division
ITEMS = 256  # gallery items of a tile; both as in the source
COMPILERS = ("g++", "clang++")  # both know vectors as a type
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread")


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, or None where no compiler makes one."""
    for compiler in (os.environ.get("CXX"), *COMPILERS):
        if compiler and shutil.which(compiler):
            for processor in processor_flags():
                try:
                    return compiled(compiler, processor)
                except (OSError, subprocess.CalledProcessError):
                    continue
    return None


def compiled(compiler: str, processor: list[str]) -> ctypes.CDLL:
    """Raises CalledProcessError when it cannot be compiled, OSError when it cannot be loaded."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "cpu_kernel.so"
        command = [compiler, *FLAGS, *processor, str(SOURCE), "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        kernel = ctypes.CDLL(str(path))
    kernel.scores.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 4
    kernel.scores.restype = None
    return kernel


def processor_flags() -> list[list[str]]:
    """Flags for this processor, best first, with the vectors that PyTorch uses.

    GCC prefers half a register on some processors with AVX-512; ATEN_CPU_CAPABILITY=avx2 holds here, too.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    vectors = {"AVX512": ["-mprefer-vector-width=512"], "AVX2": ["-mno-avx512f"]}.get(capability, [])
    return [["-march=native", *vectors], ["-mcpu=native"], []]


def scores(x_mean: Tensor, x_var: Tensor, y_mean: Tensor, y_var: Tensor) -> Tensor:
    """`[N, D], [M, D] -> [N, M]`, float32 on the CPU, in the safe range of `kernels`.

    Beyond the result each thread holds a tile: 1 kB a dimension and 0.1 MB. Raises RuntimeError where
    `library()` is None.
    """
    if (kernel := library()) is None:
        raise RuntimeError("no compiler makes the CPU kernel")
    (n, dim), m = x_mean.shape, len(y_mean)
    if m < min(n, ITEMS):  # a tile would be filled with nothing: the score is symmetric, bit for bit
        return scores(y_mean, y_var, x_mean, x_var).T.contiguous()
    extra = -dim % STEP
    parts = [F.pad(t, (0, extra), value=fill).view(n, -1, STEP) for t, fill in ((x_mean, 0.0), (x_var, 0.5))]
    x, y_mean, y_var = torch.stack(parts, 2), y_mean.contiguous(), y_var.contiguous()
    out = x_mean.new_empty(n, m)
    pointers = [t.data_ptr() for t in (x, y_mean, y_var, out)]
    kernel.scores(*pointers, n, m, dim, torch.get_num_threads())
    return out
