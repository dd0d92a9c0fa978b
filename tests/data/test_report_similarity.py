"""Similarity of reports: by hand for three of them, and the encoder's features one by one."""

import math

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from medprobclip.data.report_similarity import encoded, report_similarity, tfidf
from medprobclip.data.tokenizer import train_tokenizer

REPORTS = ["No effusion. No nodule.", "effusion", "Heart enlarged"]


def test_tfidf_by_hand():
    """Three reports; "no" stands twice in the first, "effusion" in two reports, all else once."""
    rare, common = math.log(4 / 2) + 1, math.log(4 / 3) + 1
    first = {"no": (1 + math.log(2)) * rare, "effusion": common, "nodule": rare}
    cosine = first["effusion"] / math.sqrt(sum(value**2 for value in first.values()))
    found = tfidf(REPORTS).between(torch.tensor([1, 0, 2]))
    expected = torch.tensor([[1, cosine, 0], [cosine, 1, 0], [0, 0, 1]])
    torch.testing.assert_close(found, expected)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    tokenizer = train_tokenizer(REPORTS, 60, 6)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    return BertModel(config).train(), tokenizer


@torch.no_grad()
def test_encoder_features_agree_with_direct_calls(encoder, float32):
    """One report at a time, unpadded, without dropout; "No effusion. No nodule." is cut at six pieces."""
    model, tokenizer = encoder
    reports = [*REPORTS, "nodule", "no heart"]
    found = encoded(reports, model, tokenizer, batch_size=2)
    assert model.training
    model.eval()
    means = []
    for report in reports:
        ids = torch.tensor([tokenizer(report, truncation=True)["input_ids"]])
        assert ids.shape[1] <= 6
        means.append(model(ids).last_hidden_state[0].mean(0).double().numpy())
    model.train()
    centred = np.array(means) - np.mean(means, axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    expected = (centred @ centred.T).clip(0)
    assert (expected == 0).any()
    rows = torch.tensor([4, 0, 3, 1, 2])
    np.testing.assert_allclose(found.between(rows), expected[np.ix_(rows, rows)], atol=1e-5)


def test_kinds(encoder):
    model, tokenizer = encoder
    rows = torch.arange(3)
    assert report_similarity("none", REPORTS, model, tokenizer) is None
    by_words = report_similarity("tfidf", REPORTS, model, tokenizer).between(rows)
    assert torch.equal(by_words, tfidf(REPORTS).between(rows))
    by_encoder = report_similarity("encoder", REPORTS, model, tokenizer).between(rows)
    assert not torch.equal(by_encoder, by_words)
    torch.testing.assert_close(by_encoder.diagonal(), torch.ones(3))
