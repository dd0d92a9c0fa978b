"""A run folder: finished runs are read back, the test set is scored once, other settings are refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import medprobclip.runs
from medprobclip.data.augment import normalise
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.retrieval import first_match_ranks, recall_at
from medprobclip.runs import evaluate_run, load_run, train_run
from medprobclip.training import TrainingError


@pytest.fixture(scope="module")
def run(study_tables, tiny_profile, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    train_run(study_tables["train"], study_tables["validate"], out, tiny_profile)
    return out


def test_a_finished_run_is_read_back(run, study_tables, tiny_profile, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(medprobclip.runs, "train", fail)
    seen = []
    history = train_run(study_tables["train"], study_tables["validate"], run, tiny_profile, seen.append)
    assert len(history) == 3
    assert len(seen) == 1


def test_other_settings_or_data_are_refused(run, study_tables, tiny_profile):
    other = replace(tiny_profile, training=replace(tiny_profile.training, learning_rate=1e-3))
    with pytest.raises(TrainingError, match=r"other settings or data \(training.*0\.003.*0\.001"):
        train_run(study_tables["train"], study_tables["validate"], run, other)
    with pytest.raises(TrainingError, match="tables"):
        train_run(study_tables["train"], study_tables["test"], run, tiny_profile)


def test_the_test_set_is_scored_once(run, study_tables, tiny_profile, monkeypatch):
    table, embeddings = evaluate_run(run, study_tables["test"], tiny_profile)
    monkeypatch.setattr(medprobclip.runs, "embed", lambda *_, **__: pytest.fail("scored again"))
    again, stored = evaluate_run(run, study_tables["test"], tiny_profile)
    pd.testing.assert_frame_equal(table, again, check_dtype=False)
    assert stored.study_ids == embeddings.study_ids == read_studies(study_tables["test"])["study_id"].tolist()
    assert torch.equal(stored.image.log_var, embeddings.image.log_var)


@torch.no_grad()
def test_metrics_agree_with_a_plain_evaluation(run, study_tables, tiny_profile):
    """One study at a time, the PA image, the findings, duplicates right."""
    table, _ = evaluate_run(run, study_tables["test"], tiny_profile)
    model, tokenizer = load_run(run)
    studies = read_studies(study_tables["test"])
    images, reports = [], []
    for row in studies.itertuples():
        from PIL import Image

        pixels = (
            torch.from_numpy(np.array(Image.open(row.image_paths[row.view_names.index("PA")]))).float() / 255
        )
        tokens = tokenizer(row.findings, return_tensors="pt")
        images.append(model.encode_image(normalise(pixels, 0.5, 0.25)[None, None]))
        reports.append(model.encode_text(tokens["input_ids"], tokens["attention_mask"]))
    scores = np.array([[float(model.similarity(i, t)) for t in reports] for i in images])
    matches = np.array([[a == b for b in studies["findings"]] for a in studies["findings"]])
    assert matches.sum() == 14  # twelve studies, two of them with the same findings
    ranks = first_match_ranks(scores, matches)
    found = table.set_index(["direction", "metric"])["value"]
    for k in (1, 5, 10):  # bfloat16 in the encoders may swap one neighbouring pair
        assert found["i2t", f"R@{k}"] == pytest.approx(recall_at(ranks, k), abs=100 / 12 + 1e-6)


def test_metrics_file_names_what_was_scored(run, study_tables, tiny_profile):
    evaluate_run(run, study_tables["test"], tiny_profile)
    record = json.loads((run / "metrics.json").read_text())
    assert record["section"] == "findings"
    assert {row["metric"] for row in record["retrieval"]} >= {"R@1", "R@10", "RSUM"}


def test_a_missing_checkpoint_is_named(tmp_path, study_tables, tiny_profile):
    with pytest.raises(FileNotFoundError, match="train it first"):
        evaluate_run(tmp_path, study_tables["test"], tiny_profile)
