"""When a step is refused: terms and gradients that are no numbers."""

import math

import pytest

from medprobclip.training.updates import finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_and_a_scaler_given_its_chance(bad):
    assert finite([1.0, 2.0], 3.0)
    assert not finite([1.0, bad], 3.0)
    assert not finite([1.0, bad], 3.0, 65536.0)  # terms are not scaled
    assert not finite([1.0], bad)
    assert finite([1.0], bad, 1.0)
    assert not finite([1.0], bad, 0.5)
