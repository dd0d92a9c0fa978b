"""Zero-shot classification: hand-built Gaussians, scikit-learn, plain loops, and a tiny model end to end."""

import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from medprobclip.data.chexpert import FINDINGS, no_finding
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.discrimination import auroc, auroc_interval
from medprobclip.evaluation.retrieval import BootstrapConfig
from medprobclip.evaluation.zeroshot import (
    COLUMNS,
    NONE,
    PROMPTS,
    balanced_accuracy,
    best_threshold,
    encode_prompts,
    no_finding_score,
    resampled_aurocs,
    score_findings,
    zero_shot_scores,
    zero_shot_table,
)
from medprobclip.gaussian import Gaussian
from medprobclip.similarity import ScaledSimilarity
from medprobclip.training.encoders import build_model, build_tokenizer

CASES = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=25)
FAST = BootstrapConfig(resamples=200, seed=3)


def both_kinds(cases):
    scores, labels = (np.array(column) for column in zip(*cases, strict=True))
    return (scores, labels) if 0 < labels.sum() < len(labels) else None


def make_studies(n: int, seed: int, rare: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and labels [n, 13] that go together; `rare` is in no study."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, 13)) < 0.15
    scores = rng.normal(size=(n, 13)).round(1) + labels
    labels, scores = (pd.DataFrame(values, columns=list(FINDINGS)) for values in (labels, scores))
    if rare:
        labels[rare] = False
    return scores, labels


# -- prompts


def test_every_finding_has_its_own_sentences_for_and_against():
    assert list(PROMPTS) == list(FINDINGS)
    sentences = [sentence for pair in PROMPTS.values() for side in pair for sentence in side]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence[0].isupper() and sentence.count(".") == 1 == len(sentence) - sentence.index(".")
               for sentence in sentences)  # fmt: skip
    for positive, negative in PROMPTS.values():
        assert 4 <= len(positive) <= 6
        assert 3 <= len(negative) <= 4
        denials = ("no ", "not ", "normal", "unremarkable", "clear", "intact")
        assert not any(word in sentence.lower() for sentence in positive for word in denials)
        assert all(any(word in sentence.lower() for word in denials) for sentence in negative)


@pytest.fixture(scope="module")
def parts(study_tables, tiny_profile):
    tokenizer = build_tokenizer(tiny_profile.encoders, read_studies(study_tables["train"])["findings"])
    torch.manual_seed(0)
    return build_model(tiny_profile.encoders, tokenizer), tokenizer


def test_encoded_prompts_are_those_of_single_sentences(parts):
    """Padding to the longest of all changes nothing, and each finding gets its own rows."""
    model, tokenizer = parts
    encoded = encode_prompts(model, tokenizer)
    assert list(encoded) == list(FINDINGS)
    for finding, sides in encoded.items():
        for gaussian, sentences in zip(sides, PROMPTS[finding], strict=True):
            assert gaussian.shape == (len(sentences), 8)
            assert gaussian.mean.dtype == torch.float32
            assert not gaussian.mean.requires_grad
    model.eval()
    last = tokenizer(PROMPTS["Support Devices"][1][-1], return_tensors="pt", truncation=True)
    with torch.no_grad():
        alone = model.encode_text(last["input_ids"], last["attention_mask"])
    torch.testing.assert_close(encoded["Support Devices"][1].mean[-1:], alone.mean, atol=0.02, rtol=0.02)


def test_encoding_is_deterministic_and_leaves_the_model_in_its_mode(parts):
    model, tokenizer = parts
    first = encode_prompts(model.train(), tokenizer, {"a": (("Opacity.",), ("No opacity.", "Clear."))})
    assert model.training
    again = encode_prompts(model.eval(), tokenizer, {"a": (("Opacity.",), ("No opacity.", "Clear."))})
    assert not model.training
    assert [len(side) for side in first["a"]] == [1, 2]
    for one, other in zip(first["a"], again["a"], strict=True):
        torch.testing.assert_close(one.mean, other.mean, rtol=0, atol=0)


def test_scores_of_all_findings_by_the_model(parts):
    model, tokenizer = parts
    with torch.no_grad():
        image = model.eval().encode_image(torch.randn(5, 1, 32, 32))
    encoded = encode_prompts(model, tokenizer)
    scores = score_findings(model, image, encoded)
    assert scores.shape == (5, 13)
    assert scores.columns.tolist() == list(FINDINGS)
    positive, negative = encoded["Edema"]
    with torch.no_grad():
        logits = model.similarity(image, positive).numpy(), model.similarity(image, negative).numpy()
    expected = [np.mean(p) - np.mean(q) for p, q in zip(*logits, strict=True)]
    np.testing.assert_allclose(scores["Edema"], expected, rtol=1e-4, atol=1e-4)


# -- scores


