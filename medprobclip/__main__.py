"""`medprobclip COMMAND …`, and `python -m medprobclip COMMAND …`: what there is to run."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

import medprobclip
from medprobclip.support.flags import print_anywhere

COMMANDS = {  # name -> module with a `main(arguments)`, what it does
    "run": ("medprobclip.commands.run", "run the numbered notebooks without a browser"),
    "figures": ("medprobclip.commands.figures", "train the methods, write every table and figure"),
    "prepare": (
        "medprobclip.commands.prepare",
        "MIMIC-CXR, OpenI or any table, as downloaded, into study tables",
    ),
    "train": (
        "medprobclip.medprobclip_train",
        "train on your own study tables (CSV)",
    ),
    "calibrate": (
        "medprobclip.commands.calibrate",
        "fit what a finished run promises on studies that chose nothing",
    ),
    "index": ("medprobclip.commands.index", "embed a study table into a folder that can be asked"),
    "search": ("medprobclip.commands.search", "ask an index by a film or by words"),
    "encoder": ("medprobclip.commands.encoder", "school the demo's image encoder on invented patients"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command with the rest of the command line."""
    print_anywhere()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = ArgumentParser(
        prog="medprobclip",
        description="Probabilistic vision-language embeddings of chest radiographs and reports.",
        epilog="medprobclip COMMAND --help lists what a command takes, with units and defaults.",
    )
    parser.add_argument("--version", action="version", version=f"medprobclip {medprobclip.__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    chosen = parser.parse_args(arguments[:1] or ["--help"]).command
    import_module(COMMANDS[chosen][0]).main(arguments[1:])


if __name__ == "__main__":
    main()
