"""A run folder: finished runs are read back, the test set is scored once, other settings are refused."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import medprobclip.training.runs
from medprobclip.data.augment import normalise
from medprobclip.data.disjoint import check_disjoint
from medprobclip.data.studies import StudyTableError, read_studies, write_studies
from medprobclip.evaluation.retrieval import (
    expected_map_at_r,
    expected_recall_at,
    expected_rsum,
    retrieval_table,
)
from medprobclip.training.errors import TrainingError
from medprobclip.training.runs import evaluate_run, load_run, open_table, train_run


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
        os.utime(picture, ns=(1, 1))  # another time than before, however fast this was
    evaluate_run(tmp_path / "run", tables["test"])
    second = json.loads((tmp_path / "run" / "metrics.json").read_text())["scored"]
    assert first["checkpoint"] == second["checkpoint"]
    assert first["test_data"] != second["test_data"]
    with pytest.raises(TrainingError, match="other settings or data"):
        train_run(tables["train"], tables["validate"], tmp_path / "run", once)


def test_a_linked_table_trains_on_the_pictures_that_were_checked(study_tables, tmp_path):
    """Those beside the link, for every reader: not those beside the file to which it leads."""
    raw, processed = tmp_path / "raw", tmp_path / "processed"
    shutil.copytree(study_tables["test"].parent, raw)
    processed.mkdir()
    for picture in raw.glob("test-*.png"):
        Image.fromarray(255 - np.asarray(Image.open(picture))).save(processed / picture.name)
    (processed / "test.csv").symlink_to("../raw/test.csv")
    checked, trained = read_studies(processed / "test.csv"), open_table(processed / "test.csv", 32)
    assert checked["image_paths"].tolist() == trained.studies["image_paths"].tolist()
    for path, *_ in checked["image_paths"]:
        assert path.startswith(str(processed))
        inverted = np.asarray(Image.open(processed / path.rsplit("/", 1)[1]))
        assert np.array_equal(trained.images[path], inverted)


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
    monkeypatch.setattr(
        medprobclip.training.runs, "embed_together", lambda *_, **__: pytest.fail("scored again")
    )
    again, stored = evaluate_run(run, study_tables["test"])
    pd.testing.assert_frame_equal(table, again, check_dtype=False)
    assert stored.study_ids == embeddings.study_ids == read_studies(study_tables["test"])["study_id"].tolist()
    assert torch.equal(stored.image.log_var, embeddings.image.log_var)


@pytest.fixture
def unscored(run, tmp_path):
    """The trained run as it was before any evaluation."""
    left_out = shutil.ignore_patterns("metrics.json", "embeddings*.safetensors")
    return shutil.copytree(run, tmp_path / "run", ignore=left_out)


@pytest.fixture
def scored(monkeypatch):
    """The score matrices of which tables are made."""
    matrices = []

    def look(scores, *args, **settings):
        matrices.append(scores)
        return retrieval_table(scores, *args, **settings)

    monkeypatch.setattr(medprobclip.training.runs, "retrieval_table", look)
    return matrices


@torch.no_grad()
def test_embeddings_are_those_of_single_studies(unscored, study_tables, scored, float32):
    """One study at a time, the PA image, the findings; and the score of each pair by itself."""
    _, stored = evaluate_run(unscored, study_tables["test"])
    model, tokenizer = load_run(unscored)
    images, reports = [], []
    for row in read_studies(study_tables["test"]).itertuples():
        picture = Image.open(row.image_paths[row.view_names.index("PA")])
        pixels = torch.from_numpy(np.array(picture)).float() / 255
        tokens = tokenizer(row.findings, return_tensors="pt")
        images.append(model.encode_image(normalise(pixels, 0.5, 0.25)[None, None]))
        reports.append(model.encode_text(tokens["input_ids"], tokens["attention_mask"]))
    near = {"atol": 1e-4, "rtol": 1e-4}  # other batches round otherwise, by about 1e-6
    for singles, whole in ((images, stored.image), (reports, stored.report)):
        torch.testing.assert_close(torch.cat([g.mean for g in singles]), whole.mean, **near)
        torch.testing.assert_close(torch.cat([g.log_var for g in singles]), whole.log_var, **near)
    assert float(torch.pdist(stored.image.mean).min()) > 1e-2  # no image passes for another
    images, reports = stored.image.chunk(12), stored.report.chunk(12)
    pairs = [[float(model.similarity(i, t)) for t in reports] for i in images]
    np.testing.assert_allclose(scored[0], pairs, rtol=1e-5)  # sums of eight terms in float32


def test_metrics_are_counted_pair_by_pair(unscored, study_tables, scored):
    """In the matrix that was scored itself; a report of the same wording is right."""
    table, _ = evaluate_run(unscored, study_tables["test"])
    (scores,) = scored
    words = read_studies(study_tables["test"])["findings"].tolist()
    right = [(i, j) for i, a in enumerate(words) for j, b in enumerate(words) if a == b]
    assert len(right) == 14  # twelve studies, two of them with the same findings
    for direction, s in {"i2t": scores.tolist(), "t2i": scores.T.tolist()}.items():
        ranks = []
        for query, row in enumerate(s):
            best = max(row[j] for i, j in right if i == query)
            ranks.append(1 + sum(row[j] >= best for j in range(12) if (query, j) not in right))
        found = table[table["direction"] == direction].set_index("metric")["value"]
        assert found["median rank"] == sum(sorted(ranks)[5:7]) / 2
        for k in (1, 5, 10):
            assert found[f"R@{k}"] == pytest.approx(100 * sum(rank <= k for rank in ranks) / 12)


def test_simulated_studies_are_scored_beside_the_ceiling(unscored, study_tables, scored, tmp_path):
    """The place of the opacity is drawn, its size and the study's number are not; one study is left out."""
    studies = read_studies(study_tables["test"])
    places = [f"opacity.{i % 4:02b}" for i in range(12)]  # 01 and 10 differ by their order only
    studies["codes"] = [(place, f"size {i // 4 % 2}") for i, place in enumerate(places)]
    studies["appearance"] = [(), *((place,) for place in places[1:])]
    studies.loc[5, "findings"] = ""
    write_studies(studies, tmp_path / "test.csv")
    table, embeddings = evaluate_run(unscored, tmp_path / "test.csv")
    kept = studies.drop(index=5)
    assert embeddings.study_ids == kept["study_id"].tolist()
    shown = kept["appearance"].tolist()
    reader = np.array([[a == b for b in shown] for a in shown]) / 1.0
    relevant = np.array([[a == b for b in kept["codes"]] for a in kept["codes"]])
    (scores,), matches = scored, embeddings.matches()
    of = table.set_index(["direction", "metric"])
    for direction, turn in {"i2t": np.asarray, "t2i": np.transpose}.items():
        for k in (1, 5, 10):
            expected = expected_recall_at(turn(reader), turn(matches), k)
            assert of.loc[(direction, f"R@{k}"), "ceiling"] == pytest.approx(expected)
        row = of.loc[(direction, "mAP@R")]
        assert row["ceiling"] == pytest.approx(expected_map_at_r(turn(reader), turn(relevant)))
        assert row["value"] == pytest.approx(expected_map_at_r(turn(scores), turn(relevant)))
    assert of.loc[("both", "RSUM"), "ceiling"] == pytest.approx(expected_rsum(reader, matches))
    again, _ = evaluate_run(unscored, tmp_path / "test.csv")
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
