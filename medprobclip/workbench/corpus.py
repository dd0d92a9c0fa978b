"""The study tables that notebooks read: the demo's corpus, or a folder of somebody's own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medprobclip.data.coding import codes_of
from medprobclip.data.csv_files import StudyTableError
from medprobclip.data.labels import coded_by_labels, lacking_labels
from medprobclip.data.patients import patient_column
from medprobclip.data.studies import SPLITS, read_studies, write_studies
from medprobclip.support.files import write_json
from medprobclip.training.calibration_share import holds, shared_validation

NEEDED = ("train", "validate", "test")
CALIBRATE_SHARE = 0.5  # of the validation patients, where a folder has no calibrate.csv
# Notebooks score every film of a table with every report: 10,000 studies are 0.4 GB for each method and seed.
MOST_HELD_OUT = 10_000
MOST_LOOKED_AT = 5_000  # studies of notebook 01: it compares every report with every other one
EXPERTS, LABELS = "experts", "labels"  # who coded the studies
SIMULATOR = "what the simulator drew: only the demo's corpus has that"
CODING = "a coding of the studies, the column `codes` or the 14 columns of CheXpert's or NegBio's labels"
_CODED = {
    EXPERTS: "“Coded alike” means: the same entries in the column `codes`.",
    LABELS: "“Coded alike” means: the same findings present, or uncertain, by the labels of CheXpert or "
    "NegBio, which a program read off the reports. A study without a finding is coded `normal`; one in which "
    "the program said nothing of any is not coded.",
    None: "Nobody coded them, so what asks who is coded alike steps aside.",
}


@dataclass(frozen=True)
class Corpus:
    """Study tables, one file a part; `read_studies` reads each."""

    train: Path
    calibrate: Path
    validate: Path
    test: Path
    coding: str | None  # EXPERTS, LABELS or None: not coded
    simulated: Path | None = None  # the folder of the simulator's truth; None: somebody's own radiographs
    shows_text: bool = True  # may sentences of reports be shown?
    remarks: tuple[str, ...] = ()  # what else is to be known of the tables, in sentences

    def part(self, split: str) -> Path:
        """The table of one of `SPLITS`."""
        if split not in SPLITS:
            raise ValueError(f"no part '{split}': there are {', '.join(SPLITS)}")
        return getattr(self, split)

    def studies(self, most: int = MOST_LOOKED_AT) -> pd.DataFrame:
        """All studies with the column `split`; of more than `most`, as many, drawn with a fixed seed."""
        if self.simulated:
            return read_studies(self.simulated / "studies.csv")
        parts = [read_studies(self.part(split)).assign(split=split) for split in SPLITS]
        studies = pd.concat([part.assign(codes=codes_of(part)) for part in parts], ignore_index=True)
        count = len(studies)
        if count > most:
            rows = np.sort(np.random.default_rng(42).permutation(count)[:most])
            studies = studies.iloc[rows].reset_index(drop=True)
        studies.attrs["of"] = count
        return studies

    def looked_at(self, studies: pd.DataFrame) -> str:
        """How many of how many `studies` there are, in a sentence; "" where it is all of them."""
        count = studies.attrs.get("of", len(studies))
        if len(studies) == count:
            return ""
        return f"Looked at here: {len(studies):,} of {count:,} studies, drawn at random with a fixed seed."

    def described(self) -> str:
        """What it is, in a few sentences."""
        if self.simulated:
            return "The demo's corpus: real reports of OpenI, coded by experts, and simulated radiographs."
        withheld = "" if self.shows_text else " Text of reports is withheld (`show_text`)."
        own = self.calibrate.parent == self.test.parent
        aside = "" if own else " Half of the validation patients are set aside to calibrate on."
        remarks = "".join(f" {sentence}" for sentence in self.remarks)
        return f"Your own tables: {self.test.parent}.{aside} {_CODED[self.coding]}{remarks}{withheld}"


def aside(what: str, needs: str) -> str:
    """Why a part of a notebook is not there, in one sentence; `needs` is `SIMULATOR` or `CODING`."""
    return f"{what} steps aside: it needs {needs}."


def own_corpus(folder: Path, derived: Path, shows_text: bool = False) -> Corpus:
    """The tables `train.csv`, `validate.csv`, `test.csv` of a folder and, where it has one, `calibrate.csv`.

    Without that, half of the validation patients calibrate: both parts are written into `derived`, which
    serves one folder of tables only. Raises StudyTableError where a table is missing or cannot be read, has
    more than `MOST_HELD_OUT` studies to be scored, and when `derived` is of another folder or other studies.
    """
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        what = "a file: give its folder" if folder.exists() else "no such folder"
        raise StudyTableError(f"{folder}: {what}, which holds train.csv, validate.csv and test.csv")
    if missing := [f"{split}.csv" for split in NEEDED if not (folder / f"{split}.csv").is_file()]:
        raise StudyTableError(
            f"{folder}: no {' and no '.join(missing)}. `medprobclip prepare` makes study tables of "
            "MIMIC-CXR, OpenI or any other table (docs/prepare.md)"
        )
    _claim(derived, folder)
    parts = {split: folder / f"{split}.csv" for split in SPLITS}
    if not parts["calibrate"].is_file():
        parts |= _set_aside(parts["validate"], derived)
    held_out = {split: read_studies(parts[split]) for split in ("validate", "calibrate", "test")}
    for split, studies in held_out.items():
        if len(studies) > MOST_HELD_OUT:
            raise StudyTableError(
                f"{parts[split]}: {len(studies):,} studies, more than the {MOST_HELD_OUT:,} that notebooks "
                "score with each other. Prepare smaller tables (`medprobclip prepare`: --test_share, --limit)"
            )
    coding = None if any(_coding(of) is None for of in held_out.values()) else _coding(held_out["test"])
    return Corpus(**parts, coding=coding, shows_text=shows_text, remarks=_remarks(held_out))


def _remarks(held_out: dict[str, pd.DataFrame]) -> tuple[str, ...]:
    """Why tables that are coded in part count as not coded, and whom a study belongs to."""
    said = []
    coded = [f"{split}.csv" for split, studies in held_out.items() if _coding(studies)]
    others = [f"{split}.csv" for split in held_out if f"{split}.csv" not in coded]
    if coded and others:
        said.append(f"({' and '.join(coded)} would be coded, but {' and '.join(others)} not.)")
    for split, studies in held_out.items():
        if not _coding(studies) and (names := lacking_labels(studies)):
            said.append(f"({split}.csv has label columns, but not all 14: {', '.join(names)} missing.)")
    if any(patient_column(studies) is None for studies in held_out.values()):
        said.append("No column names patients: every study counts as a patient of its own.")
    return tuple(said)


def _claim(derived: Path, folder: Path) -> None:
    """Runs of one name are of one folder of tables; a first try that trained nothing claims none."""
    place = derived / "of.json"
    of = json.loads(place.read_text(encoding="utf-8"))["tables"] if place.exists() else str(folder)
    if of != str(folder) and _trained(derived):
        raise StudyTableError(
            f"{derived.parent} holds runs of {of}, not of {folder}. Rename one of the two folders of tables, "
            f"or delete {derived.parent}"
        )
    write_json(place, {"tables": str(folder)})


def _set_aside(validate: Path, derived: Path) -> dict[str, Path]:
    """The validation patients in two tables: who choose, and who calibrate."""
    studies = read_studies(validate)
    try:
        parts, _ = shared_validation(studies, CALIBRATE_SHARE)
    except StudyTableError as error:
        raise StudyTableError(f"{validate}: {error}") from error
    found = {}
    for split, name in (("validate", "validation"), ("calibrate", "calibration")):
        path = found[split] = derived / f"{split}.csv"
        if not path.exists() or not (held := holds(path, parts[name])) and not _trained(derived):
            write_studies(parts[name], path)
        elif not held:
            raise StudyTableError(
                f"{path}: was set aside from other studies than {validate} holds now. Delete {derived.parent}"
            )
    return found


def _trained(derived: Path) -> bool:
    """Has anything been trained beside the set-aside parts?"""
    return any(derived.parent.rglob("settings.json"))


def _coding(studies: pd.DataFrame) -> str | None:
    if "codes" not in studies or not studies["codes"].map(len).any():
        return None
    return LABELS if coded_by_labels(studies) else EXPERTS
