"""What a training tells: progress, TensorBoard, metrics.jsonl, trackers, and a summary at the end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from medprobclip.support.progress import progress_bar
from medprobclip.training.processes import Team
from medprobclip.training.summary import METRICS, TENSORBOARD, duration, end_summary, speed
from medprobclip.training.trackers import Tracker

LINE_EVERY = 60.0  # s, where no bar can move
TRACKED_EVERY = 10  # steps: a tracker may ask a server for each
FLUSH_EVERY = 10  # s, of TensorBoard


class Telling:
    """`with Telling(…) as told:` around all epochs; of several processes the first one tells.

    Steps count from 1 over all epochs; `done` is (finished epochs, steps of the next) at which a training
    goes on: what an interrupted one told of later steps goes, so that each stands there once. Numbers only,
    and `settings`, which a tracker gets: no text and no ids.
    """

    def __init__(
        self,
        out: Path,
        team: Team,
        settings: dict,
        report_to: str,
        epochs: int,
        steps: int,
        batch_size: int,
        done: tuple[int, int] = (0, 0),
        device: torch.device | None = None,
    ) -> None:
        """`steps` of an epoch, `batch_size` of all processes together; memory is that of the `device`.

        Raises ValueError when a tracker is not installed or cannot start, OSError when the folder cannot be
        written.
        """
        self.out, self.leads, self.epochs, self.steps, self.batch = out, team.leads, epochs, steps, batch_size
        self.device, self.pace, self.bar = device or torch.device("cpu"), Pace(), None
        self.last = self.line_at = time.monotonic()  # end of the last step; when the last line was printed
        self.validation = 0.0  # s, of the last one
        self.tracker, self.sent = None, (0, 0)
        if not team.leads:
            return
        reached = done[0] * steps + done[1]
        with _named(out / METRICS):
            out.mkdir(parents=True, exist_ok=True)
            again, told = cut_after(out / METRICS, reached, done[0])
        if report_to != "none":
            self.tracker = Tracker(report_to, out, settings)
            self.sent = (reached, done[0]) if self.tracker.new else told
        with _named(out / TENSORBOARD):
            # TensorBoard hides what it had from this step on. Validation stands at the last step of its
            # epoch and may have to go alone, so that step is told anew.
            self.writer = SummaryWriter(out / TENSORBOARD, purge_step=reached, flush_secs=FLUSH_EVERY)
            for line in again:
                self._draw(line["step"], _values(line))
        with _named(out / METRICS):
            self.file = open(out / METRICS, "a", encoding="utf-8")

    def __enter__(self) -> Telling:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if not self.leads:
            return
        # A full disk that stopped the training also refuses what is left: the first error is the one to say.
        with suppress(OSError) if error else _named(self.out / METRICS):
            self.file.close()
        with suppress(OSError) if error else _named(self.out / TENSORBOARD):
            self.writer.close()
        if self.tracker:
            self.tracker.finish()

    @contextmanager
    def during(self, epoch: int, start: int = 0) -> Iterator[None]:
        """`with told.during(epoch, start):` around the steps of an epoch (from 0), of which `start` are done.

        A bar, or a line a minute where none can move.
        """
        self.last = self.line_at = time.monotonic()
        name = f"epoch {epoch + 1}/{self.epochs}"
        with progress_bar(self.steps, name, "step", start, shown=self.leads, line=False) as self.bar:
            yield
        self.last = time.monotonic()

    def step(self, step: int, values: dict[str, float]) -> None:
        """Tell a step's numbers: terms of the objective as they are called, others as `group/name`."""
        now = time.monotonic()
        self.pace.took(seconds := now - self.last)
        self.last = now
        if not self.leads:
            return
        named = {name if "/" in name else f"train/{name}": value for name, value in values.items()}
        named["machine/studies_per_second"] = self.batch / max(seconds, 1e-9)
        named["machine/memory_gb"] = memory_gb(self.device)
        epoch = (step - 1) // self.steps + 1
        self._write("step", step, epoch, named)
        every = min(TRACKED_EVERY, self.steps)
        if self.tracker and step % every == 0 and step > self.sent[0]:
            self.tracker.log(named, step)
        if self.bar is None:
            return
        self.bar.set_postfix_str(self.progress(step, values["loss"]), refresh=False)
        self.bar.update()
        if _stands_still(self.bar) and now - self.line_at >= LINE_EVERY:
            self.line_at = now
            within = f"step {step - (epoch - 1) * self.steps}/{self.steps}"
            print(f"epoch {epoch}/{self.epochs}, {within}: {self.progress(step, values['loss'])}", flush=True)

    def progress(self, step: int, loss: float) -> str:
        """ "loss 2.310, 118 studies/s, 19 min left": of the whole training, validation included."""
        return f"loss {loss:.3f}, {speed(self.rate)}, {duration(self.left(step))} left"

    @property
    def rate(self) -> float:
        """Studies a second of late, without validation; 0 before the first step."""
        return self.batch / self.pace.seconds if self.pace.seconds else 0.0

    def left(self, step: int) -> float:
        """Seconds to the end of the last epoch, as far as known."""
        validations = self.epochs - step // self.steps
        return self.pace.seconds * (self.epochs * self.steps - step) + self.validation * validations

    def epoch(self, step: int, row: dict[str, float]) -> None:
        """Tell an epoch's row of the history: what was validated (`val_…`), and the means over its steps."""
        self.validation, self.bar = time.monotonic() - self.last, None
        if not self.leads:
            return
        named = {
            name.replace("val_", "validation/") if name.startswith("val_") else f"epoch/{name}": value
            for name, value in row.items()
            if name != "epoch"
        }
        self._write("epoch", step, row["epoch"], named)
        if self.tracker and row["epoch"] > self.sent[1]:
            self.tracker.log(named, step)
        left = self.left(step)
        print(
            f"epoch {row['epoch']}/{self.epochs}: loss {row['loss']:.3f}, validation RSUM "
            f"{row['val_rsum']:.1f}, {row['seconds']:.0f} s"
            + (f", {duration(left)} left" if left >= LINE_EVERY else ""),
            flush=True,
        )

    def flush(self) -> None:
        """All so far into the files. Call it before a state is written: what led to it is then told."""
        if self.leads:
            with _named(self.out / TENSORBOARD):
                self.writer.flush()

    def end(self, history: Sequence[dict], next_commands: Sequence[str] = ()) -> None:
        """Print `end_summary`."""
        if self.leads:
            print(end_summary(history, self.out, self.rate, next_commands), flush=True)

    def _write(self, kind: str, step: int, epoch: int, named: dict[str, float]) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in named.items()}
        with _named(self.out / METRICS):
            self.file.write(json.dumps({"kind": kind, "step": step, "epoch": epoch, **finite}) + "\n")
            self.file.flush()
        with _named(self.out / TENSORBOARD):
            self._draw(step, named)

    def _draw(self, step: int, named: dict[str, float]) -> None:
        """All in one event: `add_scalar` writes one for each."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in named.items()]
        self.writer.file_writer.add_summary(Summary(value=scalars), step)


class Pace:
    """How long a step takes of late, in seconds; the first one, which warms up, counts until the second."""

    def __init__(self) -> None:
        self.seconds, self.steps = 0.0, 0

    def took(self, seconds: float) -> None:
        """Of one more step: the plain mean of the first twenty, then the older ones fade."""
        self.steps += 1
        weight = max(1 / max(self.steps - 1, 1), 1 / 20)
        self.seconds += weight * (seconds - self.seconds)


def cut_after(path: Path, step: int, epochs: int) -> tuple[list[dict], tuple[int, int]]:
    """Cut off what metrics.jsonl tells of later steps and epochs, and a half-written line.

    Returns what stays of just that step, and the last step and epoch that were told before the cut.
    """
    at_step, told, end, kept = [], [0, 0], 0, True
    if not path.exists():
        return [], (0, 0)
    with open(path, "rb") as file:
        for text in file:
            try:
                line = json.loads(text) if text.endswith(b"\n") else None
                of_epoch, number = line["kind"] == "epoch", line[line["kind"]]
            except (ValueError, KeyError, TypeError):
                break  # killed while it was written
            told[of_epoch] = max(told[of_epoch], number)
            kept = kept and number <= (epochs if of_epoch else step)
            if kept:
                end += len(text)
                at_step += [line] if line["step"] == step else []
    if end < path.stat().st_size:
        with open(path, "r+b") as file:
            file.truncate(end)
    return at_step, (told[0], told[1])


def memory_gb(device: torch.device) -> float:
    """GiB: on CUDA the most that was ever allocated, elsewhere what this process holds in memory now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return psutil.Process().memory_info().rss / 2**30


def _values(line: dict) -> dict[str, float]:
    named = {name: value for name, value in line.items() if "/" in name}
    return {name: math.nan if value is None else value for name, value in named.items()}


def _stands_still(bar: Any) -> bool:
    """Is there no place where it could move?"""
    return bool(bar.disable)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An OSError says of which file it is."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error
