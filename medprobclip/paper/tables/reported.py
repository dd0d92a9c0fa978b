"""The numbers of the paper, as reported on MIMIC-CXR, to stand beside ours."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd

from medprobclip.paper.tables.experiments import METHODS

_NAMES = {label: name for name, label in METHODS.items()} | {"Random": "random"}
LABEL = "reported on MIMIC-CXR"


@cache
def reported(table: str) -> pd.Series:
    """What arXiv 2602.16019 reports in `table1` (percent), `table2` (AUROC) or `figure2` (AURC).

    A series of floats by (method, metric), the methods named as `tables.experiments.METHODS` and `random`.
    Metrics: "i2t_R@1" … and "RSUM"; the findings and "Mean"; "AURC_R@1" …. Raises KeyError for another table.
    """
    with (files("medprobclip.paper.tables") / "reported.csv").open(encoding="utf-8") as file:
        every = pd.read_csv(file)
    rows = every[every["table"] == table]
    if rows.empty:
        raise KeyError(f"no '{table}'; choose one of {', '.join(every['table'].unique())}")
    return rows.assign(method=rows["method"].map(_NAMES)).set_index(["method", "metric"])["value"]


def beside(table: str, methods: Iterable[str], metrics: Iterable[str]) -> list[float]:
    """What `reported` has for the method and the metric of every row, NaN where the paper says nothing."""
    paper = reported(table)
    return [paper.get(key, np.nan) for key in zip(methods, metrics, strict=True)]
