"""The chest encoder's school: it learns film by film, resumes exactly, and leaves a folder behind."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModel, ResNetModel

from medprobclip.data.augment import to_float
from medprobclip.evaluation.discrimination import auroc
from medprobclip.school_settings import SchoolConfig
from medprobclip.settings import GreyConfig
from medprobclip.training import schooling
from medprobclip.training.errors import TrainingError
from medprobclip.training.schooling import Pupil, mean_auroc, measurable, predict, save_encoder, school

CONFIG = SchoolConfig("tiny-resnet", epochs=3, batch_size=8, learning_rate=5e-3)
PARTS = {"train": np.arange(40), "validation": np.arange(40, 60)}


@pytest.fixture(autouse=True)
def _memory_as_it_comes(monkeypatch):
    """The other tests share this process."""
    monkeypatch.setattr(schooling, "keep_freed_memory", lambda: False)


def bright_squares(count: int) -> tuple[torch.Tensor, np.ndarray]:
    """Pictures whose labels are: a square above in the PA film, a square below in the lateral one."""
    rng = np.random.default_rng(1)
    labels = rng.random((count, 2)) < 0.5
    images = rng.normal(90, 10, (count, 2, 32, 32))
    images[:, 0, 4:14, 4:14] += 100 * labels[:, 0, None, None]
    images[:, 1, 18:30, 14:26] += 100 * labels[:, 1, None, None]
    return torch.from_numpy(images.clip(0, 255).astype(np.uint8)), labels


def naive_auroc(scores, labels) -> float:
    """Pair by pair."""
    pairs = [(p, n) for p, n in product(range(len(labels)), repeat=2) if labels[p] and not labels[n]]
    return float(np.mean([(scores[p] > scores[n]) + 0.5 * (scores[p] == scores[n]) for p, n in pairs]))


@torch.no_grad()
def naive_logits(model: Pupil, images: torch.Tensor) -> torch.Tensor:
    """One film at a time: `[N, V, K]`."""
    answers = []
    for patient in images:
        for film in patient:
            pixels = (film.float()[None, None] / 255 - GreyConfig.mean) / GreyConfig.std
            features = model.encoder(pixel_values=pixels).last_hidden_state[0].flatten(1).mean(1)
            answers.append(model.linear.weight @ features + model.linear.bias)
    return torch.stack(answers).unflatten(0, images.shape[:2])


def same_weights(model: Pupil, other: Pupil) -> bool:
    a, b = model.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_each_film_of_each_patient_is_named_by_itself(float32):
    """Whatever the block: 130 patients are more than one."""
    torch.manual_seed(0)
    images, _ = bright_squares(130)
    model = Pupil("tiny-resnet", 3)
    predict(model.train(), images[:40])  # it must not change the model
    found = predict(model.train(), images)
    assert found.shape == (130, 2, 3)
    assert found.dtype == np.float32
    model.eval()
    np.testing.assert_allclose(found, naive_logits(model, images), atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3


def test_it_learns_what_each_film_shows(float32, tmp_path):
    """And from a film that does not show it, it knows no more than chance."""
    images, labels = bright_squares(160)
    parts = {"train": np.arange(80), "validation": np.arange(80, 100)}
    model, history = school(images, labels, parts, CONFIG, tmp_path)
    scores, truth = predict(model, images)[100:], labels[100:]
    for view in (0, 1):
        assert auroc(scores[:, view, view], truth[:, view]) > 0.95
        assert 0.25 < auroc(scores[:, 1 - view, view], truth[:, view]) < 0.75  # spread 0.075
        assert auroc(scores.mean(1)[:, view], truth[:, view]) > 0.95
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] - 0.1
    assert history["epoch"].tolist() == [1, 2, 3]


def test_the_history_by_hand(float32, tmp_path, monkeypatch):
    """Nothing is learned at rate 0, and one batch holds all: so the final network gave every number.

    The loss is of PA, lateral and both together, each patient and each name; validation is of PA films.
    """

    class Plain(torch.nn.Module):
        """Pictures as they are."""

        def forward(self, images):
            return torch.stack([to_float(view) for view in images])

    monkeypatch.setattr(schooling, "TrainingViews", lambda *_: Plain())
    images, labels = bright_squares(60)
    config = SchoolConfig("tiny-resnet", epochs=1, batch_size=40, learning_rate=0.0)
    model, history = school(images, labels, PARTS, config, tmp_path)
    validation = naive_logits(model.eval(), images[40:])[:, 0]
    expected = np.mean([naive_auroc(validation[:, i], labels[40:, i]) for i in (0, 1)])
    assert history["validation"].tolist() == pytest.approx([expected])

    films = (images[:40].float().transpose(0, 1)[:, :, None] / 255 - GreyConfig.mean) / GreyConfig.std
    with torch.no_grad():
        logits = model.train()(films)
    losses = []
    for patient, name in product(range(40), (0, 1)):
        pa, lateral = (float(logits[view, patient, name]) for view in (0, 1))
        for answer in (pa, lateral, (pa + lateral) / 2):
            p = 1 / (1 + math.exp(-answer))
            losses.append(-math.log(p if labels[patient, name] else 1 - p))
    assert history["loss"].tolist() == pytest.approx([np.mean(losses)], rel=1e-5)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), history, rtol=1e-5)


def test_only_training_patients_teach(float32, tmp_path):
    """Others may be and have what they like, validation included: it is watched, not chosen by."""
    images, labels = bright_squares(70)
    model, history = school(images, labels, PARTS, CONFIG, tmp_path / "a")
    images[40:], labels[40:] = 255 - images[40:], ~labels[40:]
    other, watched = school(images, labels, PARTS, CONFIG, tmp_path / "b")
    assert same_weights(model, other)
    assert history["loss"].tolist() == watched["loss"].tolist()
    images[:40] = images[:40].flip(-1)
    third, _ = school(images, labels, PARTS, CONFIG, tmp_path / "c")
    assert not same_weights(model, third)


def test_the_seed_and_the_epochs_make_the_encoder(float32, tmp_path):
    images, labels = bright_squares(60)
    model, _ = school(images, labels, PARTS, CONFIG, tmp_path / "a")
    again, _ = school(images, labels, PARTS, CONFIG, tmp_path / "b")
    assert same_weights(model, again)
    other = SchoolConfig("tiny-resnet", epochs=3, batch_size=8, learning_rate=5e-3, seed=7)
    assert not same_weights(model, school(images, labels, PARTS, other, tmp_path / "c")[0])
    last = torch.load(tmp_path / "a" / "last.pt", weights_only=True)
    assert last["schedule"]["_last_lr"] == pytest.approx([0.0])  # so that the last epoch is the best


class Interrupted(Exception):
    """Stands for a pressed Ctrl-C or a power cut."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupted_school_ends_like_an_uninterrupted_one(float32, tmp_path, monkeypatch, moment):
    """Stopped before or after the state of the second epoch is kept: the same weights, bit for bit."""
    images, labels = bright_squares(60)
    whole, expected = school(images, labels, PARTS, CONFIG, tmp_path / "whole")
    with monkeypatch.context() as patch:

        def stop(out, parts, history, keep=schooling.keep):
            if moment == "after" or len(history) < 2:
                keep(out, parts, history)
            if len(history) == 2:
                raise Interrupted

        patch.setattr(schooling, "keep", stop)
        with pytest.raises(Interrupted):
            school(images, labels, PARTS, CONFIG, tmp_path / "cut")
    assert len(pd.read_csv(tmp_path / "cut" / "history.csv")) == (2 if moment == "after" else 1)
    torch.manual_seed(3)  # whatever else the process has drawn meanwhile
    resumed, history = school(images, labels, PARTS, CONFIG, tmp_path / "cut")
    assert same_weights(resumed, whole)
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    np.testing.assert_array_equal(predict(resumed, images), predict(whole, images))


