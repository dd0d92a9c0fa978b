"""What spoilt views and the inclusion term do: each metric by hand, paired with the reference."""

import numpy as np
import pandas as pd
import pytest
from faulty import made_films
from sklearn.metrics import roc_auc_score
from test_scored_runs import made_results

from medprobclip.data.studies import SPLITS
from medprobclip.evaluation.discrimination import paired_auroc
from medprobclip.evaluation.reliability import risk_coverage
from medprobclip.evaluation.resampling import compare
from medprobclip.paper.findings.doubt import degraded_views
from medprobclip.paper.tables.degraded_training import compared_trainings, degraded_table
from medprobclip.paper.tables.names import COMPARED
from medprobclip.paper.tables.reliability import run_confidences
from medprobclip.training.errors import TrainingError
from medprobclip.workbench.corpus import Corpus

NOISES = {"medprobclip": 1.5, "medprobclip-inclusion": 1.2, "degraded/medprobclip": 2.5}
SIGNS = {"variance": -1, "log_variance": 1, "entropy": -1, "strangeness": 1}  # of more doubt
N = 40


@pytest.fixture(scope="module")
def results():
    """Calibration and test studies; CLIP is not compared, and one method was not trained."""
    return [made_results({"clip": 3.0, **NOISES}, n=n) for n in (25, N)]


@pytest.fixture(scope="module")
def films():
    return made_films(("clip", *NOISES), N)


@pytest.fixture(scope="module")
def table(results, films):
    return degraded_table(*results, films).set_index(["metric", "method"]).sort_index()


def test_every_metric_of_every_method_that_was_trained(table):
    doubts = [f"{doubt}, severity {severity}" for doubt in SIGNS for severity in (3, 5)]
    metrics = ["RSUM", "R@10", "AURC, variance", "AURC, entropy", "R@10, severity 3", "R@10, severity 5"]
    metrics += doubts
    assert table.index.is_unique
    assert set(table.index) == {(metric, method) for metric in metrics for method in NOISES}
    assert set(NOISES) <= set(COMPARED)
    paired = table["difference"].notna()
    others = [name for name in NOISES if name != "medprobclip"]
    assert set(table.index[paired]) == {(metric, name) for metric in metrics[:6] for name in others}
    assert len(list(degraded_views(table.reset_index()))) == len(others)


def test_retrieval_and_areas_of_good_films(results, table):
    calibration, test = results
    values: dict = {metric: {} for metric in ("RSUM", "R@10", "AURC, variance", "AURC, entropy")}
    for method in NOISES:
        sums = [
            sum(100 * np.mean(run.ranks[d] <= k) for d in ("i2t", "t2i") for k in (1, 5, 10, 100))
            for run in test[method]
        ]
        values["RSUM"][method] = np.mean(sums)
        hits = [50 * sum(np.mean(run.ranks[d] <= 10) for d in ("i2t", "t2i")) for run in test[method]]
        values["R@10"][method] = np.mean(hits)
        for name in ("variance", "entropy"):
            areas = [
                risk_coverage(run_confidences(fitted, run, "i2t")[10][name], run.ranks["i2t"] > 10).aurc
                for fitted, run in zip(calibration[method], test[method], strict=True)
            ]
            values[f"AURC, {name}"][method] = np.mean(areas)
    for metric, of in values.items():
        for method, value in of.items():
            row = table.loc[(metric, method)]
            assert row["value"] == pytest.approx(value)
            assert row["low"] <= row["value"] <= row["high"]
            assert row["seeds"] == 2
            if method != "medprobclip":
                assert row["difference"] == pytest.approx(value - of["medprobclip"])
                assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert len(set(values["AURC, variance"].values())) == 3


def test_intervals_of_an_area_are_paired(results, table):
    """A loop over the draws: the same queries for both methods, of two runs each its own one."""
    calibration, test = results
    rows = np.random.default_rng((0, 0)).integers(0, N, (2000, N))
    drawn = {}
    for salt, method in enumerate(("medprobclip", "medprobclip-inclusion")):
        of = [
            (run_confidences(fitted, run, "i2t")[10]["entropy"], run.ranks["i2t"] > 10)
            for fitted, run in zip(calibration[method], test[method], strict=True)
        ]
        chosen = np.random.default_rng((0, 1, salt)).integers(0, 2, 2000)
        pairs = zip(rows, chosen, strict=True)
        drawn[method] = np.array([risk_coverage(of[c][0][r], of[c][1][r]).aurc for r, c in pairs])
        row = table.loc[("AURC, entropy", method)]
        np.testing.assert_allclose((row["low"], row["high"]), np.percentile(drawn[method], [2.5, 97.5]))
    gap = drawn["medprobclip-inclusion"] - drawn["medprobclip"]
    bounds = row["difference_low"], row["difference_high"]
    np.testing.assert_allclose(bounds, np.percentile(gap, [2.5, 97.5]))


