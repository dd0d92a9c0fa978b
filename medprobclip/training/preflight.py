"""Everything that can be wrong with tables, pictures and folder, before the first epoch, in one list."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

import pandas as pd
from accelerate import PartialState

from medprobclip.data.dataset import SECTIONS, lone_sections
from medprobclip.data.disjoint import check_disjoint
from medprobclip.data.grey import ImageError
from medprobclip.data.images import ImageCache, cache_images
from medprobclip.data.notices import table_notices
from medprobclip.data.patients import incomparable
from medprobclip.data.reports import normalise
from medprobclip.data.studies import (
    BadRow,
    StudyTableError,
    read_studies,
    write_bad_rows,
    write_studies,
)
from medprobclip.data.variations import two_forms
from medprobclip.evaluation.embedding import EVALUATION_SECTION
from medprobclip.support.files import to_json
from medprobclip.support.locks import LockedError, locked_folder
from medprobclip.support.precision import autocast
from medprobclip.training.calibrating import few_studies
from medprobclip.training.calibration_share import FILES, part_problems, shared_validation
from medprobclip.training.claims import refuse_other_settings
from medprobclip.training.encoders import check_encoders
from medprobclip.training.errors import TrainingError
from medprobclip.training.profiles import Profile
from medprobclip.training.runs import image_place
from medprobclip.training.trackers import require_tracker


class NotReadyError(TrainingError):
    """Training cannot begin; the message lists every reason found."""


def preflight(
    tables: Mapping[str, Path],
    profile: Profile,
    out: Path,
    quarantine: Path | None = None,
    calibrate_share: float | None = None,
    show_text: bool | None = None,
) -> dict[str, Path]:
    """Check study tables by name ("training", "validation", …), their pictures, the settings and `out`.

    Reads every picture, so that none surfaces as broken later. With `quarantine`, bad rows (pictures
    included) are written there with their reasons, and tables without them into `out/tables`. With
    `calibrate_share`, that share of the validation patients becomes the table "calibration"; both parts are
    written into `out`. Prints what is worth knowing of each table; returns the tables to go on with. Raises
    NotReadyError with all problems.
    """
    problems = [*folder_problems(out), *settings_problems(profile, out)]
    parts = {} if calibrate_share is None else {name: out / file for name, file in FILES.items()}
    places = [*tables.values(), *parts.values()]
    lost = [] if quarantine is None else quarantine_problems(quarantine, places)
    problems += lost
    bad: list[BadRow] = []
    read: dict[str, pd.DataFrame] = {}
    pictures: dict[str, dict[bytes, str]] = {}
    images: dict[str, ImageCache] = {}
    clean = dict(tables)
    for name, csv in tables.items():
        set_aside: list[BadRow] | None = None if quarantine is None else []
        refused: dict[str, str] | None = None if quarantine is None else {}
        if quarantine is not None:
            clean[name] = out / "tables" / f"{name}.csv"
        clean[name] = parts.get(name, clean[name])
        try:
            studies = read_studies(csv, set_aside)
            paths = [path for several in studies["image_paths"] for path in several]
            place = image_place(clean[name])
            images[name] = cache_images(paths, profile.encoders.image_size, place, refused)
            pictures[name] = images[name].digests()
        except (StudyTableError, ImageError) as error:
            problems.append(str(error))
        else:
            read[name] = _without(studies, refused, csv, set_aside) if refused else studies
        if set_aside:
            bad.extend(set_aside)
            count = len({(row.line, row.study_id) for row in set_aside})
            print(f"{name}: {count} rows set aside, see {quarantine}")
    names, told = {name: str(csv) for name, csv in tables.items()}, []
    if calibrate_share is not None and "validation" in read:
        names |= {name: f"{tables['validation']}, {name} part" for name in parts}
        try:
            shared, told = shared_validation(read["validation"], calibrate_share, images["validation"].digest)
        except StudyTableError as error:
            problems.append(f"{tables['validation']}: {error}")
        else:
            read, clean = read | shared, clean | parts
            problems += part_problems(shared, out, calibrate_share)
    for name, studies in read.items():
        problems += [f"{names[name]}: {problem}" for problem in _too_little(name, studies, profile)]
    try:
        check_disjoint(read)
    except StudyTableError as error:
        problems.append(str(error))
    problems += copied_pictures(pictures)
    if quarantine is not None and not lost:
        write_bad_rows(bad, quarantine)
    if problems:
        raise NotReadyError("\n".join(problems))
    for notice in [*incomparable(read), *(f"validation: {notice}" for notice in told)]:
        print(notice)
    for name, studies in read.items():
        for notice in table_notices(studies, show_text) if name not in ("training", "validation") else ():
            print(f"{name}: {notice}")  # `train_run` says those of the other two
        if name == "calibration":
            for notice in few_studies(int((studies[EVALUATION_SECTION] != "").sum())):
                print(f"{name}: {notice}")
        if clean[name] != tables.get(name):
            write_studies(studies, clean[name])
            print(f"{name}: {clean[name]} holds these studies with the text of their reports")
    return clean


def copied_pictures(pictures: Mapping[str, Mapping[bytes, str]]) -> list[str]:
    """Pictures of one table that stand in another under another name, alike in every pixel."""
    return [
        f"{len(both)} pictures of the {a} table are in the {b} table, too, under another name: first "
        f"{pictures[a][first]} is {pictures[b][first]}"
        for a, b in combinations(pictures, 2)
        if (both := {d for d in pictures[a].keys() & pictures[b].keys() if pictures[a][d] != pictures[b][d]})
        and (first := min(both))
    ]


def settings_problems(profile: Profile, out: Path) -> list[str]:
    """Encoders that are not there or do not go together, and a run in `out` with other settings."""
    problems = []
    wanted = profile.settings()
    for look in (
        lambda: check_encoders(profile.encoders),
        lambda: require_tracker(profile.machine.report_to),
        lambda: autocast(PartialState().device, profile.training.precision),
        lambda: refuse_other_settings(out, json.loads(to_json(wanted)), wanted),
    ):
        try:
            look()
        except (ValueError, OSError, TrainingError) as error:
            problems.append(str(error))
    return problems


def quarantine_problems(quarantine: Path, tables: Iterable[Path]) -> list[str]:
    """What keeps bad rows from being written there."""
    if any(quarantine.resolve() == Path(csv).resolve() for csv in tables):
        return [f"--quarantine {quarantine}: is one of the study tables. Name another file"]
    place = next(place for place in (quarantine, *quarantine.absolute().parents) if place.exists())
    if place.is_dir() == (place == quarantine) or not os.access(place, os.W_OK):
        return [f"--quarantine {quarantine}: cannot be written. Name another file"]
    return []


def folder_problems(out: Path) -> list[str]:
    """What keeps a run from being written into `out`."""
    try:
        with locked_folder(out):
            return [] if os.access(out, os.W_OK) else [f"{out}: not writable. Choose another folder"]
    except LockedError as error:
        return [str(error)]
    except OSError as error:
        return [f"{out}: no folder to write into ({error.strerror or error}). Choose another"]


def _without(
    studies: pd.DataFrame, refused: dict[str, str], csv: Path, set_aside: list[BadRow]
) -> pd.DataFrame:
    """The studies all of whose pictures can be used; the others are added to `set_aside`."""
    keep = []
    for study_id, paths in zip(studies["study_id"], studies["image_paths"], strict=True):
        broken = next((refused[path] for path in paths if path in refused), None)
        keep.append(broken is None)
        if broken is not None:
            remedy = "Fetch the file again"
            set_aside.append(BadRow(str(csv), 0, study_id, "an image cannot be used", remedy, broken))
    return studies[keep].reset_index(drop=True)


def complete_studies(studies: pd.DataFrame, sections: Iterable[str], one_section: bool = False) -> int:
    """How many studies have these sections or, with `one_section`, one that can be told in two ways."""
    complete = int((studies[list(sections)] != "").all(axis=1).sum())
    if one_section:
        complete += sum(two_forms(text) is not None for text in lone_sections(studies) if text)
    return complete


def _too_little(name: str, studies: pd.DataFrame, profile: Profile) -> list[str]:
    """What a table lacks for its part: enough studies with the sections that are read, codes if needed."""
    training = name == "training"
    sections = SECTIONS if training or name == "validation" else (EVALUATION_SECTION,)
    complete = complete_studies(studies, sections, training and profile.augmentation.one_section)
    needed = profile.training.batch_size if training else 2
    problems = []
    if complete < needed:
        what = f"one batch of {needed} (batch_size)" if training else f"the {needed} that a comparison needs"
        problems.append(
            f"{complete} of {len(studies)} studies have {' and '.join(sections)}, fewer than {what}"
        )
    elif not training and studies[EVALUATION_SECTION].map(normalise).nunique() < 2:
        problems.append(f"every study has the same {EVALUATION_SECTION}: there is nothing to tell apart")
    coded = "codes" in studies and bool(studies["codes"].map(len).any())
    if training and profile.objective.equal_coding != "negative" and not coded:
        problems.append(
            f"equal_coding '{profile.objective.equal_coding}' needs expert codes: fill the column `codes` or "
            "the 14 columns of CheXpert's or NegBio's labels, or take an objective without it"
        )
    return problems
