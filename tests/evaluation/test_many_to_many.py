"""Many right answers: against all orders of ties, sklearn and torchmetrics, and cases done by hand."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import (
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_r_precision,
)

from medprobclip.data.coding import UNCODED
from medprobclip.data.correspondence import same_coding
from medprobclip.evaluation.many_to_many import (
    coding_overlap,
    hubness,
    k_occurrences,
    normalised_gains_at,
    orphans,
    overlaps_at,
    plausible_errors,
    precisions_at,
    r_precisions,
)
from medprobclip.evaluation.retrieval import first_match_ranks

CUTOFFS = (1, 2, 5, 6, 10)


def graded(shape: tuple[int, int], seed: int, values: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Scores of few values, and an overlap with gaps that favours the high ones; every query has some."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, values, shape)
    overlap = generator.random(shape) * (generator.random(shape) < 0.3 + 0.1 * scores)
    overlap[np.arange(len(overlap)), generator.integers(0, shape[1], len(overlap))] = 1
    return scores, overlap


def all_orders(scores: np.ndarray) -> list[list[int]]:
    """Every order of the items that agrees with their scores."""
    return [
        list(order)
        for order in permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in zip(order, order[1:], strict=False))
    ]


def dcg(gains: list[float]) -> float:
    return sum(gain / np.log2(place + 1) for place, gain in enumerate(gains, start=1))


@pytest.mark.parametrize("seed", range(4))
def test_expectations_are_means_over_all_orders_of_ties(seed):
    scores, overlap = graded((8, 6), seed)
    scores //= 1 + seed % 3  # larger blocks, up to nearly all tied
    relevant = overlap > 0.5
    orders = [all_orders(s) for s in scores]
    assert max(map(len, orders)) > 1

    def mean(of_order) -> list[float]:
        return [np.mean([of_order(query, o) for o in orders[query]]) for query in range(len(scores))]

    naive = mean(lambda query, o: relevant[query][o[: relevant[query].sum()]].mean())
    np.testing.assert_allclose(r_precisions(scores, relevant), naive)
    for k in CUTOFFS:
        naive = mean(lambda query, o, k=k: relevant[query][o[:k]].mean())
        np.testing.assert_allclose(precisions_at(scores, relevant, k), naive)
        naive = mean(lambda query, o, k=k: overlap[query][o[:k]].mean())
        np.testing.assert_allclose(overlaps_at(scores, overlap, k), naive)
        naive = mean(
            lambda query, o, k=k: dcg(overlap[query][o[:k]]) / dcg(sorted(overlap[query], reverse=True)[:k])
        )
        np.testing.assert_allclose(normalised_gains_at(scores, overlap, k), naive)


def test_agrees_with_torchmetrics_where_nothing_ties():
    generator = np.random.default_rng(0)
    scores, (_, overlap) = generator.normal(size=(20, 50)), graded((20, 50), seed=1)
    relevant = overlap > 0.6
    # torchmetrics sorts in single precision, and takes a score of 0 or less as an item not retrieved
    pairs = list(zip(torch.tensor(expit(scores)), torch.tensor(relevant), strict=True))
    assert all(len(s.float().unique()) == 50 for s, _ in pairs)
    np.testing.assert_allclose(
        r_precisions(scores, relevant), [retrieval_r_precision(s, r).item() for s, r in pairs], rtol=1e-6
    )
    for k in (1, 10, 50):
        expected = [retrieval_precision(s, r, top_k=k).item() for s, r in pairs]
        np.testing.assert_allclose(precisions_at(scores, relevant, k), expected, rtol=1e-6)
        expected = [
            retrieval_normalized_dcg(s, torch.tensor(o), top_k=k).item()
            for (s, _), o in zip(pairs, overlap, strict=True)
        ]
        np.testing.assert_allclose(normalised_gains_at(scores, overlap, k), expected, rtol=1e-5)


@pytest.mark.parametrize("values", [2, 6, 10_000])
def test_normalised_gains_agree_with_sklearn_on_ties(values):
    scores, overlap = graded((30, 40), seed=2, values=values)
    for k in (1, 5, 40):
        each = [ndcg_score(o[None], s[None], k=k) for o, s in zip(overlap, scores, strict=True)]
        np.testing.assert_allclose(normalised_gains_at(scores, overlap, k), each, rtol=1e-12)


def test_precisions_by_hand():
    """Two items tie for the first place; one of them and the last are right."""
    scores, relevant = np.array([[2.0, 2.0, 1.0, -np.inf]]), np.array([[True, False, False, True]])
    assert precisions_at(scores, relevant, 1) == pytest.approx([1 / 2])
    assert precisions_at(scores, relevant, 2) == r_precisions(scores, relevant) == pytest.approx([1 / 2])
    assert precisions_at(scores, relevant, 3) == pytest.approx([1 / 3])
    assert precisions_at(scores, relevant, 4) == precisions_at(scores, relevant, 9) == pytest.approx([1 / 2])


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_a_constant_score_earns_the_mean_and_perfect_scores_all(seed, k):
    _, overlap = graded((4, 9), seed)
    constant, first = np.zeros(overlap.shape), min(k, 9)
    np.testing.assert_allclose(overlaps_at(constant, overlap, k), overlap.mean(1))
    np.testing.assert_allclose(r_precisions(constant, overlap > 0), (overlap > 0).mean(1))
    np.testing.assert_allclose(normalised_gains_at(overlap, overlap, k), 1)
    np.testing.assert_allclose(r_precisions(overlap, overlap > 0), 1)
    np.testing.assert_allclose(overlaps_at(overlap, overlap, k), np.sort(overlap)[:, -first:].mean(1))
    assert (normalised_gains_at(constant, overlap, k) <= 1 + 1e-12).all()


def test_only_the_order_of_the_scores_counts():
    scores, overlap = graded((10, 30), seed=3)
    relevant, shifted = overlap > 0.5, np.exp(scores / 2.0)
    generator = np.random.default_rng(0)
    moved = generator.permutation(30)
    for s, o in ((shifted, overlap), (scores[:, moved], overlap[:, moved])):
        np.testing.assert_allclose(r_precisions(s, o > 0.5), r_precisions(scores, relevant))
        np.testing.assert_allclose(normalised_gains_at(s, o, 7), normalised_gains_at(scores, overlap, 7))


def test_overlap_by_hand():
    codes = [("a", "b"), ("b", "a", "a"), ("b", "c", "d"), (), (UNCODED,), (UNCODED, "d"), ("normal",)]
    expected = np.eye(7)
    expected[0, 1] = expected[1, 0] = 1
    expected[[0, 1], 2] = expected[2, [0, 1]] = 1 / 4
    expected[2, 5] = expected[5, 2] = 1 / 3
    np.testing.assert_array_equal(coding_overlap(codes), expected)


code_lists = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "d", UNCODED]), max_size=5), min_size=1, max_size=8
)


@given(code_lists)
def test_overlap_is_jaccards_and_full_where_the_coding_is_the_same(codes):
    overlap, ids = coding_overlap([tuple(study) for study in codes]), same_coding(map(tuple, codes))
    np.testing.assert_array_equal(overlap == 1, ids[:, None] == ids)
    for i, a in enumerate(codes):
        for j, b in enumerate(codes):
            a_set, b_set = set(a) - {UNCODED}, set(b) - {UNCODED}
            if i != j:
                union = a_set | b_set
                assert overlap[i, j] == (len(a_set & b_set) / len(union) if union else 0)


def test_no_study_has_no_overlap():
    with pytest.raises(ValueError, match="no study"):
        coding_overlap([])


def test_plausible_errors_by_hand():
    scores = np.array([
        [9, 1, 1, 0],  # right
        [9, 1, 1, 0],  # wrong, but says the same
        [9, 1, 1, 0],  # wrong
        [9, 9, 1, 0],  # the match ties with a wrong plausible one: the wrong one counts
        [9, 9, 1, 0],  # a plausible one ties with an implausible one: the implausible one counts
        [9, 1, 1, 0],  # everything is right
    ])  # fmt: skip
    matches = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]])
    relevant = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]])
    errors = plausible_errors(scores, matches, relevant)
    assert errors.wrong.tolist() == [False, True, True, True, True, False]
    assert errors.plausible.tolist() == [False, True, False, True, False, False]
    assert errors.chance.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 0])
    assert errors.share == 0.5
    assert errors.chance_share == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_those_of_the_ranks(seed):
    scores, overlap = graded((60, 20), seed, values=20)
    matches, relevant = overlap > 0.6, overlap > 0.2
    errors = plausible_errors(scores, matches, relevant)
    assert errors.wrong.tolist() == (first_match_ranks(scores, matches) > 1).tolist()
    assert 0 < errors.plausible.sum() < errors.wrong.sum() < 60
    assert not plausible_errors(np.zeros((60, 20)), matches, relevant).plausible.any()


def test_chance_is_that_of_random_scores():
    _, overlap = graded((300, 12), seed=4)
    matches, relevant = overlap == 1, overlap > 0.5
    generator = np.random.default_rng(0)
    drawn = [plausible_errors(generator.random((300, 12)), matches, relevant) for _ in range(200)]
    chance = drawn[0].chance
    errors = np.sum([d.wrong for d in drawn], axis=0)
    plausible = np.sum([d.plausible for d in drawn], axis=0)
    spread = np.sqrt((chance * (1 - chance) / errors).sum()) / 300  # of the mean over independent queries
    assert (plausible / errors).mean() == pytest.approx(chance.mean(), abs=4 * spread)
    assert spread < 0.005


def test_without_an_error_no_share_is_plausible():
    errors = plausible_errors(np.eye(3), np.eye(3), np.ones((3, 3)))
    assert errors.chance.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="no query is answered wrongly"):
        _ = errors.share
    with pytest.raises(ValueError, match="no query is answered wrongly"):
        _ = errors.chance_share


def test_occurrences_by_hand():
    """Item 0 is a hub, item 3 an orphan; ties at the border go to the lower index."""
    scores = np.array([[9, 5, 5, 5], [9, 5, 8, 1], [7, 7, 7, 7]])
    assert k_occurrences(scores, 1).tolist() == [3, 0, 0, 0]
    assert k_occurrences(scores, 2).tolist() == [3, 2, 1, 0]
    assert k_occurrences(scores, 9).tolist() == [3, 3, 3, 3]
    assert orphans(scores, 1) == 0.75
    assert orphans(scores, 2) == 0.25
    assert orphans(scores, 4) == 0
    assert hubness(scores, 1) == pytest.approx(2 / 3**0.5)  # one of four: (1 − 2p)/√(p(1 − p)), p = ¼
    assert hubness(scores, 2) == pytest.approx(0)
    with pytest.raises(ValueError, match="every item occurs 3 times"):
        hubness(scores, 4)


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_occurrences_agree_with_a_stable_sort(seed, k):
    scores = np.random.default_rng(seed).integers(0, 3, (5, 7), dtype=np.uint8)  # −1 would be 255
    counts = [0] * 7
    for s in scores:
        for item in sorted(range(7), key=lambda j, s=s: -int(s[j]))[:k]:
            counts[item] += 1
    assert k_occurrences(scores, k).tolist() == counts
    assert orphans(scores, k) == counts.count(0) / 7
    moments = [np.mean((np.array(counts) - np.mean(counts)) ** power) for power in (2, 3)]
    if moments[0]:
        assert hubness(scores, k) == pytest.approx(moments[1] / moments[0] ** 1.5)
    else:
        with pytest.raises(ValueError, match="no skewness"):
            hubness(scores, k)


def test_high_dimensions_make_hubs():
    """Negative distances of points in 3 and in 100 dimensions (the claim of Radovanović et al.)."""
    generator = np.random.default_rng(0)
    found = {}
    for dimensions in (3, 100):
        x, y = generator.normal(size=(2, 400, dimensions))
        scores = -((x[:, None] - y) ** 2).sum(-1)
        found[dimensions] = hubness(scores, 10), orphans(scores, 10)
        centrality = -np.linalg.norm(y, axis=1)
    assert found[100][0] > 1.5 + found[3][0]
    assert found[100][1] > 0.1 > 0.02 > found[3][1]
    assert spearmanr(centrality, k_occurrences(scores, 10)).statistic > 0.5  # hubs lie in the middle


ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: r_precisions(ONES, np.ones((3, 2))), "one shape"),
        (lambda: r_precisions(ONES * np.nan, ONES), "NaN"),
        (lambda: r_precisions(ONES, np.zeros((2, 3))), "query 0 has no match"),
        (lambda: precisions_at(ONES, np.eye(2, 3) * [[1], [0]], 1), "query 1 has no match"),
        (lambda: precisions_at(ONES, ONES, 0), "first 0"),
        (lambda: overlaps_at(ONES, np.ones((2, 2)), 1), "one shape"),
        (lambda: overlaps_at(np.ones((0, 3)), np.ones((0, 3)), 1), "one shape"),
        (lambda: overlaps_at(ONES * np.nan, ONES, 1), "scores contain NaN"),
        (lambda: overlaps_at(ONES, ONES * np.nan, 1), r"values in \[0, 1\]"),
        (lambda: overlaps_at(ONES, -ONES, 1), r"values in \[0, 1\]"),
        (lambda: overlaps_at(ONES, ONES, 0), "first 0"),
        (lambda: normalised_gains_at(ONES, 2 * ONES, 1), r"values in \[0, 1\]"),
        (
            lambda: normalised_gains_at(ONES, np.array([[0, 1, 0], [0, 0, 0]]), 1),
            "query 1 overlaps with nothing",
        ),
        (lambda: normalised_gains_at(ONES, ONES, -1), "first -1"),
        (lambda: plausible_errors(ONES, np.zeros((2, 3)), ONES), "query 0 has no match"),
        (lambda: plausible_errors(ONES, ONES, np.ones((2, 2))), "one shape"),
        (lambda: plausible_errors(ONES * np.nan, ONES, ONES), "NaN"),
        (lambda: k_occurrences(ONES * np.nan, 1), "NaN"),
        (lambda: k_occurrences(ONES[0], 1), "shape"),
        (lambda: hubness(np.ones((0, 3)), 1), "shape"),
        (lambda: orphans(ONES, 0), "first 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
