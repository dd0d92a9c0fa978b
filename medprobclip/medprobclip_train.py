"""The published command: train on three study tables, choose by validation, score the test set once."""

from __future__ import annotations

import sys
from argparse import SUPPRESS
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from transformers import HfArgumentParser

from medprobclip.data.augment import AugmentationConfig
from medprobclip.data.images import ImageError
from medprobclip.data.studies import StudyTableError, read_studies
from medprobclip.objectives import OBJECTIVES, ObjectiveConfig
from medprobclip.training.encoders import EncoderConfig
from medprobclip.training.loop import TrainingConfig, TrainingError
from medprobclip.training.profiles import PROFILES, Profile, get_profile
from medprobclip.training.runs import check_disjoint, evaluate_run, train_run

PARTS = {
    "encoders": EncoderConfig,
    "training": TrainingConfig,
    "objective": ObjectiveConfig,
    "augmentation": AugmentationConfig,
}


@dataclass(frozen=True)
class Tables:
    """Study tables (CSV: study_id, image_paths, view_names, findings, impression) and the output folder."""

    train_csv: Path = field(metadata={"help": "studies to train on"})
    val_csv: Path = field(metadata={"help": "studies that choose the checkpoint"})
    test_csv: Path = field(metadata={"help": "studies that are scored once, at the end"})
    out: Path = field(metadata={"help": "folder for checkpoint, metrics.json and TensorBoard logs"})


def parser(profile: Profile, objective: str) -> HfArgumentParser:
    """One flag for every field of the configuration dataclasses, with the profile's values as defaults.

    `objective` names the profile's own.
    """
    command = HfArgumentParser(
        [Tables, *PARTS.values()],
        prog="python medprobclip/medprobclip_train.py",
        description=__doc__,
        allow_abbrev=False,  # profile and objective are read first, by their full names
    )
    command.add_argument(
        "--profile",
        choices=list(PROFILES),
        default=profile.name,
        help="the set of defaults for all other flags",
    )
    command.add_argument(
        "--objective",
        choices=list(OBJECTIVES),
        default=objective,
        help="the set of defaults for the flags of the objective, from --loss on",
    )
    command.set_defaults(**{f.name: SUPPRESS for f in fields(Tables)})  # required: no default to show
    for part in PARTS:
        values = getattr(profile, part)
        command.set_defaults(**{f.name: getattr(values, f.name) for f in fields(values)})
    return command


def parse(arguments: list[str]) -> tuple[Tables, Profile]:
    """Command line -> tables and a profile with the given flags put in. Exits with usage on a bad flag."""
    # Profile and objective decide the defaults of every other flag, so they are read first.
    first = HfArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--profile", choices=list(PROFILES), default="demo")
    first.add_argument("--objective", choices=list(OBJECTIVES), default="medprobclip")
    chosen = first.parse_known_args(arguments)[0]
    profile = get_profile(chosen.profile, chosen.objective)
    command = parser(profile, chosen.objective)
    try:
        tables, *parts, _, unknown = command.parse_args_into_dataclasses(
            arguments, return_remaining_strings=True
        )
    except ValueError as error:  # values that do not go together
        command.error(str(error))
    if unknown:
        command.error(f"unrecognized arguments: {' '.join(unknown)}")
    return tables, replace(profile, **dict(zip(PARTS, parts, strict=True)))


def main() -> None:
    tables, profile = parse(sys.argv[1:])
    try:
        parts = {"training": tables.train_csv, "validation": tables.val_csv, "test": tables.test_csv}
        check_disjoint({name: read_studies(csv) for name, csv in parts.items()})
        train_run(tables.train_csv, tables.val_csv, tables.out, profile)
        table, _ = evaluate_run(tables.out, tables.test_csv)
    except (ImageError, StudyTableError, TrainingError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command resumes after the last finished epoch.")
    print(table.to_string(index=False, float_format=lambda x: f"{x:.1f}", na_rep=""))
    print(f"Checkpoint, metrics.json and TensorBoard logs: {tables.out}")


if __name__ == "__main__":
    main()
