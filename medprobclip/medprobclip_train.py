"""The published command: train on three study tables, choose by validation, score the test set once."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medprobclip.ranges import refuse_out_of_range
from medprobclip.settings import OBJECTIVES
from medprobclip.support.flags import HelpWithDefaults, add_flags, from_flags, print_anywhere
from medprobclip.support.foreseen import one_line_errors
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
    calibrate_share: float | None = field(
        default=None,
        metadata={
            "help": "instead of calibrate_csv: share of the validation patients, above 0 and below 1, that "
            "is set aside before training, chooses nothing, and is calibrated on at the end"
        },
    )
    quarantine: Path | None = field(
        default=None,
        metadata={"help": "CSV file to set bad rows aside in, with reasons, instead of refusing their table"},
    )

    show_text: bool | None = field(
        default=None,
        metadata={
            "help": "let words of reports be printed, and rare ones stand in the vocabulary saved with the "
            "model; by default only those of the demo's public corpus"
        },
    )

    def named(self) -> dict[str, Path]:
        """The tables under the names that messages give them."""
        named = {"training": self.train_csv, "validation": self.val_csv, "test": self.test_csv}
        return named | ({"calibration": self.calibrate_csv} if self.calibrate_csv else {})

    def problems(self) -> list[str]:
        """A share out of range, or beside a table of its own."""
        problems = []
        try:
            refuse_out_of_range(
                self, {"calibrate_share": self.calibrate_share is None or 0 < self.calibrate_share < 1}
            )
        except ValueError as error:
            problems = str(error).splitlines()
        if self.calibrate_csv and self.calibrate_share is not None:
            problems.append("calibrate_csv and calibrate_share: give one of them, the studies or their share")
        return problems


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
    """Command line -> tables and a profile with the given flags put in. Exits with usage on bad flags."""
    chosen = named_defaults(add_help=False).parse_known_args(arguments)[0]
    profile = get_profile(chosen.profile, chosen.objective)
    command = named_defaults()
    command.prog, command.description = prog, __doc__
    add_flags(command.add_argument_group("tables"), Tables)
    for part in PARTS:
        add_flags(command.add_argument_group(part), getattr(profile, part))
    given = command.parse_args(arguments)
    tables, changed = from_flags(Tables, given), {}
    problems = tables.problems()
    for part in PARTS:
        try:
            changed[part] = from_flags(getattr(profile, part), given)
        except ValueError as error:  # values out of range, or that do not go together
            problems += str(error).splitlines()
    if problems:
        command.error("\n  ".join(problems + table_problems(tables)))
    return tables, replace(profile, **changed)


def table_problems(tables: Tables) -> list[str]:
    """What is wrong with the tables themselves, for one list with what is wrong with the settings."""
    from medprobclip.data.disjoint import check_disjoint
    from medprobclip.data.studies import StudyTableError, read_studies

    read, problems = {}, []
    for name, csv in tables.named().items():
        try:
            read[name] = read_studies(csv)
        except StudyTableError as error:
            problems.append(str(error))
    try:
        check_disjoint(read)
    except StudyTableError as error:
        problems.append(str(error))
    return problems


def main(arguments: Sequence[str] | None = None) -> None:
    """Check everything, train and score; what is heavy is loaded when the flags are known to be right."""
    print_anywhere()
    published = "python medprobclip/medprobclip_train.py"
    tables, profile = parse(sys.argv[1:], published) if arguments is None else parse(arguments)
    with one_line_errors("Stopped. The same command goes on after the last finished epoch, if there is one."):
        run(tables, profile)


def run(tables: Tables, profile: Profile) -> None:
    """Train into the output folder, score the test table, print both."""
    from contextlib import nullcontext

    from medprobclip.support.locks import locked_folder
    from medprobclip.training.calibrating import calibrate_run, calibration_summary
    from medprobclip.training.preflight import folder_problems, preflight
    from medprobclip.training.processes import Team
    from medprobclip.training.runs import evaluate_run, train_run

    show, team = tables.show_text, Team.here()
    # One lock from the first look to the last score; a folder that has none to give is told with the rest.
    locked = team.leads and not folder_problems(tables.out)
    with locked_folder(tables.out) if locked else nullcontext():
        checked = team.led(
            lambda: preflight(
                tables.named(), profile, tables.out, tables.quarantine, tables.calibrate_share, show
            )
        )
        train_run(checked["training"], checked["validation"], tables.out, profile, show_text=show)
        table, _ = evaluate_run(tables.out, checked["test"], show)
        if "calibration" in checked:
            team.say(calibration_summary(calibrate_run(tables.out, checked["calibration"], show)))
    team.say(table.to_string(index=False, float_format=lambda x: f"{x:.1f}", na_rep=""))
    team.say(f"Checkpoint, metrics.json and TensorBoard logs: {tables.out}")


if __name__ == "__main__":
    main()
