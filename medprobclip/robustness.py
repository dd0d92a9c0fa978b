"""Every method on radiographs with a fault, at five severities: does it fail, and does it know?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from medprobclip.comparison import TURNS, Result, Results
from medprobclip.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from medprobclip.data.dataset import reference_view
from medprobclip.embedding import Embeddings, embed_images
from medprobclip.evaluation.comparison import drawn_queries, percentiles
from medprobclip.evaluation.confidence import confidences
from medprobclip.evaluation.discrimination import auroc
from medprobclip.evaluation.reliability import drawn_aurc, risk_coverage
from medprobclip.evaluation.retrieval import BootstrapConfig, first_match_ranks
from medprobclip.files import write_json
from medprobclip.reliability_tables import calibrators
from medprobclip.runs import file_hash, load_run, open_table

K = 10  # of the recall, and of the errors behind AURC


def robustness_table(
    validation: Results, test: Results, csv: Path, chosen: dict[tuple[str, str], str]
) -> pd.DataFrame:
    """The first run of each method on the test radiographs with every corruption, and without (severity 0).

    Reports stay as they are. Columns: `method`, `corruption`, `severity`; with bounds `_low` and `_high` over
    test studies: `recall` (R@10 in percent, mean of both directions), `aurc` (of the radiographs' queries at
    R@10, by the method's confidence in `chosen`) and `variance` (mean total variance of the radiographs,
    relative to that without a fault); `detects`, the AUROC of the total variance for telling faulty from
    faultless radiographs: 0.5 knows nothing, above it the variance grows with the fault.

    What is measured is kept in each run's folder, corruption by corruption, and read back as long as the run,
    its embeddings, the confidence and the corruption are unchanged.
    """
    first = {method: (validation[method][0], runs[0]) for method, runs in test.items()}
    size = load_run(first[next(iter(first))][1].folder)[0].config.image_size
    images = reference_radiographs(first[next(iter(first))][1].truth.studies, csv, size)
    rows, pending = [], []
    for method, (before, run) in first.items():
        for name in ("none", *CORRUPTIONS):
            path = run.folder / "robustness" / f"{name}.json"
            source = fingerprint(run, name, chosen[method, "i2t"])
            stored = json.loads(path.read_text()) if path.exists() else {}
            if stored.get("source") == source:
                rows += [{"method": method, **row} for row in stored["rows"]]
            else:
                pending.append((name, method, before, run, path, source))
    models = {method: load_run(run.folder)[0] for method, (_, run) in first.items()} if pending else {}
    conditions = [
        (name, s) for name in ("none", *CORRUPTIONS) for s in ((0,) if name == "none" else SEVERITIES)
    ]
    wanted = {name for name, *_ in pending}
    conditions = [condition for condition in conditions if condition[0] in wanted]
    measured: dict[tuple[str, str], list[dict]] = {}
    for name, severity in tqdm(conditions, "corruptions", unit="set", disable=not conditions):
        ids = first[next(iter(first))][1].truth.studies["study_id"].tolist()
        worse = images if name == "none" else corrupt(images, name, severity, ids)
        for _, method, before, run, path, source in (job for job in pending if job[0] == name):
            model = models[method]
            image = embed_images(model, torch.from_numpy(worse))
            embeddings = Embeddings(
                run.embeddings.study_ids, image, run.embeddings.report, run.embeddings.text_ids
            )
            scored = Result(run.folder, run.seed, embeddings, embeddings.scores(model), run.truth)
            kept = measured.setdefault((method, name), [])
            kept.append(
                {
                    "corruption": name,
                    "severity": severity,
                    **measure(before, run, scored, chosen[method, "i2t"]),
                }
            )
            if len(kept) == (1 if name == "none" else len(SEVERITIES)):
                write_json(path, {"source": source, "rows": kept})
                rows += [{"method": method, **row} for row in kept]
    order = {name: place for place, name in enumerate(("none", *CORRUPTIONS))}
    methods = {name: place for place, name in enumerate(first)}
    table = pd.DataFrame(rows)
    places = table.assign(c=table["corruption"].map(order), m=table["method"].map(methods))
    return places.sort_values(["m", "c", "severity"], ignore_index=True).drop(columns=["c", "m"])


def reference_radiographs(studies: pd.DataFrame, csv: Path, size: int) -> np.ndarray:
    """The one radiograph of each study that stands for it in every evaluation: uint8 `[N, S, S]`."""
    paths = [
        paths[reference_view(views)]
        for paths, views in zip(studies["image_paths"], studies["view_names"], strict=True)
    ]
    return open_table(csv, size).images.rows(paths)


def measure(before: Result, clean: Result, faulty: Result, confidence: str) -> dict[str, float]:
    """One row of `robustness_table`: a run on faulty radiographs, beside the same without, and validation."""
    config = BootstrapConfig()
    rows = drawn_queries(len(clean.truth), config)
    platt = calibrators(before, len(faulty.truth))["platt"]
    sure = confidences(faulty.scores, faulty.total_variance["i2t"], platt, K)[confidence]
    matches = faulty.truth.matches
    hits = [100.0 * (first_match_ranks(turn(faulty.scores), turn(matches)) <= K) for turn in TURNS.values()]
    recall, wrong = np.mean(hits, axis=0), faulty.ranks["i2t"] > K
    faults, none = faulty.total_variance["i2t"], clean.total_variance["i2t"]
    labels = np.repeat([True, False], len(none))
    result = {"detects": auroc(np.concatenate([faults, none]), labels)}
    for name, value, draws in (
        ("recall", recall.mean(), recall[rows].mean(1)),
        ("aurc", risk_coverage(sure, wrong).aurc, drawn_aurc(sure, wrong, rows)),
        ("variance", faults.mean() / none.mean(), faults[rows].mean(1) / none[rows].mean(1)),
    ):
        low, high = percentiles(draws, config)
        result |= {name: float(value), f"{name}_low": low, f"{name}_high": high}
    return result


def fingerprint(run: Result, corruption: str, confidence: str) -> dict[str, str]:
    """What a stored measurement depends on: run, studies, corruption and confidence."""
    source = Embeddings.source_of(run.folder / "embeddings.safetensors") or {}
    code = Path(__file__).with_name("data") / "corruptions.py"
    digest = hashlib.sha256(f"{file_hash(code)} {file_hash(Path(__file__))}".encode()).hexdigest()
    return {**source, "corruption": corruption, "confidence": confidence, "code": digest}
