"""What the parts of the objective are for: MedProbCLIP with one thing changed at a time, as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprobclip.data.coding import codes_of
from medprobclip.evaluation.reliability import drawn_aurc, risk_coverage
from medprobclip.evaluation.resampling import compare, resampled, summaries
from medprobclip.evaluation.retrieval import CUTOFFS, TURNS, average_precisions, first_match_ranks
from medprobclip.paper.tables.experiments import ABLATION, METHODS, REFERENCE
from medprobclip.paper.tables.scored_runs import Result, Results, stacked
from medprobclip.similarity import SCORES

RESCORED = {"csd": "CSD", "cosine": "cosine of the means"}  # other scores of the same Gaussians


def ablation_table(results: Results) -> pd.DataFrame:
    """MedProbCLIP with one thing changed, by variant; the rows "rescored" change the score after training.

    Columns: `part`, `change`, `metric` (RSUM and, of coded studies, mAP@R, percent, and AURC at R@10 by
    total variance, the last two means of both directions), those of `compare`: intervals over test studies
    and seeds. Empty without a run of MedProbCLIP.
    """
    if REFERENCE not in results:
        return pd.DataFrame()
    variants = {REFERENCE: ("", METHODS[REFERENCE])}
    variants |= {name: (v.part, v.change) for name, v in ABLATION.items() if name in results}
    runs = {name: results[name] for name in variants}
    scored = {name: [(run, run.scores) for run in of] for name, of in runs.items()}
    for score, label in RESCORED.items():
        variants[f"rescored-{score}"] = ("score, after training", label)
        scored[f"rescored-{score}"] = [
            (run, SCORES[score](run.embeddings.image, run.embeddings.report).numpy())
            for run in runs[REFERENCE]
        ]
    parts = {}
    coded = any(codes_of(runs[REFERENCE][0].truth.studies))
    for metric, measure in ({"RSUM": _sums} | ({"mAP@R": _precisions} if coded else {})).items():
        values = {name: np.stack([measure(*one) for one in of]) for name, of in scored.items()}
        parts[metric] = compare(values, REFERENCE)
    table = stacked(parts | {"AURC": _areas(runs)}, "metric")
    for place, column in enumerate(("part", "change")):
        table.insert(place, column, [variants[name][place] for name in table["method"]])
    return table


def variant_labels(table: pd.DataFrame) -> dict[str, str]:
    """What was changed in each variant of `ablation_table`, in words, in order."""
    rows = table.drop_duplicates("method")[["method", "part", "change"]]
    return {
        method: f"{part}: {change}" if part else change
        for method, part, change in rows.itertuples(index=False)
    }


def _sums(run: Result, scores: np.ndarray) -> np.ndarray:
    """What each study adds to RSUM, as radiograph and as report: `[N]`."""
    ranks = [first_match_ranks(turn(scores), turn(run.truth.matches)) for turn in TURNS.values()]
    return sum(100.0 * (of <= k) for of in ranks for k in CUTOFFS)


def _precisions(run: Result, scores: np.ndarray) -> np.ndarray:
    """AP@R of each study, percent, mean of both directions: `[N]`."""
    turned = [average_precisions(turn(scores), turn(run.truth.relevant)) for turn in TURNS.values()]
    return 100 * np.mean(turned, axis=0)


def _areas(results: Results) -> pd.DataFrame:
    """As `compare`: AURC at R@10 when the least total variance is answered first, mean of both directions."""
    every, draws = {}, {}
    for salt, (name, runs) in enumerate(results.items()):
        queries = [[(-run.total_variance[d], run.ranks[d] > 10) for d in TURNS] for run in runs]
        every[name] = np.array([np.mean([risk_coverage(*query).aurc for query in of]) for of in queries])

        def areas(number: int, rows: np.ndarray, queries=queries) -> np.ndarray:
            return np.mean([drawn_aurc(*query, rows) for query in queries[number]], axis=0)

        draws[name] = resampled(areas, len(runs), len(runs[0].truth), salt)
    return summaries(every, draws, REFERENCE)
