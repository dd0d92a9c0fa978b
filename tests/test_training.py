"""Training learns, resumes exactly where it was stopped, and refuses what it cannot do."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

import medprobclip.training
from medprobclip.data.dataset import StudyDataset
from medprobclip.embedding import embed
from medprobclip.evaluation.retrieval import first_match_ranks
from medprobclip.runs import file_hash, load_run, open_table, train_run
from medprobclip.training import TrainingError, read_history, validate


@pytest.fixture(scope="module")
def finished(study_tables, tiny_profile, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    longer = replace(tiny_profile, training=replace(tiny_profile.training, epochs=6))
    history = train_run(study_tables["train"], study_tables["validate"], out, longer)
    return out, history, longer


def test_training_learns(finished):
    _, history, _ = finished
    assert len(history) == 6
    assert history["image_text"].iloc[-1] < history["image_text"].iloc[0] - 0.2


def test_loss_is_the_weighted_sum_of_its_terms(finished):
    _, history, profile = finished
    o = profile.objective
    total = history["image_text"] + o.image_image_weight * history["image_image"]
    total += o.text_text_weight * history["text_text"] + o.kl_weight * (
        history["kl_image"] + history["kl_text"]
    )
    pd.testing.assert_series_equal(history["loss"], total, check_names=False)


def test_learning_rate_decays_to_zero(finished):
    _, history, _ = finished
    assert history["learning_rate"].is_monotonic_decreasing
    assert history["learning_rate"].iloc[-1] == pytest.approx(0, abs=1e-12)


def test_the_checkpoint_changes_exactly_when_validation_improves(finished, study_tables, tmp_path):
    _, _, profile = finished
    hashes = []

    def look(history):
        hashes.append(file_hash(tmp_path / "checkpoint" / "model.safetensors"))

    history = train_run(study_tables["train"], study_tables["validate"], tmp_path, profile, look)
    improved = history["val_rsum"] > history["val_rsum"].cummax().shift(fill_value=-1)
    assert improved.sum() >= 2  # else the test says little
    assert [a != b for a, b in zip(["", *hashes], hashes, strict=False)] == improved.tolist()


def test_validation_numbers_are_those_of_the_model(finished, study_tables):
    out, _, profile = finished
    model, tokenizer = load_run(out)
    table = open_table(study_tables["validate"], profile.encoders.image_size)
    dataset = StudyDataset(table.studies, table.images, tokenizer)
    embeddings = embed(model, dataset)
    ranks = first_match_ranks(embeddings.scores(model).T, embeddings.matches())
    assert validate(model, dataset)["val_R@10_t2i"] == pytest.approx(100 * (ranks <= 10).mean())


class Interrupted(Exception):
    """Stands for a pressed Ctrl-C or a power cut."""


def test_an_interrupted_run_ends_like_an_uninterrupted_one(finished, study_tables, tmp_path):
    _, history, profile = finished

    def stop_in_the_middle(rows):
        if len(rows) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, profile, stop_in_the_middle)
    assert len(read_history(tmp_path)) == 3
    resumed = train_run(study_tables["train"], study_tables["validate"], tmp_path, profile)
    same = [name for name in history.columns if name != "seconds"]
    pd.testing.assert_frame_equal(resumed[same], history[same], rtol=1e-4)


def test_a_stop_within_an_epoch_loses_only_that_epoch(study_tables, tiny_profile, tmp_path, monkeypatch):
    step, calls = medprobclip.training.EpochLoop.step, []

    def stop_at_the_eighth(self, batch):
        calls.append(1)
        if len(calls) == 8:  # five steps an epoch
            raise Interrupted
        return step(self, batch)

    monkeypatch.setattr(medprobclip.training.EpochLoop, "step", stop_at_the_eighth)
    with pytest.raises(Interrupted):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)
    assert len(read_history(tmp_path)) == 1
    calls.clear()
    calls.extend([1] * 8)
    assert len(train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)) == 3
    assert len(calls) == 8 + 2 * 5


def test_a_stop_while_the_last_state_is_put_in_place_loses_nothing(
    study_tables, tiny_profile, tmp_path, monkeypatch
):
    """The state stands, history.csv does not yet: the run counts as finished all the same."""
    write = medprobclip.training.write_history

    def stop_at_the_last(out, history):
        if len(history) == 3:
            raise Interrupted
        write(out, history)

    monkeypatch.setattr(medprobclip.training, "write_history", stop_at_the_last)
    with pytest.raises(Interrupted):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)
    monkeypatch.setattr(medprobclip.training.EpochLoop, "run", lambda *_: pytest.fail("trained again"))
    assert len(train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)) == 3


def test_a_first_epoch_guards_its_settings(study_tables, tiny_profile, tmp_path, monkeypatch):
    """Stopped right after the first state was saved: other settings must not resume from it."""
    monkeypatch.setattr(medprobclip.training, "write_history", lambda out, history: 1 / (1 - len(history)))
    with pytest.raises(ZeroDivisionError):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)
    other = replace(tiny_profile, training=replace(tiny_profile.training, learning_rate=1e-4))
    with pytest.raises(TrainingError, match="other settings"):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, other)


def test_a_loss_that_is_not_finite_stops_training(study_tables, tiny_profile, tmp_path, monkeypatch):
    monkeypatch.setattr(
        medprobclip.training, "medprobclip_objective",
        lambda views, similarity, config: {"loss": views.images[0].mean.sum() * torch.nan},
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"epoch 1/3, step 1: not finite.*lower learning_rate"):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)


def test_a_batch_larger_than_the_data_is_refused(study_tables, tiny_profile, tmp_path):
    large = replace(tiny_profile, training=replace(tiny_profile.training, batch_size=64))
    with pytest.raises(TrainingError, match="40 training studies do not fill one batch of 64"):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, large)
