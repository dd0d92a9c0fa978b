"""Measures of calibration by hand, by loops, by sklearn and torchmetrics; diagrams and their intervals."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from outcomes import drawn
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import binary_calibration_error

from medprobclip.evaluation.calibration import (
    adaptive_calibration_error,
    brier,
    ece_bias,
    expected_calibration_error,
    reliability_diagram,
)


def test_brier_agrees_with_sklearn():
    p, y = drawn(500, seed=8)
    assert brier(p, y) == pytest.approx(brier_score_loss(y, p), rel=1e-12)
    assert brier([1, 0, 0.5], [1, 1, 0]) == pytest.approx((0 + 1 + 0.25) / 3)


def test_calibration_errors_by_hand():
    p, y = [0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1]
    assert expected_calibration_error(p, y, bins=2) == pytest.approx(3 / 4 * (1 / 3 - 0.2) + 1 / 4 * 0.1)
    assert adaptive_calibration_error(p, y, bins=2) == pytest.approx((0.15 + 0.4) / 2)
    assert expected_calibration_error(p, y, bins=1) == adaptive_calibration_error(p, y, bins=1)
    assert adaptive_calibration_error(p, y, bins=1) == pytest.approx(0.5 - 1.5 / 4)
    assert expected_calibration_error([0, 0, 1], [0, 0, 1]) == 0
    assert adaptive_calibration_error([0, 0, 1], [1, 1, 0]) == 1


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_agrees_with_torchmetrics(bins):
    p, y = drawn(2000, seed=9, slope=0.4)
    expected = binary_calibration_error(torch.tensor(p), torch.tensor(y).int(), n_bins=bins, norm="l1")
    assert expected_calibration_error(p, y, bins) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("scheme", ["width", "mass"])
def test_diagram_agrees_with_sklearn(scheme):
    """On 210 pairs of 7 mass bins sklearn's quantile edges separate the same pairs."""
    p, y = drawn(210, seed=10, slope=0.4)
    strategy = {"width": "uniform", "mass": "quantile"}[scheme]
    frequency, confidence = calibration_curve(y, p, n_bins=7, strategy=strategy)
    diagram = reliability_diagram(p, y, 7, scheme)
    np.testing.assert_allclose(diagram["frequency"], frequency, rtol=1e-12)
    np.testing.assert_allclose(diagram["confidence"], confidence, rtol=1e-12)
    gap = (diagram["count"] * (diagram["frequency"] - diagram["confidence"]).abs()).sum() / 210
    error = {"width": expected_calibration_error, "mass": adaptive_calibration_error}[scheme]
    assert error(p, y, 7) == pytest.approx(gap)


def test_diagram_by_hand():
    """The upper edge belongs to a bin; the third of four bins is empty and left out."""
    diagram = reliability_diagram([0, 0.25, 0.4, 0.5, 1], [0, 1, 0, 0, 1], bins=4)
    assert diagram["bin_low"].tolist() == [0, 0.25, 0.75]
    assert diagram["bin_high"].tolist() == [0.25, 0.5, 1]
    assert diagram["count"].tolist() == [2, 2, 1]
    assert diagram["confidence"].tolist() == pytest.approx([0.125, 0.45, 1])
    assert diagram["frequency"].tolist() == [0.5, 0, 1]
    tail = 0.025**0.5  # Clopper-Pearson of 0 of 2: P(0 of 2 | high) = (1 − high)² = 0.025
    assert diagram["high"].tolist() == pytest.approx([1 - (1 - 0.975**0.5), 1 - tail, 1])
    assert diagram["low"].tolist() == pytest.approx([1 - 0.975**0.5, 0, 0.025])
    assert reliability_diagram([0, 0.25], [0, 1], 1, level=0.5)["low"].item() > diagram["low"][0]


