"""Several processes: which part of a batch each takes, and what all of them made, joined in order."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env
from torch import Tensor

from medprobclip.gaussian import Gaussian

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Team:
    """How many processes work on one training, and which of them this one is, from 0."""

    number: int = 1
    rank: int = 0

    @staticmethod
    def here() -> Team:
        """As a launcher (torchrun, accelerate launch, `notebook_launcher`) started them; else one alone."""
        if launched_processes() > 1 and not torch.cuda.is_available():
            os.environ.setdefault("ACCELERATE_USE_CPU", "true")  # else accelerate takes each for one alone
        state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
        if state.num_processes != launched_processes():
            raise RuntimeError(
                f"{launched_processes()} processes were started, but accelerate joins {state.num_processes}: "
                "each would train alone into the same folder"
            )
        return Team(state.num_processes, state.process_index)

    @property
    def leads(self) -> bool:
        """Does this one print and write?"""
        return self.rank == 0

    def say(self, line: str) -> None:
        """Print it once."""
        if self.leads:
            print(line, flush=True)

    def sizes(self, n: int) -> list[int]:
        """How many of n neighbouring items each process takes: the first ones one more where it is uneven."""
        return [n // self.number + (rank < n % self.number) for rank in range(self.number)]

    def part(self, n: int) -> slice:
        """Which of n items in order this process takes."""
        sizes = self.sizes(n)
        start = sum(sizes[: self.rank])
        return slice(start, start + sizes[self.rank])

    def joined(self, own: Tensor, n: int) -> Tensor:
        """The parts `[m, ...]` of all processes in order, `[n, ...]`, with gradients for what is one's own.

        Every process is to compute the same scalar from it; gradients of parameters are then to be averaged
        over the processes, as DistributedDataParallel does.
        """
        return own if self.number == 1 else _Joined.apply(own, self.sizes(n), self.rank)

    def gaussian(self, own: Gaussian, n: int) -> Gaussian:
        """`joined`, of mean and log variance `[m, D]`."""
        return own if self.number == 1 else Gaussian(*(self.joined(t, n) for t in (own.mean, own.log_var)))

    def agreed(self, thing: Thing) -> Thing:
        """What the first process has, for all."""
        return thing if self.number == 1 else broadcast_object_list([thing])[0]

    def led(self, work: Callable[[], Thing]) -> Thing:
        """What the first process finds, for all; where it fails, the others end and say nothing."""
        if self.number == 1:
            return work()
        try:
            found = [work()] if self.leads else None
        except BaseException:
            self.agreed(None)
            raise
        found = self.agreed(found)
        if found is None:
            sys.exit(1)
        return found[0]

    def anyone(self, here: bool) -> bool:
        """Is it so in any process?"""
        if self.number == 1:
            return here
        told = torch.tensor(int(here), device=PartialState().device)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told)

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """What fails in one process fails in all: the first one says why, the others end silently."""
        if self.number == 1:
            yield
            return
        why, failed = "", None
        try:
            yield
        except Exception as error:
            why, failed = f"{type(error).__name__}: {error}", error
        told: list[str] = gather_object([why])
        if not any(told):
            return
        if not self.leads:
            sys.exit(1)
        raise failed or RuntimeError(f"in another process: {next(filter(None, told))}")

    def wait(self) -> None:
        """Until all are here."""
        if self.number > 1:
            PartialState().wait_for_everyone()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """`with team.first_alone():` the first process does it, then the others."""
        if self.number == 1:
            yield
            return
        with PartialState().main_process_first():
            yield


class _Joined(torch.autograd.Function):
    """The parts of all processes, one after the other; padded on the way: gathered shapes must be equal."""

    @staticmethod
    def forward(ctx, own: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.number, start = len(sizes), sum(sizes[:rank])
        ctx.part = slice(start, start + sizes[rank])
        padded = own.new_zeros(max(sizes), *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        # Each process has the whole loss, hence the whole gradient of its own part. Averaging over the
        # processes divides by their number, which is right for what all share (scale and shift) only.
        return gradient[ctx.part] * ctx.number, None, None


def launched_processes() -> int:
    """How many processes a distributed launcher says it has started."""
    said = os.environ.get("WORLD_SIZE", "")
    return int(said) if said.isdecimal() else 1
