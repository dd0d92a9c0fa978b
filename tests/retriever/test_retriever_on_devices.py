"""A retriever whose model was moved to a device answers as the one on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medprobclip.evaluation.embedding import embed
from medprobclip.retriever.retriever import Retriever
from medprobclip.training.calibrating import calibrate_run
from medprobclip.training.runs import embed_run, load_run, load_strangeness, train_run


@pytest.fixture
def run(device, study_tables, tiny_profile, tmp_path, float32, monkeypatch):
    """A run that was trained and calibrated where the device is the accelerator, in whole float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    once = replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))
    train_run(study_tables["train"], study_tables["validate"], tmp_path / "run", once)
    calibrate_run(tmp_path / "run", study_tables["calibrate"])
    return tmp_path / "run"


def test_embeddings_and_strangeness_as_on_the_cpu(run, device, study_tables):
    kept, dataset, _ = embed_run(run, study_tables["test"])
    for place in ("cpu", device):
        model = load_run(run)[0].to(place)
        found = embed(model, dataset, load_strangeness(run))
        assert found.image.mean.device.type == found.image_strangeness.device.type == "cpu"
        for side in ("image", "report"):
            ours, truth = getattr(found, side), getattr(kept, side)
            np.testing.assert_allclose(ours.mean, truth.mean, rtol=1e-2, atol=1e-2)
            np.testing.assert_allclose(ours.log_var, truth.log_var, rtol=1e-2, atol=1e-2)
            name = f"{side}_strangeness"
            np.testing.assert_allclose(getattr(found, name), getattr(kept, name), rtol=2e-2, atol=2e-2)
        np.testing.assert_allclose(found.scores(model), kept.scores(load_run(run)[0]), rtol=2e-2, atol=5e-2)


def test_answers_as_on_the_cpu(run, device, study_tables):
    """Film, report and phrase; indexed on either: the same scores, sets and doubts up to rounding."""
    film = study_tables["test"].parent / "test-3-pa.png"
    queries = [film, "A small opacity 4 in the left base.", "left base"]
    here, there = Retriever.from_run(run), Retriever.from_run(run)
    there.model.to(device)
    for retriever in (here, there):
        assert retriever.index(study_tables["test"]) == 12
    for ours, truth in zip(there.search(queries, k=12), here.search(queries, k=12), strict=True):
        a, b = (answers.table.set_index("study_id").sort_index() for answers in (ours, truth))
        assert a.index.tolist() == b.index.tolist()
        np.testing.assert_allclose(a["score"], b["score"], rtol=2e-2, atol=5e-2)
        np.testing.assert_allclose(a["probability"], b["probability"], atol=0.05)
        assert ours.table["score"].is_monotonic_decreasing
        assert ours.kind == truth.kind
        assert ours.p_strange == pytest.approx(truth.p_strange, abs=0.2)  # one of 13 either way


def test_an_index_made_there_is_searched_here(run, device, study_tables, tmp_path):
    """Saved with the model, opened again on the CPU."""
    there = Retriever.from_run(run)
    there.model.to(device)
    there.index(study_tables["test"])
    there.save(tmp_path / "saved")
    answers = there.search("left base", k=12)
    again = Retriever.load(tmp_path / "saved").search("left base", k=12)
    assert sorted(again.table["study_id"]) == sorted(answers.table["study_id"])
    np.testing.assert_allclose(again.table["score"], answers.table["score"], rtol=2e-2, atol=5e-2)
