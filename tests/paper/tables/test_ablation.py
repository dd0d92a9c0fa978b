"""One change at a time: every row against its definition, and the two scores that need no training."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_scored_runs import Result, Truth, made_result, made_truth

from medprobclip.evaluation.reliability import risk_coverage
from medprobclip.evaluation.resampling import resampled_means
from medprobclip.evaluation.retrieval import expected_map_at_r, rsum
from medprobclip.paper.tables.ablation import ablation_table, variant_labels
from medprobclip.similarity import SCORES

VALUES = ["difference", "difference_low", "difference_high", "p"]


@pytest.fixture(scope="module")
def results():
    """The variants in another order than that of the table, one worse, one with fixed variances.

    One run each; two seeds have a fixture of their own.
    """
    truth = made_truth(40)
    return {
        "fixed-variance": [made_result(truth, 1.5, seed=1, fixed=True)],
        "medprobclip": [made_result(truth, 0.5, seed=0)],
        "no-intra-modal": [made_result(truth, 6.0, seed=0)],
    }


@pytest.fixture(scope="module")
def seeds():
    """Three seeds of the reference, two of a variant, one of another."""
    truth = made_truth(40)
    return {
        "medprobclip": [made_result(truth, 0.5, seed=seed) for seed in range(3)],
        "fixed-variance": [made_result(truth, 1.5, seed=1, fixed=True)],
        "no-intra-modal": [made_result(truth, 2.0, seed=seed) for seed in range(2)],
    }


@pytest.fixture(scope="module")
def plain(results):
    return ablation_table(results)


@pytest.fixture(scope="module")
def table(plain):
    return plain.set_index(["metric", "method"]).sort_index()


def precisions(run: Result, scores: np.ndarray) -> float:
    """mAP@R, percent, mean of both directions."""
    return np.mean([expected_map_at_r(s, run.truth.relevant) for s in (scores, scores.T)])


def areas(run: Result, rows: np.ndarray | slice = slice(None)) -> float:
    """AURC at R@10 by total variance, of these studies, mean of both directions."""
    asked = ((-run.total_variance[d][rows], run.ranks[d][rows] > 10) for d in ("i2t", "t2i"))
    return np.mean([risk_coverage(*query).aurc for query in asked])


def test_without_a_coding_there_is_no_map(results, plain):
    truth = results["medprobclip"][0].truth
    bare = Truth(truth.studies.drop(columns="codes"), truth.matches)
    runs = {name: [replace(run, truth=bare) for run in of] for name, of in results.items()}
    kept = plain[plain["metric"] != "mAP@R"].reset_index(drop=True)
    pd.testing.assert_frame_equal(ablation_table(runs).reset_index(drop=True), kept)


def test_rows_in_the_order_of_the_ablation(plain):
    trained = ["medprobclip", "no-intra-modal", "fixed-variance"]
    rescored = ["rescored-csd", "rescored-cosine"]
    order = [(m, name) for m in ("RSUM", "mAP@R") for name in (*trained, *rescored)]
    order += [("AURC", name) for name in trained]
    assert list(plain[["metric", "method"]].itertuples(index=False, name=None)) == order
    assert (plain["seeds"] == 1).all()


def test_values_are_those_of_each_run(results, table):
    for name, (run,) in results.items():
        assert table.loc[("RSUM", name), "value"] == pytest.approx(rsum(run.scores, run.truth.matches))
        assert table.loc[("mAP@R", name), "value"] == pytest.approx(precisions(run, run.scores))
        assert table.loc[("AURC", name), "value"] == pytest.approx(areas(run))
    assert table.loc[("RSUM", "no-intra-modal"), "difference_high"] < 0


def test_rescored_rows_score_the_references_gaussians(results, table):
    (run,) = results["medprobclip"]
    for score in ("csd", "cosine"):
        scores = SCORES[score](run.embeddings.image, run.embeddings.report).numpy()
        row = table.loc[("RSUM", f"rescored-{score}")]
        assert row["value"] == pytest.approx(rsum(scores, run.truth.matches))
        assert table.loc[("mAP@R", f"rescored-{score}"), "value"] == pytest.approx(precisions(run, scores))
        assert row["part"] == "score, after training"
        assert row["difference"] == pytest.approx(row["value"] - table.loc[("RSUM", "medprobclip"), "value"])


def test_fixed_variances_know_nothing_of_their_errors(results, table):
    """All queries are equally sure: the risk is the error rate at every coverage."""
    (run,) = results["fixed-variance"]
    rate = np.mean([run.ranks[d] > 10 for d in ("i2t", "t2i")])
    assert 0 < rate < 1
    assert table.loc[("AURC", "fixed-variance"), "value"] == pytest.approx(rate)
    rows = np.random.default_rng((0, 0)).integers(0, 40, (2000, 40))
    drawn = np.mean([(run.ranks[d] > 10)[rows].mean(1) for d in ("i2t", "t2i")], axis=0)
    row = table.loc[("AURC", "fixed-variance")]
    np.testing.assert_allclose((row["low"], row["high"]), np.percentile(drawn, [2.5, 97.5]))


def test_intervals_and_differences_redraw_the_studies(results, table):
    """Both queries of a study are drawn together, and the same studies for every variant."""
    hits = {
        name: sum(100.0 * (run.ranks[d] <= k) for d in ("i2t", "t2i") for k in (1, 5, 10, 100))
        for name, (run,) in results.items()
    }
    row = table.loc[("RSUM", "fixed-variance")]
    one, other = (resampled_means(hits[name][None]) for name in ("fixed-variance", "medprobclip"))
    np.testing.assert_allclose((row["low"], row["high"]), np.percentile(one, [2.5, 97.5]))
    expected = np.percentile(one - other, [2.5, 97.5])
    np.testing.assert_allclose((row["difference_low"], row["difference_high"]), expected)
    assert table.loc[[("RSUM", "medprobclip"), ("AURC", "medprobclip")], VALUES].isna().all(axis=None)


def test_labels_say_what_was_changed(plain):
    assert variant_labels(plain) == {
        "medprobclip": "MedProbCLIP",
        "no-intra-modal": "intra-modal terms: none (λ_I = λ_T = 0)",
        "fixed-variance": "variance: fixed (σ² = 1)",
        "rescored-csd": "score, after training: CSD",
        "rescored-cosine": "score, after training: cosine of the means",
    }


def test_without_the_reference_there_is_nothing_to_change(results):
    assert ablation_table({}).empty
    assert ablation_table({name: of for name, of in results.items() if name != "medprobclip"}).empty


def test_the_reference_alone_is_rescored(results):
    table = ablation_table({"medprobclip": results["medprobclip"]})
    assert table["method"].tolist() == 2 * ["medprobclip", "rescored-csd", "rescored-cosine"] + [
        "medprobclip"
    ]


def test_values_of_several_seeds_are_means_over_the_runs(seeds):
    table = ablation_table(seeds).set_index(["metric", "method"]).sort_index()
    cases = {name: [(run, run.scores) for run in of] for name, of in seeds.items()}
    for score in ("csd", "cosine"):  # each run's own Gaussians, scored otherwise
        cases[f"rescored-{score}"] = [
            (run, SCORES[score](run.embeddings.image, run.embeddings.report).numpy())
            for run in seeds["medprobclip"]
        ]
    for name, of in cases.items():
        measured = {"RSUM": [rsum(scores, run.truth.matches) for run, scores in of]}
        measured["mAP@R"] = [precisions(run, scores) for run, scores in of]
        if not name.startswith("rescored"):
            measured["AURC"] = [areas(run) for run, _ in of]
        for metric, by_run in measured.items():
            row = table.loc[(metric, name)]
            assert row["seeds"] == len(of)
            assert row["value"] == pytest.approx(np.mean(by_run))
            assert (row["least"], row["most"]) == pytest.approx((min(by_run), max(by_run)))
            if name != "medprobclip":
                gap = row["value"] - table.loc[(metric, "medprobclip"), "value"]
                assert row["difference"] == pytest.approx(gap)


def redrawn_runs(by_run: np.ndarray, salt: int) -> np.ndarray:
    """Means over one run fewer than there are, drawn anew in each draw, by a loop: `[S, 2000] -> [2000]`."""
    count = max(1, len(by_run) - 1)
    chosen = np.random.default_rng((0, 1, salt)).integers(0, len(by_run), (2000, count))
    return np.array([np.mean([by_run[run][i] for run in runs]) for i, runs in enumerate(chosen)])


def test_intervals_of_several_seeds_redraw_studies_and_runs(seeds):
    """In one draw the same studies for all; of each variant runs of its own."""
    table = ablation_table(seeds).set_index(["metric", "method"]).sort_index()
    rows = np.random.default_rng((0, 0)).integers(0, 40, (2000, 40))
    sums, aurcs = {}, {}
    for salt, name in enumerate(("medprobclip", "no-intra-modal", "fixed-variance")):  # as in the table
        hits = [
            sum(100.0 * (run.ranks[d] <= k) for d in ("i2t", "t2i") for k in (1, 5, 10, 100))
            for run in seeds[name]
        ]
        sums[name] = redrawn_runs(np.stack([of[rows].mean(1) for of in hits]), salt)
        aurcs[name] = redrawn_runs(np.array([[areas(run, r) for r in rows] for run in seeds[name]]), salt)
    for metric, draws in {"RSUM": sums, "AURC": aurcs}.items():
        for name, of in draws.items():
            row = table.loc[(metric, name)]
            np.testing.assert_allclose((row["low"], row["high"]), np.percentile(of, [2.5, 97.5]))
            if name != "medprobclip":
                bounds = np.percentile(of - draws["medprobclip"], [2.5, 97.5])
                np.testing.assert_allclose((row["difference_low"], row["difference_high"]), bounds)
