"""Films under faults, made up: the columns of `paper.tables.faulty_films`, without a model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medprobclip.evaluation.confidence import LABELS


def made_films(
    methods: Sequence[str] = ("medprobclip", "clip"),
    n: int = 30,
    faults: Sequence[str] = ("blur", "noise"),
    severities: Sequence[float] = (1, 3, 5),
    seed: int = 0,
) -> pd.DataFrame:
    """Of so many methods, n films each: a worse fault has later matches, more variance, stranger films."""
    rng = np.random.default_rng(seed)
    parts = []
    for method in methods:
        for name, severity in [("none", 0), *((name, s) for name in faults for s in severities)]:
            columns = {"method": method, "corruption": name, "severity": severity, "film": np.arange(n)}
            for direction in ("i2t", "t2i"):
                columns[f"rank_{direction}"] = 1 + rng.poisson(8 + severity, n)
            columns["best_right"] = rng.normal(-0.2 * severity, 1, n)
            columns |= {confidence: rng.normal(size=n).round(1) for confidence in LABELS}  # with ties
            columns["variance"] = -np.exp(rng.normal(0.1 * severity, 0.3, n))
            columns["log_variance"] = rng.normal(0.2 * severity, 1, n)
            columns["strangeness"] = np.exp(rng.normal(0.15 * severity, 0.3, n))
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
