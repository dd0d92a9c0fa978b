"""Retrieval on matrices whose answers are visible to the eye, and against naive loops."""

import numpy as np
import pytest

from medprobclip.evaluation.retrieval import (
    BootstrapConfig,
    bootstrap_interval,
    chance_recall_at,
    first_match_ranks,
    recall_at,
    retrieval_table,
    rsum,
)


def test_ranks_visible_to_the_eye():
    scores = np.array([
        [9, 1, 2, 3],
        [8, 7, 1, 1],
        [5, 6, 4, 7],
        [1, 2, 3, 0],
    ])  # fmt: skip
    ranks = first_match_ranks(scores, np.eye(4, dtype=bool))
    assert ranks.tolist() == [1, 2, 4, 4]
    assert recall_at(ranks, 1) == 25
    assert recall_at(ranks, 2) == 50
    assert recall_at(ranks, 4) == 100
    assert first_match_ranks(scores.T, np.eye(4, dtype=bool)).tolist() == [1, 1, 1, 4]


def test_a_duplicate_report_is_a_right_answer():
    scores = np.array([[1, 5, 3], [1, 9, 2], [0, 1, 2]])
    matches = np.eye(3, dtype=bool)
    assert first_match_ranks(scores, matches).tolist() == [3, 1, 1]
    matches[0, 1] = matches[1, 0] = True  # studies 0 and 1 have the same report
    assert first_match_ranks(scores, matches).tolist() == [1, 1, 1]


def test_ties_are_counted_against_the_match():
    assert first_match_ranks(np.zeros((3, 5)), np.eye(3, 5, dtype=bool)).tolist() == [5, 5, 5]


def test_ranks_agree_with_a_naive_sort():
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(30, 40))
    matches = generator.random((30, 40)) < 0.1
    matches[:, 0] = True
    naive = []
    for s, m in zip(scores, matches, strict=True):
        order = sorted(range(40), key=lambda j, s=s: -s[j])
        naive.append(1 + next(place for place, j in enumerate(order) if m[j]))
    assert first_match_ranks(scores, matches).tolist() == naive


def test_chance_agrees_with_random_orders():
    generator = np.random.default_rng(1)
    matches = generator.random((50, 40)) < 0.08
    matches[np.arange(50), generator.integers(0, 40, 50)] = True
    for k in (1, 5, 39, 40, 100):
        drawn = [recall_at(first_match_ranks(generator.random((50, 40)), matches), k) for _ in range(300)]
        assert chance_recall_at(matches, k) == pytest.approx(
            np.mean(drawn), abs=5 * np.std(drawn) / 300**0.5 + 1e-9
        )


def test_chance_on_the_diagonal_is_k_over_n():
    assert chance_recall_at(np.eye(200, dtype=bool), 10) == pytest.approx(5.0)


def test_bootstrap_interval_of_a_proportion():
    """Close to the normal interval of a binomial proportion."""
    hits = np.repeat([100.0, 0.0], [120, 280])
    low, high = bootstrap_interval(hits, BootstrapConfig(resamples=4000))
    half = 196 * (0.3 * 0.7 / 400) ** 0.5
    assert low == pytest.approx(30 - half, abs=0.5)
    assert high == pytest.approx(30 + half, abs=0.5)


def test_table_holds_what_its_parts_say():
    generator = np.random.default_rng(2)
    scores = generator.normal(size=(150, 150)) + 2 * np.eye(150)
    matches = np.eye(150, dtype=bool)
    table = retrieval_table(scores, matches).set_index(["direction", "metric"])
    ranks = first_match_ranks(scores.T, matches.T)
    assert table.loc[("t2i", "R@10"), "value"] == pytest.approx(recall_at(ranks, 10))
    assert table.loc[("t2i", "median rank"), "value"] == np.median(ranks)
    assert table.loc[("i2t", "R@10"), "chance"] == pytest.approx(100 / 15)
    assert table.loc[("both", "RSUM"), "value"] == pytest.approx(rsum(scores, matches))
    recalls = table[table.index.get_level_values("metric").str.startswith("R")]
    assert (recalls["low"] <= recalls["value"]).all()
    assert (recalls["value"] <= recalls["high"]).all()


def test_perfect_scores_reach_800():
    assert rsum(np.eye(120), np.eye(120, dtype=bool)) == 800


@pytest.mark.parametrize(
    ("scores", "matches", "message"),
    [
        (np.zeros((2, 2)), np.eye(3, dtype=bool), "one shape"),
        (np.full((2, 2), np.nan), np.eye(2, dtype=bool), "NaN"),
        (np.zeros((2, 2)), np.array([[True, False], [False, False]]), "query 1 has no match"),
    ],
)
def test_bad_input_is_refused(scores, matches, message):
    with pytest.raises(ValueError, match=message):
        first_match_ranks(scores, matches)
