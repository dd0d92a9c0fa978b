"""Training learns, resumes exactly where it was stopped, and refuses what it cannot do."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from medprobclip.data.dataset import StudyDataset
from medprobclip.data.report_similarity import tfidf
from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.evaluation.retrieval import CUTOFFS
from medprobclip.settings import OBJECTIVES, AugmentationConfig, ObjectiveConfig
from medprobclip.similarity import SCORES
from medprobclip.training import loop, state, steps, updates
from medprobclip.training.errors import TrainingError
from medprobclip.training.loop import validate
from medprobclip.training.runs import evaluate_run, file_hash, load_run, open_table, train_run
from medprobclip.training.state import read_history
from medprobclip.training.steps import answers
from medprobclip.training_settings import MachineConfig


@pytest.fixture(scope="module")
def finished(study_tables, tiny_profile, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    longer = replace(tiny_profile, training=replace(tiny_profile.training, epochs=6))
    history = train_run(study_tables["train"], study_tables["validate"], out, longer)
    return out, history, longer


def test_training_learns(finished):
    """From log 8, chance among eight, down by 0.3 to 0.6 over five seeds."""
    _, history, _ = finished
    assert len(history) == 6
    assert history["image_text"].iloc[-1] < history["image_text"].iloc[0] - 0.1


def test_loss_is_the_weighted_sum_of_its_terms(finished):
    _, history, profile = finished
    total = history["image_text"] + history["image_image"] + 0.1 * history["text_text"]
    total += 1e-4 * (history["kl_image"] + history["kl_text"])
    pd.testing.assert_series_equal(history["loss"], total, check_names=False)


def test_learning_rate_decays_to_zero(finished):
    _, history, _ = finished
    assert history["learning_rate"].is_monotonic_decreasing
    assert history["learning_rate"].iloc[-1] == pytest.approx(0, abs=1e-12)


def test_the_checkpoint_changes_exactly_when_validation_improves(
    finished, study_tables, tmp_path, monkeypatch
):
    """Of made-up results: which epoch of a tiny model is the best is chance. An equal one is no better."""
    _, _, profile = finished
    results, hashes = iter([3.0, 1.0, 4.0, 4.0, 2.0, 5.0]), []
    told = ("val_R@10_i2t", "val_R@10_t2i")
    monkeypatch.setattr(loop, "validate", lambda *_: dict.fromkeys(told, 1.0) | {"val_rsum": next(results)})

    def look(history):
        hashes.append(file_hash(tmp_path / "checkpoint" / "model.safetensors"))

    train_run(study_tables["train"], study_tables["validate"], tmp_path, profile, look)
    improved = [True, False, True, False, False, True]
    assert [a != b for a, b in zip(["", *hashes], hashes, strict=False)] == improved


def test_validation_numbers_are_counted_from_the_embeddings_of_the_model(monkeypatch):
    """In made-up scores of 40 studies, by a loop: what the model's own would be depends on rounding."""
    scores, model, dataset = np.random.default_rng(1).normal(size=(40, 40)), object(), object()
    embeddings = {
        (model, dataset): SimpleNamespace(scores={model: scores}.get, matches=lambda: np.eye(40) > 0)
    }
    monkeypatch.setattr(loop, "embed_together", lambda model, dataset, team: embeddings[model, dataset])
    ranks = {
        direction: [1 + sum(value > row[i] for value in row) for i, row in enumerate(s)]
        for direction, s in {"i2t": scores, "t2i": scores.T}.items()
    }
    recall = {(name, k): 100 * np.mean([r <= k for r in of]) for name, of in ranks.items() for k in CUTOFFS}
    assert recall["i2t", 10] != recall["t2i", 10]
    expected = {f"val_R@10_{name}": recall[name, 10] for name in ranks} | {"val_rsum": sum(recall.values())}
    assert validate(model, dataset) == pytest.approx(expected)


TERMS = {
    "medprobclip": {"image_text", "image_image", "text_text", "kl_image", "kl_text"},
    "medprobclip-soft": {"image_text", "image_image", "text_text", "kl_image", "kl_text"},
    "medprobclip-inclusion": {
        "image_text", "image_image", "text_text", "kl_image", "kl_text", "inclusion",
    },
    "clip": {"image_text"},
    "cxr-clip": {"image_text", "image_image", "text_text"},
    "pcme++": {"image_text", "kl_image", "kl_text", "pseudo_positive"},
}  # fmt: skip


