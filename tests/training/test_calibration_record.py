"""What a calibration keeps for a retriever: the best right answers of films, reports and phrases."""

import json
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from transformers import AutoModel, AutoTokenizer

from medprobclip.data.reports import wording_keys
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.gaussian import Gaussian
from medprobclip.strangeness import Strangeness
from medprobclip.training import calibrating as module
from medprobclip.training.calibrating import PHRASES, phrases


@pytest.fixture(scope="module")
def record(calibrated_run):
    return json.loads((calibrated_run / "calibration.json").read_text())


@pytest.fixture(scope="module")
def sections(study_tables):
    return pd.read_csv(study_tables["calibrate"])["findings"].tolist()


@pytest.fixture(scope="module")
def model(calibrated_run):
    return AutoModel.from_pretrained(calibrated_run / "checkpoint").eval()


@pytest.fixture(scope="module")
def embeddings(calibrated_run):
    return Embeddings.load(calibrated_run / "embeddings-calibrate.safetensors")


def test_best_right_answers_of_films_and_reports(record, sections, model, embeddings):
    """Among all that are worded alike: here two studies."""
    scores = embeddings.scores(model)
    best = {"image": [], "report": []}
    for i, one in enumerate(sections):
        alike = [j for j, other in enumerate(sections) if other == one]
        best["image"].append(max(scores[i, j] for j in alike))
        best["report"].append(max(scores[j, i] for j in alike))
    assert len(set(sections)) == 11
    for side, values in best.items():
        assert record["best_right"][side] == pytest.approx(sorted(map(float, values)), abs=1e-6)


def test_wordings_and_the_shortest_section(record, sections, calibrated_run):
    tokens = AutoTokenizer.from_pretrained(calibrated_run / "checkpoint")(sections)["input_ids"]
    assert record["wording"] == wording_keys(tokens)
    assert record["shortest"] == min(len(section.split()) for section in sections) == 5
    assert len(set(record["wording"])) == 11


def test_phrases_of_each_length_that_sections_have(record, sections):
    """Of every section that is long enough, as many values each."""
    longest = max(len(section.split()) for section in sections)
    assert [int(length) for length in record["phrases"]] == [n for n in PHRASES if n <= longest]
    for length, found in record["phrases"].items():
        long_enough = sum(len(section.split()) >= int(length) for section in sections)
        assert found.keys() == {"best_right", "platt", "strangeness"}
        for values in (found["best_right"], found["strangeness"]):
            assert len(values) == long_enough
            assert values == sorted(values)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 2, 6])
def test_a_phrase_is_answered_by_every_film_whose_section_has_it(
    record, sections, model, embeddings, calibrated_run, length, monkeypatch, float32
):
    """Its words in a row; several films may have them."""
    drawn, real = [], module.piece_of

    def watched(*arguments):
        drawn.append(real(*arguments))
        return drawn[-1]

    monkeypatch.setattr(module, "piece_of", watched)
    words = [section.lower().split() for section in sections]
    tokenizer = AutoTokenizer.from_pretrained(calibrated_run / "checkpoint")
    dataset = type("Dataset", (), {"tokenizer": tokenizer})
    known = Strangeness.load(calibrated_run / "checkpoint")
    found = phrases(model, dataset, embeddings, words, length, known)
    best, strange = [], []
    for piece in filter(None, drawn):
        ids = torch.tensor([tokenizer(" ".join(piece))["input_ids"]])
        gaussian, inner = model.encode_text_and_inner(ids, torch.ones_like(ids))
        scores = model.similarity(gaussian, embeddings.image)[0]
        right = [any(row[i : i + length] == piece for i in range(len(row))) for row in words]
        best.append(float(scores[torch.tensor(right)].max()))
        strange.append(float(known.report.strangeness(inner)))
    assert found["best_right"] == pytest.approx(sorted(best), rel=1e-3)
    assert found["strangeness"] == pytest.approx(sorted(strange), rel=1e-2)
    assert found["best_right"] == pytest.approx(record["phrases"][str(length)]["best_right"], rel=1e-2)
    assert "strangeness" not in phrases(model, dataset, embeddings, words, length, None)
    assert np.isfinite(found["best_right"]).all()


def test_words_count_whole(monkeypatch):
    """ "opacity 1" is not in "opacity 10 here", nor "pacity 2" in "opacity 2"."""
    scores = 100 * torch.arange(12.0)[:, None] + torch.arange(12.0)
    model = SimpleNamespace(device="cpu", similarity=lambda x, y: scores)
    gaussian = Gaussian(torch.zeros(12, 2), torch.zeros(12, 2))
    monkeypatch.setattr(module, "embed_texts", lambda *_: (gaussian, None))
    monkeypatch.setattr(module, "piece_of", lambda section, length, seed: section[:length])
    tokenizer = Mock(return_value={"input_ids": [[0]] * 12})
    words = [["opacity", str(i + 1), "here"] for i in range(12)]
    words[11] = ["pacity", "2"]
    found = phrases(
        model, SimpleNamespace(tokenizer=tokenizer), SimpleNamespace(image=gaussian), words, 2, None
    )
    assert found["best_right"] == [101.0 * i for i in range(12)]
    fitted, pairs = found["platt"], 12 * 12  # on average what Platt's targets say: 12 of all pairs match
    p = expit(fitted["slope"] * scores.numpy() + fitted["intercept"])
    assert p.sum() == pytest.approx(12 * 13 / 14 + (pairs - 12) / (pairs - 12 + 2), rel=1e-3)