@pytest.mark.parametrize("severity", [3, 5])
def test_faulty_films_by_hand(films, table, severity):
    values = {}
    for method in NOISES:
        own = films[films["method"] == method]
        clean = own[own["severity"] == 0].sort_values("film")
        at = own[own["severity"] == severity].sort_values("film")
        parts = [at[at["corruption"] == fault] for fault in ("blur", "noise")]
        values[method] = np.mean([100 * (part["rank_i2t"].to_numpy() <= 10) for part in parts], axis=0)
        assert table.loc[(f"R@10, severity {severity}", method), "value"] == pytest.approx(
            values[method].mean()
        )
        for doubt, sign in SIGNS.items():
            row = table.loc[(f"{doubt}, severity {severity}", method)]
            labels = [1] * N + [0] * N
            areas = [roc_auc_score(labels, sign * np.r_[part[doubt], clean[doubt]]) for part in parts]
            assert row["value"] == row["least"] == row["most"] == pytest.approx(np.mean(areas))
            now = [sign * part[doubt].to_numpy() for part in parts]
            expected = paired_auroc(now, sign * clean[doubt].to_numpy())[1:]
            np.testing.assert_allclose((row["low"], row["high"]), expected)
            assert row["seeds"] == 1
    paired = compare({name: v[None] for name, v in values.items()}, "medprobclip").set_index("method")
    for method in NOISES:
        row = table.loc[(f"R@10, severity {severity}", method)]
        for name in ("low", "high", "difference_low", "difference_high"):
            assert row[name] == pytest.approx(paired.loc[method, name], nan_ok=True)


def test_without_spoilt_views_the_reference_stands_alone(results, films):
    only = [{"medprobclip": of["medprobclip"]} for of in results]
    table = degraded_table(*only, films)
    assert set(table["method"]) == {"medprobclip"}
    assert table["value"].notna().all()
    assert "difference" not in table
    assert list(degraded_views(table)) == []


def test_what_is_finished_is_compared(results, films, table, monkeypatch, tmp_path):
    """Runs with spoilt views stand beside the methods where there are any."""
    module = "medprobclip.paper.tables.degraded_training"
    spoilt = "degraded/medprobclip"
    calibration, test = results
    asked = []

    def load(runs, profile, csv):
        asked.append(csv.stem)
        return {spoilt: (test if csv.stem == "test" else calibration)[spoilt]}

    def measured(fitted, held_out, csv):
        assert list(fitted) == list(held_out) == [spoilt]
        return films[films["method"] == spoilt]

    monkeypatch.setattr(f"{module}.load_degraded", load)
    monkeypatch.setattr(f"{module}.faulty_films", measured)
    methods = [{name: runs for name, runs in split.items() if name != spoilt} for split in results]
    plain = films[films["method"] != spoilt]
    corpus = Corpus(**{split: tmp_path / f"{split}.csv" for split in SPLITS}, coding=None)
    together = compared_trainings(tmp_path, None, corpus, *methods, plain)
    assert sorted(asked) == ["calibrate", "test"]
    pd.testing.assert_frame_equal(together.set_index(["metric", "method"]).sort_index(), table)
    monkeypatch.setattr(f"{module}.load_degraded", lambda *_: {})
    alone = compared_trainings(tmp_path, None, corpus, *methods, plain)
    assert set(alone["method"]) == set(NOISES) - {spoilt}
    without = [{"clip": split["clip"]} for split in methods]
    assert compared_trainings(tmp_path, None, corpus, *without, plain).empty


def test_without_the_reference_there_is_nothing_to_compare_with(results, films):
    calibration, test = results
    with pytest.raises(TrainingError, match="nothing to compare with"):
        degraded_table(calibration, {"clip": test["clip"]}, films)
