"""`medprobclip figures`: every table and figure, with the baselines."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from medprobclip.support.flags import HelpWithDefaults
from medprobclip.training.profiles import PROFILES
from medprobclip.workbench.flags import add_tables, may_be_shared, parameters_of
from medprobclip.workbench.workspace import NotebookParameters, Workspace


def parser() -> ArgumentParser:
    """Command line; the default profile is the notebooks' own."""
    command = ArgumentParser(
        prog="medprobclip figures",
        description="Train the methods that are missing and regenerate every table and figure.",
        formatter_class=HelpWithDefaults,
    )
    command.add_argument(
        "--profile", choices=list(PROFILES), default=NotebookParameters.profile,
        help="demo writes the committed figures/; smoke (its numbers mean nothing) and, with --tables, all "
        "of them beside their runs; laptop and paper need --tables",
    )  # fmt: skip
    add_tables(command)
    command.add_argument(
        "--full", action="store_true", help="three seeds, and the ablation on each: about two hours more"
    )
    return command


def last_words(workspace: Workspace, here: Path) -> str:
    """What it ends with: what was found, and where things lie (seen from the folder `here`)."""
    from medprobclip.paper.findings.readme import for_a_terminal, what_was_found

    figures, report = (
        path.relative_to(here) if path.is_relative_to(here) else path
        for path in (workspace.figures, workspace.report)
    )
    smoke = " (smoke: its numbers mean nothing)" if workspace.profile.name == "smoke" else ""
    found = for_a_terminal(what_was_found(workspace.figures, simulated=not workspace.tables))
    colleague, class_ = "the page to send to a colleague", "the notebooks as one page, to hand out"
    if workspace.tables:
        colleague, class_ = "retrieval and doubt as one page", "the notebooks as one page"
    return (
        (f"What was found{smoke}\n{found}\n" if found else "") + "Done. Look at\n"
        f"  {figures}/   every figure and table, with its numbers as CSV\n"
        f"  {report}   {colleague}\n"
        f"  {report.with_name('course.html')}   {class_}"
        + (f"\n{may_be_shared(workspace)}" if workspace.tables else "")
    )


def main(arguments: Sequence[str] | None = None) -> None:
    command = parser()
    chosen = command.parse_args(arguments)
    publish = chosen.profile == NotebookParameters.profile and not chosen.tables
    parameters = parameters_of(command, chosen, publish=publish)
    from medprobclip.paper.reproduce import reproduce
    from medprobclip.workbench.headless import check_tables, guarded

    def work() -> None:
        check_tables(parameters.workspace())
        workspace = reproduce(parameters, chosen.full)
        print(f"\n{last_words(workspace, Path.cwd())}")

    guarded(work)
