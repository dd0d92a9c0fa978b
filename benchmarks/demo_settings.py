"""Settings of the demo profile, one changed at a time, on validation studies; test studies are not looked at.

    .venv/bin/python benchmarks/demo_settings.py            # writes benchmarks/demo_settings.csv
    .venv/bin/python benchmarks/demo_settings.py demo cls   # only these; the table keeps the others

Needs the demo's corpus (`make run` builds it). Finished runs, in `runs/settings/`, are reused.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from medprobclip.paper.tables.hubs import measures
from medprobclip.paper.tables.scored_runs import Result, Truth
from medprobclip.settings import OBJECTIVES
from medprobclip.training.profiles import PROFILES, Profile
from medprobclip.training.runs import embed_run, load_run, train_run
from medprobclip.workbench.workspace import ROOT, NotebookParameters

TABLE = Path(__file__).with_suffix(".csv")
WHOLE = {"sentence_drop": 0.0, "sentence_shuffle": False}
CLS = {"text_pooling": "cls"}
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
}
SEEDS = {"whole sections": (42, 43), "demo": (42, 43)}  # of those between which it was close; else 42


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
    row = {"setting": name, "seed": seed, **measures(run), "best_epoch": int(best["epoch"])}
    return row | {"epochs": len(history), "seconds_an_epoch": history["seconds"].mean()}


def main() -> None:
    names = sys.argv[1:] or list(CHANGES)
    corpus = NotebookParameters("demo", root=str(ROOT)).workspace().corpus()
    for name in names:
        for seed in SEEDS.get(name, (42,)):
            row = pd.DataFrame([score(name, seed, corpus)])
            kept = pd.read_csv(TABLE) if TABLE.exists() else row[:0]
            kept = kept[(kept["setting"] != name) | (kept["seed"] != seed)]
            table = pd.concat([kept, row], ignore_index=True)
            table.to_csv(TABLE, index=False, float_format="%.4g")
            print(row.to_string(index=False))
    columns = ["RSUM", "mAP@R", "seconds_an_epoch"]
    print(table.groupby("setting", sort=False)[columns].agg(["mean", "min", "max"]).round(1).to_string())


if __name__ == "__main__":
    main()