def test_scores_of_a_hand_built_case():
    """Variance 1/2 each, so s = 1: a logit is −a/2 (μx − μy)² + b, and b cancels."""
    half = -np.log(2)

    def on_a_line(*means):
        mean = torch.tensor(means, dtype=torch.float64)[:, None]
        return Gaussian(mean, torch.full_like(mean, half))

    similarity = ScaledSimilarity(a=2.0, b=7.0).double()
    scores = zero_shot_scores(similarity, on_a_line(0, 1, 4), on_a_line(1, 3), on_a_line(0))
    np.testing.assert_allclose(scores, [-5, -1, 11], atol=1e-6)  # −mean{(x−1)², (x−3)²} + x²
    assert scores.dtype == np.float64


def test_scores_are_antisymmetric_and_do_not_count_prompts(make_gaussian):
    similarity = ScaledSimilarity().double()
    image, positive, negative = (make_gaussian(n, 6, seed=n) for n in (9, 4, 3))
    scores = zero_shot_scores(similarity, image, positive, negative)
    np.testing.assert_allclose(zero_shot_scores(similarity, image, negative, positive), -scores)
    twice = Gaussian.cat([positive, positive])
    np.testing.assert_allclose(zero_shot_scores(similarity, image, twice, negative), scores)
    np.testing.assert_allclose(zero_shot_scores(similarity, image, positive, positive), 0, atol=1e-12)


def test_softmax_over_the_pair_orders_alike(make_gaussian):
    """The probability of CheXzero is the sigmoid of our score, so that AUROC is the same."""
    image, positive, negative = (make_gaussian(n, 4, seed=n) for n in (30, 5, 3))
    similarity = ScaledSimilarity(a=0.1).double()
    with torch.no_grad():
        pair = torch.stack([similarity(image, side).mean(1) for side in (positive, negative)])
    probability = pair.softmax(0)[0].numpy()
    scores = zero_shot_scores(similarity, image, positive, negative)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-scores)))
    labels = np.arange(30) % 3 == 0
    assert auroc(scores, labels) == auroc(probability, labels)


def test_no_finding_is_the_absence_of_the_surest_finding():
    reference = pd.DataFrame(
        {"a": [0.0, 2.0], "b": [10.0, 30.0], "c": [5.0, 5.0]}
    )  # mean ± std: 1±1, 20±10, 5
    scores = pd.DataFrame({"c": [5.0, 5.5], "a": [4.0, 1.0], "b": [20.0, 20.0]})  # other order of columns
    np.testing.assert_allclose(no_finding_score(scores, reference), [-3, -0.5])


def test_no_finding_does_not_depend_on_the_unit_of_a_finding():
    scores, _ = make_studies(20, seed=0)
    known, _ = make_studies(30, seed=1)
    scale = np.linspace(0.1, 9, 13)
    np.testing.assert_allclose(
        no_finding_score(scores * scale - 3, known * scale - 3), no_finding_score(scores, known)
    )


# -- thresholds


@settings(max_examples=40)
@given(CASES, st.integers(-4, 4))
def test_balanced_accuracy_is_that_of_scikit_learn(cases, threshold):
    if kinds := both_kinds(cases):
        scores, labels = kinds
        expected = balanced_accuracy_score(labels, scores >= threshold)
        assert balanced_accuracy(scores, labels, threshold) == pytest.approx(expected)


@settings(max_examples=40)
@given(CASES)
def test_threshold_is_the_lowest_of_the_best(cases):
    if kinds := both_kinds(cases):
        scores, labels = kinds
        values = np.unique(scores)
        cuts = [values[0], *(values[1:] + values[:-1]) / 2]
        reached = np.array([balanced_accuracy_score(labels, scores >= cut) for cut in cuts])
        best = cuts[np.flatnonzero(reached > reached.max() - 1e-12)[0]]
        assert best_threshold(scores, labels) == best
        order = np.random.default_rng(0).permutation(len(scores))
        assert best_threshold(scores[order], labels[order]) == best


def test_known_thresholds():
    assert best_threshold([0, 1, 4, 5], [0, 0, 1, 1]) == 2.5
    assert best_threshold([0, 1, 2, 3], [0, 1, 0, 1]) == 0.5  # as good as 2.5
    assert best_threshold([0, 1], [1, 0]) == 0  # nothing beats calling all positive
    assert best_threshold([2, 2, 2], [1, 0, 0]) == 2
    high = np.nextafter(1, 2)
    assert best_threshold([1, high], [0, 1]) == high  # no number lies between
    assert balanced_accuracy([1, high], [0, 1], high) == 1


def test_bad_input_is_refused():
    for function in (best_threshold, lambda s, y: balanced_accuracy(s, y, 0)):
        with pytest.raises(ValueError, match="0 of 2"):
            function([1, 2], [False, False])
        with pytest.raises(ValueError, match="2 of 2"):
            function([1, 2], [True, True])
    with pytest.raises(ValueError, match="NaN"):
        best_threshold([1, np.nan], [True, False])
    with pytest.raises(ValueError, match="one shape"):
        best_threshold([1, 2, 3], [True, False])


# -- the table


@settings(max_examples=40)
@given(CASES, st.integers(0, 99))
def test_resampled_aurocs_are_those_of_repeated_studies(cases, seed):
    scores, labels = (np.array(column) for column in zip(*cases, strict=True))
    times = np.random.default_rng(seed).integers(0, 4, (5, len(cases)))
    for row, area in zip(times, resampled_aurocs(scores, labels, times), strict=True):
        s, y = scores.repeat(row), labels.repeat(row)
        if 0 < y.sum() < len(y):
            assert area == pytest.approx(auroc(s, y))
        else:
            assert np.isnan(area)


