"""Any CSV table whose columns are named, one row a study or one row an image -> studies."""

from __future__ import annotations

import os

import pandas as pd

from medprobclip.archives.columns import as_ids
from medprobclip.archives.flow import ArchiveError, Flow
from medprobclip.archives.options import AnyTable
from medprobclip.archives.sections import any_sections
from medprobclip.archives.tables import keep_first, keep_texts, keep_views, split_patients, studies_of
from medprobclip.data.cells import absolute_path, entries
from medprobclip.data.csv_files import read_csv
from medprobclip.data.missing import is_missing
from medprobclip.data.patients import patient_column, same_id
from medprobclip.data.studies import COLUMNS
from medprobclip.support.files import missing_files

_OURS = (*COLUMNS, "image_path", "view_name", "patient_id", "split")
_SHOWN = 5  # lines and columns named in a message
_TEXTS = ("findings", "impression", "report")


def read_table(options: AnyTable) -> tuple[pd.DataFrame, Flow]:
    """Studies with `patient_id` (where a column names patients) and the table's other columns, and the flow.

    Rows of one study must agree in patient and texts where they say something. Another column in which they
    do not is left out, which is noted. Raises StudyTableError for a file that is no such table, ArchiveError
    for rows of a wrong length, patients that were not named to it, and when a rule leaves nothing.
    """
    rows, others = _read(options)
    texts, disagreeing = _texts(rows, options)
    images = _images(rows, options)
    flow = Flow(images, f"images in {options.table.name}")
    images = flow.keep(images["study_id"] != "", "no study id")
    images = flow.keep(images["view_name"].notna(), "not one view per image")
    images = flow.keep(images["image_path"] != "", "no image named")
    images = flow.keep(~images.duplicated(["study_id", "image_path"]), "an image repeated in its study")
    owners = images.groupby("image_path")["study_id"].transform("nunique")
    images = flow.keep(owners == 1, "an image in two studies")
    flow.keep(~images["study_id"].isin(disagreeing), "rows of a study that disagree in text or patient")
    if options.patient:
        flow.keep(flow.images["patient_id"] != "", "no patient named")
    split_patients(flow, options)
    gone = missing_files(flow.images["image_path"])
    root = f"--images_root is {_root(options)}; first missing: {min(gone, default='')}"
    flow.keep(~flow.images["image_path"].isin(gone), "image not there", root)
    keep_views(flow, options)
    keep_texts(flow, texts, options.require)
    keep_first(flow, options.limit)
    studies = studies_of(flow.images, texts)
    return _with_others(studies, rows, options.study_id, others, flow), flow


def _read(options: AnyTable) -> tuple[pd.DataFrame, list[str]]:
    """The rows as str, with `_study`, the id in the form in which ids are compared; columns not asked for."""
    single = (options.study_id, options.patient, options.findings, options.impression, options.report)
    mapped = list(dict.fromkeys(name for name in (*single, *options.image, *options.view) if name))
    raw = read_csv(options.table, mapped)
    if raw.uneven:
        named = ", ".join(f"line {line} ({count})" for line, count in raw.uneven[:_SHOWN])
        raise ArchiveError(
            f"{options.table}: {len(raw.uneven)} rows have other than the header's {len(raw.header)} values: "
            f"{named}. Put values with '{raw.delimiter}' or line breaks in quotes"
        )
    rows = pd.DataFrame(raw.rows, columns=raw.header, dtype=object)
    others = [name for name in raw.header if name and name not in mapped]
    if options.each_study_is_a_patient and (named := patient_column(rows[others])):
        raise ArchiveError(f"{options.table}: column {named} names patients. Give --patient {named}")
    return rows.assign(_study=as_ids(rows[options.study_id])), others


def _texts(rows: pd.DataFrame, options: AnyTable) -> tuple[dict[str, dict[str, str]], set[str]]:
    """Study -> section -> text as it stands; the studies whose rows have two different texts or patients."""
    texts: dict[str, dict[str, str]] = {}
    disagreeing: set[str] = set()
    for name in (name for name in _TEXTS if getattr(options, name)):
        for study, text in zip(rows["_study"], rows[getattr(options, name)], strict=True):
            known = texts.setdefault(study, {})
            if not text.strip():
                continue
            if known.setdefault(name, text).split() != text.split():
                disagreeing.add(study)
    if options.report:
        texts = {study: any_sections(text.get("report", "")) for study, text in texts.items()}
    if options.patient:
        first: dict[str, str] = {}
        for study, patient in zip(rows["_study"], map(same_id, rows[options.patient]), strict=True):
            if patient and first.setdefault(study, patient) != patient:
                disagreeing.add(study)
    return texts, disagreeing


def _images(rows: pd.DataFrame, options: AnyTable) -> pd.DataFrame:
    """One row an image: `study_id`, `image_path` ("" for none), `view_name` (None: not one view per image),
    and `patient_id` where there are patients."""
    root = _root(options)
    patients: dict[str, str] = {}
    if options.patient:
        for study, patient in zip(rows["_study"], rows[options.patient], strict=True):
            if same_id(patient):
                patients.setdefault(study, patient.strip())
    views = options.view or (None,) * len(options.image)
    found: list[tuple] = []
    for row in rows[["_study", *dict.fromkeys((*options.image, *options.view))]].to_dict("records"):
        pairs: list[tuple[str, str | None]] = []
        for image, view in zip(options.image, views, strict=True):
            paths = [] if is_missing(row[image]) else list(entries(row[image]))
            names = ("",) * len(paths) if view is None or is_missing(row[view]) else entries(row[view])
            if paths and len(names) != len(paths):
                names = (None,) * len(paths)
            pairs += zip([absolute_path(root, path) for path in paths], names, strict=False)
        found += [(row["_study"], path, view) for path, view in pairs or [("", "")]]
    images = pd.DataFrame(found, columns=["study_id", "image_path", "view_name"], dtype=object)
    if options.patient:
        images["patient_id"] = [patients.get(study, "") for study in images["study_id"]]
    return images


def _with_others(
    studies: pd.DataFrame, rows: pd.DataFrame, study_id: str, others: list[str], flow: Flow
) -> pd.DataFrame:
    """The studies with their ids as written and the other columns of the table that are one value a study."""
    rows = rows[rows["_study"].isin(studies["study_id"])]
    several = rows.groupby("_study")[others].nunique().max() if others else {}
    kept = [name for name in others if several[name] <= 1 and name not in _OURS]
    if left := [name for name in others if name not in kept]:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        flow.notes.append(
            f"columns left out, not one value a study or a name of ours: {', '.join(left[:_SHOWN])}{more}"
        )
    first = rows.drop_duplicates("_study").set_index("_study").loc[studies["study_id"]]
    given = {name: first[name].to_numpy() for name in kept}
    return studies.assign(study_id=first[study_id].str.strip().to_numpy(), **given)


def _root(options: AnyTable) -> str:
    return os.path.abspath(options.images_root or options.table.parent)
