"""Calibrators that recover what made the data; measures by hand, by loops, by sklearn and torchmetrics."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import binary_calibration_error

from medprobclip.evaluation.calibration import (
    ForGallery,
    Isotonic,
    Platt,
    adaptive_calibration_error,
    brier,
    ece_bias,
    expected_calibration_error,
    reliability_diagram,
    sigmoid,
)
from medprobclip.evaluation.discrimination import auroc


def drawn(count: int, seed: int, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and outcomes drawn with log odds `slope` times theirs."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=count)
    return expit(logits), generator.random(count) < expit(slope * logits)


def test_sigmoid_reads_log_odds():
    odds = np.array([[1 / 3, 1], [9, 1e300]])
    np.testing.assert_allclose(sigmoid(np.log(odds)), odds / (1 + odds))
    assert sigmoid([-1e4, 1e4]).tolist() == [0, 1]
    with pytest.raises(ValueError, match="NaN"):
        sigmoid([0, np.nan])


def test_platt_recovers_the_log_odds_of_rare_matches():
    """Scores far from 0 on a scale of their own, one match in a hundred."""
    generator = np.random.default_rng(0)
    scores = 500 + 40 * generator.normal(size=(400, 500))
    z = (scores - 500) / 40
    matches = generator.random(z.shape) < expit(1.5 * z - 5.5)
    assert 0.005 < matches.mean() < 0.02
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        platt = Platt.fit(scores, matches)
    assert 40 * platt.slope == pytest.approx(1.5, abs=0.1)
    assert platt.intercept + 500 * platt.slope == pytest.approx(-5.5, abs=0.15)
    assert platt(scores).shape == scores.shape
    assert platt(scores).mean() == pytest.approx(matches.mean(), rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_platt_minimises_the_log_loss_of_its_soft_targets(seed):
    generator = np.random.default_rng(seed)
    matches = generator.random(80) < 0.1 + 0.2 * seed
    scores = generator.normal(size=80) + matches
    n, m = matches.sum(), (~matches).sum()
    target = np.where(matches, (n + 1) / (n + 2), 1 / (m + 2))

    def loss(of: np.ndarray) -> float:
        logits = of[0] * scores + of[1]
        return np.sum(np.logaddexp(0, logits) - target * logits)

    found, best = Platt.fit(scores, matches), minimize(loss, [0, 0], tol=1e-10).x
    assert [found.slope, found.intercept] == pytest.approx(best, abs=1e-5)


def test_platt_is_finite_where_scores_separate():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        platt = Platt.fit(1e-3 * np.eye(50) + 7, np.eye(50, dtype=bool))
    assert platt(np.array([7.0, 7.001])) == pytest.approx([1 / (50 * 49 + 2), 51 / 52], rel=1e-6)


def test_platt_changes_with_the_scale_of_the_scores():
    generator = np.random.default_rng(4)
    scores = generator.normal(size=(20, 30))
    matches = generator.random((20, 30)) < expit(scores)
    plain, scaled = Platt.fit(scores, matches), Platt.fit(3000 * scores - 7, matches)
    assert plain.slope > 0
    np.testing.assert_allclose(scaled(3000 * scores - 7), plain(scores), rtol=1e-8)
    assert Platt.fit(-scores, matches).slope == pytest.approx(-plain.slope)


def test_isotonic_by_hand():
    isotonic = Isotonic.fit([1, 2, 3, 4, 5], [0, 1, 0, 1, 1])
    np.testing.assert_allclose(isotonic([1, 2, 3, 4, 5]), [0, 0.5, 0.5, 1, 1])
    np.testing.assert_allclose(isotonic([-9, 1.5, 2.5, 3.5, 9]), [0, 0.25, 0.5, 0.75, 1])  # between, outside


def test_isotonic_is_sklearns_and_never_falls():
    generator = np.random.default_rng(5)
    scores = generator.normal(size=(30, 40)).round(1)
    matches = generator.random((30, 40)) < expit(2 * scores - 2)
    isotonic = Isotonic.fit(scores, matches)
    grid = np.linspace(-6, 6, 500).reshape(25, 20)
    model = IsotonicRegression(out_of_bounds="clip").fit(scores.ravel(), matches.ravel())
    np.testing.assert_allclose(isotonic(grid).ravel(), model.predict(grid.ravel()), atol=1e-12)
    assert (np.diff(isotonic(grid).ravel()) >= 0).all()
    assert auroc(isotonic(scores).ravel(), matches.ravel()) >= auroc(scores.ravel(), matches.ravel())
    assert isotonic(scores).mean() == pytest.approx(matches.mean())


@pytest.mark.parametrize("calibrator", [Platt, Isotonic])
def test_calibration_helps_on_new_pairs(calibrator):
    """Logits five times too large: the model's own word is worse than the calibrated one."""
    fitted_on, matches = drawn(20_000, seed=6, slope=0.2)
    new, outcomes = drawn(20_000, seed=7, slope=0.2)
    after = calibrator.fit(np.log(fitted_on / (1 - fitted_on)), matches)(np.log(new / (1 - new)))
    assert brier(after, outcomes) < brier(new, outcomes)
    for error in (expected_calibration_error, adaptive_calibration_error):
        assert error(new, outcomes) > 0.1
        assert error(after, outcomes) < 0.025


