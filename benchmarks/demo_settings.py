"""Settings of the demo profile, one changed at a time, on validation studies; test studies are not looked at.

    .venv/bin/python benchmarks/demo_settings.py            # writes benchmarks/demo_settings.csv
    .venv/bin/python benchmarks/demo_settings.py demo cls   # only these; the table keeps the others

Needs the demo's corpus (`make run` builds it). Finished runs, in `runs/settings/`, are reused. Trains on
a GPU where there is one, and the table says which: the same seed ends elsewhere there, so compare only what
ran on one device.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from medprobclip.paper.tables.hubs import measures
from medprobclip.paper.tables.scored_runs import Result, Truth
from medprobclip.settings import OBJECTIVES
from medprobclip.training.profiles import PROFILES, Profile
from medprobclip.training.runs import embed_run, load_run, train_run
from medprobclip.workbench.workspace import ROOT, NotebookParameters

TABLE = Path(__file__).with_suffix(".csv")
WHOLE = {"sentence_drop": 0.0, "sentence_shuffle": False}
CLS = {"text_pooling": "cls"}
LIGHT = {
    "crop_area_1": 0.95, "crop_area_2": 0.9, "rotation": 2.0, "brightness": 0.04, "contrast": 0.05,
    "blur_share": 0.0,
}  # fmt: skip
STRONG = {"crop_area_1": 0.6, "crop_area_2": 0.5, "rotation": 10.0, "brightness": 0.15, "contrast": 0.2}
# Name -> changed fields by part of the profile, and the method where it is not MedProbCLIP; in the order they
# were tried in, from the text's first token and whole sections to what the demo profile now holds.
CHANGES: dict[str, dict] = {
    "cls": {"encoders": CLS, "augmentation": WHOLE},
    "cls, vision rate 1": {"encoders": CLS, "augmentation": WHOLE, "training": {"vision_rate": 1.0}},
    "cls, vision rate 0.1": {"encoders": CLS, "augmentation": WHOLE, "training": {"vision_rate": 0.1}},
    "whole sections": {"augmentation": WHOLE},
    "whole sections, vision rate 1": {"augmentation": WHOLE, "training": {"vision_rate": 1.0}},
    "whole sections, soft": {"augmentation": WHOLE, "method": "medprobclip-soft"},
    "whole sections, coded": {"augmentation": WHOLE, "method": "medprobclip-coded"},
    "pcme++, from -5, clamped": {
        "method": "pcme++",
        "objective": {"log_var_start": -5.0, "log_var_min": -6.0},
    },
    "pcme++": {"method": "pcme++"},
    "demo": {},
    # Around the demo, one thing at a time.
    "epochs 6": {"training": {"epochs": 6}},
    "epochs 12": {"training": {"epochs": 12}},
    "epochs 16": {"training": {"epochs": 16}},
    "batch 32": {"training": {"batch_size": 32}},
    "batch 128": {"training": {"batch_size": 128}},
    "rate 5e-4": {"training": {"learning_rate": 5e-4}},
    "rate 2e-3": {"training": {"learning_rate": 2e-3}},
    "rate 3e-3": {"training": {"learning_rate": 3e-3}},
    "decay 0.05": {"training": {"weight_decay": 0.05}},
    "decay 0.3": {"training": {"weight_decay": 0.3}},
    "warmup 0": {"training": {"warmup": 0.0}},
    "warmup 0.25": {"training": {"warmup": 0.25}},
    "vision rate 0.1": {"training": {"vision_rate": 0.1}},
    "vision rate 1": {"training": {"vision_rate": 1.0}},
    "vision rate 0.1, rate 2e-3": {"training": {"vision_rate": 0.1, "learning_rate": 2e-3}},
    "vision rate 0.1, rate 3e-3": {"training": {"vision_rate": 0.1, "learning_rate": 3e-3}},
    "batch 32, rate 5e-4": {"training": {"batch_size": 32, "learning_rate": 5e-4}},
    "rate 2e-3, epochs 12": {"training": {"learning_rate": 2e-3, "epochs": 12}},
    "dims 64": {"encoders": {"embed_dim": 64}},
    "dims 256": {"encoders": {"embed_dim": 256}},
    "dims 512": {"encoders": {"embed_dim": 512}},
    "hidden layer 256": {"encoders": {"head_hidden": 256}},
    "words 1000": {"encoders": {"vocab_size": 1000}},
    "words 6000": {"encoders": {"vocab_size": 6000}},
    "light augmentation": {"augmentation": LIGHT},
    "strong augmentation": {"augmentation": STRONG},
    "drop 0": {"augmentation": {"sentence_drop": 0.0}},
    "drop 0.4": {"augmentation": {"sentence_drop": 0.4}},
}
SEEDS = (42, 43)
RUN = ["setting", "seed", "device"]  # what a row of the table is known by


def changed(name: str, seed: int) -> Profile:
    """The demo profile with a change and a seed put in."""
    changes = dict(CHANGES[name])
    profile = replace(PROFILES["demo"], objective=OBJECTIVES[changes.pop("method", "medprobclip")])
    for part, fields in changes.items():
        profile = replace(profile, **{part: replace(getattr(profile, part), **fields)})
    return replace(profile, training=replace(profile.training, seed=seed))


def score(name: str, seed: int, corpus: Path) -> dict:
    """Train one setting and measure it on the validation studies."""
    out = ROOT / "runs" / "settings" / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    history = train_run(corpus / "train.csv", corpus / "validate.csv", out, changed(name, seed))
    embeddings, dataset, _ = embed_run(out, corpus / "validate.csv", "embeddings-validate")
    scores = embeddings.scores(load_run(out)[0])
    run = Result(out, seed, embeddings, scores, Truth(dataset.studies, embeddings.matches()))
    best = history.loc[history["val_rsum"].idxmax()]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    row = {"setting": name, "seed": seed, "device": device, **measures(run), "best_epoch": int(best["epoch"])}
    return row | {"epochs": len(history), "seconds_an_epoch": history["seconds"].mean()}


def main() -> None:
    names = sys.argv[1:] or list(CHANGES)
    corpus = NotebookParameters("demo", root=str(ROOT)).workspace().corpus()
    for name in names:
        for seed in SEEDS:
            row = pd.DataFrame([score(name, seed, corpus)])
            kept = pd.read_csv(TABLE) if TABLE.exists() else row[:0]
            known = row[RUN].iloc[0]
            kept = kept[(kept[RUN] != known).any(axis=1)]
            table = pd.concat([kept, row], ignore_index=True)
            table.to_csv(TABLE, index=False, float_format="%.4g")
            print(row.to_string(index=False))
    columns = ["RSUM", "mAP@R", "seconds_an_epoch"]
    summary = table.groupby(["device", "setting"], sort=False)[columns].agg(["mean", "min", "max"])
    print(summary.round(1).to_string())


if __name__ == "__main__":
    main()
