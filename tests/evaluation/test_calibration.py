"""Calibrators that recover what made the data, on new pairs and in galleries of another size."""

import warnings

import numpy as np
import pytest
from outcomes import drawn
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from medprobclip.evaluation.calibration import (
    ForGallery,
    Isotonic,
    Platt,
    adaptive_calibration_error,
    brier,
    expected_calibration_error,
    sigmoid,
)
from medprobclip.evaluation.discrimination import auroc


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
