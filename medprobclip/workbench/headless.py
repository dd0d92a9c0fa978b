"""Run the notebooks without a browser, in order, for a profile."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from medprobclip.support.foreseen import one_line_errors
from medprobclip.support.progress import lent_terminal
from medprobclip.training.preflight import preflight
from medprobclip.workbench.workspace import WALK, NotebookParameters, Workspace


class NoNotebookError(ValueError):
    """What is asked for does not exist; the message says what does."""


@lent_terminal()
def run_notebooks(parameters: NotebookParameters, only: Sequence[str] = WALK) -> Workspace:
    """Execute the notebooks whose names start so into `runs/<profile>/<objective>/notebooks`, in order.

    Cell output streams to the terminal, where bars move, too; a notebook keeps no bars. Each stage (corpus,
    training by epochs, test scores) keeps what it finished, so that a call after an interruption goes on.
    Raises PapermillExecutionError when a cell fails, NoNotebookError when a start fits no notebook or there
    are none.
    """
    workspace = parameters.workspace()
    names = sorted(path.name for path in (workspace.root / "notebooks").glob("*.ipynb"))
    if not names:
        raise NoNotebookError(
            f"no notebooks in {workspace.root / 'notebooks'}: they come with the repository, not with the "
            "package. Install it from a checkout: pip install -e '.[notebooks]'"
        )
    for start in only:
        if not any(name.startswith(start) for name in names):
            raise NoNotebookError(
                f"no notebook in {workspace.root / 'notebooks'} starts with '{start}'; there are "
                f"{', '.join(name[:2] for name in names)}"
            )
    names = [name for name in names if name.startswith(tuple(only))]
    workspace.notebooks.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, start=1):
        print(f"\n[{number}/{len(names)}] {name}", flush=True)
        started = time.perf_counter()
        papermill.execute_notebook(
            workspace.root / "notebooks" / name,
            workspace.notebooks / name,
            parameters=parameters.as_dict() | _without_sliders(workspace.root / "notebooks" / name),
            kernel_name="python3",  # of this very environment, whatever the notebook was saved under
            language="python",
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            cwd=workspace.root / "notebooks",
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # nothing about its sockets
        )
        print(f"[{number}/{len(names)}] {name}: {time.perf_counter() - started:.0f} s", flush=True)
    return workspace


def check_tables(workspace: Workspace) -> None:
    """Of one's own tables: everything that can be wrong with them, their pictures and the run, in one list.

    Prints what is worth knowing. Raises StudyTableError, and NotReadyError of `training/preflight.py`.
    """
    if workspace.tables:
        corpus = workspace.corpus()
        print(corpus.described())
        names = {"training": "train", "validation": "validate", "calibration": "calibrate", "test": "test"}
        preflight(
            {name: corpus.part(split) for name, split in names.items()},
            workspace.profile, workspace.run, show_text=workspace.shows_text,
        )  # fmt: skip


def _without_sliders(notebook: Path) -> dict[str, bool]:
    """`interactive=False` for a notebook that has this parameter: nobody is there to move anything."""
    return {"interactive": False} if "interactive = True" in notebook.read_text(encoding="utf-8") else {}


def guarded(work: Callable[[], None]) -> None:
    """Run a command's work; end in one line, not in a trace, when it is stopped or anything fails."""
    # Stopped from outside (a closed terminal, a scheduler): leave as after Ctrl-C, and take the kernel along.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    with one_line_errors("\nStopped. The same command goes on from here."):
        try:
            work()
        except PapermillExecutionError as error:
            if error.ename == "KeyboardInterrupt":  # Ctrl-C reaches the kernel, too
                raise KeyboardInterrupt from None
            sys.exit(f"\n{error.ename}: {error.evalue}\nThe same command goes on from here.")
        except DeadKernelError as error:
            sys.exit(f"\n{error}. Was memory short? The same command goes on from here.")
