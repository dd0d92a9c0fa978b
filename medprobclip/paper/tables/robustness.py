"""Every method on radiographs with a fault, at five severities: does it fail, and does it know?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprobclip.evaluation.discrimination import auroc, paired_auroc
from medprobclip.evaluation.reliability import drawn_aurc, risk_coverage
from medprobclip.evaluation.resampling import drawn_queries, percentiles
from medprobclip.evaluation.retrieval import BootstrapConfig
from medprobclip.paper.tables.faulty_films import doubts
from medprobclip.paper.tables.names import DOUBTS

K = 10  # of the recall, and of the errors behind AURC
DETECTS = {f"{name}_detects": label for name, label in DOUBTS.items()}


def robustness_table(films: pd.DataFrame, chosen: dict[tuple[str, str], str]) -> pd.DataFrame:
    """What the faults cost and whether they are noticed; `films` is the table of `faulty_films`.

    Columns: `method`, `corruption`, `severity`; with bounds `_low` and `_high` over test studies: `recall`
    (R@10 in percent, mean of both directions), `aurc` (of the radiographs' queries at R@10, by the method's
    confidence in `chosen`) and `variance` (mean total variance of the radiographs, relative to that without a
    fault); and for each of `DOUBTS` `<name>_detects`, its AUROC for telling faulty from faultless
    radiographs: 0.5 knows nothing, above it the doubt grows with the fault.
    """
    config, rows = BootstrapConfig(), []
    for method, own in films.groupby("method", sort=False):
        clean = own[own["corruption"] == "none"]
        before = doubts(clean)
        draws = drawn_queries(len(clean), config)
        for (corruption, severity), now in own.groupby(["corruption", "severity"], sort=False):
            doubt = doubts(now)
            row = {"method": method, "corruption": corruption, "severity": severity}
            sure = now[chosen[method, "i2t"]].to_numpy()
            recall = 50.0 * sum((now[f"rank_{d}"] <= K).to_numpy() for d in ("i2t", "t2i"))
            wrong = (now["rank_i2t"] > K).to_numpy()
            spread, usual = doubt["variance"], before["variance"]
            for name, value, drawn in (
                ("recall", recall.mean(), recall[draws].mean(1)),
                ("aurc", risk_coverage(sure, wrong).aurc, drawn_aurc(sure, wrong, draws)),
                ("variance", spread.mean() / usual.mean(), spread[draws].mean(1) / usual[draws].mean(1)),
            ):
                low, high = percentiles(drawn, config)
                row |= {name: float(value), f"{name}_low": low, f"{name}_high": high}
            for name in DOUBTS:
                row[f"{name}_detects"] = _auroc(doubt[name], before[name])
            rows.append(row)
    return pd.DataFrame(rows)


def mean_over_corruptions(table: pd.DataFrame) -> pd.DataFrame:
    """`robustness_table` averaged over the corruptions, by method and severity; 0 is without a fault."""
    values = ["recall", "aurc", "variance", *DETECTS]
    return table.groupby(["method", "severity"], sort=False, as_index=False)[values].mean()


def detection_table(films: pd.DataFrame) -> pd.DataFrame:
    """Whether a doubt tells faulty films from good ones: the mean AUROC over all corruptions, by severity.

    Columns: `method`, `severity`, `doubt` (of `DOUBTS`), `auroc`, `low`, `high` (bootstrap over test
    studies, each drawn with all its films), and `least`, the AUROC for the fault that is told worst.
    """
    rows = []
    for method, own in films.groupby("method", sort=False):
        before = doubts(own[own["corruption"] == "none"])
        for severity, faulty in own[own["corruption"] != "none"].groupby("severity", sort=False):
            by_fault = [doubts(part) for _, part in faulty.groupby("corruption", sort=False)]
            for name in DOUBTS:
                now = [doubt[name] for doubt in by_fault]
                value, low, high = paired_auroc(now, before[name])
                least = min(_auroc(one, before[name]) for one in now)
                row = {"method": method, "severity": severity, "doubt": name}
                rows.append({**row, "auroc": value, "low": low, "high": high, "least": least})
    return pd.DataFrame(rows)


def _auroc(now: np.ndarray, before: np.ndarray) -> float:
    return auroc(np.concatenate([now, before]), np.arange(len(now) + len(before)) < len(now))