def test_intervals_cover_the_true_share():
    """Of many bins of calibrated probabilities at least 95 % hold their mean probability."""
    inside = []
    for seed in range(30):
        diagram = reliability_diagram(*drawn(500, seed), bins=10, scheme="mass")
        inside += (
            (diagram["low"] <= diagram["confidence"]) & (diagram["confidence"] <= diagram["high"])
        ).tolist()
    assert len(inside) == 300
    assert 0.94 <= np.mean(inside) < 1


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0.1, 1 / 3, 0.5, 0.9, 1]) | st.floats(0, 1), st.booleans()), min_size=1
    ),
    st.integers(1, 8),
    st.sampled_from(["width", "mass"]),
)
def test_every_pair_is_in_one_bin_and_equal_ones_together(cases, bins, scheme):
    p, y = (np.array(column) for column in zip(*cases, strict=True))
    diagram = reliability_diagram(p, y, bins, scheme)
    assert len(diagram) <= bins
    low = diagram["bin_low"].to_numpy().copy()
    low[0] = -1 if low[0] == p.min() or low[0] == 0 else low[0]  # the first bin has its lower edge as well
    held = (low < p[:, None]) & (p[:, None] <= diagram["bin_high"].to_numpy())
    assert (held.sum(1) == 1).all()
    assert held.sum(0).tolist() == diagram["count"].tolist()
    assert (p @ held / held.sum(0)).tolist() == pytest.approx(diagram["confidence"].tolist())
    assert (y.astype(float) @ held / held.sum(0)).tolist() == pytest.approx(diagram["frequency"].tolist())
    assert ((diagram["low"] <= diagram["frequency"]) & (diagram["frequency"] <= diagram["high"])).all()
    if scheme == "mass" and len(np.unique(p)) == len(p) >= bins:
        assert diagram["count"].max() - diagram["count"].min() <= 1


def test_mass_bins_do_not_split_equal_probabilities():
    p, y = np.repeat([0.1, 0.2, 0.3], [7, 1, 2]), np.arange(10) % 2
    diagram = reliability_diagram(p, y, bins=5, scheme="mass")
    assert diagram["bin_low"].tolist() == [0.1, 0.1, 0.2]
    assert diagram["bin_high"].tolist() == [0.1, 0.2, 0.3]
    assert diagram["count"].tolist() == [7, 1, 2]


def test_bias_of_one_bin_is_the_expected_deviation_of_a_mean():
    """|mean y − mean p| of a calibrated bin is half normal: √(2/π · Σp(1 − p))/P."""
    p, _ = drawn(2000, seed=11)
    expected = np.sqrt(2 / np.pi * (p * (1 - p)).sum()) / 2000
    assert ece_bias(p, bins=1, resamples=4000) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("scheme", "error"), [("width", expected_calibration_error), ("mass", adaptive_calibration_error)]
)
def test_bias_is_what_calibrated_probabilities_show(scheme, error):
    p, _ = drawn(400, seed=12)
    generator = np.random.default_rng(1)
    shown = [error(p, generator.random(400) < p) for _ in range(500)]
    bias = ece_bias(p, scheme=scheme, resamples=500)
    assert bias > 0.02
    assert bias == pytest.approx(np.mean(shown), abs=5 * np.std(shown) * (2 / 500) ** 0.5)
    assert bias == ece_bias(p, scheme=scheme, resamples=500)
    assert bias != ece_bias(p, scheme=scheme, resamples=500, seed=1)
    assert ece_bias([0, 1, 1, 0], scheme=scheme) == 0  # certain: nothing is left to chance


@pytest.mark.parametrize(
    "measure", [brier, expected_calibration_error, adaptive_calibration_error, reliability_diagram]
)
def test_bad_pairs_are_refused(measure):
    for p, y, message in (
        ([0.5], [0, 1], "one shape"),
        ([[0.5]], [[1]], "one shape"),
        ([], [], "P > 0"),
        ([0.5, np.nan], [0, 1], "values in"),
        ([0.5, 1.1], [0, 1], "values in"),
        ([0.5, 0.5], [0, np.nan], "0 or 1"),
        ([0.5, 0.5], [0, 2], "0 or 1"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(np.array(p), np.array(y))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_calibration_error([0.5], [1], 0), "0 bins"),
        (lambda: adaptive_calibration_error([0.5], [1], 0), "0 bins"),
        (lambda: ece_bias([0.5], resamples=0), "0 resamples"),
        (lambda: ece_bias([1.5]), "values in"),
        (lambda: ece_bias([]), "P > 0"),
        (lambda: reliability_diagram([0.5], [1], scheme="depth"), "neither"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
