"""`medprobclip run`: the numbered notebooks without a browser, in order."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from medprobclip.settings import OBJECTIVES
from medprobclip.support.flags import HelpWithDefaults
from medprobclip.training.profiles import PROFILES
from medprobclip.workbench.flags import add_tables, may_be_shared, parameters_of
from medprobclip.workbench.workspace import WALK, NotebookParameters, Workspace


def parser() -> ArgumentParser:
    """Command line; the defaults are the notebooks' own."""
    command = ArgumentParser(
        prog="medprobclip run",
        description="Run the numbered notebooks with papermill, in order. An interrupted call goes on.",
        formatter_class=HelpWithDefaults,
    )
    command.add_argument(
        "--profile", choices=list(PROFILES), default=NotebookParameters.profile,
        help="smoke: two minutes, numbers mean nothing; demo: about 9 minutes on two CPU cores; with "
        "--tables laptop: small encoders, under an hour; paper: ViT-B/16 and BiomedBERT, for a GPU",
    )  # fmt: skip
    add_tables(command)
    command.add_argument(
        "--objective", choices=list(OBJECTIVES), default=NotebookParameters.objective,
        help="what training minimises",
    )  # fmt: skip
    command.add_argument(
        "--only", nargs="+", default=list(WALK), metavar="NN", help="the notebooks whose names start so"
    )
    return command


def last_words(workspace: Workspace, only: Sequence[str], here: Path) -> str:
    """What a run ends with: what was found, where things lie (seen from the folder `here`), what is next."""
    from medprobclip.paper.figures.catalogue import FIGURES
    from medprobclip.paper.findings.readme import for_a_terminal, what_was_found

    made = {name for name, entry in FIGURES.items() if entry.maker.startswith(tuple(only))}
    found = for_a_terminal(what_was_found(workspace.figures, made, not workspace.tables))
    smoke = " (smoke: its numbers mean nothing)" if workspace.profile.name == "smoke" else ""
    figures, notebooks, run = (
        path.relative_to(here) if path.is_relative_to(here) else path
        for path in (workspace.figures, workspace.notebooks, workspace.run)
    )
    return (
        (f"What was found{smoke}\n{found}\n" if found else "") + "Done. Look at\n"
        f"  {figures}/   figures, each with its numbers as CSV\n"
        f"  {notebooks}/   the executed notebooks\n"
        f"  {run}/   checkpoint, metrics.json, embeddings, TensorBoard logs\n{_next(workspace)}"
    )


def _next(workspace: Workspace) -> str:
    if not workspace.tables:
        return "Next: make lab (step through it), make figures (with the other methods)"
    words = ["medprobclip", "figures", "--profile", workspace.profile.name, "--tables", str(workspace.tables)]
    words += ["--show_text"] if workspace.show_text else []
    return (
        f"{may_be_shared(workspace)}\n"
        "Next: make lab (step through it; profile and own_tables go into a notebook's parameters cell),\n"
        f"  {shlex.join(words)} (with the other methods)"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    command = parser()
    chosen = command.parse_args(arguments)
    parameters = parameters_of(command, chosen, objective=chosen.objective)
    from medprobclip.workbench.headless import check_tables, guarded, run_notebooks

    def work() -> None:
        check_tables(parameters.workspace())
        workspace = run_notebooks(parameters, chosen.only)
        print(f"\n{last_words(workspace, chosen.only, Path.cwd())}")

    guarded(work)
