"""The published command: train on three study tables, choose by validation, score the test set once."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medprobclip.settings import OBJECTIVES
from medprobclip.support.flags import HelpWithDefaults, add_flags, from_flags
from medprobclip.training.profiles import PROFILES, Profile, get_profile

PARTS = ("encoders", "training", "objective", "augmentation")  # of a profile: a flag for each of their fields


@dataclass(frozen=True)
class Tables:
    """Study tables (CSV: study_id, image_paths, view_names, findings, impression) and the output folder."""

    train_csv: Path = field(metadata={"help": "studies to train on"})
    val_csv: Path = field(metadata={"help": "studies that choose the checkpoint"})
    test_csv: Path = field(metadata={"help": "studies that are scored once, at the end"})
    out: Path = field(metadata={"help": "folder for checkpoint, metrics.json and TensorBoard logs"})
    calibrate_csv: Path | None = field(
        default=None,
        metadata={"help": "studies that choose nothing: match probabilities are fitted on them at the end"},
    )


def named_defaults(**settings: bool) -> ArgumentParser:
    """The two flags that decide the defaults of all others."""
    command = ArgumentParser(allow_abbrev=False, formatter_class=HelpWithDefaults, **settings)
    command.add_argument(
        "--profile", choices=list(PROFILES), default="demo", help="the set of defaults for all other flags"
    )
    command.add_argument(
        "--objective", choices=list(OBJECTIVES), default="medprobclip",
        help="the set of defaults for the flags of the objective, from --loss on",
    )  # fmt: skip
    return command


def parse(arguments: Sequence[str], prog: str = "medprobclip train") -> tuple[Tables, Profile]:
    """Command line -> tables and a profile with the given flags put in. Exits with usage on a bad flag."""
    chosen = named_defaults(add_help=False).parse_known_args(arguments)[0]
    profile = get_profile(chosen.profile, chosen.objective)
    command = named_defaults()
    command.prog, command.description = prog, __doc__
    add_flags(command.add_argument_group("tables"), Tables)
    for part in PARTS:
        add_flags(command.add_argument_group(part), getattr(profile, part))
    given = command.parse_args(arguments)
    try:
        changed = {part: from_flags(getattr(profile, part), given) for part in PARTS}
    except ValueError as error:  # values that do not go together
        command.error(str(error))
    return from_flags(Tables, given), replace(profile, **changed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and score; what is heavy is loaded when the flags are known to be right."""
    published = "python medprobclip/medprobclip_train.py"
    tables, profile = parse(sys.argv[1:], published) if arguments is None else parse(arguments)
    from medprobclip.data.studies import StudyTableError, check_disjoint, read_studies

    try:
        parts = {"training": tables.train_csv, "validation": tables.val_csv, "test": tables.test_csv}
        if tables.calibrate_csv:
            parts["calibration"] = tables.calibrate_csv
        check_disjoint({name: read_studies(csv) for name, csv in parts.items()})
        run(tables, profile)
    except (StudyTableError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command resumes after the last finished epoch.")


def run(tables: Tables, profile: Profile) -> None:
    """Train into the output folder, score the test table, print both."""
    from medprobclip.data.images import ImageError
    from medprobclip.training.loop import TrainingError
    from medprobclip.training.runs import calibrate_run, evaluate_run, train_run

    try:
        train_run(tables.train_csv, tables.val_csv, tables.out, profile)
        table, _ = evaluate_run(tables.out, tables.test_csv)
        if tables.calibrate_csv:
            calibrate_run(tables.out, tables.calibrate_csv)
    except (ImageError, TrainingError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(table.to_string(index=False, float_format=lambda x: f"{x:.1f}", na_rep=""))
    print(f"Checkpoint, metrics.json and TensorBoard logs: {tables.out}")


if __name__ == "__main__":
    main()
