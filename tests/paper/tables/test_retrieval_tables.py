"""Tables of made runs: every number against its definition, and the paper's beside the right one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, skew
from test_scored_runs import made_results

from medprobclip.evaluation.many_to_many import normalised_gains_at, overlaps_at, r_precisions
from medprobclip.evaluation.resampling import compare
from medprobclip.evaluation.retrieval import (
    CUTOFFS,
    average_precisions,
    chance_recall_at,
    expected_recall_at,
    expected_rsum,
    first_match_ranks,
    recall_at,
    rsum,
)
from medprobclip.paper.tables.retrieval import hub_table, many_to_many_table, recall_table
from medprobclip.similarity import SCORES, csd

TURNS = {"i2t": np.asarray, "t2i": np.transpose}
KEYS = ["direction", "metric", "method"]
METHODS = ["medprobclip", "clip", "medprobclip-soft"]


@pytest.fixture(scope="module")
def results():
    """Two runs of three methods, MedProbCLIP not the first."""
    return made_results({"clip": 3.0, "medprobclip": 1.5, "medprobclip-soft": 1.0})


def own_rows(table: pd.DataFrame) -> pd.DataFrame:
    """All but those of the bank, which have a file of their own."""
    return table[table["score"] != "bank"].set_index(KEYS).sort_index()


@pytest.fixture(scope="module")
def recalls(results):
    return own_rows(recall_table(results, results))


@pytest.fixture(scope="module")
def many(results):
    return own_rows(many_to_many_table(results, results))


def test_recalls_are_means_over_the_runs(results, recalls):
    assert recalls.index.is_unique
    for direction, turn in TURNS.items():
        for name in METHODS:
            ranks = [first_match_ranks(turn(r.scores), turn(r.truth.matches)) for r in results[name]]
            for k in CUTOFFS:
                row, by_run = recalls.loc[direction, f"R@{k}", name], [recall_at(r, k) for r in ranks]
                assert row["value"] == pytest.approx(np.mean(by_run))
                assert (row["least"], row["most"]) == pytest.approx((min(by_run), max(by_run)))
                assert row["low"] <= row["value"] <= row["high"]
                assert row["seeds"] == 2
            median = recalls.loc[direction, "median rank", name]
            assert median["value"] == np.mean([np.median(r) for r in ranks])
            assert median["low"] <= median["value"] <= median["high"]


def test_differences_are_from_the_reference(results, recalls):
    for metric in ("R@1", "median rank"):
        rows = recalls.loc["t2i", metric]
        assert np.isnan(rows.loc["medprobclip", "difference"])
        gap = rows.loc["clip", "value"] - rows.loc["medprobclip", "value"]
        assert rows.loc["clip", "difference"] == pytest.approx(gap)
        assert rows.loc["clip", "difference_low"] <= gap <= rows.loc["clip", "difference_high"]
    values = {n: np.stack([100.0 * (r.ranks["i2t"] <= 5) for r in of]) for n, of in results.items()}
    expected = compare(values, "medprobclip").set_index("method")
    columns = ["difference_low", "difference_high", "p"]
    np.testing.assert_allclose(
        recalls.loc["i2t", "R@5"].loc[METHODS, columns], expected.loc[METHODS, columns]
    )


def test_rsum_is_the_sum_of_the_recalls(results, recalls):
    for name in METHODS:
        of = [rsum(run.scores, run.truth.matches) for run in results[name]]
        assert recalls.loc[("both", "RSUM", name), "value"] == pytest.approx(np.mean(of))
    values = recalls["value"].drop("both").drop("median rank", level="metric")
    for name in ("random", "ceiling", *METHODS):
        total = values.xs(name, level="method")
        assert len(total) == 8
        assert recalls.loc[("both", "RSUM", name), "value"] == pytest.approx(total.sum())


def test_chance_and_ceiling_stand_below_each_recall(results, recalls):
    truth = results["clip"][0].truth
    for direction, turn in TURNS.items():
        for k in CUTOFFS:
            chance = recalls.loc[(direction, f"R@{k}", "random"), "value"]
            assert chance == pytest.approx(chance_recall_at(turn(truth.matches), k))
            ceiling = recalls.loc[(direction, f"R@{k}", "ceiling"), "value"]
            assert ceiling == pytest.approx(expected_recall_at(turn(truth.reader), turn(truth.matches), k))
            assert chance < ceiling or k == 100
    reader = recalls.loc[("both", "RSUM", "ceiling"), "value"]
    assert reader == pytest.approx(expected_rsum(truth.reader, truth.matches))
    without = recalls.xs("random", level="method")[["low", "high", "least", "most", "difference", "p"]]
    assert without.isna().all(axis=None)
    assert set(recalls.loc["i2t", "median rank"].index) == set(METHODS)


def test_the_papers_numbers_stand_beside_ours(recalls):
    reported = recalls["reported"]
    assert reported["i2t", "R@1", "medprobclip"] == 21.02
    assert reported["t2i", "R@100", "medprobclip"] == 92.58
    assert reported["t2i", "R@10", "clip"] == 43.73
    assert reported["both", "RSUM", "clip"] == 346.32
    assert reported["i2t", "R@1", "random"] == 0.06
    assert reported["both", "RSUM", "random"] == 17.19
    for name in ("medprobclip-soft", "ceiling"):
        assert reported.xs(name, level="method").isna().all()
    assert reported.xs("median rank", level="metric").isna().all()
    assert reported.notna().sum() == 3 * 9


def test_without_the_reference_the_only_method_is_it():
    results = made_results({"clip": 1.0}, seeds=1)
    rows = own_rows(recall_table(results, results))
    assert rows.loc[("both", "RSUM", "clip"), "seeds"] == 1
    assert rows["difference"].isna().all()


def test_many_to_many_are_means_of_the_measures(results, many):
    measures = {
        "mAP@R": lambda run, turn: average_precisions(turn(run.scores), turn(run.truth.relevant)),
        "R-Precision": lambda run, turn: r_precisions(turn(run.scores), turn(run.truth.relevant)),
        "overlap@10": lambda run, turn: overlaps_at(turn(run.scores), turn(run.truth.overlap), 10),
        "nDCG@10": lambda run, turn: normalised_gains_at(turn(run.scores), turn(run.truth.overlap), 10),
    }
    for direction, turn in TURNS.items():
        for metric, measure in measures.items():
            for name in METHODS:
                by_run = [100 * measure(run, turn).mean() for run in results[name]]
                row = many.loc[direction, metric, name]
                assert row["value"] == pytest.approx(np.mean(by_run))
                assert (row["least"], row["most"]) == pytest.approx((min(by_run), max(by_run)))
        for k in (5, 10):
            counted = []
            for run in results["clip"]:
                scores, relevant = turn(run.scores), turn(run.truth.relevant)
                first = np.argsort(-scores, axis=1)[:, :k]
                counted += [relevant[i, j] for i, row in enumerate(first) for j in row]
            assert many.loc[(direction, f"P@{k}", "clip"), "value"] == pytest.approx(100 * np.mean(counted))


def test_chance_and_ceiling_of_many_to_many(results, many):
    """A random order finds coded-alike items as often as they are; the reader knows every group of five."""
    truth = results["clip"][0].truth
    for direction in TURNS:
        share = 100 * truth.relevant.mean()
        for metric in ("R-Precision", "P@5", "P@10"):
            assert many.loc[(direction, metric, "random"), "value"] == pytest.approx(share)
        assert 90 < many.loc[(direction, "mAP@R", "ceiling"), "value"] <= 100
        for metric in ("mAP@R", "R-Precision", "P@5", "P@10", "overlap@10", "nDCG@10"):
            values = many.loc[direction, metric]["value"]
            assert values["random"] < values["clip"] < values["ceiling"]


def naive_plausible(run, turn) -> tuple[list[bool], list[float]]:
    """Of each wrong query: is the first answer coded alike, and the share of coded-alike wrong items."""
    scores, matches, relevant = turn(run.scores), turn(run.truth.matches), turn(run.truth.relevant)
    plausible, chance = [], []
    for i in range(len(scores)):
        first = int(np.argmax(scores[i]))
        wrong = [j for j in range(len(scores)) if not matches[i, j]]
        if first in wrong:
            plausible.append(bool(relevant[i, first]))
            chance.append(np.mean([relevant[i, j] for j in wrong]))
    return plausible, chance


def test_plausible_share_is_that_of_the_wrong_first_answers(results, many):
    for direction, turn in TURNS.items():
        rows = many.loc[direction, "plausible share"]
        for name in METHODS:
            shares = [100 * np.mean(naive_plausible(run, turn)[0]) for run in results[name]]
            assert rows.loc[name, "value"] == pytest.approx(np.mean(shares))
            assert rows.loc[name, "low"] <= rows.loc[name, "value"] <= rows.loc[name, "high"]
        chance = [100 * np.mean(naive_plausible(run, turn)[1]) for run in results["medprobclip"]]
        assert rows.loc["random", "value"] == pytest.approx(np.mean(chance))
        assert "ceiling" not in rows.index


def test_interval_of_the_plausible_share_redraws_the_queries():
    """One run: plausible errors among the errors of each draw."""
    results = made_results({"medprobclip": 3.0}, seeds=1)
    run = results["medprobclip"][0]
    first = run.scores.argmax(1)
    wrong = ~run.truth.matches[np.arange(40), first]
    plausible = wrong & run.truth.relevant[np.arange(40), first]
    rows = np.random.default_rng((0, 0)).integers(0, 40, (2000, 40))
    drawn = [100 * plausible[r].sum() / wrong[r].sum() for r in rows]
    table = own_rows(many_to_many_table(results, results))
    row = table.loc[("i2t", "plausible share", "medprobclip")]
    np.testing.assert_allclose((row["low"], row["high"]), np.percentile(drawn, [2.5, 97.5]))


def naive_counts(scores: np.ndarray) -> list[int]:
    first = [set(sorted(range(len(s)), key=lambda j, s=s: -s[j])[:10]) for s in scores]
    return [sum(j in of for of in first) for j in range(scores.shape[1])]


def test_hubs_of_each_method_and_of_each_score(results):
    table = hub_table(results, {}).set_index(["direction", "kind", "name"])
    assert table.index.is_unique
    assert set(table.loc["i2t"].loc["score"].index) == set(SCORES)
    for direction, turn in TURNS.items():
        cases = {("method", name): [turn(run.scores) for run in results[name]] for name in METHODS}
        cases["score", "csd"] = [
            turn(csd(run.embeddings.image, run.embeddings.report).numpy()) for run in results["medprobclip"]
        ]
        for key, of in cases.items():
            row, counts = table.loc[(direction, *key)], [naive_counts(scores) for scores in of]
            skews = [skew(c) for c in counts]
            unseen = [100 * c.count(0) / 40 for c in counts]
            assert row["skew"] == pytest.approx(np.mean(skews))
            assert (row["skew_least"], row["skew_most"]) == pytest.approx((min(skews), max(skews)))
            assert row["orphans"] == pytest.approx(np.mean(unseen))
            assert (row["orphans_least"], row["orphans_most"]) == (min(unseen), max(unseen))
        own = table.loc[direction].loc["method"].loc["medprobclip"]  # scored by the expected likelihood
        assert own["skew"] == table.loc[direction].loc["score"].loc["expected_likelihood", "skew"]


def test_random_hubs_are_those_of_random_scores():
    """An item is found by each query with the same probability: a binomial count."""
    generator = np.random.default_rng(0)
    results = made_results({"medprobclip": 1.0}, seeds=1)
    (own,) = results["medprobclip"]
    results["clip"] = [replace(own, scores=generator.random((40, 40))) for _ in range(60)]
    rows = hub_table(results, {}).set_index(["direction", "kind", "name"])
    for direction in TURNS:
        chance, drawn = rows.loc[(direction, "random", "random")], rows.loc[(direction, "method", "clip")]
        assert chance["skew"] == pytest.approx(binom.stats(40, 0.25, moments="s"))
        assert chance["orphans"] == pytest.approx(100 * binom.pmf(0, 40, 0.25))
        assert chance["skew"] == pytest.approx(drawn["skew"], abs=0.15)
        assert drawn["orphans"] < 0.1
