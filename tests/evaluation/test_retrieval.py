"""Retrieval on matrices whose answers are visible to the eye, and against naive loops."""

import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from medprobclip.evaluation.retrieval import (
    CUTOFFS,
    BootstrapConfig,
    average_precisions,
    bootstrap_interval,
    chance_recall_at,
    expected_map_at_r,
    expected_recall_at,
    expected_rsum,
    first_match_ranks,
    read_table,
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


def with_ties(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of five values, and matches that favour the high ones; every query has a match."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 5, shape)
    matches = generator.random(shape) < 0.05 * scores
    matches[np.arange(len(matches)), generator.integers(0, shape[1], len(matches))] = True
    return scores, matches


def naive_average_precision(relevant_in_order: list[bool]) -> float:
    """AP@R with P@k counted anew at each k."""
    count = sum(relevant_in_order)
    places = range(1, count + 1)
    return sum(sum(relevant_in_order[:k]) / k for k in places if relevant_in_order[k - 1]) / count


def all_orders(scores: np.ndarray, relevant: np.ndarray) -> list[list[bool]]:
    """Relevance in every order of the items that agrees with their scores."""
    return [
        [bool(relevant[j]) for j in order]
        for order in permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in zip(order, order[1:], strict=False))
    ]


@pytest.mark.parametrize("seed", range(4))
def test_expectations_are_means_over_all_orders_of_ties(seed):
    scores, matches = with_ties((8, 6), seed)
    scores //= 1 + seed % 3  # larger blocks, up to nearly all tied
    orders = [all_orders(s, m) for s, m in zip(scores, matches, strict=True)]
    assert max(map(len, orders)) > 1
    for k in (1, 2, 5, 6, 10):
        naive = np.mean([np.mean([any(order[:k]) for order in of_query]) for of_query in orders])
        assert expected_recall_at(scores, matches, k) == pytest.approx(100 * naive)
    naive = [np.mean([naive_average_precision(order) for order in of_query]) for of_query in orders]
    np.testing.assert_allclose(average_precisions(scores, matches), naive)
    assert expected_map_at_r(scores, matches) == pytest.approx(100 * np.mean(naive))


def test_expectations_agree_with_ties_broken_by_noise():
    scores, matches = with_ties((60, 150), seed=0)
    generator = np.random.default_rng(1)
    recalls, sums, precisions = [], [], []
    for _ in range(200):
        broken = scores + 0.5 * generator.random(scores.shape)
        recalls.append(recall_at(first_match_ranks(broken, matches), 5))
        precisions.append(expected_map_at_r(broken, matches))
        broken = scores + 0.5 * generator.random(scores.shape)
        sums.append(rsum(broken, matches))
    expected = {
        expected_recall_at(scores, matches, 5): recalls,
        expected_rsum(scores, matches): sums,
        expected_map_at_r(scores, matches): precisions,
    }
    for value, drawn in expected.items():
        assert np.std(drawn) > 0
        assert value == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 200**0.5)


def test_expectations_without_ties_are_the_plain_numbers():
    generator = np.random.default_rng(3)
    scores, (_, matches) = generator.normal(size=(40, 50)), with_ties((40, 50), seed=3)
    assert matches.any(0).all()
    assert expected_rsum(scores, matches) == pytest.approx(rsum(scores, matches))
    for k in CUTOFFS:
        plain = recall_at(first_match_ranks(scores, matches), k)
        assert expected_recall_at(scores, matches, k) == pytest.approx(plain)
    orders = np.argsort(-scores, axis=1)
    naive = [naive_average_precision(m[order].tolist()) for m, order in zip(matches, orders, strict=True)]
    np.testing.assert_allclose(average_precisions(scores, matches), naive)


def test_expectations_by_hand():
    """Two items tie for the first place and one of them is right; the third item decides nothing."""
    scores, matches = np.array([[2.0, 2.0, -np.inf]]), np.array([[True, False, False]])
    assert expected_recall_at(scores, matches, 1) == pytest.approx(50)
    assert expected_recall_at(scores, matches, 2) == pytest.approx(100)
    assert expected_map_at_r(scores, matches) == pytest.approx(50)
    both = np.array([[True, False, True]])  # at place 2: 1 of 2 or none; at place 1: half of the time
    assert expected_map_at_r(scores, both) == pytest.approx(100 * (1 / 2 + 1 / 2 * 1 / 2) / 2)
    infinite = np.full((1, 3), -np.inf)
    assert expected_map_at_r(infinite, both) == pytest.approx(expected_map_at_r(np.zeros((1, 3)), both))


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


