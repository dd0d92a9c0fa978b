"""Which studies made a run: trained it, or chose its epoch. They can neither test nor calibrate it.

`used.json` in the run folder holds for each table study ids, every column that names patients, and the
absolute paths of the images; no text of a report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from medprobclip.data.disjoint import shared_studies
from medprobclip.data.patients import incomparable, patient_columns
from medprobclip.support.files import replaced_file, to_json
from medprobclip.training.errors import TrainingError

FILE = "used.json"
Purpose = Literal["test", "calibration"]  # of studies that made nothing
VOID: dict[Purpose, str] = {
    "test": "What made a run cannot test it",
    "calibration": "Calibrating on studies that trained a run or chose its epoch voids every guarantee. Give "
    "studies that did neither: a table of their own, or a share of the validation patients that is set aside "
    "before training (`medprobclip train --calibrate_share`)",
}


def keep_used(out: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write `out/used.json` from the studies of each table ("training", "validation")."""
    used = {
        name: {
            column: studies[column].tolist()
            for column in ("study_id", *patient_columns(studies).values(), "image_paths")
        }
        for name, studies in tables.items()
    }
    with replaced_file(Path(out) / FILE) as temporary:
        temporary.write_text(to_json(used), encoding="utf-8")


def refuse_used(out: Path, csv: Path, studies: pd.DataFrame, digest: str, purpose: Purpose) -> None:
    """Raise TrainingError when a study, patient or image file of a table made the run in `out`.

    Compared as `check_disjoint` does it. `digest` is the table's hash as `settings.json` has it: that alone
    tells a table of a run from before `used.json`, which is said; training once more completes such a run.
    """
    out = Path(out)
    digests = json.loads((out / "settings.json").read_text()).get("tables", {})
    if name := next((name for name, used in digests.items() if used == digest), None):
        raise TrainingError(f"{csv} is the {name} table of {out}. {VOID[purpose]}")
    if not (out / FILE).exists():
        print(
            f"{out} does not tell which studies made it (no {FILE}), so {csv} was compared as a whole only. "
            "Train it once more: a finished run is only completed"
        )
        return
    used = {name: pd.DataFrame(columns) for name, columns in json.loads((out / FILE).read_text()).items()}
    if found := shared_studies({**used, purpose: studies}):
        raise TrainingError(f"{csv} holds what made {out}: {found}. {VOID[purpose]}")
    for name in used:
        for notice in incomparable({name: used[name], purpose: studies}):
            print(notice)
