"""Zero-shot scores: the prompts, by hand-built Gaussians, and by a tiny model sentence by sentence."""

import numpy as np
import pandas as pd
import pytest
import torch

from medprobclip.data.chexpert import FINDINGS
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.discrimination import auroc
from medprobclip.evaluation.zeroshot import (
    PROMPTS,
    encode_prompts,
    no_finding_score,
    score_findings,
    zero_shot_scores,
)
from medprobclip.gaussian import Gaussian
from medprobclip.similarity import ScaledSimilarity
from medprobclip.training.encoders import build_model, build_tokenizer


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


def test_encoded_prompts_are_those_of_single_sentences(parts, float32):
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
    torch.testing.assert_close(encoded["Support Devices"][1].mean[-1:], alone.mean, atol=1e-4, rtol=1e-4)


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
    pixels = torch.randn(5, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        image = model.eval().encode_image(pixels)
    encoded = encode_prompts(model, tokenizer)
    scores = score_findings(model, image, encoded)
    assert scores.shape == (5, 13)
    assert scores.columns.tolist() == list(FINDINGS)
    positive, negative = encoded["Edema"]
    with torch.no_grad():
        logits = model.similarity(image, positive).numpy(), model.similarity(image, negative).numpy()
    expected = [np.mean(p) - np.mean(q) for p, q in zip(*logits, strict=True)]
    np.testing.assert_allclose(scores["Edema"], expected, rtol=1e-4, atol=1e-4)


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
    generator = np.random.default_rng(0)
    scores, known = (pd.DataFrame(generator.normal(size=(n, 13)), columns=list(FINDINGS)) for n in (20, 30))
    scale = np.linspace(0.1, 9, 13)
    np.testing.assert_allclose(
        no_finding_score(scores * scale - 3, known * scale - 3), no_finding_score(scores, known)
    )
