"""SIGTERM and SIGINT, which queues and Ctrl-C send: a training saves its state, then ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(KeyboardInterrupt):
    """A training was asked to stop and has saved its state; the message says how to go on."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 128 + number  # as of a process that the signal ended


class StopRequest:
    """`with StopRequest() as stop:` the first signal is noted in `stop.number`; a second SIGINT ends at once.

    Only the main thread gets signals: elsewhere nothing is noted.
    """

    number: int = 0

    def __enter__(self) -> StopRequest:
        self._waits, self._before = True, {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.number = self.number, number
        if (again and number == signal.SIGINT) or not self._waits:
            raise TrainingStopped(f"Stopped by {self.name}", number)

    @property
    def name(self) -> str:
        """Of the signal that asked."""
        return signal.Signals(self.number).name

    @contextmanager
    def at_once(self, possible: bool = True) -> Iterator[None]:
        """Meanwhile, where `possible`, a signal raises TrainingStopped at once: all is saved already."""
        self._waits = not possible
        try:
            yield
        finally:
            self._waits = True