def test_every_objective_is_tried():
    assert set(OBJECTIVES) == {*TERMS, "medprobclip-coded"}  # which needs codes: see below


@pytest.mark.parametrize("name", TERMS)
def test_one_word_switches_the_objective(study_tables, tiny_profile, tmp_path, name):
    """The same encoders, data and evaluation, trained and scored with each."""
    profile = replace(tiny_profile, objective=OBJECTIVES[name])
    history = train_run(study_tables["train"], study_tables["validate"], tmp_path, profile)
    other = {"epoch", "loss", "learning_rate", "scale_a", "shift_b", "seconds"}
    terms = {column for column in history if not column.startswith("val_")} - other
    assert terms == TERMS[name]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    table, embeddings = evaluate_run(tmp_path, study_tables["test"])
    model, _ = load_run(tmp_path)
    assert model.config.score == model.similarity.score == OBJECTIVES[name].score
    assert float(model.similarity.a.detach()) == pytest.approx(OBJECTIVES[name].scale, rel=0.2)
    scores = SCORES[model.config.score](embeddings.image, embeddings.report)
    logits = model.similarity.a * scores + model.similarity.b
    np.testing.assert_allclose(embeddings.scores(model), logits.detach(), rtol=1e-4, atol=1e-4)
    assert table["value"].notna().all()
    lengths = embeddings.image.mean.norm(dim=1)
    assert torch.allclose(lengths, torch.ones(12)) == (name == "pcme++")


def test_only_what_the_objective_uses_is_encoded(study_tables, tiny_profile, tmp_path, monkeypatch):
    seen = []
    encode = steps.encode_views

    def look(model, batch, pixels, targets, sections, spoilt, precision):
        views = encode(model, batch, pixels, targets, sections, spoilt, precision)
        seen.append((len(pixels), len(views.images), len(views.reports), views.spoilt is not None))
        return views

    monkeypatch.setattr(steps, "encode_views", look)
    for name, expected in {
        "clip": (1, 1, 1, False),
        "medprobclip": (2, 2, 2, False),
        "medprobclip-inclusion": (3, 2, 2, True),
    }.items():
        seen.clear()
        profile = replace(tiny_profile, objective=OBJECTIVES[name])
        train_run(study_tables["train"], study_tables["validate"], tmp_path / name, profile)
        assert set(seen) == {expected}


def test_answers_follow_the_rows_of_the_batch(study_tables, tiny_profile):
    """Wording, coding and similarity of every pair, looked up one by one in the table."""
    table = open_table(study_tables["train"], tiny_profile.encoders.image_size)
    codes = [(("a", "b"), ("b", "a"), ("c",))[i % 3] for i in range(40)]
    texts = table.studies["findings"] + " " + table.studies["impression"]
    tokenizer = train_tokenizer(texts, 100, 32)
    dataset = StudyDataset(table.studies.assign(codes=codes), table.images, tokenizer)
    batch = next(dataset.batches(40, seed=0, epoch=0))
    objective = ObjectiveConfig(soft="tfidf", equal_coding="ignored", soft_threshold=0.2, soft_power=1.5)
    targets = answers(batch, objective, tfidf(dataset.reports)).text_text
    vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(texts).toarray()
    kinds = set()
    for i, a in enumerate(batch.rows.tolist()):
        for j, b in enumerate(batch.rows.tolist()):
            row, other = dataset.studies.iloc[a], dataset.studies.iloc[b]
            cosine = float(vectors[a] @ vectors[b])
            if any(row[name] == other[name] for name in ("findings", "impression")):
                expected, kind = (1.0, True), "right"
            elif set(row["codes"]) == set(other["codes"]):
                expected, kind = (0.0, False), "left out"
            else:
                assert abs(cosine - 0.2) > 1e-4  # rounding does not decide
                expected, kind = (cosine**1.5 if cosine >= 0.2 else 0.0, True), "soft"
            found = float(targets.weights[i, j]), bool(targets.counted[i, j])
            assert found == (pytest.approx(expected[0], abs=1e-5), expected[1])
            kinds.add(kind)
    assert len(kinds) == 3


