"""Risk–coverage against hand-made cases and the definition as a loop."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.metrics import roc_auc_score

from medprobclip.evaluation.reliability import (
    by_group,
    drawn_aurc,
    excess_aurc,
    oracle_curve,
    random_curve,
    rank_correlation,
    risk_coverage,
)
from medprobclip.evaluation.retrieval import BootstrapConfig


def test_hand_computed():
    curve = risk_coverage(np.array([0.9, 0.1, 0.5, 0.7]), np.array([0, 1, 1, 0]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 0, 1 / 3, 0.5])
    assert curve.aurc == pytest.approx((1 / 3 + 0.5) / 4)
    assert curve.generalized_risk.tolist() == pytest.approx([0, 0, 1 / 4, 2 / 4])
    assert curve.augrc == pytest.approx((1 / 4 + 2 / 4) / 4)


def test_agrees_with_the_definition_as_a_loop():
    generator = np.random.default_rng(0)
    confidence, errors = generator.normal(size=80), generator.integers(0, 2, 80)
    curve = risk_coverage(confidence, errors)
    for n in (1, 17, 80):
        surest = sorted(range(80), key=lambda i: -confidence[i])[:n]
        assert curve.risk[n - 1] == pytest.approx(sum(errors[i] for i in surest) / n)
        assert curve.generalized_risk[n - 1] == pytest.approx(sum(errors[i] for i in surest) / 80)


def test_ties_average_over_their_orders():
    """Expected curve over random orders of equal confidences."""
    generator = np.random.default_rng(1)
    confidence, errors = generator.integers(0, 3, 30), generator.integers(0, 2, 30)
    jittered = [risk_coverage(confidence + 1e-6 * generator.random(30), errors) for _ in range(4000)]
    curve = risk_coverage(confidence, errors)
    np.testing.assert_allclose(curve.risk, np.mean([j.risk for j in jittered], 0), atol=0.03)
    assert len({j.augrc for j in jittered}) > 1
    assert curve.augrc == pytest.approx(np.mean([j.augrc for j in jittered]), abs=2e-3)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_augrc_follows_from_the_auroc_and_the_error_rate(cases):
    """Exactly, ties included: the area of Traub et al. 2024 plus the half step of N places."""
    confidence, errors = (np.array(column) for column in zip(*cases, strict=True))
    rate = errors.mean()
    area = roc_auc_score(~errors, confidence) if 0 < rate < 1 else 0.5  # one kind alone: its weight is 0
    expected = (1 - area) * rate * (1 - rate) + rate**2 / 2 + rate / (2 * len(errors))
    assert risk_coverage(confidence, errors).augrc == pytest.approx(expected, abs=1e-12)


def test_augrc_does_not_favour_the_surest_few():
    """The surest query of a hundred is wrong: next to nothing to AUGRC, but several times the AURC."""
    errors = np.arange(100) < 1
    first, late = -np.arange(100.0), np.arange(100.0) % 99
    assert risk_coverage(first, errors).aurc > 4 * risk_coverage(first, errors).augrc
    assert risk_coverage(first, errors).augrc == pytest.approx(0.01)  # undetected at every coverage
    assert risk_coverage(late, errors).augrc < 0.01


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("errors", ["right or wrong", "shares"])
def test_drawn_areas_agree_with_a_loop_over_the_draws(ties, errors):
    """A query that is drawn several times ties with itself; so do others where confidences are equal."""
    generator = np.random.default_rng(3)
    confidence = generator.integers(0, 4, 25) if ties else generator.normal(size=25)
    errors = generator.integers(0, 2, 25) if errors == "right or wrong" else generator.random(25)
    rows = generator.integers(0, 25, (200, 25))
    expected = [risk_coverage(confidence[row], errors[row]).aurc for row in rows]
    np.testing.assert_allclose(drawn_aurc(confidence, errors, rows), expected)


def test_draws_may_be_of_another_size_or_few_queries():
    confidence, errors = np.array([0.9, 0.1, 0.5]), np.array([0, 1, 0])
    assert drawn_aurc(confidence, errors, np.array([[1, 1]])).tolist() == [1]
    assert drawn_aurc(confidence, errors, np.array([[1, 0, 1, 2]])).tolist() == [(0 + 0 + 1 / 3 + 1 / 2) / 4]
    flat = drawn_aurc(np.zeros(3), errors, np.array([[1, 0, 0, 1]]))
    assert flat.tolist() == [0.5]


def test_oracle_is_below_every_order_and_random_is_flat():
    generator = np.random.default_rng(2)
    errors = generator.integers(0, 2, 60)
    best = oracle_curve(errors)
    for _ in range(20):
        curve = risk_coverage(generator.normal(size=60), errors)
        assert (curve.risk >= best.risk - 1e-12).all()
        assert curve.augrc >= best.augrc
    np.testing.assert_allclose(random_curve(errors).risk, errors.mean())
    np.testing.assert_allclose(random_curve(errors).generalized_risk, errors.mean() * best.coverage)
    assert excess_aurc(-errors.astype(float), errors) == pytest.approx(0)


@pytest.mark.parametrize(
    ("confidence", "errors", "message"),
    [([1.0, np.nan], [0, 1], "NaN"), ([1.0], [0, 1], "one shape"), ([], [], "N > 0")],
)
def test_bad_input_is_refused(confidence, errors, message):
    with pytest.raises(ValueError, match=message):
        risk_coverage(np.array(confidence), np.array(errors))
    with pytest.raises(ValueError, match=message):
        drawn_aurc(np.array(confidence), np.array(errors), np.zeros((1, 1), dtype=int))


def test_rank_correlation_counts_order_only():
    x = np.arange(50.0)
    assert rank_correlation(x, np.exp(x / 10))[0] == pytest.approx(1)
    assert rank_correlation(x, -x)[0] == pytest.approx(-1)


def test_rank_correlation_interval_covers_the_truth():
    """Of many samples of a bivariate normal, about 95 % have the population value in their interval."""
    generator, inside = np.random.default_rng(0), 0
    truth = 6 / np.pi * np.arcsin(0.5 / 2)  # Spearman's rho of a bivariate normal with correlation 0.5
    for _ in range(60):
        x, noise = generator.normal(size=(2, 80))
        _, low, high = rank_correlation(x, 0.5 * x + 0.75**0.5 * noise, BootstrapConfig(resamples=200))
        inside += low <= truth <= high
    assert 50 <= inside <= 60


def test_groups_by_hand():
    table = by_group(np.array([1.0, 2, 3, 10, 20]), np.array([0, 0, 0, 2, 2]), ["a", "empty", "c"])
    assert table["group"].tolist() == ["a", "c"]
    assert table["studies"].tolist() == [3, 2]
    assert table["median"].tolist() == [2, 15]
    assert table["low"].tolist() == [1.5, 12.5]
