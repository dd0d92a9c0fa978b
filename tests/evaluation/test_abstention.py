"""One decision out of two numbers: places by hand, a fit by scipy, and what must not matter."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from medprobclip.evaluation.abstention import TwoNumberRisk, abstain

USUAL = np.array([1.0, 2.0, 2.0, 4.0])


@pytest.fixture(scope="module")
def answers():
    """Confidences, strangeness and errors of 3000 answers that follow a known law, and usual confidences."""
    rng = np.random.default_rng(0)
    confidence, strangeness = rng.random(3000), np.exp(rng.normal(0, 0.5, 3000))
    risk = expit(-0.5 - 0.8 * logit(confidence) + 2 * np.log(strangeness))
    return confidence, strangeness, rng.random(3000) < risk, rng.random(2000)


def test_places_among_usual_confidences_by_hand():
    """(place + 1/2) / (n + 1), in the middle of those as large, and never 0 or 1."""
    risk = TwoNumberRisk(USUAL, 0.5, -2.0, 3.0)
    for confidence, place in {-9: 0, 1: 0.5, 1.5: 1, 2: 2, 3: 3, 4: 3.5, 99: 4}.items():
        quantile = (place + 0.5) / 5
        odds = 0.5 - 2 * np.log(quantile / (1 - quantile)) + 3 * np.log(1.7)
        assert risk(np.array([confidence]), np.array([1.7])) == pytest.approx(expit(odds))
    grid = np.full((2, 3), 2.0)
    np.testing.assert_allclose(risk(grid, np.ones((2, 3))), np.full((2, 3), expit(0.5)))


def test_the_law_of_the_answers_is_found(answers):
    risk = TwoNumberRisk.fit(*answers)
    assert risk.intercept == pytest.approx(-0.5, abs=0.25)  # four standard errors
    assert risk.by_confidence == pytest.approx(-0.8, abs=0.15)
    assert risk.by_strangeness == pytest.approx(2, abs=0.4)


def test_the_fit_is_a_penalised_maximum_likelihood(answers):
    confidence, strangeness, wrong, usual = (values[:200] for values in answers)
    risk = TwoNumberRisk.fit(confidence, strangeness, wrong, usual)
    quantile = [((usual < c).sum() + 0.5) / 201 for c in confidence]  # no ties
    inputs = np.stack([np.ones(200), logit(quantile), np.log(strangeness)], 1)

    def loss(coefficients):
        odds = inputs @ coefficients
        return np.logaddexp(0, np.where(wrong, -odds, odds)).sum() + (coefficients[1:] ** 2).sum() / 200

    best = minimize(loss, np.zeros(3)).x
    np.testing.assert_allclose((risk.intercept, risk.by_confidence, risk.by_strangeness), best, rtol=1e-2)


def test_risk_falls_with_confidence_and_grows_with_strangeness(answers):
    risk = TwoNumberRisk.fit(*answers)
    steps = np.linspace(0, 1, 50)
    assert (np.diff(risk(steps, np.full(50, 1.3))) < 0).all()
    assert (np.diff(risk(np.full(50, 0.4), 0.2 + steps)) > 0).all()
    assert ((risk(steps, 0.2 + steps) > 0) & (risk(steps, 0.2 + steps) < 1)).all()


@pytest.mark.parametrize("rescale", [np.exp, lambda c: 1000 * c - 7, lambda c: -1 / (c + 1e-3)])
def test_the_scale_of_a_confidence_does_not_matter(answers, rescale):
    confidence, strangeness, wrong, usual = answers
    risk = TwoNumberRisk.fit(*answers)(confidence, strangeness)
    other = TwoNumberRisk.fit(rescale(confidence), strangeness, wrong, rescale(usual))
    np.testing.assert_array_equal(other(rescale(confidence), strangeness), risk)


def test_the_order_of_usual_confidences_does_not_matter(answers):
    *queries, usual = answers
    one, two = TwoNumberRisk.fit(*answers), TwoNumberRisk.fit(*queries, np.sort(usual)[::-1])
    np.testing.assert_array_equal(one(*queries[:2]), two(*queries[:2]))


def test_weights_count_as_repetitions(answers):
    confidence, strangeness, wrong, usual = (values[:300] for values in answers)
    times = np.random.default_rng(1).integers(1, 5, 300)
    weighted = TwoNumberRisk.fit(confidence, strangeness, wrong, usual, times)
    repeated = TwoNumberRisk.fit(*(np.repeat(v, times) for v in (confidence, strangeness, wrong)), usual)
    plain = TwoNumberRisk.fit(confidence, strangeness, wrong, usual)
    found = [risk(confidence, strangeness) for risk in (weighted, repeated, plain)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    assert abs(found[0] - found[2]).max() > 5e-3


@pytest.mark.parametrize(
    ("confidence", "strangeness", "wrong", "usual", "message"),
    [
        ([1, 2], [1, 1], [True, True], USUAL, "2 of 2 answers are wrong: a risk needs both"),
        ([1, 2], [1, 1], [False, False], USUAL, "0 of 2"),
        ([1, 2], [1, 0], [True, False], USUAL, "above 0"),
        ([1, 2], [1, np.nan], [True, False], USUAL, "above 0"),
        ([1, np.nan], [1, 1], [True, False], USUAL, "NaN"),
        ([1, 2], [1, 1], [True, False], [1, np.nan], "NaN"),
    ],
)
def test_what_teaches_no_risk_is_refused(confidence, strangeness, wrong, usual, message):
    with pytest.raises(ValueError, match=message):
        TwoNumberRisk.fit(confidence, strangeness, wrong, usual)


def test_no_risk_without_both_numbers():
    risk = TwoNumberRisk(USUAL, 0.0, -1.0, 1.0)
    with pytest.raises(ValueError, match="NaN"):
        risk([np.nan], [1])
    with pytest.raises(ValueError, match="above 0"):
        risk([1], [-1])


def test_in_another_gallery_the_place_among_its_usual_confidences_counts():
    """Confidences on another scale, and no order: the same places give the same risks."""
    risk = TwoNumberRisk(USUAL, 0.3, -1.0, 1.0)
    other = risk.in_gallery(-5 + 2 * USUAL[::-1])
    confidence, strange = np.linspace(USUAL.min(), USUAL.max(), 7), np.linspace(0.5, 3, 7)
    np.testing.assert_allclose(other(-5 + 2 * confidence, strange), risk(confidence, strange))
    assert (risk.usual == USUAL).all()


def test_decisions_by_hand():
    """Strange where a good input is rarely so, else ambiguous above the risk; bounds: strange, answered."""
    risk = [0.1, 0.3, 0.31, 0.31, 0.9, 0.9]
    p_value = [0.06, 0.01, 0.05, 0.06, 0.01, 1.0]
    expected = ["answered", "strange", "strange", "ambiguous", "strange", "ambiguous"]
    assert abstain(risk, p_value, most=0.3, rate=0.05).tolist() == expected
    assert abstain([], [], 0.3, 0.05).tolist() == []


@pytest.mark.parametrize(
    ("risk", "p_value", "most", "rate", "message"),
    [
        ([0.1], [0.1, 0.2], 0.5, 0.5, "one shape"),
        ([[0.1]], [[0.1]], 0.5, 0.5, "one shape"),
        ([1.1], [0.1], 0.5, 0.5, "between 0 and 1"),
        ([0.1], [-0.1], 0.5, 0.5, "between 0 and 1"),
        ([np.nan], [0.1], 0.5, 0.5, "between 0 and 1"),
        ([0.1], [0.1], 1.5, 0.5, "between 0 and 1"),
        ([0.1], [0.1], 0.5, np.nan, "between 0 and 1"),
    ],
)
def test_what_is_no_probability_is_refused(risk, p_value, most, rate, message):
    with pytest.raises(ValueError, match=message):
        abstain(risk, p_value, most, rate)
