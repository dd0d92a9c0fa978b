"""Which studies say the same: by wording and by expert coding."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from medprobclip.data.coding import UNCODED


def same_coding(codes: Iterable[tuple[str, ...]]) -> np.ndarray:
    """Ids int64 `[N]`, equal exactly where the sets of expert codes are equal, whatever their order.

    A study that nobody coded (no codes, or OpenI's "No Indexing") is equal to none but itself.
    """
    ids: dict[object, int] = {}
    keys = [frozenset(study) - {UNCODED} or row for row, study in enumerate(codes)]
    return np.array([ids.setdefault(key, len(ids)) for key in keys], dtype=np.int64)


def group_sizes(ids: np.ndarray) -> np.ndarray:
    """How many studies share each study's id, itself included: int `[N]` -> int `[N]`."""
    _, group, counts = np.unique(ids, return_inverse=True, return_counts=True)
    return counts[group]


def sharing_table(sizes: np.ndarray) -> pd.DataFrame:
    """Group sizes `[N]`, one a study -> how many studies have each: columns `size` (ascending), `studies`."""
    sizes, studies = np.unique(sizes, return_counts=True)
    return pd.DataFrame({"size": sizes, "studies": studies})
