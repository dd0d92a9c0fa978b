"""What is drawn for a batch: two radiographs of a study, and studies of similar length."""

from __future__ import annotations

import numpy as np


def draw_two(paths: tuple, generator: np.random.Generator) -> tuple:
    """Two different images of a study in random order; a study's only image twice."""
    if len(paths) == 1:
        return paths[0], paths[0]
    first, second = generator.choice(len(paths), size=2, replace=False)
    return paths[first], paths[second]


def bucketed(
    order: np.ndarray, lengths: np.ndarray, buckets: int, generator: np.random.Generator
) -> np.ndarray:
    """Batches of studies of similar length: rows `[T, B]` and lengths `[N]` -> rows `[T, B]`.

    Of each `buckets` batches the studies are sorted by length and cut anew; then all batches are shuffled.
    Inside of a batch studies stay in their random order: processes that share it get about equal work.
    """
    batches = []
    for start in range(0, len(order), buckets):
        rows = order[start : start + buckets].ravel()
        by_length = lengths[rows].argsort(kind="stable").reshape(-1, order.shape[1])
        batches += [rows[np.sort(places)] for places in by_length]
    return np.stack(batches)[generator.permutation(len(batches))] if batches else order
