"""What a call costs, counted: bytes of tensors that exist at one time, lines of a module that run."""

import sys
from collections.abc import Callable
from types import FrameType, ModuleType

from torch.profiler import ProfilerActivity, profile


def most_held(call: Callable[[], object]) -> int:
    """Most bytes of tensors at one time in a call beyond those before it, by torch's own book.

    Files mapped into memory are in no book, and what the system does with its memory plays no part.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call()
    del result
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()  # less than 0 where memory is given back
        most = max(most, held)
    return most


def lines_run(call: Callable[[], object], module: ModuleType) -> int:
    """How many lines of a module run in a call: each turn of a loop counts."""
    count = 0

    def look(frame: FrameType, event: str, _: object) -> Callable | None:
        nonlocal count
        if frame.f_code.co_filename != module.__file__:
            return None
        count += event == "line"
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
