"""What the parts of the objective are for: MedProbCLIP with one thing changed at a time, as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprobclip.evaluation.reliability import drawn_aurc, risk_coverage
from medprobclip.evaluation.resampling import compare, resampled, summaries
from medprobclip.evaluation.retrieval import CUTOFFS, average_precisions, first_match_ranks
from medprobclip.paper.tables.comparison import TURNS, Result, Results
from medprobclip.paper.tables.experiments import ABLATION, METHODS, REFERENCE
from medprobclip.similarity import SCORES

RESCORED = {"csd": "CSD", "cosine": "cosine of the means"}  # other scores of the same Gaussians


def ablation_table(results: Results) -> pd.DataFrame:
    """MedProbCLIP with one thing changed, by variant; the rows "rescored" change the score after training.

    Columns: `part`, `change`, `metric` (RSUM and mAP@R, percent, and AURC at R@10 by total variance, the
    last two means of both directions), those of `compare`. The interval holds what other test studies would
    change; what another seed would change it does not know with one run a variant.
    """
    variants = {REFERENCE: ("", METHODS[REFERENCE])}
    variants |= {name: ABLATION[name][:2] for name in ABLATION if name in results}
    scored = {name: (results[name][0], results[name][0].scores) for name in variants}
    for score, label in RESCORED.items():
        run = results[REFERENCE][0]
        variants[f"rescored-{score}"] = ("score, after training", label)
        scored[f"rescored-{score}"] = run, SCORES[score](run.embeddings.image, run.embeddings.report).numpy()
    parts = []
    for metric, table in {
        "RSUM": compare({n: _sums(r, s)[None] for n, (r, s) in scored.items()}, REFERENCE),
        "mAP@R": compare({n: _precision(r, s)[None] for n, (r, s) in scored.items()}, REFERENCE),
        "AURC": _areas({n: run for n, (run, _) in scored.items() if not n.startswith("rescored")}),
    }.items():
        table.insert(0, "metric", metric)
        table.insert(0, "change", [variants[name][1] for name in table["method"]])
        table.insert(0, "part", [variants[name][0] for name in table["method"]])
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


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


def _precision(run: Result, scores: np.ndarray) -> np.ndarray:
    """AP@R of each study, percent, mean of both directions: `[N]`."""
    turned = [average_precisions(turn(scores), turn(run.truth.relevant)) for turn in TURNS.values()]
    return 100 * np.mean(turned, axis=0)


def _areas(runs: dict[str, Result]) -> pd.DataFrame:
    """As `compare`: AURC at R@10 when the least total variance is answered first, mean of both directions."""
    every, draws = {}, {}
    for name, run in runs.items():
        queries = [(-run.total_variance[d], run.ranks[d] > 10) for d in TURNS]
        every[name] = np.array([np.mean([risk_coverage(*query).aurc for query in queries])])

        def areas(_: int, rows: np.ndarray, queries=queries) -> np.ndarray:
            return np.mean([drawn_aurc(*query, rows) for query in queries], axis=0)

        draws[name] = resampled(areas, 1, len(run.truth))
    return summaries(every, draws, REFERENCE)
