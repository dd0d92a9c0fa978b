"""Images and texts -> one CSV file a split, and `prepared.json`, which says what they are from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

import medprobclip
from medprobclip.archives.flow import ArchiveError, Flow
from medprobclip.archives.options import Common
from medprobclip.data.disjoint import check_disjoint
from medprobclip.data.missing import has_no_text
from medprobclip.data.studies import SPLITS, read_studies, split_by_patient, write_studies
from medprobclip.data.views import FRONTAL_KINDS, view_kind
from medprobclip.support.files import file_hash, replaced_file, write_json
from medprobclip.support.locks import locked_folder

RECORD, FLOW, PIECES = "prepared.json", "flow.csv", "unfinished"
_OTHERWISE = f"Choose another --out, or delete that folder's {RECORD} with its tables"
_SECTIONS = ("findings", "impression")


def split_patients(flow: Flow, options: Common) -> None:
    """Give the flow's images a column `split`, whole patients at a time.

    The patients are drawn from all that have come so far, before any rule on views or texts: what else is
    asked moves no patient to another table. Raises StudyTableError for too few patients.
    """
    studies = flow.images.drop_duplicates("study_id")
    split = split_by_patient(studies.reset_index(drop=True), options.fractions, options.seed)
    split_of = dict(zip(split["study_id"], split["split"], strict=True))
    flow.images = flow.images.assign(split=flow.images["study_id"].map(split_of))


def keep_first(flow: Flow, limit: int | None) -> None:
    """At most `limit` studies of each split."""
    if limit is None:
        return
    studies = flow.images.drop_duplicates("study_id")
    first = set(studies.loc[studies.groupby("split").cumcount() < limit, "study_id"])
    flow.keep(flow.images["study_id"].isin(first), f"beyond the first {limit} studies of a table (--limit)")


def keep_views(flow: Flow, options: Common) -> None:
    """Drop images by their view, as asked; count those without one."""
    views = flow.images["view_name"]
    if options.drop_missing_view:
        flow.keep(views != "", "no view recorded (--drop_missing_view)")
    elif nameless := int((views == "").sum()):
        what = "which --frontal_only drops" if options.frontal_only else "kept with an empty view"
        flow.notes.append(f"{nameless:,} images have no view recorded, {what}")
    if options.frontal_only:
        frontal = {name for name in set(flow.images["view_name"]) if view_kind(name) in FRONTAL_KINDS}
        flow.keep(flow.images["view_name"].isin(frontal), "not frontal (--frontal_only)")


def keep_texts(flow: Flow, texts: dict[str, dict[str, str]], require: str) -> None:
    """Drop studies without the sections that are required. `texts`: study -> section -> text."""

    def has(study: str, section: str) -> bool:
        return not has_no_text(texts.get(study, {}).get(section, ""))

    needed = {"both": all, "either": any}.get(require)
    studies = dict.fromkeys(flow.images["study_id"])
    kept = {
        study
        for study in studies
        if (needed(has(study, s) for s in _SECTIONS) if needed else has(study, require))
    }
    rule = {"both": "not both, findings and impression", "either": "neither findings nor impression"}
    flow.keep(
        flow.images["study_id"].isin(kept), f"{rule.get(require, f'no {require}')} (--require {require})"
    )


def studies_of(images: pd.DataFrame, texts: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Images, one row each -> a study table, one row a study, in the order of the images.

    Takes `study_id`, `image_path`, `view_name` and any column that is one value a study.
    """
    rows: dict[str, list] = {}
    for study, path, view in zip(images["study_id"], images["image_path"], images["view_name"], strict=True):
        paths, views = rows.setdefault(study, ([], []))
        paths.append(path)
        views.append(view)
    studies = images.drop_duplicates("study_id").drop(columns=["image_path", "view_name"])
    sections = {s: [texts[study].get(s, "") for study in studies["study_id"]] for s in _SECTIONS}
    return studies.reset_index(drop=True).assign(
        image_paths=pd.Series([tuple(paths) for paths, _ in rows.values()], dtype=object),
        view_names=pd.Series([tuple(views) for _, views in rows.values()], dtype=object),
        **sections,
    )