def test_a_finished_school_is_not_attended_again(float32, tmp_path, monkeypatch):
    images, labels = bright_squares(60)
    model, history = school(images, labels, PARTS, CONFIG, tmp_path)
    monkeypatch.setattr(schooling, "keep", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(schooling, "predict", lambda *_: pytest.fail("validated again"))
    again, same = school(images, labels, PARTS, CONFIG, tmp_path)
    assert same_weights(model, again)
    pd.testing.assert_frame_equal(same, history, check_exact=True)


def test_a_state_of_other_lessons_is_refused(tmp_path):
    images, labels = bright_squares(60)
    school(images, labels, PARTS, CONFIG, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(TrainingError, match=r"(?s)last\.pt is of other lessons.*delete it"):
        school(images, labels[:, :1], PARTS, CONFIG, tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_school_refuses_what_it_cannot_do(tmp_path):
    images, labels = bright_squares(60)
    few = {"train": np.arange(7), "validation": np.arange(40, 60)}
    with pytest.raises(TrainingError, match="7 training patients do not fill one batch of 8; lower"):
        school(images, labels, few, CONFIG, tmp_path)
    healthy = labels.copy()
    healthy[40:] = False
    with pytest.raises(TrainingError, match="among 20 patients; raise patients"):
        school(images, healthy, PARTS, CONFIG, tmp_path)
    assert not (tmp_path / "last.pt").exists()


def test_a_loss_that_is_not_finite_stops_the_school(tmp_path, monkeypatch):
    """Nothing of such an epoch is kept."""
    images, labels = bright_squares(60)
    monkeypatch.setattr(schooling, "normalise", lambda pixels, mean, std: pixels * torch.nan)
    with pytest.raises(TrainingError, match="epoch 1: the loss is not finite; lower learning_rate"):
        school(images, labels, PARTS, CONFIG, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_mean_is_over_what_can_be_measured():
    labels = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1]], dtype=bool)
    assert measurable(labels).tolist() == [True, False, False, True]
    scores = np.array([[3.0, 0, 0, 2], [1, 0, 0, 1], [2, 0, 0, 3], [2, 0, 0, 2]])
    # First: 3 beats both, 2 beats 1 and ties with 2: 3.5 of 4. Last: 3 beats 2, 2 ties, 1 loses: 1.5 of 3.
    assert mean_auroc(scores, labels) == pytest.approx((3.5 / 4 + 1.5 / 3) / 2)
    with pytest.raises(TrainingError, match="among 4 patients"):
        mean_auroc(scores, labels[:, 1:3])


def test_a_saved_encoder_is_a_transformers_folder_in_half_precision(tmp_path):
    torch.manual_seed(0)
    images, _ = bright_squares(6)
    model = Pupil("tiny-resnet", 2).to(memory_format=torch.channels_last)
    model.train()(images.transpose(0, 1)[:, :, None].float() / 255)  # so that the norms hold statistics
    encoder = model.eval().encoder
    save_encoder(encoder, tmp_path / "new" / "encoder", {"taught": "squares", "seed": "7"})
    with safe_open(tmp_path / "new" / "encoder" / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt", "taught": "squares", "seed": "7"}
        assert set(file.keys()) == set(encoder.state_dict())
        for name, weight in encoder.state_dict().items():
            stored, wanted = file.get_tensor(name), weight.numpy()
            wanted = wanted.astype(np.float16) if wanted.dtype == np.float32 else wanted
            assert stored.dtype == wanted.dtype
            np.testing.assert_array_equal(stored, wanted)
    opened = AutoModel.from_pretrained(tmp_path / "new" / "encoder", dtype=torch.float32)
    assert type(opened) is ResNetModel
    with torch.no_grad():
        pixels = images[:, :1].float() / 255
        found, wanted = (m.eval()(pixel_values=pixels).last_hidden_state for m in (opened, encoder))
    torch.testing.assert_close(found, wanted, atol=5e-3, rtol=5e-3)
    assert wanted.std() > 0.05
