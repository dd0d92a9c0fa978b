"""MIMIC-CXR: metadata, official split, labels and the report archive -> studies; no image is opened.

Johnson et al. 2019, doi:10.1038/s41597-019-0322-0 and arXiv:1901.07042. Reports and images are under
PhysioNet's data use agreement.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medprobclip.archives.chunks import in_chunks
from medprobclip.archives.columns import as_ids, read_columns
from medprobclip.archives.flow import ArchiveError, Flow
from medprobclip.archives.mimic_reports import ReportArchive
from medprobclip.archives.options import MimicCxr
from medprobclip.archives.sections import LAST_PARAGRAPH, official_sections
from medprobclip.archives.tables import keep_first, keep_texts, keep_views, split_patients, studies_of
from medprobclip.data.labels import LABELS, as_label
from medprobclip.data.missing import has_no_text
from medprobclip.support.files import missing_files

_SPLITS = ("train", "validate", "test")
_KEY = ["dicom_id", "subject_id", "study_id"]
_EIGHT = re.compile(r"[0-9]{8}")
_DICOM_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
_KEPT = ("findings", "impression", LAST_PARAGRAPH)


def sources(options: MimicCxr) -> dict[str, Path]:
    """Flag -> the files that are read. Raises ArchiveError where one is not there."""
    folder = options.metadata or options.root
    found = {"metadata": official_file(folder, "metadata")}
    if options.split == "official":
        found["split"] = official_file(folder, "split")
    if options.labels != "none":
        found["labels"] = official_file(folder, options.labels)
    if options.sections != "rules":
        found["sections"] = Path(options.sections)
    else:
        found["reports"] = options.reports
    return found


def official_file(folder: Path, kind: str) -> Path:
    """`mimic-cxr-2.0.0-<kind>.csv` or `.csv.gz`, of any version. Raises ArchiveError for none or several."""
    if not folder.is_dir():
        raise ArchiveError(f"{folder}: no such folder. It is to hold mimic-cxr-2.0.0-{kind}.csv.gz")
    found = sorted(path for end in ("csv", "csv.gz") for path in folder.glob(f"mimic-cxr-*-{kind}.{end}"))
    if not found:
        raise ArchiveError(
            f"{folder}: no mimic-cxr-2.0.0-{kind}.csv or .csv.gz. Put it there, or say where by --metadata"
        )
    if len({path.name.removesuffix(".gz") for path in found}) > 1:
        raise ArchiveError(f"{folder}: {found[0].name} and {found[-1].name}. Keep the version that you use")
    return found[0]  # unpacked, where it is there both ways


def read_mimic_cxr(options: MimicCxr, pieces: Path) -> tuple[pd.DataFrame, Flow]:
    """Studies with `subject_id`, `split` and labels, and the flow; sections read so far are kept in `pieces`.

    Raises ArchiveError for files that are not the official ones, and when a rule leaves nothing.
    """
    files = sources(options)
    flow = _images(files["metadata"])
    if options.split == "official":
        _official_split(flow, files["split"])
    else:
        split_patients(flow, options)
    keep_first(flow, options.limit)
    keep_views(flow, options)
    flow.images = flow.images.assign(image_path=_paths(flow.images, options))
    if options.check_files:
        gone = missing_files(flow.images["image_path"])
        flow.keep(
            ~flow.images["image_path"].isin(gone), "image not there (--check_files)", min(gone, default="")
        )
    texts = _texts(flow, options, files, pieces)
    keep_texts(flow, texts, options.require)
    studies = studies_of(flow.images.drop(columns="dicom_id"), texts)
    return (studies if options.labels == "none" else _labelled(studies, flow, files["labels"])), flow


def _images(path: Path) -> Flow:
    """The rows of the metadata that name one image of one study of one patient."""
    rows = read_columns(path, [*_KEY, "ViewPosition"]).rename(columns={"ViewPosition": "view_name"})
    rows = rows.assign(**{name: as_ids(rows[name]) for name in ("subject_id", "study_id")})
    rows["view_name"] = rows["view_name"].where(~rows["view_name"].str.lower().isin(("nan", "none")), "")
    flow = Flow(rows, f"rows of {path.name}")
    rows = flow.keep(
        [
            bool(_DICOM_ID.fullmatch(dicom) and _EIGHT.fullmatch(subject) and _EIGHT.fullmatch(study))
            for dicom, subject, study in zip(*(rows[name] for name in _KEY), strict=True)
        ],
        "an id that is missing or not of eight digits",
    )
    rows = flow.keep(~rows.duplicated(), "a row repeated")
    rows = flow.keep(~rows.duplicated("dicom_id", keep=False), "rows of one image that disagree")
    patients = rows.groupby("study_id")["subject_id"].transform("nunique")
    flow.keep(patients == 1, "a study of two patients")
    return flow


def _official_split(flow: Flow, path: Path) -> None:
    rows = read_columns(path, [*_KEY, "split"])
    rows = rows.assign(**{name: as_ids(rows[name]) for name in ("subject_id", "study_id")}).drop_duplicates()
    if other := sorted(set(rows["split"]) - set(_SPLITS)):
        raise ArchiveError(f"{path}: column split: {other[0]!r} is none of {', '.join(_SPLITS)}")
    rows = rows[~rows.duplicated("dicom_id", keep=False)]
    flow.images = flow.images.merge(rows, how="left", on=_KEY)
    images = flow.keep(flow.images["split"].notna(), f"not one row in {path.name}")
    flow.keep(images.groupby("study_id")["split"].transform("nunique") == 1, "a study in two splits")


def _paths(images: pd.DataFrame, options: MimicCxr) -> list[str]:
    root, end = os.path.abspath(options.root), "dcm" if options.dicom else "jpg"
    if not os.path.isdir(os.path.join(root, "files")):
        raise ArchiveError(f"{root}: no folder files in it. --root is the folder that holds files/p10")
    return [
        f"{root}/files/p{subject[:2]}/p{subject}/s{study}/{dicom}.{end}"
        for dicom, subject, study in zip(*(images[name] for name in _KEY), strict=True)
    ]


def _texts(flow: Flow, options: MimicCxr, files: dict[str, Path], pieces: Path) -> dict[str, dict[str, str]]:
    """Study -> section -> text, white space folded; studies without a report are dropped from the flow."""
    if "sections" in files:
        texts, missing = _official_texts(files["sections"]), f"not in {files['sections'].name}"
    else:
        archive = ReportArchive(files["reports"])
        studies = flow.images.drop_duplicates("study_id")
        keys = list(zip(studies["subject_id"], studies["study_id"], strict=True))

        def work(part: Sequence[tuple[str, str]]) -> list[dict[str, str] | None]:
            return [None if (text := archive.read(key)) is None else _cut(text) for key in part]

        found = in_chunks(work, keys, pieces, "reading reports")
        texts = {study: text for (_, study), text in zip(keys, found, strict=True) if text is not None}
        missing = "no report under this patient and study"
    flow.keep(
        flow.images["study_id"].isin(texts),
        missing,
        f"Is {files.get('sections', files.get('reports'))} of the same release?",
    )
    return {study: _with_last_paragraph(text, options.use_last_paragraph) for study, text in texts.items()}


def _cut(report: str) -> dict[str, str]:
    return {name: _folded(text) for name, text in official_sections(report).items() if name in _KEPT}


def _official_texts(path: Path) -> dict[str, dict[str, str]]:
    rows = read_columns(path, ["study", *_KEPT])
    studies = as_ids(rows["study"])
    if len(set(studies)) < len(studies):
        twice = pd.Series(studies)
        raise ArchiveError(f"{path}: study {twice[twice.duplicated()].iloc[0]} has two rows. Keep one")
    texts = zip(*(map(_folded, rows[name]) for name in _KEPT), strict=True)
    return {study: dict(zip(_KEPT, text, strict=True)) for study, text in zip(studies, texts, strict=True)}


def _with_last_paragraph(text: dict[str, str], used: bool) -> dict[str, str]:
    if used and all(has_no_text(text.get(name, "")) for name in ("findings", "impression")):
        return {"impression": text.get(LAST_PARAGRAPH, "")}
    return text


def _labelled(studies: pd.DataFrame, flow: Flow, path: Path) -> pd.DataFrame:
    rows = read_columns(path, ["study_id", *LABELS])
    rows = rows.assign(study_id=as_ids(rows["study_id"]))
    for name in LABELS:
        values = {value: as_label(value) for value in set(rows[name])}
        if wrong := [value for value, label in values.items() if label is None]:
            raise ArchiveError(
                f"{path}: column {name}: {sorted(wrong)[0][:20]!r} is none of 1, 0, -1 and empty"
            )
        rows[name] = rows[name].map(values)
    rows = rows.drop_duplicates()
    disagreeing = rows["study_id"].duplicated(keep=False)
    labelled = rows[~disagreeing]
    for count, what in (
        (rows.loc[disagreeing, "study_id"].isin(studies["study_id"]).sum(), "rows of labels that disagree"),
        ((~studies["study_id"].isin(labelled["study_id"])).sum(), "studies without labels: left empty"),
    ):
        if count:
            flow.notes.append(f"{count:,} {what} in {path.name}")
    return studies.merge(labelled, how="left", on="study_id").fillna(dict.fromkeys(LABELS, ""))


def _folded(text: str) -> str:
    return " ".join(text.split())
