"""What a run can be asked for: study tables and the parts of a profile, from a file and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from medprobclip.ranges import refuse_out_of_range
from medprobclip.settings import OBJECTIVES
from medprobclip.support.config_files import fitting, read_mapping, write_mapping
from medprobclip.training.foreign_flags import hint
from medprobclip.training.profiles import PROFILES, Profile
from medprobclip.training.run_settings import CONFIG, CONFIG_COMMENT

# Of a profile: a flag for each of their fields.
PARTS = ("encoders", "training", "machine", "objective", "augmentation")


@dataclass(frozen=True)
class Tables:
    """Study tables (CSV: study_id, image_paths, view_names, findings, impression) and the output folder."""

    train_csv: Path = field(metadata={"help": "studies to train on"})
    val_csv: Path = field(metadata={"help": "studies that choose the checkpoint"})
    out: Path = field(
        metadata={
            "help": "folder for checkpoint, metrics.json and TensorBoard logs; given alone, the run in it "
            "goes on with its own tables and settings"
        }
    )
    test_csv: Path | None = field(
        default=None, metadata={"help": "studies that are scored once, at the end; without it none are"}
    )
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

    dry_run: bool = field(
        default=False,
        metadata={
            "help": "tell parameters, memory, steps and time, train two steps on made-up input, and write "
            "nothing; the tables and out may be left out"
        },
    )

    def named(self) -> dict[str, Path]:
        """The tables under the names that messages give them; those that are given."""
        named = {"training": self.train_csv, "validation": self.val_csv}
        named |= {"test": self.test_csv, "calibration": self.calibrate_csv}
        return {name: csv for name, csv in named.items() if csv}

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


REQUIRED = ("train_csv", "val_csv", "out")
GROUPS = {"tables": Tables} | {part: type(getattr(PROFILES["demo"], part)) for part in PARTS}
GROUP_OF = {entry.name: group for group, config in GROUPS.items() for entry in fields(config)}
NAMES = {"profile": PROFILES, "objective": OBJECTIVES}  # that stand for the values of many fields


@dataclass(frozen=True)
class Asked:
    """A value that someone asked for, and where: "--epochs", or "file.yaml: training.epochs"."""

    value: Any
    where: str


def read_config(path: Path) -> tuple[dict[str, Asked], list[str]]:
    """What a configuration file asks for, by field; and what is wrong with it, key by key.

    Fields stand in the groups of `--help`, or without; `objective` is a name, or a group with or without a
    `name`. Raises ConfigFileError when the file cannot be read.
    """
    entries: list[tuple[str, str | None, Any]] = []  # name, the group it stands in, value
    for key, value in read_mapping(path).items():
        if key in GROUPS and isinstance(value, dict):
            named = {"objective" if (key, k) == ("objective", "name") else k: v for k, v in value.items()}
            entries += [(name, key, inner) for name, inner in named.items()]
        else:
            entries.append((key, None, value))
    asked: dict[str, Asked] = {}
    problems = []
    for name, group, value in entries:
        where = f"{path}: {group}.{name}" if group else f"{path}: {name}"
        owner = GROUP_OF.get(name)
        if name in asked:
            problems.append(f"{where}: stands twice")
        elif name in NAMES and group in (None, name):
            if not isinstance(value, str) or value not in NAMES[name]:
                problems.append(f"{where}: no {name} {value!r}; choose one of {', '.join(NAMES[name])}")
            else:
                asked[name] = Asked(value, where)
        elif name in GROUPS:
            problems.append(f"{where}: takes names with values, such as those of --help under {name}")
        elif owner is None:
            names = [entry.name for entry in fields(GROUPS[group])] if group else [*GROUP_OF, *GROUPS]
            problems.append(f"{where}: {hint(str(name), names, '')}")
        elif group not in (None, owner):
            problems.append(f"{where}: belongs to {owner}, not to {group}")
        else:
            try:
                asked[name] = Asked(fitting(value, get_type_hints(GROUPS[owner])[name]), where)
            except ValueError as error:
                problems.append(f"{where}: {error}")
    return asked, problems


def keep_config(tables: Tables, profile: Profile) -> None:
    """Write all that holds for a run into its folder, as a file for `--config`; paths absolute."""
    places = {n: value for n, value in vars(tables).items() if value is not None and n != "dry_run"}
    places = {n: str(v.absolute()) if isinstance(v, Path) else v for n, v in places.items()}
    parts = {part: asdict(getattr(profile, part)) for part in PARTS}
    name = {"profile": profile.name} if profile.name in PROFILES else {}
    content = {**name, "tables": places, **parts}
    write_mapping(tables.out / CONFIG, content, CONFIG_COMMENT)
