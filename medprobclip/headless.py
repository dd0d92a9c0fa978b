"""Run the notebooks without a browser, in order, for a profile: `python -m medprobclip.headless`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import fields
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from medprobclip.objectives import OBJECTIVES
from medprobclip.profiles import PROFILES
from medprobclip.workspace import NotebookParameters, Workspace

ROOT = Path(__file__).resolve().parent.parent


def run_notebooks(parameters: NotebookParameters, only: str = "") -> Workspace:
    """Execute every notebook whose name starts with `only` into `runs/<profile>/<objective>/notebooks`.

    Cell output streams to the terminal. Each stage (corpus, training by epochs, test scores) keeps what it
    finished, so that a call after an interruption goes on. Raises PapermillExecutionError when a cell
    fails, ValueError when no notebook fits.
    """
    workspace = parameters.workspace()
    names = sorted(path.name for path in (workspace.root / "notebooks").glob(f"{only}*.ipynb"))
    if not names:
        raise ValueError(f"no notebook in {workspace.root / 'notebooks'} starts with '{only}'")
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
        prog="python -m medprobclip.headless",
        description="Run the numbered notebooks with papermill, in order.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument(
        "--profile", choices=sorted(PROFILES.keys() - {"paper"}), default=default["profile"],
        help="smoke: seconds, numbers mean nothing; demo: about 10 minutes on two CPU cores",
    )  # fmt: skip
    command.add_argument(
        "--objective", choices=list(OBJECTIVES), default=default["objective"], help="what training minimises"
    )
    command.add_argument("--only", default="", metavar="NN", help="just the notebooks whose name starts so")
    return command


def main() -> None:
    arguments = parser().parse_args()
    # Stopped from outside (a closed terminal, a scheduler): leave as after Ctrl-C, and take the kernel along.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        parameters = NotebookParameters(arguments.profile, arguments.objective, str(ROOT))
        workspace = run_notebooks(parameters, arguments.only)
    except PapermillExecutionError as error:
        if error.ename == "KeyboardInterrupt":  # Ctrl-C reaches the kernel, too
            sys.exit("\nStopped. The same command goes on from here.")
        sys.exit(f"\n{error.ename}: {error.evalue}\nThe same command goes on from here.")
    except DeadKernelError as error:
        sys.exit(f"\n{error}. Was memory short? The same command goes on from here.")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on from here.")
    print(f"\nDone. Look at\n  {workspace.figures}/   figures, each with its numbers as CSV")
    print(f"  {workspace.notebooks}/   the executed notebooks")
    print(f"  {workspace.run}/   checkpoint, metrics.json, embeddings, TensorBoard logs")


if __name__ == "__main__":
    main()
