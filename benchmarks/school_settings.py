"""What the chest encoder's school is worth by setting, on a few patients: validation patients only.

    .venv/bin/python benchmarks/school_settings.py     # writes benchmarks/school_settings.csv

Takes the first 6,000 of the invented patients, and their films from `make encoder` where they are there.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score

from medprobclip.paper.chest_encoder import read_pictures
from medprobclip.school_settings import SchoolConfig
from medprobclip.simulator.appearance import study_appearances
from medprobclip.simulator.corpus import simulate_corpus
from medprobclip.simulator.openi_sim import training_codes
from medprobclip.simulator.school import KINDS, codes_by_kind, invent_patients, make_lessons
from medprobclip.simulator.simulate import SimulationConfig
from medprobclip.training.encoders import SMALL_VISION
from medprobclip.training.schooling import mean_auroc, predict, school
from medprobclip.workbench.workspace import ROOT

TABLE = Path(__file__).with_suffix(".csv")
PATIENTS, EPOCHS = 6000, 6
PARTS = {"validation": np.arange(800), "train": np.arange(2400, PATIENTS)}  # those between: held out
# Smaller and larger than `small-resnet`.
NETWORKS = {
    "one block a stage": dict(embedding_size=32, hidden_sizes=[32, 64, 128, 256], depths=[1, 1, 1, 1]),
    "two blocks a stage": dict(embedding_size=32, hidden_sizes=[32, 64, 128, 192], depths=[2, 2, 2, 2]),
    "wide": dict(embedding_size=32, hidden_sizes=[48, 96, 192, 320], depths=[1, 1, 1, 1]),
}
SETTINGS = {
    "small-resnet": {},
    "without severity": {"appearances": False},
    "batch 16": {"batch_size": 16},
    **{name: {"vision": name} for name in NETWORKS},
}


def main() -> None:
    SMALL_VISION.update(NETWORKS)
    patients = invent_patients(PATIENTS, codes_by_kind(training_codes()))
    folder, ids = ROOT / "runs" / "encoder" / "radiographs", patients["study_id"].tolist()
    rendered = simulate_corpus(patients, folder, SimulationConfig())
    appearances = study_appearances(patients, rendered)
    images = torch.from_numpy(read_pictures(folder, ids))
    rows = []
    for name, changes in SETTINGS.items():
        changes = dict(changes)
        taught = appearances if changes.pop("appearances", True) else [()] * PATIENTS
        config = SchoolConfig(**{"epochs": EPOCHS, "patients": PATIENTS} | changes)
        lessons = make_lessons(ids, taught, rendered, PARTS["train"], config.least_positives)
        out = ROOT / "runs" / "school-settings"
        shutil.rmtree(out, ignore_errors=True)
        model, history = school(images, lessons.labels, PARTS, config, out)
        labels = lessons.kinds[PARTS["validation"]]
        scores = predict(model, images[PARTS["validation"]])[:, 0, : len(KINDS)]
        measured = [i for i in range(len(KINDS)) if labels[:, i].any()]
        precision = [average_precision_score(labels[:, i], scores[:, i]) for i in measured]
        size = sum(p.numel() for p in model.encoder.parameters()) / 1e6
        row = {"setting": name, "parameters_million": size, "names": len(lessons.names)}
        row |= {"pa_auroc": mean_auroc(scores, labels), "pa_average_precision": np.mean(precision)}
        rows.append(row | {"loss": history["loss"].iloc[-1]})
        pd.DataFrame(rows).to_csv(TABLE, index=False, float_format="%.4g")
        print(pd.DataFrame(rows).to_string(index=False, float_format=lambda v: f"{v:.3g}"))


if __name__ == "__main__":
    main()
