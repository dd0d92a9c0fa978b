"""p-values against counting, and their promise against draws: false alarms stay below the level."""

import numpy as np
import pytest
from scipy.stats import binom

from medprobclip.evaluation.conformal import p_values


def counted(value: float, calibration: np.ndarray) -> float:
    return (1 + sum(c >= value for c in calibration)) / (len(calibration) + 1)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_p_values_are_counted(n):
    """Rounded, so that ties abound; the calibration values come in any order and stay in it."""
    rng = np.random.default_rng(n)
    strangeness, calibration = rng.normal(size=200).round(1), rng.normal(size=n).round(1)
    before = calibration.copy()
    assert n == 1 or np.isin(strangeness, calibration).any()
    found = p_values(strangeness, calibration)
    np.testing.assert_allclose(found, [counted(value, calibration) for value in strangeness], rtol=1e-12)
    np.testing.assert_array_equal(calibration, before)


def test_ties_speak_for_the_input_and_the_ends_are_reached():
    calibration = np.array([2.0, 1.0, 2.0, 4.0])
    found = p_values(np.array([0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 4.1, np.inf]), calibration)
    np.testing.assert_allclose(5 * found, [5, 5, 4, 4, 2, 2, 1, 1])
    assert p_values(np.array([]), calibration).shape == (0,)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.31])
def test_false_alarms_stay_below_the_level(alpha):
    """One good input for each of 4000 calibration sets of 19, of whatever distribution.

    The chance is ⌊α (n + 1)⌋ / (n + 1) exactly where values are all different, and less where they tie.
    """
    rng = np.random.default_rng(0)
    exact = np.floor(alpha * 20 + 1e-9) / 20
    for draw, ties in (
        (rng.standard_normal, False),
        (rng.standard_cauchy, False),
        (rng.standard_normal, True),
    ):
        values = draw((4000, 20))
        values = values.round() if ties else values
        alarms = sum(p_values(row[:1], row[1:])[0] <= alpha + 1e-9 for row in values)
        low, high = binom.interval(0.9999, 4000, exact)
        assert alarms <= high
        assert ties or alarms >= low


def test_what_is_strange_is_told():
    """Where no good input is as strange, the least p-value, 1 / (n + 1)."""
    rng = np.random.default_rng(0)
    found = p_values(rng.normal(20, 1, 50), rng.normal(0, 1, 99))
    np.testing.assert_allclose(found, 0.01)


@pytest.mark.parametrize(
    ("strangeness", "calibration", "message"),
    [
        ([1.0], [], r"need shapes \[N\] and \[n > 0\]"),
        ([[1.0]], [1.0], "need shapes"),
        ([1.0], [[1.0]], "need shapes"),
        (1.0, [1.0], "need shapes"),
        ([np.nan], [1.0], "contain NaN"),
        ([1.0], [1.0, np.nan], "contain NaN"),
    ],
)
def test_what_cannot_be_counted_is_refused(strangeness, calibration, message):
    with pytest.raises(ValueError, match=message):
        p_values(np.array(strangeness), np.array(calibration))