def prepare(
    source: str,
    options: Common,
    files: Mapping[str, Path],
    make: Callable[[Path], tuple[pd.DataFrame, Flow]],
    read_back: bool = False,
) -> tuple[dict[str, Any], bool]:
    """Make the tables of `options.out` if they are not there yet: the record, and whether they were.

    `files`: what it is -> source file or folder. `make(folder)` gives the studies with a column `split`, and
    their flow; what it keeps in that folder outlives an interruption. With `read_back` the tables are read
    as training reads them, which looks for every image. One process at a time works in the folder.

    Raises ArchiveError where the folder holds tables of another question, files or origin, and where a
    table would be empty; StudyTableError when two tables share a study or a patient, or cannot be read back.
    After these the folder is free for another question, unless it was finished before: then it stays so.
    """
    out = options.out
    values = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "out"}
    asked = {
        name: _plain(value)
        for name, value in values.items()
        if not (name in files and isinstance(value, Path))  # told by its content
    }
    for name, path in files.items():
        if not path.exists():
            raise ArchiveError(f"{path}: no such file or folder ({name})")
    with locked_folder(out):
        record = {
            "source": source, "version": medprobclip.__version__, "finished": False, "asked": asked,
            "files": {flag: _state(path) for flag, path in files.items()},
        }  # fmt: skip
        former = _former(out, record)
        if former["finished"] and all((out / name).exists() for name in former["tables"]):
            return former, True
        if not (ignored := out / ".gitignore").exists():  # report text stays with who may read it
            ignored.write_text("*\n", encoding="utf-8")
        write_json(out / RECORD, record)
        try:
            studies, flow = make(out / PIECES)
            written = _write(studies, out, read_back, wanted=_wanted(options))
        except ValueError:  # a fault of the files or the question: nothing to go on with
            if former["finished"]:  # only a table was deleted; the others stay
                write_json(out / RECORD, former)
            else:
                _forget(out)
            raise
        with replaced_file(out / FLOW) as temporary:
            flow.table().to_csv(temporary, index=False)
        record |= {"finished": True, "tables": written, "flow": str(flow).splitlines()}
        write_json(out / RECORD, record)
        shutil.rmtree(out / PIECES, ignore_errors=True)
    return record, False


def _forget(out: Path) -> None:
    """Leave the folder free for a question put right."""
    shutil.rmtree(out / PIECES, ignore_errors=True)
    for name in (*(f"{split}.csv" for split in SPLITS), RECORD):
        (out / name).unlink(missing_ok=True)


def _wanted(options: Common) -> list[str]:
    """The splits that get a table."""
    official = getattr(options, "split", "patient") == "official"
    return [split for split in SPLITS if split != "calibrate" or (options.calibrate_share and not official)]


def _write(studies: pd.DataFrame, out: Path, read_back: bool, wanted: list[str]) -> dict[str, dict]:
    parts = {
        split: studies[studies["split"] == split].drop(columns="split").reset_index(drop=True)
        for split in wanted
    }
    if empty := [split for split, part in parts.items() if part.empty]:
        raise ArchiveError(
            f"no study is left for {' and '.join(f'{name}.csv' for name in empty)}. Give more studies"
        )
    # Without image paths: comparing them asks the disk for each. By name they are compared below.
    check_disjoint({split: part.drop(columns="image_paths") for split, part in parts.items()})
    owner: dict[str, str] = {}
    for split, part in parts.items():
        for path in (path for paths in part["image_paths"] for path in paths):
            if owner.setdefault(path, split) != split:
                raise ArchiveError(f"{path} stands in a study of {owner[path]}.csv and in one of {split}.csv")
    written = {}
    for split, part in parts.items():
        path = out / f"{split}.csv"
        write_studies(part, path)
        if read_back:
            read_studies(path)
        written[path.name] = {
            "studies": len(part), "images": sum(map(len, part["image_paths"])), **_state(path),
        }  # fmt: skip
    return written


def _former(out: Path, record: dict) -> dict:
    """The record that the folder has of the same question, `finished` or not. Raises as `prepare`."""
    place = out / RECORD
    tables = [out / f"{split}.csv" for split in SPLITS]
    if not place.exists():
        if there := next((path for path in tables if path.exists()), None):
            raise ArchiveError(
                f"{there} is there already, and no {RECORD} says what from. Choose another --out"
            )
        return record
    try:
        former = json.loads(place.read_text(encoding="utf-8"))
        origin, asked, files = former["source"], dict(former["asked"]), dict(former["files"])
        former.setdefault("finished", False)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArchiveError(
            f"{place}: not what it should be. Choose another --out, or delete it with its tables"
        ) from None
    if origin != record["source"]:
        raise ArchiveError(f"{out} holds tables of {origin}, not of {record['source']}. Choose another --out")
    for name, value in record["asked"].items():
        if asked.get(name) != value:
            raise ArchiveError(f"{out} was begun with --{name} {asked.get(name)}, not {value}. {_OTHERWISE}")
    for name, state in record["files"].items():
        if files.get(name) != state:
            raise ArchiveError(
                f"{state['path']} is not the file that {out} was begun with ({name}). {_OTHERWISE}"
            )
    for name, state in former["tables"].items() if former["finished"] else ():
        if (out / name).exists() and any(state[key] != value for key, value in _state(out / name).items()):
            raise ArchiveError(
                f"{out / name} was changed since it was made. Choose another --out, or delete it"
            )
    return former


def _state(path: Path) -> dict[str, Any]:
    """What tells a file: size and SHA-256. A folder is told by its path."""
    state: dict[str, Any] = {"path": os.path.abspath(path)}
    if path.is_file():
        state["sha256"] = file_hash(path)
        state["bytes"] = path.stat().st_size
    return state


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return os.path.abspath(value)
    return list(value) if isinstance(value, tuple) else value
