"""Scores that know about hubs, for every run: the bank of training queries, and how much of it to take."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from medprobclip.data.chexpert import coded
from medprobclip.data.coding import codes_of
from medprobclip.evaluation.hubs import STRENGTHS, bank_terms, without_hubs
from medprobclip.evaluation.many_to_many import hubness, orphans
from medprobclip.evaluation.retrieval import TURNS, average_precisions, rsum
from medprobclip.paper.tables.scored_runs import Result, Results
from medprobclip.training.runs import embed_run, load_run

HUB_K = 10  # first places that are counted for hubs
# What strengths are chosen by: the first of these that a table has. Where nobody coded the studies, the only
# right answer is most often one's own report, mAP@R hardly more than R@1, and RSUM tells strengths apart.
CRITERIA = ("mAP@R", "RSUM")


@cache  # of few runs, asked for many times
def run_terms(run: Result, train_csv: Path) -> tuple[np.ndarray, np.ndarray]:
    """The bank's terms of the held-out reports and of the held-out radiographs, `[N]` each.

    The bank is the run's training studies: their radiographs ask for reports, their reports for radiographs.
    """
    bank, _, _ = embed_run(run.folder, train_csv, "embeddings-train")
    similarity = load_run(run.folder)[0].similarity
    own = run.embeddings
    reports = bank_terms(similarity, bank.image, own.report)
    images = bank_terms(similarity, bank.report, own.image, images_ask=False)
    return reports.numpy(), images.numpy()


def run_without_hubs(run: Result, train_csv: Path, strength: float) -> Result:
    """The run with the scores that know about hubs; nothing else changes."""
    return replace(run, scores=without_hubs(run.scores, *run_terms(run, train_csv), strength))


def strength_table(validation: Results, train_csv: Path) -> pd.DataFrame:
    """What each strength of the bank's term does on validation studies, by method, means over the runs.

    Columns: `method`, `strength`; `mAP@R` (percent; not without a coding), `RSUM`, `skew` and `orphans`
    (percent), of which all but RSUM are means of both directions; `chosen`: the strength with the highest
    `criterion` of the method.
    """
    rows = []
    for method, runs in validation.items():
        for strength in STRENGTHS:
            measured = [measures(run_without_hubs(run, train_csv, strength)) for run in runs]
            rows.append({"method": method, "strength": strength, **pd.DataFrame(measured).mean()})
    table = pd.DataFrame(rows)
    best = table.loc[table.groupby("method", sort=False)[criterion(table)].idxmax()].index
    return table.assign(chosen=table.index.isin(best))


def criterion(strengths: pd.DataFrame) -> str:
    """Which column of `strength_table` the strength is chosen by, of `CRITERIA`."""
    return next(name for name in CRITERIA if name in strengths)


def measures(run: Result) -> dict[str, float]:
    """mAP@R, skew and orphans, means of both directions, and RSUM: of a run on one split.

    Without mAP@R where no study is coded. The skew is NaN on a split of no more studies than are counted,
    where each is found by every query.
    """
    many = len(run.truth) > HUB_K
    turned = [(turn(run.scores), turn(run.truth.relevant)) for turn in TURNS.values()]
    precision = (
        {"mAP@R": 100 * float(np.mean([average_precisions(*asked) for asked in turned]))}
        if coded(codes_of(run.truth.studies)).any()
        else {}
    )
    return {
        **precision,
        "RSUM": rsum(run.scores, run.truth.matches),
        "skew": float(np.mean([hubness(scores, HUB_K) for scores, _ in turned])) if many else math.nan,
        "orphans": 100 * float(np.mean([orphans(scores, HUB_K) for scores, _ in turned])),
    }


def less_hubs(test: Results, train_csv: Path, strengths: pd.DataFrame) -> Results:
    """Every run with each method's chosen strength, of `strength_table`."""
    chosen = strengths[strengths["chosen"]].set_index("method")["strength"]
    return {
        method: [run_without_hubs(run, train_csv, float(chosen[method])) for run in runs]
        for method, runs in test.items()
    }
