"""OpenI: the archive of real reports -> a table of reports."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from medprobclip.data.assets import fetch

LATERAL_VIEWS = ("LL", "RL", "LATERAL", "LARGE LATERAL")  # DICOM view positions in OpenI's metadata
SEX_WORDS = {  # in an indication such as "XXXX-year-old female with cough"
    "female": r"\b(?:female|woman|lady|girl)\b",
    "male": r"\b(?:male|man|gentleman|boy)\b",
}
SPLIT_SEED = 42  # of the split by patient and of the choice of a subset
_SECTIONS = ("findings", "impression", "indication", "comparison")


def read_openi_reports(tgz_path: str | Path) -> pd.DataFrame:
    """Read all reports of `NLMCXR_reports.tgz`, ordered by number; nothing is unpacked to disk.

    Columns: `study_id` ("CXR1000"), `patient_id` ("1000": one study per patient), `findings`,
    `impression`, `indication`, `comparison` (white space folded, "" where absent; "XXXX" marks
    de-identified words), `codes` (experts' MeSH and RadLex codes as they wrote them, tuple of str such as
    "Pleural Effusion/right/small" or "normal") and `image_ids` (tuple of str, of the real radiographs).

    Source: Demner-Fushman et al. 2016, doi:10.1093/jamia/ocv080; CC BY-NC-ND 4.0, not to be
    redistributed. Raises ValueError, naming archive and member, for anything that is not such an archive.
    """
    try:
        # A stream: members are read one after the other, so a path in the archive can touch no file.
        with tarfile.open(tgz_path, mode="r|gz") as archive:
            reports = [
                _parse_report(archive.extractfile(member).read(), f"{tgz_path}, member {member.name}")
                for member in archive
                if member.isfile() and member.name.endswith(".xml")
            ]
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{tgz_path}: not a readable .tgz archive ({error}). Fetch it again.") from error
    if not reports:
        raise ValueError(f"{tgz_path}: holds no .xml report. Use OpenI's NLMCXR_reports.tgz.")
    reports.sort(key=lambda report: int(report["patient_id"]))
    return pd.DataFrame(reports, dtype=object)


def read_view_positions(csv_gz: str | Path) -> dict[str, str]:
    """View position ("PA", "AP", "LL", ...; "" where not recorded) of OpenI's radiographs by image id.

    Reads `nlmcxr_dicom_metadata.csv.gz`. Raises ValueError, naming the file, if it is not that.
    """
    try:
        columns = ["imageid", "View Position"]
        table = pd.read_csv(csv_gz, usecols=columns, dtype=str, keep_default_na=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{csv_gz}: not OpenI's image metadata ({error}). Fetch it again.") from error
    return dict(zip(table["imageid"], table["View Position"].str.upper(), strict=True))


def taken_views(image_ids: tuple[str, ...], positions: dict[str, str]) -> tuple[str, ...]:
    """Which films a study has: a study with one radiograph is PA-only, or lateral-only where the metadata
    say so; others (and those without any in the archive) have both."""
    if len(image_ids) != 1:
        return ("pa", "lateral")
    return ("lateral",) if positions.get(image_ids[0]) in LATERAL_VIEWS else ("pa",)


def stated_sex(indication: str) -> str:
    """ "female" or "male" where the indication says so, else ""."""
    found = [sex for sex, words in SEX_WORDS.items() if re.search(words, indication, re.IGNORECASE)]
    return found[0] if len(found) == 1 else ""


def load_reports(n_studies: int | None = None) -> pd.DataFrame:
    """OpenI's reports with both sections (3,419; or a seeded random subset of n_studies), fetched and cached.

    Columns of `read_openi_reports`, `sex` (see `stated_sex`) and `views` (see `taken_views`).
    Raises AssetError where they cannot be had, ValueError for n_studies out of range.
    """
    reports = _choose(read_openi_reports(fetch("openi_reports")), n_studies)
    positions = read_view_positions(fetch("openi_image_metadata"))
    reports["views"] = [taken_views(ids, positions) for ids in reports["image_ids"]]
    reports["sex"] = reports["indication"].map(stated_sex)
    return reports


def _parse_report(xml: bytes, place: str) -> dict[str, object]:
    try:
        root = ElementTree.fromstring(xml)
        study_id = root.find("uId").get("id")
        if not study_id.removeprefix("CXR").isdecimal():
            raise ValueError(f"uId {study_id!r} is not CXR and a number")
    except (ElementTree.ParseError, AttributeError, ValueError) as error:
        raise ValueError(f"{place}: not an OpenI report ({error}). Fetch the archive again.") from error
    sections = {
        element.get("Label", "").lower(): _folded("".join(element.itertext()))
        for element in root.iter("AbstractText")
    }
    return {
        "study_id": study_id,
        "patient_id": study_id.removeprefix("CXR"),
        **{name: sections.get(name, "") for name in _SECTIONS},
        "codes": tuple((code.text or "").strip() for code in root.iterfind("MeSH/major")),
        "image_ids": tuple(image.get("id") for image in root.iter("parentImage")),
    }


def _choose(reports: pd.DataFrame, n_studies: int | None) -> pd.DataFrame:
    """Reports with both sections, or n_studies of them drawn at random, in the order of the archive."""
    complete = reports[(reports["findings"] != "") & (reports["impression"] != "")].reset_index(drop=True)
    if n_studies is None:
        return complete
    if not 1 <= n_studies <= len(complete):
        raise ValueError(f"n_studies is {n_studies}; choose 1 to {len(complete)}, OpenI's complete reports")
    rows = np.random.default_rng(SPLIT_SEED).choice(len(complete), size=n_studies, replace=False)
    return complete.iloc[np.sort(rows)].reset_index(drop=True)


def _folded(text: str) -> str:
    return " ".join(text.split())
