"""Everything that can be wrong with tables, pictures and folder, before the first epoch, in one list."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from medprobclip.data.dataset import SECTIONS
from medprobclip.data.grey import ImageError
from medprobclip.data.images import cache_images
from medprobclip.data.notices import table_notices
from medprobclip.data.studies import (
    BadRow,
    StudyTableError,
    check_disjoint,
    read_studies,
    write_bad_rows,
    write_studies,
)
from medprobclip.evaluation.embedding import EVALUATION_SECTION
from medprobclip.support.locks import LockedError, locked_folder
from medprobclip.training.encoders import check_encoders
from medprobclip.training.loop import TrainingError
from medprobclip.training.profiles import Profile
from medprobclip.training.runs import image_place


class NotReadyError(TrainingError):
    """Training cannot begin; the message lists every reason found."""


def preflight(
    tables: Mapping[str, Path], profile: Profile, out: Path, quarantine: Path | None = None
) -> dict[str, Path]:
    """Check study tables by name ("training", "validation", …), their pictures, the settings and `out`.

    Reads every picture, so that none surfaces as broken later. With `quarantine`, bad rows (pictures
    included) are written there with their reasons, and tables without them into `out/tables`. Prints what is
    worth knowing of each table; returns the tables to go on with. Raises NotReadyError with all problems.
    """
    problems = folder_problems(out)
    try:
        check_encoders(profile.encoders)
    except (ValueError, OSError) as error:
        problems.append(str(error))
    bad: list[BadRow] = []
    read: dict[str, pd.DataFrame] = {}
    clean = dict(tables)
    for name, csv in tables.items():
        try:
            set_aside: list[BadRow] | None = None if quarantine is None else []
            studies = read_studies(csv, set_aside)
            refused: dict[str, str] = {}
            paths = [path for images in studies["image_paths"] for path in images]
            cache_images(
                paths, profile.encoders.image_size, image_place(csv), None if quarantine is None else refused
            )
        except (StudyTableError, ImageError) as error:
            problems.append(str(error))
            continue
        if refused:
            studies = _without(studies, refused, csv, set_aside)
        if set_aside:
            bad.extend(set_aside)
            count = len({(row.line, row.study_id) for row in set_aside})
            print(f"{name}: {count} rows set aside, see {quarantine}")
            clean[name] = out / "tables" / f"{name}.csv"
        read[name] = studies
    for name, studies in read.items():
        problems += [f"{tables[name]}: {problem}" for problem in _too_little(name, studies, profile)]
    try:
        check_disjoint(read)
    except StudyTableError as error:
        problems.append(str(error))
    if quarantine is not None:
        write_bad_rows(bad, quarantine)
    if problems:
        raise NotReadyError("\n".join(problems))
    for name, studies in read.items():
        for notice in table_notices(studies):
            print(f"{name}: {notice}")
        if clean[name] != tables[name]:
            write_studies(studies, clean[name])
    return clean


def folder_problems(out: Path) -> list[str]:
    """What keeps a run from being written into `out`."""
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        return [
            "training runs in one process: start it without a distributed launcher (torchrun, accelerate)"
        ]
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


def _too_little(name: str, studies: pd.DataFrame, profile: Profile) -> list[str]:
    """What a table lacks for its part: enough studies with the sections that are read, codes if needed."""
    training = name == "training"
    sections = SECTIONS if training or name == "validation" else (EVALUATION_SECTION,)
    complete = int((studies[list(sections)] != "").all(axis=1).sum())
    needed = profile.training.batch_size if training else 2
    problems = []
    if complete < needed:
        what = (
            f"one batch of {needed} (--batch_size)" if training else f"the {needed} that a comparison needs"
        )
        problems.append(
            f"{complete} of {len(studies)} studies have {' and '.join(sections)}, fewer than {what}"
        )
    if training and profile.objective.equal_coding != "negative" and "codes" not in studies:
        problems.append(
            f"equal_coding '{profile.objective.equal_coding}' needs expert codes: add the column `codes`, or "
            "leave equal_coding at negative"
        )
    return problems
