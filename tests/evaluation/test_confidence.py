"""Confidences by hand, by naive loops and by scipy; what shifts and scales of the scores do to them."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import expit
from scipy.stats import entropy, spearmanr

from medprobclip.evaluation.calibration import Isotonic, Platt, sigmoid
from medprobclip.evaluation.confidence import (
    LABELS,
    confidences,
    margin,
    match_probability,
    negative_entropy,
    negative_variance,
    softmax_maximum,
    top_score,
)
from medprobclip.evaluation.reliability import risk_coverage

SCORE_BASED = [top_score, margin, softmax_maximum, negative_entropy]


def test_by_hand():
    scores = np.log([[1, 2, 5], [3, 3, 3], [1, 1, 6]])
    np.testing.assert_allclose(top_score(scores), np.log([5, 3, 6]))
    np.testing.assert_allclose(margin(scores), np.log([5 / 2, 1, 6]), atol=1e-15)
    np.testing.assert_allclose(softmax_maximum(scores), [5 / 8, 1 / 3, 3 / 4])
    expected = [np.log(1 / 8) / 8 + np.log(1 / 4) / 4 + np.log(5 / 8) * 5 / 8, -np.log(3)]
    np.testing.assert_allclose(negative_entropy(scores)[:2], expected)
    assert negative_variance([1, 0.5]).tolist() == [-1, -0.5]


def test_match_probability_by_hand():
    scores = np.array([[0.5, 0.1, 0.9], [0.2, 0.2, 0.2]])
    identity = np.asarray
    np.testing.assert_allclose(match_probability(scores, identity, 1), [0.9, 0.2])
    np.testing.assert_allclose(match_probability(scores, identity, 2), [1 - 0.1 * 0.5, 1 - 0.8**2])
    every = [1 - 0.1 * 0.5 * 0.9, 1 - 0.8**3]
    np.testing.assert_allclose(match_probability(scores, identity, 3), every)
    np.testing.assert_allclose(match_probability(scores, identity, 100), every)
    assert match_probability(np.array([[1.0, 0.0], [0.0, 0.0]]), identity, 2).tolist() == [1, 0]
    tiny = match_probability(np.full((1, 4), 1e-20), identity, 4)
    assert tiny == pytest.approx([4e-20], rel=1e-9, abs=0)  # 1 − (1 − p)⁴ as written would be 0


@given(st.integers(0, 10_000), st.floats(0.1, 30))
def test_softmax_agrees_with_scipy(seed, scale):
    scores = scale * np.random.default_rng(seed).normal(size=(4, 9))
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(softmax_maximum(scores), p.max(1), rtol=1e-9)
    np.testing.assert_allclose(negative_entropy(scores), -entropy(p, axis=1), rtol=1e-9, atol=1e-15)
    assert (negative_entropy(scores) >= -np.log(9) - 1e-12).all()


@pytest.mark.parametrize("shift", [-1e5, 1e5])
def test_softmax_is_stable_far_from_zero(shift):
    scores = np.random.default_rng(0).normal(size=(5, 8))
    for function in (margin, softmax_maximum, negative_entropy):
        np.testing.assert_allclose(function(scores + shift), function(scores), rtol=1e-8)
    np.testing.assert_allclose(top_score(scores + shift), top_score(scores) + shift)
    certain = np.array([[0.0, -2000.0]])
    assert negative_entropy(certain).tolist() == [0]
    assert softmax_maximum(certain).tolist() == [1]


def test_calibrated_match_probability_agrees_with_a_loop():
    generator = np.random.default_rng(1)
    scores = generator.normal(size=(30, 20)) + 3 * np.eye(30, 20)
    for to_probability in (Platt.fit(scores, np.eye(30, 20)), Isotonic.fit(scores, np.eye(30, 20)), sigmoid):
        naive = [1 - np.prod([1 - to_probability(s) for s in sorted(row)[-5:]]) for row in scores]
        np.testing.assert_allclose(match_probability(scores, to_probability, 5), naive)


def test_match_probability_orders_as_the_top_score_only_for_the_first_item():
    scores = np.random.default_rng(2).normal(size=(50, 40))
    order = [
        np.argsort(c) for c in (top_score(scores), *(match_probability(scores, expit, k) for k in (1, 5)))
    ]
    assert (order[0] == order[1]).all()
    assert (order[0] != order[2]).any()


def test_every_confidence_has_its_label_and_place():
    scores, variance = np.random.default_rng(3).normal(size=(6, 10)), np.arange(6.0)
    found = confidences(scores, variance, expit, 5)
    assert list(found) == list(LABELS)
    assert len(set(LABELS.values())) == len(LABELS)
    expected = {
        "variance": -variance,
        "top_score": top_score(scores),
        "margin": margin(scores),
        "softmax": softmax_maximum(scores),
        "entropy": negative_entropy(scores),
        "match_probability": match_probability(scores, expit, 5),
    }
    for name, values in expected.items():
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name], values)


def test_all_grow_with_the_certainty_of_the_query():
    """The same scores, scaled from vague to sharp; the variance falls likewise."""
    sharpness = np.linspace(0.5, 4, 8)
    scores = sharpness[:, None] * np.array([3.0, 1.0, 0.0, -1.0, -2.0])
    for name, values in confidences(scores, 1 / sharpness, expit, 2).items():
        assert spearmanr(values, sharpness).statistic == pytest.approx(1), name


def test_a_fixed_variance_is_an_order_at_random():
    found = confidences(np.eye(4), np.full(4, 2.0), expit, 1)["variance"]
    errors = np.array([0, 1, 1, 0])
    np.testing.assert_allclose(risk_coverage(found, errors).risk, 0.5)


@pytest.mark.parametrize("function", SCORE_BASED)
def test_bad_scores_are_refused(function):
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="NaN or infinity"):
            function(np.array([[1.0, bad]]))
    for shape in ((3,), (0, 3), (3, 0)):
        with pytest.raises(ValueError, match="shape"):
            function(np.zeros(shape))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: margin(np.zeros((3, 1))), "no second best"),
        (lambda: negative_variance(np.zeros((2, 2))), "shape"),
        (lambda: negative_variance([1, np.nan]), "finite"),
        (lambda: negative_variance([1, np.inf]), "finite"),
        (lambda: negative_variance([1, -1e-9]), "at least 0"),
        (lambda: match_probability(np.zeros((2, 2)), expit, 0), "first 0"),
        (lambda: match_probability(np.full((2, 2), np.nan), expit, 1), "NaN"),
        (lambda: match_probability(np.full((2, 2), 1.5), np.asarray, 1), r"outside \[0, 1\]"),
        (lambda: match_probability(np.zeros((2, 2)), lambda s: s * np.nan, 1), r"outside \[0, 1\]"),
        (lambda: confidences(np.zeros((2, 2)), np.zeros(3), expit, 1), "3 total variances for 2 queries"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
