"""Flags, a configuration file and the run in the folder -> study tables and a profile.

Flags win over the file, the file over the run; but a run that has begun keeps what it is known by: asked for
something else, it is refused, by the name of the flag or key. Loads nothing heavy unless a run is there.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from medprobclip.settings import OBJECTIVES
from medprobclip.support.config_files import ConfigFileError
from medprobclip.support.flags import HelpWithDefaults, add_flags, given_flags
from medprobclip.training.foreign_flags import unknown_flags
from medprobclip.training.profiles import PROFILES, Profile, get_profile
from medprobclip.training.run_config import (
    GROUP_OF,
    GROUPS,
    NAMES,
    PARTS,
    REQUIRED,
    Asked,
    Tables,
    read_config,
)
from medprobclip.training.run_settings import CONFIG, profile_of

_DEFAULTS = {"profile": "demo", "objective": "medprobclip"}


# Parts of a run that the named defaults decide.
_STANDS_FOR = {"profile": ("encoders", "training", "augmentation"), "objective": ("objective",)}


@dataclass(frozen=True)
class Earlier:
    """The run that an output folder holds: its profile, its tables as far as known, and finished epochs."""

    profile: Profile
    tables: dict[str, Any]
    epochs: int


def parser(profile: Profile, prog: str, description: str | None) -> ArgumentParser:
    """The whole command, with the values of a profile as defaults."""
    command = _named_defaults(formatter_class=HelpWithDefaults, prog=prog, description=description)
    command.usage = "%(prog)s --train_csv CSV --val_csv CSV --test_csv CSV --out FOLDER [--FLAG VALUE …]"
    add_flags(command.add_argument_group("tables"), Tables, required=False)
    for part in PARTS:
        add_flags(command.add_argument_group(part), getattr(profile, part))
    return command


def _named_defaults(**settings: Any) -> ArgumentParser:
    """The flags that decide the defaults of all others."""
    command = ArgumentParser(allow_abbrev=False, **settings)
    command.add_argument(
        "--profile",
        choices=list(PROFILES),
        default=_DEFAULTS["profile"],
        help="the set of defaults for all other flags",
    )
    command.add_argument(
        "--objective", choices=list(OBJECTIVES), default=_DEFAULTS["objective"],
        help="the set of defaults for the flags of the objective, from --loss on",
    )  # fmt: skip
    command.add_argument(
        "--config", type=Path,
        help="YAML or JSON file of the same settings, by name or in groups as here; flags win over it. "
        f"Every run leaves such a file, {CONFIG}",
    )  # fmt: skip
    return command


def parse(
    arguments: Sequence[str], prog: str = "medprobclip train", description: str | None = None
) -> tuple[Tables, Profile]:
    """Command line -> tables and a profile with all that was asked for. Exits with usage on bad flags."""
    chosen = _named_defaults(add_help=False, prog=prog).parse_known_args(arguments)[0]
    command = parser(get_profile(chosen.profile, chosen.objective), prog, description)
    flags, rest = given_flags(command, arguments)
    config = flags.pop("config", None)
    problems = unknown_flags(rest, [*NAMES, "config", *GROUP_OF])
    asked: dict[str, Asked] = {}
    earlier, kept = None, {}
    try:
        if config:
            asked, wrong = read_config(config)
            problems += wrong + idle_names(flags, asked, config)
        asked |= {name: Asked(value, f"--{name}") for name, value in flags.items()}
        if "out" in asked:
            earlier, kept = earlier_run(asked["out"].value)
    except ConfigFileError as error:
        command.error("\n  ".join([*problems, str(error)]))
    if earlier:
        problems += conflicts(asked, earlier)
        profile, places = earlier.profile, earlier.tables
    else:
        if not {"train_csv", "val_csv"} & asked.keys():  # nothing is lost yet: the folder says what was meant
            if asked.keys() & NAMES:  # its settings would win over those
                kept = {name: wanted for name, wanted in kept.items() if GROUP_OF.get(name) == "tables"}
            asked = kept | asked
        profile = get_profile(
            *(asked[name].value if name in asked else _DEFAULTS[name] for name in _DEFAULTS)
        )
        places = {}
    values = {name: wanted.value for name, wanted in asked.items()}
    tables, wrong = _tables(places | {n: v for n, v in values.items() if GROUP_OF.get(n) == "tables"})
    problems += wrong
    changed = {}
    for part in PARTS:
        try:
            given = {name: value for name, value in values.items() if GROUP_OF.get(name) == part}
            changed[part] = replace(getattr(profile, part), **given)
        except ValueError as error:  # values out of range, or that do not go together
            problems += str(error).splitlines()
    if tables is None or problems:
        command.error("\n  ".join(problems + (table_problems(tables) if tables else [])))
    return tables, replace(profile, **changed)


def _tables(values: Mapping[str, Any]) -> tuple[Tables | None, list[str]]:
    """The tables, None where one that is needed was named nowhere; and what is wrong with them."""
    if values.get("dry_run"):
        values = dict.fromkeys(REQUIRED) | dict(values)
    if missing := [f"--{name}" for name in REQUIRED if name not in values]:
        return None, [f"the following arguments are required: {', '.join(missing)}"]
    tables = Tables(**values)
    return tables, tables.problems()


def earlier_run(out: Path) -> tuple[Earlier | None, dict[str, Asked]]:
    """The run in `out`, None before its first saved state; and what its configuration file asks for.

    Raises ConfigFileError when one of its two files cannot be read.
    """
    kept: dict[str, Asked] = {}
    if (out / CONFIG).exists():
        kept, wrong = read_config(out / CONFIG)
        if wrong:
            raise ConfigFileError("\n  ".join(wrong))
    if not (out / "settings.json").exists():
        return None, kept
    from medprobclip.training.claims import started_settings
    from medprobclip.training.errors import TrainingError
    from medprobclip.training.state import read_progress

    try:
        found = started_settings(out)
        profile = profile_of(found) if found else None
    except (TrainingError, ValueError) as error:
        raise ConfigFileError(str(error)) from error
    if profile is None:
        return None, kept
    values = {group: {n: a.value for n, a in kept.items() if GROUP_OF.get(n) == group} for group in GROUPS}
    profile = replace(profile, machine=replace(profile.machine, **values["machine"]))
    return Earlier(profile, values["tables"], read_progress(out).epoch), kept


def idle_names(flags: Mapping[str, Any], in_file: Mapping[str, Asked], path: Path) -> list[str]:
    """Sets of defaults on the command line none of which would be used: a file says all that they say."""
    return [
        f"--{name} {flags[name]}: changes nothing, {path} sets every field that it stands for. Leave one out"
        for name, parts in _STANDS_FOR.items()
        if name in flags
        and not (name in in_file and in_file[name].value == flags[name])
        and {field for field, part in GROUP_OF.items() if part in parts} <= in_file.keys()
    ]


def conflicts(asked: Mapping[str, Asked], run: Earlier) -> list[str]:
    """What was asked for and is not what the run is known by: the flag, what the run has, what was asked."""
    problems = []

    def refuse(where: str, had: Any, wanted: Any, why: str = "") -> None:
        had = "none" if had is None else had
        problems.append(f"{where}: the run in this folder has {had}, asked for {wanted}{why}")

    for name, wanted in asked.items():
        group = GROUP_OF.get(name)
        if name == "epochs" and wanted.value < run.epochs:
            refuse(wanted.where, f"{run.epochs} finished", wanted.value, ": epochs can only be added")
        elif name == "calibrate_share" and run.tables and run.tables.get(name) != wanted.value:
            refuse(wanted.where, run.tables.get(name), wanted.value)
        elif group not in (None, "tables", "machine") and name != "epochs":
            if (had := getattr(getattr(run.profile, group), name)) != wanted.value:
                refuse(wanted.where, had, wanted.value)
        elif name == "profile" and wanted.value != run.profile.name:
            refuse(wanted.where, run.profile.name, wanted.value)
        elif name in NAMES:
            chosen = get_profile(*(_DEFAULTS | {name: wanted.value}).values())
            for part in _STANDS_FOR[name]:
                for inner, value in asdict(getattr(chosen, part)).items():
                    had = getattr(getattr(run.profile, part), inner)
                    if inner not in {*asked, "epochs"} and had != value:
                        refuse(f"{wanted.where} ({wanted.value}): {inner}", had, value)
    if problems:
        problems.append("Leave them out and the run goes on as it is, or choose another --out")
    return problems


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
