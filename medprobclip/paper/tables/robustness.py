"""Every method on radiographs with a fault, at five severities: does it fail, and does it know?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from medprobclip.data.coding import codes_of
from medprobclip.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from medprobclip.evaluation.discrimination import auroc, paired_auroc
from medprobclip.evaluation.reliability import drawn_aurc, risk_coverage
from medprobclip.evaluation.resampling import drawn_queries, percentiles
from medprobclip.evaluation.retrieval import BootstrapConfig
from medprobclip.paper.tables.faulty_films import doubts, reference_radiographs
from medprobclip.paper.tables.names import DOUBTS

MUCH = 3  # codes of the study that stands for all in the picture of faults
K = 10  # of the recall, and of the errors behind AURC
DETECTS = {f"{name}_detects": label for name, label in DOUBTS.items()}


def fault_examples(studies: pd.DataFrame, csv: Path, size: int) -> tuple[np.ndarray, pd.DataFrame]:
    """One radiograph with much to see, under every fault: uint8 `[faults, 1 + severities, S, S]`.

    It is the first with `MUCH` codes, else the first of all. The faultless one comes first; and what is done
    at each severity: `corruption`, `unit`, a column a severity.
    """
    shown = int(np.argmax([len(codes) >= MUCH for codes in codes_of(studies)]))
    image = reference_radiographs(studies, csv, size)[[shown]]
    ids = [studies["study_id"].iloc[shown]]
    worse = [[corrupt(image, name, severity, ids)[0] for severity in SEVERITIES] for name in CORRUPTIONS]
    values = [[c.label, c.unit, *c.values] for c in CORRUPTIONS.values()]
    numbers = pd.DataFrame(values, columns=["corruption", "unit", *SEVERITIES])
    return np.stack([[image[0], *row] for row in worse]), numbers


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


def by_fault(table: pd.DataFrame, method: str, severity: int) -> pd.DataFrame:
    """One method at one severity of `robustness_table`, for readers: what each fault costs, who notices.

    A row a fault, in words, the costliest first; columns R@10 in percent and an AUROC for each of two doubts.
    """
    rows = table[(table["method"] == method) & (table["severity"] == severity)]
    columns = {
        "recall": "R@10, %", "variance_detects": "AUROC of the variance",
        "strangeness_detects": "AUROC of strangeness",
    }  # fmt: skip
    names = [CORRUPTIONS[name].label for name in rows["corruption"]]
    named = rows[list(columns)].rename(columns=columns).set_index(pd.Index(names, name="fault"))
    return named.sort_values("R@10, %")


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


def detection_by_severity(detection: pd.DataFrame, method: str) -> pd.DataFrame:
    """One method's AUROCs of `detection_table` for readers: a row a doubt, in words, a column a severity."""
    own = detection[detection["method"] == method].pivot(index="doubt", columns="severity", values="auroc")
    return own.loc[list(DOUBTS)].rename(index=DOUBTS)


def _auroc(now: np.ndarray, before: np.ndarray) -> float:
    return auroc(np.concatenate([now, before]), np.arange(len(now) + len(before)) < len(now))
