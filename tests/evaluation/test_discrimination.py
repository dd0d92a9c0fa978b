"""AUROC by its definition, pair by pair, and by scipy's Mann-Whitney test; intervals that cover."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from medprobclip.evaluation.discrimination import auroc, auroc_interval, paired_auroc
from medprobclip.evaluation.retrieval import BootstrapConfig


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_won(cases):
    """Few different scores, so that most pairs tie."""
    scores, labels = (np.array(column) for column in zip(*cases, strict=True))
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    if pairs:
        assert auroc(scores, labels) == pytest.approx(np.mean(pairs), abs=1e-12)
        statistic = mannwhitneyu(scores[labels], scores[~labels]).statistic
        assert auroc(scores, labels) == pytest.approx(statistic / len(pairs), abs=1e-12)
    else:
        with pytest.raises(ValueError, match="AUROC needs both"):
            auroc(scores, labels)


def test_known_values():
    assert auroc([1, 2, 3, 4], [0, 0, 1, 1]) == 1
    assert auroc([1, 2, 3, 4], [1, 1, 0, 0]) == 0
    assert auroc([1, 1, 1, 1], [1, 0, 0, 1]) == 0.5
    assert auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75


@pytest.mark.parametrize("function", [auroc, auroc_interval])
def test_bad_input_is_refused(function):
    with pytest.raises(ValueError, match="one shape"):
        function([1, 2], [True])
    with pytest.raises(ValueError, match="NaN"):
        function([1, np.nan], [True, False])
    with pytest.raises(ValueError, match="0 of 2"):
        function([1, 2], [False, False])


def test_interval_is_that_of_resampled_cases():
    """Against a loop that draws the cases and calls `auroc`; draws of a single class are left out."""
    rng = np.random.default_rng(3)
    labels = np.arange(40) < 3
    scores = (rng.normal(size=40) + labels).round(1)
    config = BootstrapConfig(resamples=300, seed=5)
    rows = np.random.default_rng(5).integers(0, 40, (300, 40))
    areas = [auroc(scores[r], labels[r]) for r in rows if labels[r].any()]
    assert len(areas) < 300  # else the left-out draws are not tested
    np.testing.assert_allclose(auroc_interval(scores, labels, config), np.percentile(areas, [2.5, 97.5]))


def test_interval_covers_the_true_area():
    """Two normals one spread apart: AUROC is Φ(1/√2) = 0.760, missed by about 5 % of intervals."""
    rng = np.random.default_rng(0)
    labels = np.arange(150) < 50
    hits = 0
    for _ in range(100):
        low, high = auroc_interval(rng.normal(size=150) + labels, labels, BootstrapConfig(resamples=300))
        hits += low <= 0.7602 <= high
    assert 86 <= hits <= 100


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=2, max_size=4)
    )
)
def test_a_paired_area_is_the_mean_of_plain_ones(rows):
    """Over the ways to change the things; few different values, so that most pairs tie."""
    plain, *changed = np.array(rows)
    value, low, high = paired_auroc(changed, plain, BootstrapConfig(resamples=20))
    labels = np.repeat([1, 0], len(plain))
    areas = [roc_auc_score(labels, np.concatenate([values, plain])) for values in changed]
    assert value == pytest.approx(np.mean(areas), abs=1e-12)
    assert 0 <= low <= high <= 1


def test_a_paired_interval_draws_each_thing_with_all_its_values():
    rng = np.random.default_rng(1)
    plain = rng.normal(size=25).round(1)
    changed = [(plain + rng.normal(0.5, 0.5, 25)).round(1), (plain - 0.2).round(1)]
    config = BootstrapConfig(resamples=300, seed=5, level=0.9)
    labels = np.repeat([1, 0], 25)
    drawn = [
        np.mean([roc_auc_score(labels, np.concatenate([values[r], plain[r]])) for values in changed])
        for r in np.random.default_rng((5, 0)).integers(0, 25, (300, 25))
    ]
    np.testing.assert_allclose(paired_auroc(changed, plain, config)[1:], np.percentile(drawn, [5, 95]))


def test_paired_things_are_no_two_samples():
    """A small change of widely spread values: the pair moves together, two samples would not."""
    rng = np.random.default_rng(2)
    plain = rng.normal(size=60)
    changed = plain + 0.3
    value, low, high = paired_auroc([changed], plain)
    wide = auroc_interval(np.concatenate([changed, plain]), np.arange(120) < 60)
    assert high - low < 0.5 * (wide[1] - wide[0])
    assert 0.5 < low < value < high


def test_the_same_things_cannot_be_told_from_themselves():
    plain = np.random.default_rng(3).normal(size=20)
    np.testing.assert_allclose(paired_auroc([plain, plain], plain), 0.5)


@pytest.mark.parametrize("n", [7, 11, 41])
def test_rounding_says_nothing_of_what_always_ties_or_always_wins(n):
    """A fixed variance is at 0.5, and not above it."""
    plain = np.ones(n)
    assert paired_auroc([plain, plain, plain], plain) == (0.5, 0.5, 0.5)
    assert paired_auroc([plain + 1, plain + 2, plain + 3], plain) == (1, 1, 1)


@pytest.mark.parametrize(
    ("changed", "plain", "message"),
    [
        ([], [1, 2], "same N"),
        ([[1, 2], [1]], [1, 2], "same N"),
        ([[[1, 2]]], [[1, 2]], "same N"),
        ([[1, np.nan]], [1, 2], "NaN"),
        ([[1, 2]], [np.nan, 2], "NaN"),
    ],
)
def test_bad_pairs_are_refused(changed, plain, message):
    with pytest.raises(ValueError, match=message):
        paired_auroc(changed, plain)
