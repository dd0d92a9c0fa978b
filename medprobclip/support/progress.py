"""Work that takes long shows that it lives: a bar where one can move, and one line when it is done."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TextIO, TypeVar

from tqdm import tqdm

LONG = 2.0  # s: what is done before needs neither bar nor line
TERMINAL = "MEDPROBCLIP_TERMINAL"  # environment: the terminal of whoever started this kernel
Item = TypeVar("Item")


@contextmanager
def progress_bar(
    total: int, what: str, unit: str, start: int = 0, shown: bool = True, line: bool = True
) -> Iterator[tqdm]:
    """`with progress_bar(684, "drawing", "film") as bar:`, and in it `bar.update()` after each.

    After two seconds a bar moves in a terminal (on stderr), and in a notebook that somebody looks at (on
    stdout: front ends put red behind stderr). A notebook that runs by itself, a pipe and a file hold no bar.
    At the end it goes, and on stdout stands a line, "drawing: 684 films in 12 s"; without `line`, or after
    an error, none does. `start` of the `total` were done before; not `shown`, nothing is.
    """
    began = time.perf_counter()
    with (
        _place() if shown else nullcontext() as place,
        tqdm(
            total=total, initial=start, desc=what, unit=unit, file=place, disable=place is None, leave=False,
            delay=LONG, mininterval=0.5,
        ) as bar,
    ):  # fmt: skip
        yield bar
    seconds, done = time.perf_counter() - began, total - start
    if shown and line and seconds > LONG:
        print(f"{what}: {done:,} {unit if done == 1 else _plural(unit)} in {seconds:.0f} s", flush=True)


def with_progress(items: Collection[Item], what: str, unit: str, shown: bool = True) -> Iterator[Item]:
    """The items one by one, under a `progress_bar`."""
    with progress_bar(len(items), what, unit, shown=shown) as bar:
        for item in items:
            yield item
            bar.update()


@contextmanager
def lent_terminal() -> Iterator[None]:
    """Kernels that are started meanwhile move their bars in this process's terminal, if it has one."""
    if hasattr(os, "ttyname") and sys.stderr.isatty():
        with suppress(OSError):  # a container need not know the name of its terminal
            os.environ[TERMINAL] = os.ttyname(sys.stderr.fileno())
    try:
        yield
    finally:
        os.environ.pop(TERMINAL, None)


@contextmanager
def without_model_bars(off: bool = True) -> Iterator[None]:
    """Without transformers' own bars meanwhile: models here are loaded and written in a moment.

    Not `off` (of a model that may have to be downloaded), they stay.
    """
    from transformers.utils import logging  # slow to import

    silent = off and logging.is_progress_bar_enabled()
    if silent:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if silent:
            logging.enable_progress_bar()


def _plural(unit: str) -> str:
    return re.sub(r"y$", "ie", re.sub(r"ch$", "che", unit)) + "s"


@contextmanager
def _place() -> Iterator[TextIO | None]:
    """Where a bar may move; None for nowhere."""
    kernel = _kernel()
    if kernel is None:
        yield sys.stderr if sys.stderr.isatty() else None
    # Only a front end with a person before it lets a cell ask for input; papermill and nbconvert do not.
    elif getattr(kernel, "_allow_stdin", True):
        yield sys.stdout
    else:
        terminal = None
        with suppress(OSError, KeyError):  # none lent, or closed meanwhile
            terminal = open(os.environ[TERMINAL], "w", encoding="utf-8")
        with terminal or nullcontext():
            yield terminal


def _kernel() -> object | None:
    """The kernel of the notebook that this process computes for."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)
