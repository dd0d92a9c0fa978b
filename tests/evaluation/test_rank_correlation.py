"""Rank correlations against scipy, least squares and a loop over draws, given others and by severity."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from medprobclip.evaluation.reliability import (
    correlation_change,
    partial_rank_correlation,
    rank_correlation,
    severity_correlation,
)
from medprobclip.evaluation.retrieval import BootstrapConfig

FEW = BootstrapConfig(resamples=30)


def naive_partial(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """By least squares on ranks, one variable after the other."""
    design = np.column_stack([np.ones(len(x)), *(rankdata(column) for column in given.T)])
    rests = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in (rankdata(x), rankdata(y))]
    return pearsonr(*rests).statistic


def drawn_rows(n: int, config: BootstrapConfig) -> np.ndarray:
    return np.random.default_rng(config.seed).integers(0, n, (config.resamples, n))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("others", [0, 1, 3])
def test_partial_correlation_agrees_with_least_squares_draw_by_draw(ties, others):
    generator = np.random.default_rng(others)
    x, y, *rest = generator.normal(size=(2 + others, 50))
    rest = np.array(rest).reshape(others, 50).T
    x, y = x + rest.sum(1), y + rest.sum(1)
    if ties:
        x, rest = x.round(), rest.round()
    rho, low, high = partial_rank_correlation(x, y, rest, FEW)
    assert rho == pytest.approx(naive_partial(x, y, rest))
    draws = [naive_partial(x[r], y[r], rest[r]) for r in drawn_rows(50, FEW)]
    assert (low, high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))


def test_others_that_are_nearly_the_same_count_as_two():
    """What one of them says beyond the other is taken out, too."""
    generator = np.random.default_rng(9)
    a, jitter, x, y = generator.normal(size=(4, 200))
    others = np.column_stack([a, a + 0.1 * jitter])
    x, y = x + 3 * jitter, y + 3 * jitter
    rho = partial_rank_correlation(x, y, others, FEW)[0]
    assert rho == pytest.approx(naive_partial(x, y, others))
    assert rho < partial_rank_correlation(x, y, others[:, :1], FEW)[0] - 0.1


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=20))
def test_without_others_it_is_spearmans(pairs):
    """`scipy.stats.spearmanr`; NaN where one side is constant."""
    x, y = np.array(pairs).T
    values = rank_correlation(x, y, FEW)
    assert values == pytest.approx(partial_rank_correlation(x, y, np.empty((len(x), 0)), FEW), nan_ok=True)
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert values[0] == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    else:
        assert np.isnan(values[0])


def test_interval_of_spearmans_is_that_of_its_draws():
    x, y = np.random.default_rng(3).normal(size=(2, 40))
    draws = [spearmanr(x[r], y[r]).statistic for r in drawn_rows(40, FEW)]
    assert rank_correlation(x, y, FEW)[1:] == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))


def test_three_variables_follow_the_closed_form():
    """(ρxy − ρxz ρyz) / √((1 − ρxz²)(1 − ρyz²)), of ranks as of values."""
    x, y, z = np.random.default_rng(4).normal(size=(3, 60)) + np.linspace(0, 2, 60)
    xy, xz, yz = (spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_rank_correlation(x, y, z[:, None], FEW)[0] == pytest.approx(expected)


def test_a_common_cause_is_taken_out():
    """Two values that only share a cause are correlated, but not given the cause."""
    generator = np.random.default_rng(5)
    cause, one, other = generator.normal(size=(3, 500))
    x, y = np.exp(cause + one), cause + other
    assert rank_correlation(x, y)[1] > 0.3
    _, low, high = partial_rank_correlation(x, y, cause[:, None])
    assert -0.2 < low < 0 < high < 0.2


def test_only_the_order_counts():
    generator = np.random.default_rng(6)
    x, y, a, b = generator.normal(size=(4, 30))
    rho = partial_rank_correlation(x, y, np.column_stack([a, b]), FEW)
    assert partial_rank_correlation(np.exp(x), y**3, np.column_stack([np.exp(a), 2 * b]), FEW) == rho
    assert partial_rank_correlation(-x, y, np.column_stack([a, b]), FEW)[0] == pytest.approx(-rho[0])


def test_what_the_others_know_already_changes_nothing():
    """A constant, or one of them twice; if they know x itself, nothing is left of it."""
    x, y, z = np.random.default_rng(7).normal(size=(3, 40))
    once = partial_rank_correlation(x, y, z[:, None], FEW)
    more = partial_rank_correlation(x, y, np.column_stack([z, np.ones(40), -z]), FEW)
    assert more == pytest.approx(once)
    assert np.isnan(partial_rank_correlation(x, y, x[:, None], FEW)).all()


@pytest.mark.parametrize(
    ("x", "y", "others", "message"),
    [
        ([1.0, 2], [1.0, np.nan], [[1.0], [2]], "NaN"),
        ([1.0, 2], [1.0, 2], [[1.0], [np.nan]], "NaN"),
        ([1.0, 2], [1.0], [[1.0], [2]], r"need \[N\]"),
        ([1.0, 2], [1.0, 2], [1.0, 2], r"\[N, P\]"),
        ([], [], np.empty((0, 1)), "N > 0"),
    ],
)
def test_values_that_do_not_pair_are_refused(x, y, others, message):
    with pytest.raises(ValueError, match=message):
        partial_rank_correlation(np.array(x), np.array(y), np.array(others))


def test_severity_correlation_agrees_with_a_loop():
    values = np.random.default_rng(8).normal(size=(3, 6, 20)) + np.arange(6)[:, None]
    by_film = [
        np.mean([spearmanr(fault[:, film], range(6)).statistic for fault in values]) for film in range(20)
    ]
    rho, low, high = severity_correlation(values, FEW)
    assert rho == pytest.approx(np.mean(by_film))
    draws = [np.mean(np.array(by_film)[r]) for r in drawn_rows(20, FEW)]
    assert (low, high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))


def test_severity_correlation_by_hand():
    """Of three films one rises, one falls, and one knows nothing."""
    rises, falls, flat = [1.0, 2, 5], [3.0, 1, 0], [4.0, 4, 4]
    assert severity_correlation(np.array([np.transpose([rises, rises])]), FEW) == (1, 1, 1)
    assert severity_correlation(np.array([np.transpose([rises, falls, flat])]), FEW)[0] == pytest.approx(0)
    assert severity_correlation(np.array([np.transpose([rises, flat])]), FEW)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(6, 4), (2, 1, 4), (0, 3, 4), (2, 3, 0)])
def test_severities_need_faults_steps_and_films(shape):
    with pytest.raises(ValueError, match="faults, severities, films"):
        severity_correlation(np.zeros(shape))


def test_severities_without_a_value_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        severity_correlation(np.full((1, 2, 3), np.nan))


@pytest.mark.parametrize("ties", [False, True])
def test_change_of_a_correlation_agrees_with_a_loop_over_the_same_draws(ties):
    generator = np.random.default_rng(10)
    x, y = generator.normal(size=(2, 50)) + generator.normal(size=50)
    kept = np.arange(50) % 3 > 0
    if ties:
        x = x.round()

    def change(rows):
        fewer = rows[kept[rows]]
        return spearmanr(x[fewer], y[fewer]).statistic - spearmanr(x[rows], y[rows]).statistic

    found = correlation_change(x, y, kept, FEW)
    draws = [change(rows) for rows in drawn_rows(50, FEW)]
    assert found == pytest.approx((change(np.arange(50)), *np.percentile(draws, [2.5, 97.5])))


def test_who_keeps_all_changes_nothing_and_one_alone_has_no_correlation():
    x, y = np.random.default_rng(11).normal(size=(2, 20))
    assert correlation_change(x, y, np.ones(20, bool), FEW) == pytest.approx((0, 0, 0), abs=1e-12)
    change, _, _ = correlation_change(x, y, np.arange(20) == 3, FEW)
    assert np.isnan(change)
    with pytest.raises(ValueError, match=r"kept \(3,\)"):
        correlation_change(x, y, np.ones(3, bool))