def test_coding_without_codes_is_refused(study_tables, tiny_profile, tmp_path):
    coded = replace(tiny_profile, objective=ObjectiveConfig(equal_coding="positive"))
    with pytest.raises(TrainingError, match="'positive' needs expert codes.*no column `codes`"):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, coded)


class Interrupted(Exception):
    """Stands for a pressed Ctrl-C or a power cut."""


@pytest.mark.parametrize("name", ["medprobclip", "pcme++", "medprobclip-soft", "medprobclip-inclusion"])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(finished, study_tables, tmp_path, name):
    """Also where samples are mixed or degraded at random, or targets come from the untrained encoder."""
    _, history, profile = finished
    tables = study_tables["train"], study_tables["validate"]
    if name != "medprobclip":
        objective = OBJECTIVES[name]
        objective = replace(objective, soft="encoder") if "soft" in name else objective
        profile = replace(profile, objective=objective, training=replace(profile.training, epochs=4))
        if "inclusion" in name:
            profile = replace(profile, augmentation=AugmentationConfig(degraded_share=0.5))
        history = train_run(*tables, tmp_path / "whole", profile)

    def stop_in_the_middle(rows):
        if len(rows) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_run(*tables, tmp_path / "run", profile, stop_in_the_middle)
    assert len(read_history(tmp_path / "run")) == 3
    resumed = train_run(*tables, tmp_path / "run", profile)
    same = [name for name in history.columns if name != "seconds"]
    pd.testing.assert_frame_equal(resumed[same], history[same], rtol=1e-4)


def test_a_stop_within_an_epoch_goes_on_from_the_last_saved_step(
    study_tables, tiny_profile, tmp_path, monkeypatch
):
    """Five steps an epoch, a state every second one: the third of the second epoch is done again."""
    step, calls = updates.Updates.step, []
    profile = replace(tiny_profile, machine=MachineConfig(save_every=2))

    def stop_at_the_ninth(self, batch):
        calls.append(batch.rows.tolist())
        if len(calls) == 9:
            raise Interrupted
        return step(self, batch)

    monkeypatch.setattr(updates.Updates, "step", stop_at_the_ninth)
    with pytest.raises(Interrupted):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, profile)
    assert len(read_history(tmp_path)) == 1
    assert [place.name for place in state.states(tmp_path)] == [
        "epoch-0001-step-0000003", "epoch-0001-step-0000001",
    ]  # fmt: skip
    again = calls[-1]
    assert len(train_run(study_tables["train"], study_tables["validate"], tmp_path, profile)) == 3
    assert calls[9] == again
    assert len(calls) == 9 + 2 + 5


def test_a_stop_while_the_last_state_is_put_in_place_loses_nothing(
    study_tables, tiny_profile, tmp_path, monkeypatch
):
    """The state stands, history.csv does not yet: the run counts as finished all the same."""
    write = state.write_history

    def stop_at_the_last(out, history):
        if len(history) == 3:
            raise Interrupted
        write(out, history)

    monkeypatch.setattr(state, "write_history", stop_at_the_last)
    with pytest.raises(Interrupted):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)
    monkeypatch.setattr(loop.Loop, "epoch", lambda *_: pytest.fail("trained again"))
    assert len(train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)) == 3


def test_a_first_epoch_guards_its_settings(study_tables, tiny_profile, tmp_path, monkeypatch):
    """Stopped right after the first state was saved: other settings must not resume from it."""
    monkeypatch.setattr(state, "write_history", lambda out, history: 1 / (1 - len(history)))
    with pytest.raises(ZeroDivisionError):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)
    other = replace(tiny_profile, training=replace(tiny_profile.training, learning_rate=1e-4))
    with pytest.raises(TrainingError, match="other settings"):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, other)


def test_a_loss_that_is_not_finite_stops_training(study_tables, tiny_profile, tmp_path, monkeypatch):
    monkeypatch.setattr(
        steps, "objective_terms",
        lambda views, similarity, config: {"loss": views.images[0].mean.sum() * torch.nan},
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"epoch 1/3, step 1: not finite.*lower learning_rate. No state"):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, tiny_profile)


def test_a_batch_larger_than_the_data_is_refused(study_tables, tiny_profile, tmp_path):
    large = replace(tiny_profile, training=replace(tiny_profile.training, batch_size=64))
    with pytest.raises(TrainingError, match="40 training studies do not fill one batch of 64"):
        train_run(study_tables["train"], study_tables["validate"], tmp_path, large)
