"""Functions over tiles, compiled where a compiler is: tells what it costs, gives up once, aloud."""

from __future__ import annotations

import functools
import os
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor


class Compiler:
    """Runs a function compiled, tells what it costs, and gives up once, aloud, where there is no compiler."""

    def __init__(self) -> None:
        switches = ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE")  # PyTorch's own
        self.unavailable = any(os.environ.get(name) == "1" for name in switches)
        self.seen: set[tuple] = set()

    def __call__(
        self, function: Callable, what: str, tile: list[Tensor], varying: list[tuple[int, ...]], *args
    ):
        """Result of `function(*tile, *args)`, or None where it cannot be compiled.

        `what` tells the user what is compiled. `varying`: for each tensor, the axes whose sizes change from
        call to call; the others are compiled in.
        """
        tile = [tensor.detach() for tensor in tile]  # whether they learn is not the kernel's business
        fixed = []
        for tensor, axes in zip(tile, varying, strict=True):
            for axis, size in enumerate(tensor.shape):
                if axis in axes:
                    torch._dynamo.mark_dynamic(tensor, axis)
                else:
                    torch._dynamo.mark_static(tensor, axis)
                    fixed.append(size)
        key = (function, *fixed, tile[0].dtype, tile[0].device.type, *args)
        if key in self.seen:
            return compiled(function)(*tile, *args)
        started = time.perf_counter()
        print(f"Compiling the expected likelihood ({what}) …", end=" ", file=sys.stderr, flush=True)
        try:
            result = compiled(function)(*tile, *args)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError, ImportError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print("not possible.", file=sys.stderr, flush=True)
            warnings.warn(
                f"no working compiler ({reason}): the same tiles run in eager mode, many times slower. "
                "torch.compile needs a C++ compiler (on Debian or Ubuntu: apt install g++ python3-dev)",
                RuntimeWarning,
                stacklevel=2,
            )
            self.unavailable = True
            return None
        print(f"{time.perf_counter() - started:.1f} s; kept for later processes", file=sys.stderr, flush=True)
        self.seen.add(key)
        return result


@functools.cache
def compiled(function: Callable) -> Callable:
    """torch.compile without its thresholds for storing intermediates: the sum stays one loop."""
    never = {name: 10**6 for name in (
        "realize_opcount_threshold", "realize_reads_threshold", "realize_acc_reads_threshold"
    )}  # fmt: skip
    # On CUDA a loop, too: quicker than a sum over threads at once, and the order of its terms stays.
    run = torch.compile(function, fullgraph=True, options=never | {"triton.persistent_reductions": False})

    def call(*args):
        # PyTorch keeps compiled code on disk by a key without the processor's vector width: code for AVX-512
        # that AVX2 takes from there computes half of a gradient, and says nothing.
        tag = torch.compiler.config.cache_key_tag + torch.backends.cpu.get_cpu_capability()
        with (
            torch.compiler.config.patch(cache_key_tag=tag),
            torch._dynamo.config.patch(recompile_limit=64),  # one for each number of dimensions
        ):
            return run(*args)

    return call


COMPILER = Compiler()