@pytest.mark.parametrize("calibrator", [Platt, Isotonic])
@pytest.mark.parametrize(
    ("scores", "matches", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "one shape"),
        ([0, np.nan], [0, 1], "NaN or infinity"),
        ([0, np.inf], [0, 1], "NaN or infinity"),
        ([0, 1], [0, 0], "0 of 2 pairs match"),
        ([0, 1], [1, 1], "2 of 2 pairs match"),
    ],
)
def test_bad_fits_are_refused(calibrator, scores, matches, message):
    with pytest.raises(ValueError, match=message):
        calibrator.fit(np.array(scores), np.array(matches))


def test_equal_scores_have_no_slope_but_a_share():
    with pytest.raises(ValueError, match="no slope"):
        Platt.fit([2, 2, 2], [0, 0, 1])
    assert Isotonic.fit([2, 2, 2], [0, 0, 1])([1, 2, 3]) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("calibrator", [Platt(1, 0), Isotonic(np.array([0, 1]), np.array([0, 1]))])
def test_calibrators_refuse_nan(calibrator):
    with pytest.raises(ValueError, match="NaN"):
        calibrator([0, np.nan])


def test_gallery_sizes_by_hand():
    """Odds 1 : 1 among 11 items are 1 : 2 among 21; nothing changes in a gallery of one size."""
    certain = Isotonic(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    p = np.array([[0, 0.2], [0.5, 1]])
    np.testing.assert_allclose(ForGallery(certain, 11, 21)(p), [[0, 1 / 9], [1 / 3, 1]])
    np.testing.assert_allclose(ForGallery(certain, 21, 11)(p), [[0, 1 / 3], [2 / 3, 1]])
    np.testing.assert_allclose(ForGallery(certain, 21, 21)(p), p)
    with pytest.raises(ValueError, match="NaN"):
        ForGallery(certain, 11, 21)([np.nan])


@pytest.mark.parametrize(("fitted", "used"), [(10, 100), (100, 10), (342, 684), (7, 3)])
def test_no_gallery_size_leads_out_of_the_unit_interval(fitted, used):
    """Not even by rounding: what follows refuses a probability above 1."""
    certain = Isotonic(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    p = np.concatenate([np.linspace(0, 1, 1001), 1 - np.logspace(-17, -1, 100)])
    moved = ForGallery(certain, fitted, used)(p)
    assert moved.min() == 0
    assert moved.max() == 1
    assert (np.diff(moved[:1001]) > 0).all()


def test_the_right_posterior_stays_right_in_another_gallery():
    """Scores N(2, 1) of matches and N(0, 1) of others: log odds 2s − 2 − log(M − 1) among M items."""
    scores = np.linspace(-3, 6, 50)
    few, many = Platt(2, -2 - np.log(9)), Platt(2, -2 - np.log(199))
    np.testing.assert_allclose(ForGallery(few, 10, 200)(scores), many(scores))
    np.testing.assert_allclose(ForGallery(many, 200, 10)(scores), few(scores))


@pytest.mark.parametrize("calibrator", [Platt, Isotonic])
def test_a_fit_in_small_galleries_serves_a_large_one(calibrator):
    """One match a query: the mean probability is one in M, and the error about what chance shows."""

    def queries(number: int, gallery: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        matches = np.arange(gallery) == np.arange(number)[:, None] % gallery
        return np.random.default_rng(seed).normal(size=matches.shape) + 2 * matches, matches

    fitted = calibrator.fit(*queries(4000, 10, seed=0))
    scores, matches = queries(1000, 100, seed=1)
    unaware, aware = fitted(scores), ForGallery(fitted, 10, 100)(scores)
    assert unaware.mean() > 0.03
    assert aware.mean() == pytest.approx(0.01, rel=0.1)
    outcomes = matches.ravel()
    assert expected_calibration_error(aware.ravel(), outcomes) < 0.002
    assert expected_calibration_error(unaware.ravel(), outcomes) > 0.02
    assert brier(aware.ravel(), outcomes) < brier(unaware.ravel(), outcomes)
    if calibrator is Platt:
        assert auroc(aware.ravel(), outcomes) == pytest.approx(auroc(scores.ravel(), outcomes))


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
