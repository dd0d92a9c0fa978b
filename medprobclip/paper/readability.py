"""Can a small network see in the pictures what the simulator drew?

Radiographs only, no reports: patients are invented, each with up to four expert codes, so that every kind of
finding is about equally frequent. A classifier on the small image encoder learns the kinds from both views
and is scored once on held-out patients, kind by kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from medprobclip.data.coding import parse_code
from medprobclip.data.images import read_image
from medprobclip.evaluation.discrimination import auroc, auroc_interval
from medprobclip.paper.classifier import measurable, predict, train
from medprobclip.settings import ClassifierConfig, ReadabilityConfig
from medprobclip.simulator.corpus import image_paths, simulate_corpus
from medprobclip.simulator.findings import RULES, find_rule
from medprobclip.simulator.simulate import SimulationConfig
from medprobclip.support.files import replaced_file

KINDS = tuple(dict.fromkeys(rule.kind for rule in RULES))  # as they stand in the table of findings
MOST_CODES = 4  # of a patient: 0 to 4, each number equally often, so that a fifth is healthy
PATIENT_SEED = 42  # of the patients and their codes
PARTS = {"train": 0.7, "validation": 0.1, "held out": 0.2}  # shares of the patients
READABLE, UNMEASURED = "readable", "not measured"


def codes_by_kind(codes: Iterable[str]) -> dict[str, list[str]]:
    """The given codes sorted into `KINDS`, as often as they occur; codes that are not drawn are left out.

    A kind without any gets a code made from its own row of the table of findings.
    """
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for code in codes:
        if rule := find_rule(parse_code(code)):
            found[rule.kind].append(code)
    for rule in RULES:
        if not found[rule.kind]:
            written = ("/".join([rule.heading, word]) for word in sorted(rule.words) or [""])
            found[rule.kind] += [c for c in written if find_rule(parse_code(c)).kind == rule.kind][:1]
    return found


def invent_patients(count: int, codes: dict[str, list[str]]) -> pd.DataFrame:
    """Patients `R000000` … with the columns `study_id` and `codes` (tuple of 0 to `MOST_CODES`).

    Each takes the kinds that were used least so far, ties at random: no kind twice in one patient, and all
    kinds equally often in any run of consecutive patients. Within a kind, codes are as frequent as in
    `codes`. The first patients are the same whatever the count.
    """
    rng = np.random.default_rng(PATIENT_SEED)
    used = np.zeros(len(codes))
    kinds, patients = list(codes), []
    for _ in range(count):
        chosen = np.argsort(used + rng.random(len(used)))[: rng.integers(0, MOST_CODES + 1)]
        used[chosen] += 1
        patients.append(tuple(str(rng.choice(codes[kinds[i]])) for i in chosen))
    return pd.DataFrame({"study_id": [f"R{i:06d}" for i in range(count)], "codes": patients})


def split_patients(count: int) -> dict[str, np.ndarray]:
    """Rows of each of the `PARTS`: consecutive patients, who are in no order but that of the lot.

    Raises ValueError where a part would be empty.
    """
    edges = np.round(np.cumsum(list(PARTS.values())) * count).astype(int)
    rows = dict(zip(PARTS, np.split(np.arange(count), edges[:-1]), strict=True))
    if not all(map(len, rows.values())):
        raise ValueError(f"{count} patients do not fill training, validation and held-out part; take more")
    return rows


def label_matrix(study_ids: Iterable[str], rendered: pd.DataFrame) -> np.ndarray:
    """What was drawn in each study, from the rendered truth: bool `[N, KINDS]`."""
    row = {study_id: i for i, study_id in enumerate(study_ids)}
    column = {kind: i for i, kind in enumerate(KINDS)}
    labels = np.zeros((len(row), len(column)), dtype=bool)
    labels[rendered["study_id"].map(row), rendered["kind"].map(column)] = True
    return labels


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
    scores: np.ndarray,
    labels: np.ndarray,
    training_labels: np.ndarray,
    rendered: pd.DataFrame,
    config: ReadabilityConfig,
) -> pd.DataFrame:
    """One row a kind, best first: scores and labels `[N, KINDS]` of the held-out patients.

    Columns: `kind`, `auroc`, `low`, `high` (bootstrap interval over patients), `positives`, `negatives`,
    `training_positives` (patients), `size_mm` and `conspicuity` (medians of `rendered`, of the view that
    shows a finding better), `verdict` (see `judge`). A kind that no held-out patient has, or all have, is
    "not measured", at the end, without AUROC.
    """
    best = rendered[["pa_conspicuity", "lateral_conspicuity"]].max(axis=1)
    medians = rendered.assign(conspicuity=best).groupby("kind")[["size_mm", "conspicuity"]].median()
    rows = []
    for i, kind in enumerate(KINDS):
        size, seen = medians.loc[kind] if kind in medians.index else (math.nan, math.nan)
        counts = {"positives": labels[:, i].sum(), "negatives": (~labels[:, i]).sum()}
        counts["training_positives"] = training_labels[:, i].sum()
        row = {"kind": kind, "auroc": None, "low": None, "high": None, **counts}
        row |= {"size_mm": size, "conspicuity": seen, "verdict": UNMEASURED}
        if measurable(labels)[i]:
            row["auroc"] = auroc(scores[:, i], labels[:, i])
            row["low"], row["high"] = auroc_interval(scores[:, i], labels[:, i])
            row["verdict"] = judge(row["auroc"], size, seen, config)
        rows.append(row)
    table = pd.DataFrame(rows).astype({name: float for name in ("auroc", "low", "high")})
    return table.sort_values("auroc", ascending=False, kind="stable", ignore_index=True)


def check_readability(
    codes: dict[str, list[str]], out: Path, config: ReadabilityConfig, classifier: ClassifierConfig
) -> pd.DataFrame:
    """The whole check in the folder out; returns its table, also written as `out/readability.csv`.

    Radiographs stay in `out/radiographs`, so that an interrupted check does not render them again; the
    classifier is trained anew. Raises AssetError, TrainingError, ImageError, ValueError.
    """
    parts = split_patients(config.patients)
    patients = invent_patients(config.patients, codes)
    folder = out / "radiographs"
    rendered = simulate_corpus(patients, folder, SimulationConfig(size_px=config.size_px))
    images = torch.from_numpy(read_pictures(folder, patients["study_id"]))
    labels = label_matrix(patients["study_id"], rendered)
    model, history = train(images, labels, parts, classifier)
    held_out = parts["held out"]
    scores = predict(model, images[held_out])
    table = readability_table(scores, labels[held_out], labels[parts["train"]], rendered, config)
    for name, numbers in (("readability", table), ("history", history)):
        with replaced_file(out / f"{name}.csv") as temporary:
            numbers.to_csv(temporary, index=False, float_format="%.6g")
    return table


def read_pictures(folder: Path, study_ids: Iterable[str]) -> np.ndarray:
    """PA and lateral radiographs of the studies in a corpus folder: uint8 `[N, 2, S, S]`."""
    bar = tqdm(list(study_ids), "reading radiographs", unit="study", delay=2)
    return np.stack([[read_image(path) for path in image_paths(folder, study_id)] for study_id in bar])
