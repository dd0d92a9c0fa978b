"""`medprobclip run`: the numbered notebooks without a browser, in order."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from medprobclip.settings import OBJECTIVES
from medprobclip.support.flags import HelpWithDefaults
from medprobclip.training.profiles import PROFILES
from medprobclip.workbench.workspace import ROOT, WALK, NotebookParameters


def parser() -> ArgumentParser:
    """Command line; the defaults are the notebooks' own."""
    command = ArgumentParser(
        prog="medprobclip run",
        description="Run the numbered notebooks with papermill, in order. An interrupted call goes on.",
        formatter_class=HelpWithDefaults,
    )
    command.add_argument(
        "--profile", choices=sorted(PROFILES.keys() - {"paper"}), default=NotebookParameters.profile,
        help="smoke: two minutes, numbers mean nothing; demo: about 9 minutes on two CPU cores",
    )  # fmt: skip
    command.add_argument(
        "--objective", choices=list(OBJECTIVES), default=NotebookParameters.objective,
        help="what training minimises",
    )  # fmt: skip
    command.add_argument(
        "--only", nargs="+", default=list(WALK), metavar="NN", help="the notebooks whose names start so"
    )
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parser().parse_args(arguments)
    from medprobclip.workbench.headless import guarded, run_notebooks

    def work() -> None:
        workspace = run_notebooks(
            NotebookParameters(chosen.profile, chosen.objective, str(ROOT)), chosen.only
        )
        print(f"\nDone. Look at\n  {workspace.figures}/   figures, each with its numbers as CSV")
        print(f"  {workspace.notebooks}/   the executed notebooks")
        print(f"  {workspace.run}/   checkpoint, metrics.json, embeddings, TensorBoard logs")

    guarded(work)
