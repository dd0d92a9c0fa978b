"""What is said of scores before training: stripes or a diagonal, by the numbers."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.paper.findings.headlines import headline

EIGHT = np.arange(8.0)


def said(scores: np.ndarray) -> str:
    ids = [f"S{i}" for i in range(len(scores))]
    return headline("untrained_similarity", pd.DataFrame(scores, columns=ids).assign(image=ids))


@pytest.mark.parametrize(
    ("scores", "shares"),
    [
        (EIGHT[:, None] + np.zeros(8), (100, 0, 0)),
        (EIGHT[None, :] + np.zeros((8, 1)), (0, 100, 0)),
        (EIGHT[:, None] + EIGHT[None, :], (50, 50, 0)),
        (np.eye(8), (0, 0, 100)),
        (np.outer(EIGHT - 3.5, EIGHT - 3.5), (0, 0, 100)),  # each mean is 0
    ],
)
def test_what_decides_the_scores(scores, shares):
    by_row, by_column, pair = shares
    sentence = said(scores - 50)
    assert f"are {'no ' * (pair > 50)}stripes: {by_row:.1f} % of how they vary belongs to the " in sentence
    assert f"radiograph alone, {by_column:.1f} % to the report alone, {pair:.1f} % to the pair." in sentence


def test_own_reports_are_more_than_chance_only_if_many():
    assert said(np.eye(8)).endswith("first for 8 of 8 radiographs, more than chance explains.")
    two = np.roll(np.eye(8), 1, axis=1)
    two[[0, 1]] = np.eye(8)[[0, 1]]
    assert said(two).endswith("first for 2 of 8 radiographs, no more than by chance.")
    assert said(np.roll(np.eye(8), 1, axis=1)).endswith("for 0 of 8 radiographs, no more than by chance.")
