"""OpenI's reports and its real radiographs, as they were downloaded -> studies; no image is opened.

Demner-Fushman et al. 2016, doi:10.1093/jamia/ocv080; CC BY-NC-ND 4.0: use, do not redistribute.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from medprobclip.archives.flow import ArchiveError, Flow
from medprobclip.archives.options import OpenI
from medprobclip.archives.tables import keep_first, keep_texts, keep_views, split_patients, studies_of
from medprobclip.data.assets import fetch
from medprobclip.data.openi import read_openi_reports, read_view_positions

_IMAGE = re.compile(r"(?P<id>(?:CXR)?\d+_IM-[\w-]+?)(?:\.(?:png|jpe?g|dcm|dicom))+", re.IGNORECASE)
_ARCHIVES = (".tgz", ".tar", ".gz", ".zip")


def sources(options: OpenI) -> dict[str, Path]:
    """Flag -> the files that are read, fetched where none are named. Raises AssetError."""
    return {
        "reports": options.reports or fetch("openi_reports"),
        "metadata": options.metadata or fetch("openi_image_metadata"),
    }


def films_in(folder: Path) -> dict[str, str]:
    """Image id -> absolute path of its file, at any depth: `CXR1000_IM-0003-1001.png`, also without "CXR"
    and with several endings ("1000_IM-0003-1001.dcm.png"), as mirrors name them.

    Raises ArchiveError for no such folder, for none in it, and for two files of one image.
    """
    if not folder.is_dir():
        unpack = ": an archive. Unpack it, and give the folder" if folder.is_file() else ": no such folder"
        raise ArchiveError(f"{folder}{unpack} (--root)")
    films: dict[str, str] = {}
    packed = None
    for place, folders, names in os.walk(os.path.abspath(folder)):
        folders.sort()
        for name in sorted(names):
            packed = packed or (name if name.lower().endswith(_ARCHIVES) else None)
            if not (match := _IMAGE.fullmatch(name)):
                continue
            image = "CXR" + match["id"].upper().removeprefix("CXR")
            path = os.path.join(place, name)
            if (other := films.setdefault(image, path)) != path:
                raise ArchiveError(
                    f"two files of one image, {other} and {path}. Keep one, or name a folder within"
                )
    if not films:
        unpack = f"; unpack {packed}" if packed else ""
        raise ArchiveError(f"{folder}: no radiograph such as CXR1000_IM-0003-1001.png in it{unpack} (--root)")
    return films


def read_openi(options: OpenI) -> tuple[pd.DataFrame, Flow]:
    """Studies with `patient_id` and `codes`, and the flow.

    Raises ArchiveError for files that are not OpenI's, and when a rule leaves nothing.
    """
    films, files = films_in(options.root), sources(options)
    try:
        reports, positions = read_openi_reports(files["reports"]), read_view_positions(files["metadata"])
    except ValueError as error:  # it names file and remedy
        raise ArchiveError(str(error)) from error
    if twice := reports.loc[reports["study_id"].duplicated(), "study_id"].tolist():
        raise ArchiveError(f"{files['reports']}: {twice[0]} has two reports. Fetch the archive again")
    rows = [
        (study, patient, codes, image)
        for study, patient, codes, images in zip(
            *(reports[name] for name in ("study_id", "patient_id", "codes", "image_ids")), strict=True
        )
        for image in images or ("",)
    ]
    flow = Flow(
        pd.DataFrame(rows, columns=["study_id", "patient_id", "codes", "image"], dtype=object), "reports"
    )
    flow.keep(flow.images["image"] != "", "no image named in the report")
    flow.keep(~flow.images["image"].duplicated(keep=False), "an image named twice")
    known = {image.upper(): image for image in flow.images["image"]}
    if strange := len(films.keys() - known.keys()):
        flow.notes.append(f"{strange:,} image files belong to no report")
    split_patients(flow, options)
    flow.images = flow.images.assign(
        image_path=flow.images["image"].map(lambda image: films.get(image.upper(), "")),
        view_name=flow.images["image"].map(lambda image: positions.get(image, "")),
    )
    flow.keep(flow.images["image_path"] != "", "image file not there", f"Is {options.root} OpenI's?")
    keep_views(flow, options)
    texts = {
        study: {"findings": findings, "impression": impression}
        for study, findings, impression in zip(
            *(reports[name] for name in ("study_id", "findings", "impression")), strict=True
        )
    }
    keep_texts(flow, texts, options.require)
    keep_first(flow, options.limit)
    return studies_of(flow.images.drop(columns="image"), texts), flow
