"""The default corpus `openi-sim`: OpenI's reports, each with radiographs simulated from its expert codes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from medprobclip.data.openi import SPLIT_SEED, load_reports
from medprobclip.data.studies import (
    SHARES,
    SPLITS,
    StudyTableError,
    read_studies,
    split_by_patient,
    write_studies,
)
from medprobclip.simulator.appearance import study_appearances
from medprobclip.simulator.chest.preparation import PREPARATION_VERSION
from medprobclip.simulator.corpus import image_paths, simulate_corpus
from medprobclip.simulator.findings import count_coverage
from medprobclip.simulator.simulate import SimulationConfig
from medprobclip.support.files import replaced_file, write_json

_TABLES = ("rendered", *SPLITS, "studies")


def build_openi_sim(
    folder: str | Path, size_px: int = 128, n_studies: int | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Build the corpus `openi-sim` in folder, or read it where it is finished; returns its study table.

    Every OpenI report with both sections (3,419; or a seeded random subset of n_studies) gets a PA and a
    lateral radiograph of size_px x size_px pixels, simulated from its expert codes by `workers` processes;
    a study of which the archive has a single film gets that one only. The patient has the sex that the
    indication states. Extra columns: `codes`, `sex` and `appearance` (what the pictures show, see
    `study_appearances`).
    In folder: `images/<study_id>_{pa,lateral}.png`, `images/coverage.csv` (codings drawn and not drawn),
    `rendered.csv` (the simulator's truth) and, last, `train.csv`, `calibrate.csv`, `validate.csv`, `test.csv`
    (65/7.5/7.5/20 by patient, fixed), `studies.csv` (all, with the column `split`) and `corpus.json`
    (settings, counts).

    An interrupted or damaged build goes on with what is missing. A corpus made with other settings or by
    another version of the simulator is made anew.
    Raises AssetError where the raw material cannot be had, ValueError for n_studies out of range.
    """
    folder = Path(folder)
    config = SimulationConfig(size_px=size_px)
    made_with = {
        "simulation": asdict(config),  # with the simulator's version
        "preparation_version": PREPARATION_VERSION,
        "n_studies": n_studies,
        "split_seed": SPLIT_SEED,
        "split_shares": dict(zip(SPLITS, SHARES, strict=True)),
    }
    if _is_finished(folder, made_with):
        try:
            return read_studies(folder / "studies.csv")
        except StudyTableError:
            pass  # files were removed since: make what is missing
    for name in (*(f"{table}.csv" for table in _TABLES), "corpus.json"):
        (folder / name).unlink(missing_ok=True)  # tables of another corpus must not outlive its images

    studies = load_reports(n_studies)
    images = folder / "images"
    rendered = simulate_corpus(studies, images, config, workers)
    coverage = count_coverage(studies["codes"].explode().dropna())
    studies["appearance"] = study_appearances(studies, rendered)
    studies["image_paths"] = [
        image_paths(images, study_id, views)
        for study_id, views in zip(studies["study_id"], studies["views"], strict=True)
    ]
    studies["view_names"] = [tuple(view.upper() for view in views) for views in studies["views"]]
    studies = studies.drop(columns=["image_ids", "views"])
    studies = split_by_patient(studies, seed=SPLIT_SEED)
    counts = {
        "studies": len(studies),
        **{split: int((studies["split"] == split).sum()) for split in SPLITS},
        "pa_only": int((studies["view_names"] == ("PA",)).sum()),
        "lateral_only": int((studies["view_names"] == ("LATERAL",)).sum()),
        "codings_drawn": int(coverage["drawn"].sum()),
        "codings_not_drawn": int(coverage["undrawn"].sum()),
    }
    print(
        f"openi-sim: {len(studies)} studies at {size_px} px in {folder}; {counts['codings_not_drawn']} of "
        f"{coverage['codings'].sum()} expert codings cannot be drawn yet (see images/coverage.csv)"
    )
    with replaced_file(folder / "rendered.csv") as temporary:
        rendered.to_csv(temporary, index=False)
    for split in SPLITS:
        write_studies(studies[studies["split"] == split], folder / f"{split}.csv")
    write_studies(studies, folder / "studies.csv")
    write_json(folder / "corpus.json", {"made_with": made_with, "counts": counts})
    return read_studies(folder / "studies.csv")


def training_codes() -> list[str]:
    """The expert codes of the whole corpus's training studies, as often as they were given, no other's.

    Raises AssetError where the reports cannot be had.
    """
    studies = split_by_patient(load_reports(), seed=SPLIT_SEED)
    return studies.loc[studies["split"] == "train", "codes"].explode().dropna().tolist()


def _is_finished(folder: Path, made_with: dict) -> bool:
    """True where the last file of a build tells of the same settings and no table has been removed."""
    try:
        record = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    same = record.get("made_with") == json.loads(json.dumps(made_with))  # as it looks when read back
    return same and all((folder / f"{table}.csv").is_file() for table in _TABLES)
