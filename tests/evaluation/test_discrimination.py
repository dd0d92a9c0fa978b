"""AUROC by its definition, pair by pair, and by scipy's Mann-Whitney test; intervals that cover."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import mannwhitneyu

from medprobclip.evaluation.discrimination import auroc, auroc_interval
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
