"""What spoilt training views and the inclusion term do: to retrieval, variance, and doubt of a fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from medprobclip.evaluation.discrimination import paired_auroc
from medprobclip.evaluation.reliability import drawn_aurc, risk_coverage
from medprobclip.evaluation.resampling import compare, resampled, summaries
from medprobclip.evaluation.retrieval import CUTOFFS, TURNS
from medprobclip.paper.tables.experiments import REFERENCE
from medprobclip.paper.tables.faulty_films import doubts, faulty_films
from medprobclip.paper.tables.names import COMPARED, DOUBTS
from medprobclip.paper.tables.reliability import run_confidences
from medprobclip.paper.tables.scored_runs import Results, load_degraded, stacked
from medprobclip.training.errors import TrainingError
from medprobclip.training.profiles import Profile
from medprobclip.workbench.corpus import Corpus

K = 10


def compared_trainings(
    runs: Path, profile: Profile, corpus: Corpus, calibration: Results, test: Results, films: pd.DataFrame
) -> pd.DataFrame:
    """`degraded_table` of the methods and of whatever runs with spoilt views are finished.

    `runs` is the profile's folder of runs; `films` are those of the methods. Empty without a run of
    MedProbCLIP.
    """
    if REFERENCE not in test:
        return pd.DataFrame()
    degraded, fitted = (load_degraded(runs, profile, corpus.part(split)) for split in ("test", "calibrate"))
    more = faulty_films(fitted, degraded, corpus.test) if degraded else films[:0]
    return degraded_table(calibration | fitted, test | degraded, pd.concat([films, more]))


def degraded_table(calibration: Results, test: Results, films: pd.DataFrame) -> pd.DataFrame:
    """MedProbCLIP with and without the inclusion term and spoilt views, by metric.

    Columns: `metric`, those of `evaluation.resampling.compare`. On good films, over test studies and seeds:
    RSUM; R@10 (mean of both directions, percent); AURC at R@10 of radiographs as queries, by variance and by
    entropy. On the first run's faulty films (`faulty_films`), means over faults: `R@10, severity S`
    (radiographs as queries), and the AUROC of each doubt for the fault, `<doubt>, severity S`, which has an
    interval but no paired difference. Raises TrainingError without a run of MedProbCLIP.
    """
    if REFERENCE not in test:
        raise TrainingError(f"{REFERENCE} was not trained: there is nothing to compare with (notebook 03)")
    runs = {name: test[name] for name in COMPARED if name in test}
    sums = {
        name: np.stack([sum(100.0 * (r.ranks[d] <= k) for d in TURNS for k in CUTOFFS) for r in of])
        for name, of in runs.items()
    }
    hits = {
        name: np.stack([50.0 * sum(r.ranks[d] <= K for d in TURNS) for r in of]) for name, of in runs.items()
    }
    parts = {"RSUM": compare(sums, REFERENCE), "R@10": compare(hits, REFERENCE)}
    for confidence in ("variance", "entropy"):
        parts[f"AURC, {confidence}"] = _areas(calibration, runs, confidence)
    of_methods = films[films["method"].isin(runs)]
    for severity in (3, 5):
        at = of_methods[of_methods["severity"] == severity]
        found = {
            name: 100.0 * (own["rank_i2t"] <= K).groupby(own["film"]).mean().to_numpy()
            for name, own in at.groupby("method", sort=False)
        }
        parts[f"R@10, severity {severity}"] = compare({n: v[None] for n, v in found.items()}, REFERENCE)
        for doubt in DOUBTS:
            parts[f"{doubt}, severity {severity}"] = _detects(of_methods, severity, doubt)
    return stacked(parts, "metric").drop(columns="level_1", errors="ignore")


def _areas(calibration: Results, runs: Results, confidence: str) -> pd.DataFrame:
    every, draws = {}, {}
    for salt, (name, of) in enumerate(runs.items()):
        queries = [
            (run_confidences(fitted, run, "i2t")[K][confidence], run.ranks["i2t"] > K)
            for fitted, run in zip(calibration[name], of, strict=True)
        ]
        every[name] = np.array([risk_coverage(*query).aurc for query in queries])
        draws[name] = resampled(
            lambda number, rows, queries=queries: drawn_aurc(*queries[number], rows), len(of),
            len(of[0].truth), salt,
        )  # fmt: skip
    return summaries(every, draws, REFERENCE)


def _detects(films: pd.DataFrame, severity: int, doubt: str) -> pd.DataFrame:
    rows = []
    for name, own in films.groupby("method", sort=False):
        before = doubts(own[own["corruption"] == "none"])[doubt]
        faulty = own[own["severity"] == severity]
        now = [doubts(part)[doubt] for _, part in faulty.groupby("corruption", sort=False)]
        value, low, high = paired_auroc(now, before)
        rows.append({"method": name, "value": value, "low": low, "high": high, "seeds": 1})
        rows[-1] |= {"least": value, "most": value}
    return pd.DataFrame(rows)
