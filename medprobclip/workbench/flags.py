"""The flags of commands that run notebooks, for tables of one's own -> the notebooks' parameters."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from medprobclip.workbench.workspace import ROOT, NotebookParameters, Workspace


def add_tables(command: ArgumentParser) -> None:
    """`--tables` and `--show_text`."""
    command.add_argument(
        "--tables", type=Path, metavar="FOLDER",
        help="your own studies: a folder with train.csv, validate.csv, test.csv and, if there is one, "
        "calibrate.csv, as `medprobclip prepare` makes them (default: the demo's corpus)",
    )  # fmt: skip
    command.add_argument(
        "--show_text", action="store_true",
        help="let notebooks and figures show sentences of your reports; without, they are withheld",
    )  # fmt: skip


def parameters_of(command: ArgumentParser, chosen: Namespace, **others: str | bool) -> NotebookParameters:
    """The notebooks' parameters for these flags. Exits with usage where they do not go together."""
    parameters = NotebookParameters(
        chosen.profile,
        root=str(ROOT),
        own_tables=str(chosen.tables.expanduser().absolute()) if chosen.tables else "",
        show_text=chosen.show_text,
        **others,
    )
    try:
        parameters.workspace()
    except ValueError as error:
        command.error(str(error))
    return parameters


def may_be_shared(workspace: Workspace) -> str:
    """What a command on one's own tables ends with: what its notebooks and figures hold of the studies."""
    held = "radiographs, ids and sentences of reports" if workspace.show_text else "radiographs and study ids"
    return (
        f"Notebooks, figures and pages hold {held} of your studies.\n"
        "  Before you give any of them to somebody: docs/privacy.md"
    )
