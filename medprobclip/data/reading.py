"""Batches from any step of an epoch on, read by this process or ahead of time by others."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing import resource_tracker
from multiprocessing.util import Finalize
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from medprobclip.data.dataset import Batch, Drawn, StudyDataset, Texts, read
from medprobclip.data.grey import ImageError
from medprobclip.data.images import ImageCache
from medprobclip.settings import AugmentationConfig

if TYPE_CHECKING:  # every process that reads imports this
    from transformers import PreTrainedTokenizerBase

_HELD = ("SIGINT", "SIGTERM")  # what Ctrl-C and queues send to every process of a training at once
_SLOW_S = 5.0  # a process that was told to end and does not


class ReaderError(RuntimeError):
    """A process that reads ahead ended by itself; the message says what to do."""


class BatchReader:
    """`with BatchReader(dataset, 64, seed, workers=4) as reader: for batch in reader.epoch(0): ...`

    Gives what `dataset.batches(batch_size, seed, epoch, augmentation, part)` gives, bit by bit, whatever the
    number of `workers`, processes that read while the training computes (0: this one reads). They are started
    with the first batch and stay until the end of the `with`, also across epochs; all that is random is drawn
    here, and no global random generator is touched. `buckets` are those of `StudyDataset.drawn`.

    With workers, a script of one's own needs its `if __name__ == "__main__":`. Raises ReaderError when one of
    them ends, ImageError that names a broken file of the cache.
    """

    def __init__(
        self,
        dataset: StudyDataset,
        batch_size: int,
        seed: int,
        augmentation: AugmentationConfig | None = None,
        part: slice = slice(None),
        workers: int = 0,
        buckets: int = 0,
    ) -> None:
        self.dataset, self.workers = dataset, workers
        self.steps = len(dataset) // batch_size
        self._draw = lambda epoch, start: dataset.drawn(
            batch_size, seed, epoch, augmentation, part, start, buckets
        )
        tokenizer = None if plain(dataset, augmentation) else dataset.tokenizer
        self._read = _Read(ImageCache(dataset.images.size_px, {}), tokenizer, dataset.pad)
        self._plan = _Plan(self._draw)
        self._loader: DataLoader | None = None
        self._stream: Iterator | None = None
        self._end: Finalize | None = None  # ends the processes: by `close`, or when Python ends
        self._next: tuple[int, int] | None = None  # epoch and step that the stream gives next

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on: the tail of the whole epoch."""
        if start >= self.steps:
            return
        if not self.workers:
            for drawn in self._draw(epoch, start):
                yield self.dataset.batch(drawn.rows, *self._read.batch(drawn))
            return
        for step in range(start, self.steps):
            with _clear_errors():
                self._aim(epoch, step)
                self._next, found = None, next(self._stream)
            if isinstance(found, ImageError):
                raise found
            rows, images, sections = found
            self._next = (epoch, step + 1) if step + 1 < self.steps else (epoch + 1, 0)
            yield self.dataset.batch(rows, images, tuple(Texts(*section) for section in sections))

    def _aim(self, epoch: int, start: int) -> None:
        """Let the stream go on from there; what was read ahead of another place is thrown away."""
        if self._next == (epoch, start):
            return
        self._plan.epoch, self._plan.start, self._next = epoch, start, None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # as was asked
            self._start()

    def _start(self) -> None:
        if self._loader is None:
            self._loader = DataLoader(
                self._read, batch_size=None, sampler=self._plan, num_workers=self.workers,
                multiprocessing_context="spawn", persistent_workers=True, collate_fn=_as_it_is,
                worker_init_fn=_alone, pin_memory=torch.cuda.is_available(),
                generator=torch.Generator(),  # else each pass would draw from the training's own
            )  # fmt: skip
        if self._end:
            self._stream = iter(self._loader)
            return
        before = set(multiprocessing.active_children())
        try:
            with _signals_held():
                self._stream = iter(self._loader)
        finally:
            started = [process for process in multiprocessing.active_children() if process not in before]
            self._end = Finalize(self, _end, (self._stream, started), exitpriority=10)

    def close(self) -> None:
        """End the processes. The next epoch would start others."""
        self._stream = self._loader = self._next = None
        if self._end:
            self._end()
        self._end = None

    def __enter__(self) -> BatchReader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        ended = _ended(error)  # torch tells of a dead process wherever the training happens to be
        if ended and not isinstance(error, ReaderError):
            raise ended from None


class _Plan:
    """What is to be read from a step of an epoch on, without end: at its end goes on with the next epoch."""

    def __init__(self, draw: Callable[[int, int], Iterator[Drawn]]) -> None:
        self.draw, self.epoch, self.start = draw, 0, 0

    def __iter__(self) -> Iterator[Drawn]:
        start = self.start
        for epoch in count(self.epoch):
            yield from self.draw(epoch, start)
            start = 0


class _Read:
    """What the reading processes have: no table, no tokens; where pixels lie comes with each batch.

    No tokenizer either where no text varies: with a large vocabulary to send, they start one by one.
    """

    def __init__(self, images: ImageCache, tokenizer: PreTrainedTokenizerBase | None, pad: int) -> None:
        self.images, self.tokenizer, self.pad = images, tokenizer, pad

    def batch(self, drawn: Drawn) -> tuple[Tensor, tuple[Texts, Texts]]:
        return read(drawn, self.images, self.tokenizer, self.pad)

    def __getitem__(self, drawn: Drawn) -> tuple | ImageError:
        """In tensors and tuples, which torch can send through shared memory and pin."""
        try:
            images, sections = self.batch(drawn)
        except ImageError as error:
            return ImageError(str(error))  # raised here, it would come with the trace of another process
        return drawn.rows, images, tuple((texts.input_ids, texts.attention_mask) for texts in sections)


def plain(dataset: StudyDataset, augmentation: AugmentationConfig | None) -> bool:
    """Are all texts as they stand in the table, whose tokens are known?"""
    how = augmentation or AugmentationConfig()
    return not (how.sentence_drop > 0 or how.sentence_shuffle or dataset.alone.any())


def _end(stream: Iterator | None, processes: list[multiprocessing.Process]) -> None:
    """Let them finish what they read; by force where that does not do, for they are deaf to signals."""
    try:
        if stream is not None:
            stream._shutdown_workers()  # without a public name; `del` waits until no trace has it any more
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
        for process in processes:
            process.join(_SLOW_S)


def _as_it_is(found: object) -> object:
    return found


def _alone(_: int) -> None:
    """A reading process takes one thread (torch sees to its own), and ends when the training says so."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, where signals cannot be held
    # To take apart all that was loaded takes a second, and libraries now and then abort over it, aloud.
    Finalize(None, os._exit, (0,), exitpriority=-100)


@contextmanager
def _signals_held() -> Iterator[None]:
    """What Ctrl-C and queues send waits here; processes that start meanwhile never get it.

    The training gets it afterwards, saves what it has and ends them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it lets them through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {getattr(signal, name) for name in _HELD})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ended(error: BaseException | None) -> ReaderError | None:
    """The clear form of what torch says when a process that reads has died; None of any other error."""
    said = str(error)
    if not isinstance(error, RuntimeError) or not said.startswith(("DataLoader worker", "Pin memory thread")):
        return None
    reason = said.splitlines()[0].removeprefix("DataLoader worker ").rstrip(". ")
    reason = re.sub(r"\(pid(?:\(s\))? ([\d, ]+)\)", r"pid \1", reason)
    return ReaderError(f"a process that reads radiographs ended ({reason}): start with fewer --workers, or 0")


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        ended = _ended(error)
        if ended is None:
            raise
        raise ended from error
