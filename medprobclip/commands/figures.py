"""`medprobclip figures`: every table and figure, with the baselines."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from medprobclip.support.flags import HelpWithDefaults
from medprobclip.training.profiles import PROFILES
from medprobclip.workbench.workspace import ROOT, NotebookParameters, Workspace


def parser() -> ArgumentParser:
    """Command line; the default profile is the notebooks' own."""
    command = ArgumentParser(
        prog="medprobclip figures",
        description="Train the methods that are missing and regenerate every table and figure.",
        formatter_class=HelpWithDefaults,
    )
    command.add_argument(
        "--profile", choices=sorted(PROFILES.keys() - {"paper"}), default=NotebookParameters.profile,
        help="demo writes the committed figures/; smoke, whose numbers mean nothing, beside its run",
    )  # fmt: skip
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
    return (
        f"What was found{smoke}\n{for_a_terminal(what_was_found(workspace.figures))}\nDone. Look at\n"
        f"  {figures}/   every figure and table, with its numbers as CSV\n"
        f"  {report}   the page to send to a colleague\n"
        f"  {report.with_name('course.html')}   the notebooks as one page, to hand out"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parser().parse_args(arguments)
    from medprobclip.data.assets import AssetError
    from medprobclip.paper.reproduce import reproduce
    from medprobclip.training.loop import TrainingError
    from medprobclip.workbench.headless import guarded

    def work() -> None:
        publish = chosen.profile == NotebookParameters.profile
        parameters = NotebookParameters(chosen.profile, root=str(ROOT), publish=publish)
        try:
            workspace = reproduce(parameters, chosen.full)
        except (TrainingError, AssetError) as error:
            sys.exit(f"\n{error}")
        print(f"\n{last_words(workspace, Path.cwd())}")

    guarded(work)
