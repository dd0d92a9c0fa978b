"""A run folder: finished runs are read back, the test set is scored once, other settings are refused."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import medprobclip.evaluation.embedding
import medprobclip.training.runs
from medprobclip.data.augment import normalise
from medprobclip.data.studies import StudyTableError, check_disjoint, read_studies, write_studies
from medprobclip.evaluation.retrieval import (
    expected_map_at_r,
    expected_recall_at,
    expected_rsum,
    first_match_ranks,
    recall_at,
)
from medprobclip.training.loop import TrainingError
from medprobclip.training.runs import evaluate_run, load_run, train_run


@pytest.fixture(scope="module")
def run(study_tables, tiny_profile, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    train_run(study_tables["train"], study_tables["validate"], out, tiny_profile)
    return out


def test_a_finished_run_is_read_back(run, study_tables, tiny_profile, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(medprobclip.training.runs, "train", fail)
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


def test_other_pixels_under_the_same_table_are_other_data(study_tables, tiny_profile, tmp_path):
    """A re-rendered corpus has byte-identical tables: neither model nor metrics may pass for its own."""
    shutil.copytree(study_tables["train"].parent, tmp_path / "tables")
    tables = {split: tmp_path / "tables" / path.name for split, path in study_tables.items()}
    once = replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))
    train_run(tables["train"], tables["validate"], tmp_path / "run", once)
    evaluate_run(tmp_path / "run", tables["test"])
    first = json.loads((tmp_path / "run" / "metrics.json").read_text())["scored"]
    for split in ("test", "train"):
        picture = read_studies(tables[split])["image_paths"][0][0]
        pixels = np.array(Image.open(picture))
        pixels[3, 3] ^= 1
        Image.fromarray(pixels).save(picture)
    evaluate_run(tmp_path / "run", tables["test"])
    second = json.loads((tmp_path / "run" / "metrics.json").read_text())["scored"]
    assert first["checkpoint"] == second["checkpoint"]
    assert first["test_data"] != second["test_data"]
    with pytest.raises(TrainingError, match="other settings or data"):
        train_run(tables["train"], tables["validate"], tmp_path / "run", once)


def test_an_unfinished_run_is_not_tested(study_tables, tiny_profile, tmp_path):
    with pytest.raises(ZeroDivisionError):
        train_run(
            study_tables["train"], study_tables["validate"], tmp_path, tiny_profile, lambda history: 1 / 0
        )
    with pytest.raises(TrainingError, match="no finished training"):
        evaluate_run(tmp_path, study_tables["test"])


def test_tables_that_share_a_study_or_patient_are_refused(study_tables, tiny_profile, tmp_path):
    with pytest.raises(StudyTableError, match="40 study_id stand in both the training and the validation"):
        train_run(study_tables["train"], study_tables["train"], tmp_path, tiny_profile)
    a = pd.DataFrame({"study_id": ["1", "2"], "patient_id": ["p", "q"]})
    b = pd.DataFrame({"study_id": ["3"], "patient_id": ["q"]})
    check_disjoint({"training": a, "test": b.drop(columns="patient_id")})
    with pytest.raises(StudyTableError, match="1 patient_id .* training and the test table, first q"):
        check_disjoint({"training": a, "test": b})


def test_the_test_set_is_scored_once(run, study_tables, monkeypatch):
    table, embeddings = evaluate_run(run, study_tables["test"])
    monkeypatch.setattr(medprobclip.training.runs, "embed", lambda *_, **__: pytest.fail("scored again"))
    again, stored = evaluate_run(run, study_tables["test"])
    pd.testing.assert_frame_equal(table, again, check_dtype=False)
    assert stored.study_ids == embeddings.study_ids == read_studies(study_tables["test"])["study_id"].tolist()
    assert torch.equal(stored.image.log_var, embeddings.image.log_var)


@torch.no_grad()
def test_metrics_agree_with_a_plain_evaluation(run, study_tables, monkeypatch, tmp_path):
    """One study at a time, the PA image, the findings, duplicates right; in float32 throughout."""
    monkeypatch.setattr(medprobclip.evaluation.embedding, "autocast", lambda device: nullcontext())
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("metrics.json"))
    table, _ = evaluate_run(copy, study_tables["test"])
    model, tokenizer = load_run(run)
    studies = read_studies(study_tables["test"])
    images, reports = [], []
    for row in studies.itertuples():
        picture = Image.open(row.image_paths[row.view_names.index("PA")])
        pixels = torch.from_numpy(np.array(picture)).float() / 255
        tokens = tokenizer(row.findings, return_tensors="pt")
        images.append(model.encode_image(normalise(pixels, 0.5, 0.25)[None, None]))
        reports.append(model.encode_text(tokens["input_ids"], tokens["attention_mask"]))
    scores = np.array([[float(model.similarity(i, t)) for t in reports] for i in images])
    matches = np.array([[a == b for b in studies["findings"]] for a in studies["findings"]])
    assert matches.sum() == 14  # twelve studies, two of them with the same findings
    for direction, (s, m) in {"i2t": (scores, matches), "t2i": (scores.T, matches.T)}.items():
        ranks = first_match_ranks(s, m)
        found = table[table["direction"] == direction].set_index("metric")["value"]
        assert found["median rank"] == np.median(ranks)
        for k in (1, 5, 10):
            assert found[f"R@{k}"] == pytest.approx(recall_at(ranks, k))


def test_simulated_studies_are_scored_beside_the_ceiling(run, study_tables, tmp_path):
    """The place of the opacity is drawn, its size and the study's number are not; one study is left out."""
    copy = shutil.copytree(
        run, tmp_path / "run", ignore=shutil.ignore_patterns("metrics.json", "embeddings.safetensors")
    )
    studies = read_studies(study_tables["test"])
    places = [f"opacity.{i % 4:02b}" for i in range(12)]  # 01 and 10 differ by their order only
    studies["codes"] = [(place, f"size {i // 4 % 2}") for i, place in enumerate(places)]
    studies["appearance"] = [(), *((place,) for place in places[1:])]
    studies.loc[5, "findings"] = ""
    write_studies(studies, tmp_path / "test.csv")
    table, embeddings = evaluate_run(copy, tmp_path / "test.csv")
    kept = studies.drop(index=5)
    assert embeddings.study_ids == kept["study_id"].tolist()
    shown = kept["appearance"].tolist()
    reader = np.array([[a == b for b in shown] for a in shown]) / 1.0
    relevant = np.array([[a == b for b in kept["codes"]] for a in kept["codes"]])
    model, _ = load_run(copy)
    scores, matches = embeddings.scores(model), embeddings.matches()
    of = table.set_index(["direction", "metric"])
    for direction, turn in {"i2t": np.asarray, "t2i": np.transpose}.items():
        for k in (1, 5, 10):
            expected = expected_recall_at(turn(reader), turn(matches), k)
            assert of.loc[(direction, f"R@{k}"), "ceiling"] == pytest.approx(expected)
        row = of.loc[(direction, "mAP@R")]
        assert row["ceiling"] == pytest.approx(expected_map_at_r(turn(reader), turn(relevant)))
        assert row["value"] == pytest.approx(expected_map_at_r(turn(scores), turn(relevant)), abs=1e-4)
    assert of.loc[("both", "RSUM"), "ceiling"] == pytest.approx(expected_rsum(reader, matches))
    again, _ = evaluate_run(copy, tmp_path / "test.csv")
    pd.testing.assert_frame_equal(table, again)


def test_tables_without_codes_have_no_ceiling(run, study_tables):
    table, _ = evaluate_run(run, study_tables["test"])
    assert "ceiling" not in table
    assert "mAP@R" not in set(table["metric"])


def test_metrics_file_names_what_was_scored(run, study_tables):
    evaluate_run(run, study_tables["test"])
    record = json.loads((run / "metrics.json").read_text())
    assert record["section"] == "findings"
    assert {row["metric"] for row in record["retrieval"]} >= {"R@1", "R@10", "RSUM"}


def test_a_missing_checkpoint_is_named(tmp_path, study_tables):
    with pytest.raises(TrainingError, match="train it first"):
        evaluate_run(tmp_path, study_tables["test"])
