"""Commands end in one line: of an error that was foreseen, or of where the trace of another lies."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Errors whose message says all, by name: importing their types takes seconds in which Ctrl-C must work.
FORESEEN = (
    "StudyTableError", "ArchiveError", "AssetError", "ImageError", "TrainingError", "NotReadyError",
    "LockedError", "GalleryError", "NoNotebookError", "ReaderError",
)  # fmt: skip


@contextmanager
def one_line_errors(stopped: str) -> Iterator[None]:
    """`with one_line_errors("Stopped."):` exit with code 1 and one line instead of a trace.

    `stopped` is said after Ctrl-C, unless what was stopped says itself how to go on, and with which code it
    ends (`exit_code`). The trace of an error that is not foreseen is kept in a file.
    """
    try:
        yield
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt as error:
        if code := getattr(error, "exit_code", 0):
            print(error, end="\n" if str(error) else "", file=sys.stderr)
        sys.exit(code or stopped)
    except Exception as error:
        if type(error).__name__ in FORESEEN:
            sys.exit(f"{type(error).__name__}: {error}")
        trace = Path(tempfile.mkdtemp(prefix="medprobclip-")) / "error.txt"  # `out` may be what is wrong
        trace.write_text(traceback.format_exc(), encoding="utf-8")
        sys.exit(f"{type(error).__name__}: {error}\nNot foreseen. Where it came from is in {trace}.")
