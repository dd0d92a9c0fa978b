"""Each method less the bank's term: beside itself by its own score, on the same queries and runs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import skew
from test_scored_runs import made_results

from medprobclip.evaluation.many_to_many import normalised_gains_at, overlaps_at
from medprobclip.evaluation.retrieval import average_precisions
from medprobclip.paper.tables.retrieval import hub_table, many_to_many_table, recall_table

TURNS = {"i2t": np.asarray, "t2i": np.transpose}
METHODS = ["clip", "medprobclip", "medprobclip-soft"]
DIFFERENCE = ["difference", "difference_low", "difference_high"]
KEYS = ["direction", "metric", "score", "method"]


@pytest.fixture(scope="module")
def results():
    """Three runs of three methods, MedProbCLIP not the first."""
    return made_results({"clip": 3.0, "medprobclip": 1.5, "medprobclip-soft": 1.0}, seeds=3)


@pytest.fixture(scope="module")
def less(results):
    """The same less numbers of their own for each column and each row: other ranks both ways."""
    generator = np.random.default_rng(5)
    return {
        name: [
            replace(run, scores=run.scores - generator.normal(size=40) - generator.normal(size=(40, 1)))
            for run in runs
        ]
        for name, runs in results.items()
    }


@pytest.fixture(scope="module")
def recalls(results, less):
    return recall_table(results, less).set_index(KEYS).sort_index()


@pytest.fixture(scope="module")
def many(results, less):
    return many_to_many_table(results, less).set_index(KEYS).sort_index()


def naive_ranks(scores: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """One more than the wrong items as good as the best match or better, query by query."""
    ranks = []
    for row, right in zip(scores, matches, strict=True):
        best = max(row[right])
        ranks.append(1 + sum(row[~right] >= best))
    return np.array(ranks)


def test_every_method_has_a_row_for_either_score(recalls, many):
    for table in (recalls, many):
        assert table.index.is_unique
        for _, rows in table.groupby(["direction", "metric"]):
            kinds = rows.reset_index().groupby("score")["method"].apply(sorted)
            assert kinds["own"] == kinds["bank"] == METHODS
            others = rows.reset_index().query("score.isna()")
            assert set(others["method"]) <= {"random", "ceiling"}
    assert "random" in set(many.reset_index()["method"])


def test_values_of_the_bank_are_means_over_the_corrected_runs(results, less, recalls):
    sums = {name: 0.0 for name in METHODS}
    for direction, turn in TURNS.items():
        for name in METHODS:
            ranks = [naive_ranks(turn(run.scores), turn(run.truth.matches)) for run in less[name]]
            for k in (1, 5, 10, 100):
                row = recalls.loc[(direction, f"R@{k}", "bank", name)]
                by_run = [100 * np.mean(of <= k) for of in ranks]
                sums[name] += np.mean(by_run)
                assert row["value"] == pytest.approx(np.mean(by_run))
                assert (row["least"], row["most"]) == pytest.approx((min(by_run), max(by_run)))
                assert row["seeds"] == 3
            median = recalls.loc[(direction, "median rank", "bank", name), "value"]
            assert median == pytest.approx(np.mean([np.median(of) for of in ranks]))
    for name, total in sums.items():
        assert recalls.loc[("both", "RSUM", "bank", name), "value"] == pytest.approx(total)


def test_differences_of_the_bank_are_from_the_own_score(recalls, many):
    """Of a method from itself, also of the reference; those of the own scores from the reference."""
    changed = 0
    for table in (recalls, many):
        values = table["value"]
        for key, row in table.iterrows():
            direction, metric, score, name = key
            if score == "bank":
                gap = row["value"] - values[direction, metric, "own", name]
                assert row["difference"] == pytest.approx(gap)
                assert row["difference_low"] <= gap + 1e-9
                assert gap - 1e-9 <= row["difference_high"]
                assert 0 < row["p"] <= 1
                changed += gap != 0
            elif score == "own" and name != "medprobclip":
                gap = row["value"] - values[direction, metric, "own", "medprobclip"]
                assert row["difference"] == pytest.approx(gap)
            else:
                assert np.isnan(row["difference"])
    assert changed > 30


def test_intervals_of_the_difference_draw_the_same_queries_and_runs(results, less, recalls):
    """A loop over the draws: of three runs two are drawn, and these of both scores."""
    rows = np.random.default_rng((0, 0)).integers(0, 40, (2000, 40))
    for salt, name in enumerate(results):
        own, bank = (
            np.stack([100.0 * (run.ranks["t2i"] <= 5) for run in of[name]]) for of in (results, less)
        )
        runs = np.random.default_rng((0, 1, salt)).integers(0, 3, (2000, 2))
        drawn = [(bank - own)[chosen][:, r].mean() for chosen, r in zip(runs, rows, strict=True)]
        row = recalls.loc[("t2i", "R@5", "bank", name)]
        bounds = row["difference_low"], row["difference_high"]
        np.testing.assert_allclose(bounds, np.percentile(drawn, [2.5, 97.5]), atol=1e-9)
        drawn = [bank[chosen][:, r].mean() for chosen, r in zip(runs, rows, strict=True)]
        np.testing.assert_allclose((row["low"], row["high"]), np.percentile(drawn, [2.5, 97.5]))


@pytest.mark.parametrize("table", [recall_table, many_to_many_table])
def test_what_is_not_corrected_differs_by_exactly_nothing(results, table):
    """Unpaired queries or runs would give an interval around 0."""
    rows = table(results, results)
    bank, own = (rows[rows["score"] == score].reset_index(drop=True) for score in ("bank", "own"))
    assert len(bank) == len(own) > 20
    assert (bank[DIFFERENCE] == 0).all(axis=None)
    assert (bank["p"] == 1).all()
    same = ["direction", "metric", "method", "value", "low", "high", "seeds", "least", "most"]
    pd.testing.assert_frame_equal(bank[same], own[same])


def test_the_bank_changes_nothing_of_the_own_rows(results, less):
    for table in (recall_table, many_to_many_table):
        plain, corrected = (table(results, of).query("score != 'bank'") for of in (results, less))
        pd.testing.assert_frame_equal(
            plain.reset_index(drop=True), corrected.reset_index(drop=True), check_like=True
        )


def test_the_paper_reports_nothing_of_a_bank(recalls):
    reported = recalls["reported"]
    assert reported.xs("bank", level="score").isna().all()
    assert reported["i2t", "R@1", "own", "medprobclip"] == 21.02
    assert reported.notna().sum() == 3 * 9


def test_many_to_many_of_the_bank(less, many):
    measures = {
        "mAP@R": lambda run, turn: average_precisions(turn(run.scores), turn(run.truth.relevant)),
        "overlap@10": lambda run, turn: overlaps_at(turn(run.scores), turn(run.truth.overlap), 10),
        "nDCG@10": lambda run, turn: normalised_gains_at(turn(run.scores), turn(run.truth.overlap), 10),
    }
    for direction, turn in TURNS.items():
        for name in METHODS:
            for metric, measure in measures.items():
                by_run = [100 * measure(run, turn).mean() for run in less[name]]
                row = many.loc[(direction, metric, "bank", name)]
                assert row["value"] == pytest.approx(np.mean(by_run))
            shares = []
            for run in less[name]:
                first = turn(run.scores).argmax(1)
                at = np.arange(40), first
                wrong = ~turn(run.truth.matches)[at]
                shares.append(100 * turn(run.truth.relevant)[at][wrong].mean())
            row = many.loc[(direction, "plausible share", "bank", name)]
            assert row["value"] == pytest.approx(np.mean(shares))


def test_hubs_of_the_bank(results, less):
    """The corrected scores by loops; the own ones are not touched."""
    table = hub_table(results, less)
    assert list(table["kind"].unique()) == ["method", "bank", "score", "random"]
    rows = table.set_index(["direction", "kind", "name"])
    for direction, turn in TURNS.items():
        assert rows.loc[direction].loc["bank"].index.tolist() == list(results)
        for kind, of in {"method": results, "bank": less}.items():
            for name in METHODS:
                counts = []
                for run in of[name]:
                    first = [set(sorted(range(40), key=lambda j, s=s: -s[j])[:10]) for s in turn(run.scores)]
                    counts.append([sum(j in found for found in first) for j in range(40)])
                row, skews = rows.loc[(direction, kind, name)], [skew(c) for c in counts]
                assert row["skew"] == pytest.approx(np.mean(skews))
                assert (row["skew_least"], row["skew_most"]) == pytest.approx((min(skews), max(skews)))
                assert row["orphans"] == pytest.approx(np.mean([100 * c.count(0) / 40 for c in counts]))
    plain = hub_table(results, results).set_index(["direction", "kind", "name"])
    pd.testing.assert_frame_equal(rows.drop("bank", level="kind"), plain.drop("bank", level="kind"))
