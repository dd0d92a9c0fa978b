"""Selective answers against a loop with another bound, and their promise against known risks."""

import numpy as np
import pytest
from scipy.stats import beta, binom

from medprobclip.evaluation.selective import COVERAGES, difference_of_shares, selective_threshold

DRAWS, N = 1000, 300


def naive_threshold(confidence, wrong, risk, delta):
    """By sorted lists and the upper bound of Clopper and Pearson: what is answered, None if nothing."""
    pairs = sorted(zip(confidence, wrong, strict=True), reverse=True)
    n, found = len(pairs), None

    def upper(k, m):
        return 1.0 if k >= m else beta.ppf(1 - delta, k + 1, m - k)

    half = 0.5 if upper(int(n * risk / 2), n) <= risk else 0
    for percent in range(10, 101, 5):
        m = -(-percent * n // 100)
        limit = pairs[m][0] if m < n else -np.inf
        errors = [w for c, w in pairs if c > limit]
        k, m = sum(errors), len(errors)
        if upper(int(half * risk * m), m) > risk:
            continue
        if upper(k, m) > risk:
            break
        found = limit
    return found


@pytest.mark.parametrize("decimals", [8, 1, 0])
@pytest.mark.parametrize(("risk", "delta"), [(0.3, 0.1), (0.2, 0.3), (0.5, 0.01)])
def test_thresholds_are_those_of_a_loop(decimals, risk, delta):
    rng = np.random.default_rng(decimals)
    answered = []
    for n in (20, 55, 100, 101, 300):
        for steep in (0.5, 2, 6):
            confidence = rng.normal(size=n).round(decimals)
            wrong = rng.random(n) < 1 / (1 + np.exp(steep * (confidence + 0.5)))
            found = selective_threshold(confidence, wrong, risk, delta)
            limit = naive_threshold(confidence, wrong, risk, delta)
            assert (found is None) == (limit is None)
            if found is not None:
                np.testing.assert_array_equal(confidence >= found, confidence > limit)
                answered.append(np.mean(confidence >= found))
            else:
                answered.append(0.0)
    assert 0.0 in answered
    assert max(answered) > 0.3


def test_coverages_rise_to_all():
    np.testing.assert_allclose(COVERAGES, np.linspace(0.1, 1, 19))


def test_all_right_all_wrong_and_too_few():
    sure = np.arange(50.0)
    assert selective_threshold(sure, np.zeros(50), 0.1, 0.1) == -np.inf
    assert selective_threshold(sure, np.ones(50), 0.5, 0.1) is None
    assert selective_threshold(sure[:21], np.zeros(21), 0.1, 0.1) is None  # 0.9 ** 21 > 0.1 ≥ 0.9 ** 22
    assert selective_threshold(sure[:22], np.zeros(22), 0.1, 0.1) == -np.inf


def test_equal_confidences_are_answered_together():
    """120 of 300 tie for the first place: no coverage below 40 % can be had, the first is 40 %."""
    confidence = np.concatenate([np.full(120, 2.0), np.linspace(0, 1, 180)])
    wrong = np.concatenate([np.zeros(120), np.ones(180)])
    found = selective_threshold(confidence, wrong, 0.1, 0.1)
    assert 1 < found <= 2
    assert selective_threshold(np.zeros(300), wrong, 0.1, 0.1) is None
    assert selective_threshold(np.zeros(300), wrong, 0.7, 0.1) == -np.inf


def risk_above(values: np.ndarray, probability: np.ndarray, threshold: float) -> float:
    """P(wrong | confidence ≥ threshold) of equally likely confidences; 0 where none is answered."""
    answered = values >= threshold
    return probability[answered].mean() if answered.any() else 0.0


FINE = (np.arange(10_000) + 0.5) / 10_000  # confidences, all equally likely
COARSE = np.repeat((np.arange(12) + 0.5) / 12, 5)  # twelve of them: many ties


@pytest.mark.parametrize("values", [FINE, COARSE], ids=["fine", "coarse"])
@pytest.mark.parametrize(
    ("wrong_at", "risk"),
    [
        (lambda c: 0.5 * (1 - c), 0.15),
        (lambda c: 0.9 * (1 - c) ** 3, 0.1),
        (lambda c: np.where(c > 0.5, 0.05, 0.6), 0.1),
        (lambda c: np.full_like(c, 0.2001), 0.2),  # every answer breaks the promise: all tests count
    ],
    ids=["line", "curve", "step", "nowhere"],
)
def test_more_wrong_answers_are_as_rare_as_promised(values, wrong_at, risk):
    """1000 calibration sets, whose true risk is known. All eight cases together fail once in 10,000."""
    rng = np.random.default_rng(0)
    probability, delta = wrong_at(values), 0.1
    broken, answered = 0, []
    for _ in range(DRAWS):
        drawn = rng.integers(0, len(values), N)
        wrong = rng.random(N) < probability[drawn]
        found = selective_threshold(values[drawn], wrong, risk, delta)
        broken += found is not None and risk_above(values, probability, found) > risk
        answered.append(0 if found is None else np.mean(values >= found))
    assert broken <= binom.ppf(1 - 1e-4 / 8, DRAWS, delta)
    if probability.max() > risk + 0.01:  # some keep the promise and some do not
        assert 0.1 < np.mean(answered) < 0.8


@pytest.mark.parametrize(
    ("confidence", "wrong", "risk", "delta", "message"),
    [
        ([1.0, np.nan], [0, 1], 0.1, 0.1, "not finite"),
        ([1.0, np.inf], [0, 1], 0.1, 0.1, "not finite"),
        ([1.0, 2.0], [0, 2], 0.1, 0.1, "neither true nor false"),
        ([1.0, 2.0], [0, np.nan], 0.1, 0.1, "neither true nor false"),
        ([1.0, 2.0], [0], 0.1, 0.1, "need one shape"),
        ([], [], 0.1, 0.1, "n > 0"),
        ([1.0], [0], 0.0, 0.1, "between 0 and 1"),
        ([1.0], [0], 0.1, 1.0, "between 0 and 1"),
    ],
)
def test_what_can_be_promised_nothing_is_refused(confidence, wrong, risk, delta, message):
    with pytest.raises(ValueError, match=message):
        selective_threshold(np.array(confidence), np.array(wrong), risk, delta)


def test_a_difference_of_shares_by_hand():
    """3 of 10 against 8 of 12, with one success and one failure added to either."""
    gap, error = 4 / 12 - 9 / 14, (4 * 8 / 12**3 + 9 * 5 / 14**3) ** 0.5
    bounds = difference_of_shares(3 / 10, 10, 8 / 12, 12)
    assert bounds == pytest.approx((gap - 1.96 * error, gap + 1.96 * error))
    assert bounds[0] < -0.5 < bounds[1] < 0.06
