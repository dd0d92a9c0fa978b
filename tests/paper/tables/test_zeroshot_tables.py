"""Zero-shot classification by method: means over runs against scikit-learn, intervals against a loop."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from test_scored_runs import made_results

import medprobclip.paper.tables.zeroshot
from medprobclip.data.chexpert import FINDINGS, no_finding
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.evaluation.zeroshot import (
    best_threshold,
    encode_prompts,
    no_finding_score,
    score_findings,
)
from medprobclip.gaussian import Gaussian
from medprobclip.paper.tables.zeroshot import finding_scores, finding_table, lowest_findings, named_and_denied
from medprobclip.training.encoders import build_model, build_tokenizer

METHODS = {"clip": 0.4, "medprobclip": 1.2, "medprobclip-soft": 1.0}  # what a finding adds to its score
N = 50


def labelled(n: int, seed: int) -> pd.DataFrame:
    """Findings of n studies; nobody has Fracture, study 3 alone has Edema."""
    labels = np.random.default_rng(seed).random((n, 13)) < 0.1
    labels = pd.DataFrame(labels, columns=list(FINDINGS))
    return labels.assign(Fracture=False, Edema=np.arange(n) == 3)


def scored(labels: pd.DataFrame, signal: float, seed: int) -> pd.DataFrame:
    return signal * labels + np.random.default_rng(seed).normal(size=labels.shape)


@pytest.fixture(scope="module")
def runs():
    """Validation and test runs of three methods, two seeds each."""
    return {split: made_results(dict.fromkeys(METHODS, 1.0)) for split in ("validation", "test")}


@pytest.fixture(scope="module")
def cases(runs):
    """Scores and labels of each run, found by its identity."""
    labels = {"validation": labelled(40, 0), "test": labelled(N, 1)}
    return {
        id(run): (scored(labels[split], METHODS[method], run.seed + 10 * (split == "test")), labels[split])
        for split, results in runs.items()
        for method, of in results.items()
        for run in of
    }


@pytest.fixture(scope="module")
def table(runs, cases):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medprobclip.paper.tables.zeroshot, "finding_scores", lambda run: cases[id(run)])
        table = finding_table(runs["validation"], runs["test"])
    return table.set_index(["finding", "method"]).sort_index()


JUDGED = [finding for finding in FINDINGS if finding != "Fracture"]


def test_findings_that_no_study_has_have_no_row(table):
    assert set(table.index.unique("finding")) == {*JUDGED, "Mean", "No Finding"}
    assert table.index.is_unique
    assert len(table) == 14 * 3


def test_areas_are_means_over_the_runs(runs, cases, table):
    for method in METHODS:
        means = []
        for finding in JUDGED:
            areas = []
            for run in runs["test"][method]:
                scores, labels = cases[id(run)]
                areas.append(roc_auc_score(labels[finding], scores[finding]))
            row = table.loc[finding, method]
            assert row["value"] == pytest.approx(np.mean(areas))
            assert (row["least"], row["most"]) == pytest.approx((min(areas), max(areas)))
            assert row["seeds"] == 2
            means.append(areas)
        row = table.loc["Mean", method]
        assert row["value"] == pytest.approx(np.mean(means))
        assert (row["least"], row["most"]) == pytest.approx(tuple(sorted(np.mean(means, axis=0))))
        assert row["findings"] == 12
    edema = table.loc["Edema", "clip"]
    assert (edema["positives"], edema["negatives"]) == (1, N - 1)


def test_no_finding_is_scored_by_the_validation_studies(runs, cases, table):
    areas = []
    for before, run in zip(runs["validation"]["clip"], runs["test"]["clip"], strict=True):
        scores, labels = cases[id(run)]
        areas.append(roc_auc_score(no_finding(labels), no_finding_score(scores, cases[id(before)][0])))
    row = table.loc["No Finding", "clip"]
    assert row["value"] == pytest.approx(np.mean(areas))
    assert row["positives"] == no_finding(cases[id(runs["test"]["clip"][0])][1]).sum()


def test_accuracies_at_thresholds_of_the_validation_studies(runs, cases, table):
    for finding in ("Cardiomegaly", "Pneumothorax"):
        reached = []
        for before, run in zip(runs["validation"]["medprobclip"], runs["test"]["medprobclip"], strict=True):
            (known, known_labels), (scores, labels) = cases[id(before)], cases[id(run)]
            threshold = best_threshold(known[finding], known_labels[finding])
            reached.append(balanced_accuracy_score(labels[finding], scores[finding] >= threshold))
        assert table.loc[(finding, "medprobclip"), "balanced_accuracy"] == pytest.approx(np.mean(reached))
    assert np.isnan(table.loc[("Mean", "medprobclip"), "balanced_accuracy"])


def test_methods_are_compared_on_the_same_drawn_studies(runs, cases):
    """One run each: a loop over the draws; those without a case of edema are left out."""
    rows = np.random.default_rng((0, 0)).integers(0, N, (2000, N))
    few = {split: {m: of[:1] for m, of in results.items()} for split, results in runs.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(medprobclip.paper.tables.zeroshot, "finding_scores", lambda run: cases[id(run)])
        table = finding_table(few["validation"], few["test"]).set_index(["finding", "method"])
    drawn = {}
    for method in ("clip", "medprobclip"):
        scores, labels = (part["Edema"].to_numpy() for part in cases[id(few["test"][method][0])])
        lower = scores[3] > scores  # of the only positive, study 3: the share of negatives below
        drawn[method] = np.array([lower[r][r != 3].mean() if 3 in r else np.nan for r in rows])
        assert labels.sum() == 1
    assert 0.3 < np.isnan(drawn["clip"]).mean() < 0.45
    row = table.loc[("Edema", "clip")]
    np.testing.assert_allclose((row["low"], row["high"]), np.nanpercentile(drawn["clip"], [2.5, 97.5]))
    expected = np.nanpercentile(drawn["clip"] - drawn["medprobclip"], [2.5, 97.5])
    np.testing.assert_allclose((row["difference_low"], row["difference_high"]), expected)


def test_the_papers_areas_stand_beside_ours(table):
    assert table.loc[("Cardiomegaly", "medprobclip"), "reported"] == 0.7947
    assert table.loc[("Edema", "clip"), "reported"] == 0.8453
    assert table.loc[("Mean", "clip"), "reported"] == 0.6519
    assert table["reported"].xs("medprobclip-soft", level="method").isna().all()
    assert table["reported"].xs("No Finding", level="finding").isna().all()


def test_scores_are_of_the_studies_that_were_coded(study_tables, tiny_profile, monkeypatch):
    tokenizer = build_tokenizer(tiny_profile.encoders, ["There is a rib fracture.", "The lungs are clear."])
    torch.manual_seed(0)
    model = build_model(tiny_profile.encoders, tokenizer).eval()
    monkeypatch.setattr(medprobclip.paper.tables.zeroshot, "load_run", lambda folder: (model, tokenizer))
    (run,) = made_results({"clip": 1.0}, seeds=1, n=6)["clip"]
    codes = [
        ("Cardiomegaly",),
        (),
        ("normal",),
        ("No Indexing",),
        ("Pneumothorax/left", "Pneumonia"),
        ("Scoliosis",),
    ]
    run.truth.studies["codes"] = codes
    image = Gaussian(*torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0)))
    embeddings = Embeddings(run.embeddings.study_ids, image, image, torch.arange(6))
    scores, labels = finding_scores(replace(run, embeddings=embeddings))
    expected = score_findings(model, image[[0, 2, 4, 5]], encode_prompts(model, tokenizer))
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    found = [set(labels.columns[row]) for row in labels.to_numpy()]
    assert found == [{"Cardiomegaly"}, set(), {"Pneumothorax", "Pneumonia"}, set()]
    assert scores.index.equals(labels.index)


def test_reports_that_name_and_that_deny_are_counted():
    present, absent = (
        ["There is a catheter.", "Clips are seen. A clip is seen."],
        ["No catheter or clip.", "Tubes are not seen."],
    )
    reports = [
        "The heart is normal. A catheter ends in the vein.",
        "No clip. The lungs are clear.",
        "There is a tube. The lungs are clear.",  # stands in the sentences against it alone
        "Without catheter, but there is one clip. Clips are not seen.",
        "",
    ]
    assert named_and_denied(reports, present, absent) == (20.0, 40.0)


def test_the_lowest_findings_come_first():
    rows = [("medprobclip", "Edema", 0.9), ("medprobclip", "Fracture", 0.4), ("medprobclip", "Mean", 0.1)]
    table = pd.DataFrame([*rows, ("clip", "Edema", 0.2)], columns=["method", "finding", "value"])
    lowest = lowest_findings(table, ["No fracture.", "Pulmonary edema. No rib fracture."])
    assert lowest.index.tolist() == ["Fracture", "Edema"]
    assert lowest.iloc[0].tolist() == ["0.40", "0.0", "100.0"]
    assert lowest.iloc[1].tolist() == ["0.90", "50.0", "0.0"]
    assert lowest_findings(table, [""], count=1).index.tolist() == ["Fracture"]
