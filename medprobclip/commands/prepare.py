"""`medprobclip prepare`: MIMIC-CXR, OpenI or any table, as downloaded -> study tables that train."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from medprobclip.archives.options import AnyTable, Columns, Common, MimicCxr, OpenI
from medprobclip.support.flags import HelpWithDefaults, add_flags, from_flags

# Name -> options, those that `add_flags` makes flags of, what it is.
_SOURCES: dict[str, tuple[type[Common], type[Common], str]] = {
    "mimic-cxr": (
        MimicCxr,
        MimicCxr,
        "MIMIC-CXR-JPG's official files and report archive (or the DICOM edition)",
    ),
    "openi": (OpenI, OpenI, "OpenI's reports and its real radiographs"),
    "csv": (AnyTable, Columns, "any CSV table, one row a study or one row an image"),
}


def parser() -> ArgumentParser:
    """Command line: a source, and its flags."""
    command = ArgumentParser(
        prog="medprobclip prepare",
        description="Make train.csv, validate.csv, test.csv (and calibrate.csv) from an archive as it was "
        "downloaded, with a table of how many studies each rule dropped. No image is opened. An interrupted "
        "call goes on; a finished one says so.",
        epilog="medprobclip prepare SOURCE --help lists the flags of a source. The tables hold report text: "
        "keep them where the data use agreement allows.",
        allow_abbrev=False,
    )
    sources = command.add_subparsers(title="sources", dest="source", metavar="SOURCE", required=True)
    for name, (_, flags, text) in _SOURCES.items():
        source = sources.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + " -> study tables.",
            formatter_class=HelpWithDefaults, allow_abbrev=False,
        )  # fmt: skip
        if name == "csv":
            helps = {name: field.metadata["help"] for name, field in AnyTable.__dataclass_fields__.items()}
            source.add_argument("table", type=Path, metavar="TABLE", help=helps["table"])
            for flag in ("image", "view"):
                source.add_argument(
                    f"--{flag}", nargs="+", action="extend", metavar="COL", required=flag == "image",
                    help=helps[flag],
                )  # fmt: skip
        add_flags(source, flags)
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    command = parser()
    chosen = command.parse_args(arguments)
    if chosen.source == "csv":
        chosen.image, chosen.view = tuple(chosen.image), tuple(chosen.view or ())
    try:
        options = from_flags(_SOURCES[chosen.source][0], chosen)
    except ValueError as error:  # out of range, or flags that do not go together
        command.error(str(error))
    from medprobclip.support.foreseen import one_line_errors

    with one_line_errors("\nStopped. The same command goes on."):
        record, before = _prepared(options)
        print("\n".join(record["flow"]))
        for name, table in record["tables"].items():
            print(f"{options.out / name}: {table['studies']:,} studies, {table['images']:,} images")
        print(
            f"Finished before; nothing was changed in {options.out}"
            if before
            else f"Written to {options.out}"
        )
        print("\n".join(next_steps(options.out, record["tables"])))


def _prepared(options: Common) -> tuple[dict, bool]:
    from medprobclip.archives.tables import prepare

    if isinstance(options, MimicCxr):
        from medprobclip.archives.mimic_cxr import read_mimic_cxr, sources

        return prepare(
            "mimic-cxr", options, sources(options), lambda pieces: read_mimic_cxr(options, pieces),
            read_back=options.check_files,
        )  # fmt: skip
    if isinstance(options, OpenI):
        from medprobclip.archives.openi_films import read_openi, sources as openi_sources

        return prepare(
            "openi", options, openi_sources(options), lambda _: read_openi(options), read_back=True
        )
    from medprobclip.archives.any_table import read_table

    files = {"table": options.table}
    return prepare("csv", options, files, lambda _: read_table(options), read_back=True)


def next_steps(out: Path, tables: Mapping[str, Mapping[str, int]]) -> list[str]:
    """How to run every notebook on the tables, and how to train on them without notebooks, line by line.

    Where a held-out table is too large for the notebooks, it says so. `tables`: file -> its counts.
    """
    from medprobclip.workbench.corpus import MOST_HELD_OUT

    run = [
        shlex.join(["medprobclip", "run", "--profile", profile, "--tables", str(out)])
        for profile in ("laptop", "paper")
    ]
    held_out = max(count["studies"] for name, count in tables.items() if name != "train.csv")
    lines = [
        "Run every notebook on it, training included (docs/own_data.md):",
        f"  {run[0]}   (small encoders, on a laptop)",
        f"  {run[1]}   (ViT-B/16 and BiomedBERT, on a GPU)",
    ]
    if held_out > MOST_HELD_OUT:
        lines = [
            f"Notebooks take at most {MOST_HELD_OUT:,} held-out studies a table, here are {held_out:,}: for "
            "them, prepare smaller tables (--test_share, --limit)"
        ]
    return [*lines, "Train on it, without notebooks:", f"  {next_command(out, tables)}"]


def next_command(out: Path, tables: Collection[str]) -> str:
    """How to train on the tables; without one to calibrate on, half of the validation patients are."""
    words = ["medprobclip", "train", "--profile", "paper"]
    for flag, name in (("train", "train"), ("val", "validate"), ("test", "test")):
        words += [f"--{flag}_csv", str(out / f"{name}.csv")]
    if "calibrate.csv" in tables:
        words += ["--calibrate_csv", str(out / "calibrate.csv")]
    else:
        words += ["--calibrate_share", "0.5"]
    return shlex.join([*words, "--out", "runs/my-run"])
