"""What can be asked of each source, one frozen dataclass each: the flags of `medprobclip prepare`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medprobclip.ranges import refuse_out_of_range

Required = Literal["either", "both", "findings", "impression"]


def _says(help: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": help})


def _needs(help: str) -> Any:
    return field(metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class Common:
    """Asked of every source."""

    out: Path = _needs("folder for train.csv, validate.csv, test.csv (and calibrate.csv), flow.csv")
    require: Required = _says("sections that a study must have to be kept", "either")
    frontal_only: bool = _says(
        "keep PA, AP and other frontal images only; an image of unknown view goes", False
    )
    drop_missing_view: bool = _says(
        "drop images whose view nobody recorded; else they are kept, with an empty view", False
    )
    limit: int | None = _says("at most so many studies of each table, for a try")
    calibrate_share: float = _says("share of the patients for calibrate.csv; 0: no such table", 0.075)
    validate_share: float = _says("share of the patients for validate.csv", 0.075)
    test_share: float = _says("share of the patients for test.csv; the rest trains", 0.2)
    seed: int = _says("of the split by patient", 42)

    def __post_init__(self) -> None:
        shares = self.calibrate_share + self.validate_share + self.test_share
        refuse_out_of_range(
            self,
            {
                "limit": self.limit is None or self.limit > 0,
                "calibrate_share": 0 <= self.calibrate_share < 1,
                "validate_share": 0 < self.validate_share < 1,
                "test_share": 0 < self.test_share < 1 and shares < 1,
                "seed": self.seed >= 0,
            },
        )

    @property
    def fractions(self) -> tuple[float, float, float, float]:
        """Shares of the patients in the order of `data.studies.SPLITS`."""
        others = self.calibrate_share, self.validate_share, self.test_share
        return (1 - sum(others), *others)


@dataclass(frozen=True, kw_only=True)
class MimicCxr(Common):
    """MIMIC-CXR-JPG, or the DICOM edition with the JPG edition's tables."""

    root: Path = _needs("folder that holds files/p10/p10000032/s50414267/<dicom_id>.jpg")
    reports: Path | None = _says("mimic-cxr-reports.zip, left as it is, or the folder it was unpacked to")
    metadata: Path | None = _says(
        "folder of mimic-cxr-*-metadata.csv, -split.csv, -chexpert.csv, plain or .gz (default: root)"
    )
    dicom: bool = _says("the images are the DICOM edition's, <dicom_id>.dcm", False)
    sections: str = _says(
        "rules: cut the reports by the official rules; else the path of an official mimic_cxr_sectioned.csv",
        "rules",
    )
    use_last_paragraph: bool = _says(
        "where a report has neither findings nor impression, its official last paragraph is the impression",
        False,
    )
    split: Literal["official", "patient"] = _says(
        "official: that of MIMIC-CXR; patient: shares of the patients, drawn by the seed", "official"
    )
    labels: Literal["chexpert", "negbio", "none"] = _says("14 label columns: 1, 0, -1 or empty", "chexpert")
    check_files: bool = _says("look whether every image is there, in parallel; none is opened", False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reports is None and self.sections == "rules":
            raise ValueError(
                "reports: give the report archive, or with --sections an official CSV of sections"
            )


@dataclass(frozen=True, kw_only=True)
class OpenI(Common):
    """OpenI (Indiana University): reports, and the radiographs as they were downloaded."""

    root: Path = _needs("folder of unpacked radiographs (.png, .jpg or .dcm), at any depth; no archive")
    reports: Path | None = _says("NLMCXR_reports.tgz (default: fetched and cached)")
    metadata: Path | None = _says("nlmcxr_dicom_metadata.csv.gz, for the views (default: fetched and cached)")


@dataclass(frozen=True, kw_only=True)
class Columns(Common):
    """Which columns of a table hold what; those that may be several are in `AnyTable`."""

    study_id: str = _needs("column that names the study; rows of one study are put together")
    patient: str | None = _says("column that names the patient; no patient gets into two tables")
    each_study_is_a_patient: bool = _says("there is no such column: split by study", False)
    findings: str | None = _says("column of the findings")
    impression: str | None = _says("column of the impression")
    report: str | None = _says("instead of both: column of whole reports, cut at FINDINGS: and IMPRESSION:")
    images_root: Path | None = _says("folder in which relative image paths start (default: the table's)")


@dataclass(frozen=True, kw_only=True)
class AnyTable(Columns):
    """Any CSV table, one row a study or one row an image."""

    table: Path = _needs("CSV file with a header line")
    image: tuple[str, ...] = _needs("column(s) of image paths; ';' separates several in a cell")
    view: tuple[str, ...] = _says("column(s) of views (PA, AP, LATERAL, ...), one for each of --image", ())

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = []
        if bool(self.report) == bool(self.findings or self.impression):
            problems.append("report: give it, or findings and impression (one of them will do)")
        if bool(self.patient) == self.each_study_is_a_patient:
            problems.append("patient: give its column, or say --each_study_is_a_patient")
        if self.view and len(self.view) != len(self.image):
            problems.append(
                f"view: {len(self.view)} columns for {len(self.image)} image columns; give each its own"
            )
        if problems:
            raise ValueError("\n".join(problems))
