"""Several methods on the same queries: draws against loops, paired differences, p by hand, words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medprobclip.evaluation.resampling import (
    compare,
    over_drawn_runs,
    percentiles,
    resampled,
    resampled_means,
    summaries,
    verdicts,
)
from medprobclip.evaluation.retrieval import BootstrapConfig

FEW = BootstrapConfig(resamples=60, seed=5)


def hits(runs: int, n: int, seed: int = 0, rate: float = 0.4) -> np.ndarray:
    return 100.0 * (np.random.default_rng(seed).random((runs, n)) < rate)


@pytest.mark.parametrize("salt", [0, 3])
def test_draws_agree_with_a_loop_over_drawn_queries_and_runs(salt):
    values = np.random.default_rng(1).normal(size=(3, 7))
    queries = np.random.default_rng((5, 0)).integers(0, 7, (60, 7))
    runs = np.random.default_rng((5, 1, salt)).integers(0, 3, (60, 2))  # one run fewer
    naive = [
        sum(values[s, q] for s in runs[draw] for q in queries[draw]) / (len(runs[draw]) * len(queries[draw]))
        for draw in range(60)
    ]
    np.testing.assert_allclose(resampled_means(values, salt, FEW), naive)


def test_one_run_is_the_plain_bootstrap_over_queries():
    values = hits(1, 50)
    queries = np.random.default_rng((0, 0)).integers(0, 50, (2000, 50))
    drawn = values[0][queries].mean(1)
    np.testing.assert_allclose(resampled_means(values), drawn)
    row = compare({"a": values}, "a").iloc[0]
    np.testing.assert_allclose((row["low"], row["high"]), np.percentile(drawn, [2.5, 97.5]))


def test_a_mean_as_any_other_statistic():
    values = hits(3, 20)
    draws = resampled(lambda run, rows: values[run][rows].mean(1), 3, 20, salt=2, config=FEW)
    np.testing.assert_allclose(draws, resampled_means(values, 2, FEW))


def test_the_same_queries_are_drawn_for_every_statistic_and_method():
    """A statistic sees its rows: equal for each run, and for each salt."""
    seen = []

    def statistic(run, rows):
        seen.append(rows)
        return rows.mean(1)

    for salt in (0, 1):
        resampled(statistic, 2, 9, salt, FEW)
    assert len(seen) == 4
    assert all(np.array_equal(seen[0], rows) for rows in seen)
    assert seen[0].shape == (60, 9)


def test_seeds_that_disagree_widen_the_interval():
    """Two runs, always right and always wrong: queries decide nothing, which runs are drawn does."""
    row = compare({"a": np.repeat([[0.0], [1.0]], 30, axis=1)}, "a").iloc[0]
    assert (row["value"], row["low"], row["high"]) == (0.5, 0, 1)
    assert (row["seeds"], row["least"], row["most"]) == (2, 0, 1)
    means = resampled_means(np.repeat([[0.0], [1.0]], 30, axis=1))
    assert {m: np.mean(means == m) for m in (0, 0.5, 1)} == pytest.approx({0: 0.5, 0.5: 0, 1: 0.5}, abs=0.05)


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_the_spread_over_few_runs_is_not_too_small(runs):
    """Against the unbiased standard error of a mean of runs, which the plain bootstrap falls short of."""
    values = np.random.default_rng(runs).normal(size=runs)
    drawn = over_drawn_runs(np.repeat(values[:, None], 20_000, 1), 0, BootstrapConfig(resamples=20_000))
    assert drawn.var() == pytest.approx(values.var(ddof=1) / runs, rel=0.03)


def test_runs_are_drawn_by_salt():
    by_run = np.repeat(np.arange(4.0)[:, None], 60, axis=1)
    assert not np.array_equal(over_drawn_runs(by_run, 0, FEW), over_drawn_runs(by_run, 1, FEW))
    assert np.array_equal(over_drawn_runs(by_run, 1, FEW), over_drawn_runs(by_run, 1, FEW))
    assert not np.array_equal(
        over_drawn_runs(by_run, 1, FEW), over_drawn_runs(by_run, 1, replace(FEW, seed=6))
    )


def test_identical_values_do_not_differ_at_all():
    """Queries are paired: a difference of identical values has no width, however wide each interval is."""
    values = hits(1, 40)
    table = compare({"a": values, "b": values.copy(), "c": values + 3}, "a", FEW).set_index("method")
    assert table.loc["a", "low"] < table.loc["a", "high"]
    assert table.loc["b", ["difference", "difference_low", "difference_high", "p"]].tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(
        table.loc["c", ["difference", "difference_low", "difference_high"]].astype(float), 3
    )
    assert table.loc["c", "p"] == pytest.approx(2 / 61)  # no draw of 60 on the other side


def test_columns_and_the_reference_without_a_difference():
    values = {"a": hits(2, 30), "b": hits(3, 30, seed=1)}
    table = compare(values, "b", FEW)
    assert table.columns.tolist() == [
        "method", "value", "low", "high", "seeds", "least", "most",
        "difference", "difference_low", "difference_high", "p",
    ]  # fmt: skip
    assert table["method"].tolist() == ["a", "b"]
    assert table["seeds"].tolist() == [2, 3]
    a, b = table.to_dict("records")
    assert all(np.isnan(b[name]) for name in ("difference", "difference_low", "difference_high", "p"))
    assert a["value"] == pytest.approx(values["a"].mean())
    assert (a["least"], a["most"]) == (values["a"].mean(1).min(), values["a"].mean(1).max())
    assert a["difference"] == pytest.approx(values["a"].mean() - values["b"].mean())
    assert "difference" not in compare({"a": values["a"]}, "a", FEW)


def test_the_difference_is_that_of_the_draws():
    values = {"a": hits(2, 30), "b": hits(3, 30, seed=1, rate=0.6)}
    row = compare(values, "a", FEW).iloc[1]
    drawn = resampled_means(values["b"], 1, FEW) - resampled_means(values["a"], 0, FEW)
    np.testing.assert_allclose(
        (row["difference_low"], row["difference_high"]), np.percentile(drawn, [2.5, 97.5])
    )
    smaller = min(sum(d <= 0 for d in drawn), sum(d >= 0 for d in drawn))
    assert row["p"] == pytest.approx(min(1, 2 * (smaller + 1) / 61))


def test_the_other_way_round_the_sign_turns_and_p_stays():
    values = {"a": hits(2, 30), "b": hits(3, 30, seed=1, rate=0.7)}
    one, other = compare(values, "a", FEW).iloc[1], compare(values, "b", FEW).iloc[0]
    assert one["p"] == other["p"] < 1
    for low, high in (("difference", "difference"), ("difference_low", "difference_high")):
        assert one[low] == pytest.approx(-other[high])


def test_p_is_small_where_the_interval_leaves_out_zero():
    excluded = []
    for seed in range(30):
        values = {"a": hits(1, 60, seed), "b": hits(1, 60, seed + 100, rate=0.55)}
        row = compare(values, "a").iloc[1]
        excluded.append(row["difference_low"] > 0 or row["difference_high"] < 0)
        assert excluded[-1] == (row["p"] < 0.05)
    assert 0 < sum(excluded) < 30


def test_draws_without_a_value_are_left_out():
    draws = {"a": np.zeros(10), "b": np.array([np.nan] * 4 + [1.0] * 6)}
    row = summaries({"a": np.zeros(1), "b": np.ones(1)}, draws, "a", FEW).iloc[1]
    assert (row["low"], row["high"]) == (1, 1)
    assert (row["difference_low"], row["difference_high"]) == (1, 1)
    assert row["p"] == pytest.approx(2 / 7)


def test_level_of_the_interval():
    draws = np.arange(101.0)
    assert percentiles(draws, BootstrapConfig(level=0.9)) == pytest.approx((5, 95))
    assert percentiles(draws, BootstrapConfig(level=0.5)) == pytest.approx((25, 75))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, np.nan]]), "NaN"),
        (np.zeros(3), "runs, queries"),
        (np.zeros((0, 3)), "neither empty"),
        (np.zeros((2, 0)), "neither empty"),
    ],
)
def test_bad_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        resampled_means(values)
    with pytest.raises(ValueError, match=message):
        compare({"a": values}, "a")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="different queries"):
        compare({"a": np.zeros((1, 3)), "b": np.zeros((1, 4))}, "a")
    with pytest.raises(ValueError, match="nothing of the reference 'c' among a, b"):
        compare({"a": np.zeros((1, 3)), "b": np.zeros((1, 3))}, "c")


def test_verdicts_in_words():
    differences = {  # difference, its interval, p
        "b": (40.0, 9.5, 4, 15, 0.001),
        "a": (30.5, None, None, None, None),
        "c": (20.0, -10.5, -16, -5, 0.002),
        "d": (31.0, 0.5, -4, 5, 0.81),
        "e": (30.5, 0.0, 0, 0, 1),
        "random": (1.0, None, None, None, None),
    }
    columns = ["value", "difference", "difference_low", "difference_high", "p"]
    table = pd.DataFrame.from_dict(differences, orient="index", columns=columns)
    table = table.rename_axis("method").reset_index().assign(low=25, high=36)
    labels = {"a": "Ours", "b": "More", "c": "Less", "d": "Same", "e": "Equal"}
    assert verdicts("R@1", table, labels, " %").split("\n") == [
        "R@1",
        "  Ours: 30.5 % [25, 36]",
        "  More: 40 %, more: +9.5 [+4, +15], p = 0.001",
        "  Less: 20 %, less: -10.5 [-16, -5], p = 0.002",
        "  Same: 31 %, no difference shown: +0.5 [-4, +5], p = 0.81",
        "  Equal: 30.5 %, no difference shown: +0 [+0, +0], p = 1",
        "",
    ]
    assert "Less" not in verdicts("R@1", table, {"a": "Ours", "b": "More"})
    assert verdicts("R@1", table[1:2], {"a": "Ours"}) == "R@1\n  Ours: 30.5 [25, 36]\n"
    alone = compare({"a": hits(1, 30)}, "a", FEW)
    assert verdicts("R@1", alone, {"a": "Ours"}).startswith("R@1\n  Ours: ")
