"""Run the notebooks without a browser, in order: `python -m medprobclip.workbench.headless`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from medprobclip.objectives import OBJECTIVES
from medprobclip.training.profiles import PROFILES
from medprobclip.workbench.workspace import NotebookParameters, Workspace

ROOT = Path(__file__).resolve().parents[2]
WALK = ("01", "02", "03", "04", "05")  # data, model, training, retrieval, uncertainty


def run_notebooks(parameters: NotebookParameters, only: Sequence[str] = WALK) -> Workspace:
    """Execute the notebooks whose names start so into `runs/<profile>/<objective>/notebooks`, in order.

    Cell output streams to the terminal. Each stage (corpus, training by epochs, test scores) keeps what it
    finished, so that a call after an interruption goes on. Raises PapermillExecutionError when a cell
    fails, ValueError when a start fits no notebook.
    """
    workspace = parameters.workspace()
    names = sorted(path.name for path in (workspace.root / "notebooks").glob("*.ipynb"))
    for start in only:
        if not any(name.startswith(start) for name in names):
            raise ValueError(f"no notebook in {workspace.root / 'notebooks'} starts with '{start}'")
    names = [name for name in names if name.startswith(tuple(only))]
    workspace.notebooks.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, start=1):
        print(f"\n[{number}/{len(names)}] {name}", flush=True)
        started = time.perf_counter()
        papermill.execute_notebook(
            workspace.root / "notebooks" / name,
            workspace.notebooks / name,
            parameters=parameters.as_dict(),
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            cwd=workspace.root / "notebooks",
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # nothing about its sockets
        )
        print(f"[{number}/{len(names)}] {name}: {time.perf_counter() - started:.0f} s", flush=True)
    return workspace


def parser() -> argparse.ArgumentParser:
    """Command line; the default profile and objective are the notebooks' own."""
    default = {field.name: field.default for field in fields(NotebookParameters)}
    command = argparse.ArgumentParser(
        prog="python -m medprobclip.workbench.headless",
        description="Run the numbered notebooks with papermill, in order.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument(
        "--profile", choices=sorted(PROFILES.keys() - {"paper"}), default=default["profile"],
        help="smoke: two minutes, numbers mean nothing; demo: about 13 minutes on two CPU cores",
    )  # fmt: skip
    command.add_argument(
        "--objective", choices=list(OBJECTIVES), default=default["objective"], help="what training minimises"
    )
    command.add_argument(
        "--only", nargs="+", default=list(WALK), metavar="NN", help="the notebooks whose names start so"
    )
    return command


def guarded(work: Callable[[], None]) -> None:
    """Run a command's work; end in one line, not in a trace, when it is stopped or a notebook fails."""
    # Stopped from outside (a closed terminal, a scheduler): leave as after Ctrl-C, and take the kernel along.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        work()
    except PapermillExecutionError as error:
        if error.ename == "KeyboardInterrupt":  # Ctrl-C reaches the kernel, too
            sys.exit("\nStopped. The same command goes on from here.")
        sys.exit(f"\n{error.ename}: {error.evalue}\nThe same command goes on from here.")
    except DeadKernelError as error:
        sys.exit(f"\n{error}. Was memory short? The same command goes on from here.")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on from here.")


def main() -> None:
    arguments = parser().parse_args()

    def work() -> None:
        parameters = NotebookParameters(arguments.profile, arguments.objective, str(ROOT))
        workspace = run_notebooks(parameters, arguments.only)
        print(f"\nDone. Look at\n  {workspace.figures}/   figures, each with its numbers as CSV")
        print(f"  {workspace.notebooks}/   the executed notebooks")
        print(f"  {workspace.run}/   checkpoint, metrics.json, embeddings, TensorBoard logs")

    guarded(work)


if __name__ == "__main__":
    main()