@pytest.fixture(scope="module")
def studies():
    """Validation lacks Pneumothorax, test lacks Fracture and has Edema once."""
    known, test = make_studies(80, seed=1, rare="Pneumothorax"), make_studies(150, seed=2, rare="Fracture")
    test[1]["Edema"] = np.arange(150) == 7
    return *known, *test


def test_table_row_by_row(studies):
    known, known_labels, scores, labels = studies
    table = zero_shot_table(*studies, bootstrap=FAST)
    assert table.columns.tolist() == COLUMNS
    assert table["finding"].tolist() == [*FINDINGS, "Mean", NONE]
    rows = table.set_index("finding")
    for finding in set(FINDINGS) - {"Fracture", "Pneumothorax"}:
        row, s, y = rows.loc[finding], scores[finding].to_numpy(), labels[finding].to_numpy()
        assert row["auroc"] == pytest.approx(roc_auc_score(y, s))
        np.testing.assert_allclose((row["low"], row["high"]), auroc_interval(s, y, FAST))
        assert (row["positives"], row["negatives"]) == (y.sum(), (~y).sum())
        assert row["threshold"] == best_threshold(known[finding], known_labels[finding])
        called = s >= row["threshold"]
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, called))
        assert row["findings"] is pd.NA
    y = no_finding(labels)
    assert rows.loc[NONE, "auroc"] == pytest.approx(roc_auc_score(y, no_finding_score(scores, known)))
    assert rows.loc[NONE, "positives"] == y.sum()
    assert rows.loc[NONE, "threshold"] < 0


def test_what_cannot_be_judged_is_absent_and_counted(studies):
    rows = zero_shot_table(*studies, bootstrap=FAST).set_index("finding")
    fracture, pneumothorax = rows.loc["Fracture"], rows.loc["Pneumothorax"]
    assert fracture[["auroc", "low", "high", "balanced_accuracy", "threshold"]].isna().all()
    assert (fracture["positives"], fracture["negatives"]) == (0, 150)
    assert pneumothorax[["threshold", "balanced_accuracy"]].isna().all()
    assert pneumothorax[["auroc", "low", "high"]].notna().all()
    assert rows.loc["Edema", "positives"] == 1
    assert rows.loc["Mean", "findings"] == 12
    assert rows.loc["Mean", "auroc"] == pytest.approx(rows.loc[list(FINDINGS), "auroc"].mean())
    assert pd.isna(rows.loc["Mean", "positives"])


def test_interval_of_the_mean_resamples_studies_jointly(studies):
    """Against a loop over the draws; a draw without the only case of edema averages the other findings."""
    _, _, scores, labels = studies
    drawn = np.random.default_rng(FAST.seed).integers(0, 150, (FAST.resamples, 150))
    means, left_out = [], 0
    for row in drawn:
        areas = []
        for finding in FINDINGS:
            y = labels[finding].to_numpy()[row]
            left_out += finding == "Edema" and not y.any()
            if y.any():
                areas.append(auroc(scores[finding].to_numpy()[row], y))
        means.append(np.mean(areas))
    assert left_out > 0
    mean = zero_shot_table(*studies, bootstrap=FAST).set_index("finding").loc["Mean"]
    np.testing.assert_allclose((mean["low"], mean["high"]), np.percentile(means, [2.5, 97.5]))


def test_table_is_deterministic_whatever_the_order_of_columns(studies):
    known, known_labels, scores, labels = studies
    first = zero_shot_table(*studies, bootstrap=FAST)
    turned = zero_shot_table(
        known, known_labels[known.columns[::-1]], scores[known.columns[::-1]], labels, FAST
    )
    pd.testing.assert_frame_equal(first, turned)


def test_studies_without_any_finding():
    """Only No Finding is left, and that has no negatives either."""
    known, test = make_studies(20, seed=0), make_studies(15, seed=1)
    table = zero_shot_table(*known, test[0], test[1] & False, bootstrap=FAST).set_index("finding")
    assert table["auroc"].isna().all()
    assert table.loc["Mean", "findings"] == 0
    assert (table.loc[NONE, "positives"], table.loc[NONE, "negatives"]) == (15, 0)


def test_separable_scores_are_perfect():
    known, test = make_studies(60, seed=0), make_studies(90, seed=4)
    known, test = ((labels * 8.0 + 0.01 * scores, labels) for scores, labels in (known, test))
    table = zero_shot_table(*known, *test, bootstrap=FAST)
    assert (table["auroc"].to_numpy() == 1).all()
    assert (table["balanced_accuracy"].drop(13).to_numpy() == 1).all()


def test_a_table_of_the_published_size_takes_seconds():
    start = time.perf_counter()
    zero_shot_table(*make_studies(342, seed=0), *make_studies(684, seed=1))
    assert time.perf_counter() - start < 10  # 1 s on an idle core