def test_table_places_a_model_between_chance_and_ceiling():
    """Twenty drawings of ten studies each: the reader knows the ten, the model half of the time."""
    drawing = np.repeat(np.arange(20), 10)
    relevant = drawing[:, None] == drawing
    matches = np.eye(200, dtype=bool)
    generator = np.random.default_rng(5)
    blind = generator.random(20)[drawing] < 0.5
    scores = generator.random((200, 200)) + 2 * (relevant & ~blind[:, None])
    table = retrieval_table(scores, matches, relevant=relevant, reader=relevant / 10)
    assert table.columns.tolist() == [
        "direction", "metric", "value", "low", "high", "chance", "ceiling", "attained", "queries", "gallery",
    ]  # fmt: skip
    table = table.set_index(["direction", "metric"])
    for direction, s in {"i2t": scores, "t2i": scores.T}.items():
        of = table.loc[direction]
        assert of.loc["R@1", "ceiling"] == pytest.approx(10)
        assert of.loc["R@5", "ceiling"] == pytest.approx(50)
        assert of.loc["R@10", "ceiling"] == of.loc["R@100", "ceiling"] == pytest.approx(100)
        assert of.loc["mAP@R", "ceiling"] == pytest.approx(100)
        assert of.loc["mAP@R", "value"] == pytest.approx(expected_map_at_r(s, relevant))
        assert of.loc["mAP@R", "low"] < of.loc["mAP@R", "value"] < of.loc["mAP@R", "high"]
        assert np.isnan(of.loc["median rank", "ceiling"])
    random_order = [expected_map_at_r(generator.random((200, 200)), relevant) for _ in range(20)]
    assert table.loc[("i2t", "mAP@R"), "chance"] == pytest.approx(np.mean(random_order), rel=0.05)
    assert table.loc[("both", "RSUM"), "ceiling"] == pytest.approx(520)
    row = table.loc[("i2t", "R@10")]
    assert row["attained"] == pytest.approx(100 * (row["value"] - 5) / (100 - 5))
    assert row["attained"] == pytest.approx(100 * (1 - blind.mean()), abs=8)


def test_each_direction_has_its_own_ceiling():
    """30 images, 40 reports: nothing is symmetric."""
    reader, matches = with_ties((30, 40), seed=7)
    matches |= np.arange(40) % 30 == np.arange(30)[:, None]
    scores = np.random.default_rng(8).normal(size=(30, 40))
    table = retrieval_table(scores, matches, relevant=matches, reader=reader)
    found = table.set_index(["direction", "metric"])
    for direction, (s, r, m) in {
        "i2t": (scores, reader, matches),
        "t2i": (scores.T, reader.T, matches.T),
    }.items():
        assert found.loc[(direction, "R@5"), "ceiling"] == pytest.approx(expected_recall_at(r, m, 5))
        assert found.loc[(direction, "mAP@R"), "ceiling"] == pytest.approx(expected_map_at_r(r, m))
        assert found.loc[(direction, "mAP@R"), "value"] == pytest.approx(expected_map_at_r(s, m))
        assert found.loc[(direction, "R@5"), "queries"] == len(r)
    assert found.loc[("both", "RSUM"), "ceiling"] == pytest.approx(expected_rsum(reader, matches))
    assert np.isnan(found.loc[("both", "RSUM"), "low"])


def test_chance_attains_nothing_and_the_reader_everything():
    """A model without ties that reads perfectly lies around 100, one that guesses around 0."""
    drawing = np.repeat(np.arange(60), 5)
    reader = (drawing[:, None] == drawing) / 5
    matches = np.eye(300, dtype=bool)
    generator = np.random.default_rng(6)
    for told, attained in {1: 100, 0: 0}.items():
        scores = told * reader + 0.1 * generator.random((300, 300))
        table = retrieval_table(scores, matches, reader=reader).set_index(["direction", "metric"])
        assert table.loc[("both", "RSUM"), "attained"] == pytest.approx(attained, abs=8)


def test_nothing_is_attained_where_chance_is_the_ceiling():
    """R@100 of ten items; the table reads back from its records, even with nothing to attain at all."""
    table = retrieval_table(np.eye(10), np.eye(10, dtype=bool), reader=np.ones((10, 10)))
    assert table["attained"].isna().all()
    again = read_table(json.loads(table.to_json(orient="records")))
    pd.testing.assert_frame_equal(again, table)


def test_plain_tables_have_no_ceiling():
    table = retrieval_table(np.eye(10), np.eye(10, dtype=bool))
    assert not {"ceiling", "attained"} & set(table)
    assert "mAP@R" not in set(table["metric"])


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
    with pytest.raises(ValueError, match=message):
        expected_recall_at(scores, matches, 1)
    with pytest.raises(ValueError, match=message):
        expected_map_at_r(scores, matches)
