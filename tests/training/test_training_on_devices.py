"""Training on every device: learns, resumes, knows every objective, and its runs open anywhere."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from medprobclip.settings import OBJECTIVES, AugmentationConfig
from medprobclip.support.precision import has_bfloat16
from medprobclip.training import runs, steps
from medprobclip.training.errors import TrainingError
from medprobclip.training.profiles import get_profile
from medprobclip.training.runs import embed_run, load_run, load_strangeness, train_run
from medprobclip.training.state import read_history, states


class Interrupted(Exception):
    """As if someone had pressed Ctrl-C."""


def weights(run) -> torch.Tensor:
    """All of a run's best model in one row, and of its last state."""
    files = (run / "checkpoint" / "model.safetensors", states(run)[0] / "model.safetensors")
    return torch.cat([t.flatten().float() for file in files for t in load_file(file).values()])


def after(profile, epochs: int):
    return replace(profile, training=replace(profile.training, epochs=epochs))


@pytest.fixture
def tables(study_tables):
    return study_tables["train"], study_tables["validate"]


@pytest.fixture
def where(monkeypatch):
    """The devices of the pixels that were trained on."""
    seen, step = set(), steps.encode_views

    def look(model, batch, pixels, *arguments):
        seen.add((pixels.device.type, model.device.type))
        return step(model, batch, pixels, *arguments)

    monkeypatch.setattr(steps, "encode_views", look)
    return seen


def test_the_loss_is_finite_and_falls(device, tables, tiny_profile, tmp_path, where):
    history = train_run(*tables, tmp_path, after(tiny_profile, 6))
    assert where == {(device.type, device.type)}
    assert np.isfinite(history["loss"]).all()
    assert history["image_text"].iloc[-1] < history["image_text"].iloc[0] - 0.1


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda"], indirect=True)
def test_the_demo_learns_in_bfloat16(device, tables, tmp_path, where):
    """Its own encoders, objective and augmentation, in small batches: there are only 40 studies."""
    if not has_bfloat16(device):
        pytest.skip("this device has no bfloat16")
    demo = get_profile("demo")
    demo = replace(demo, encoders=replace(demo.encoders, vocab_size=100))
    profile = replace(demo, training=replace(demo.training, epochs=6, batch_size=8))
    history = train_run(*tables, tmp_path, profile)
    assert where == {("cuda", "cuda")}
    assert np.isfinite(history["loss"]).all()
    assert history["image_text"].iloc[-1] < history["image_text"].iloc[0] - 0.5


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda"], indirect=True)
def test_float16_learns_and_its_scaler_is_restored(device, tables, tiny_profile, tmp_path):
    """Scaled too much at first, it leaves steps out and scales less; a resumed one goes on from there."""
    profile = after(tiny_profile, 3)
    profile = replace(profile, training=replace(profile.training, precision="float16"))

    def stop(rows):
        raise Interrupted

    with pytest.raises(Interrupted):
        train_run(*tables, tmp_path, profile, stop)
    scaler = torch.load(states(tmp_path)[0] / "scaler.pt")
    assert 0 < scaler["scale"] <= 65536
    history = train_run(*tables, tmp_path, profile)
    assert np.isfinite(history["loss"]).all()
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_float16_without_a_gpu_is_refused(tables, tiny_profile, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    AcceleratorState._reset_state(True)
    profile = replace(tiny_profile, training=replace(tiny_profile.training, precision="float16"))
    with pytest.raises(TrainingError, match="'float16' needs a GPU: on a CPU take auto"):
        train_run(*tables, tmp_path, profile)
    AcceleratorState._reset_state(True)


@pytest.mark.parametrize(
    ("device", "name"),
    [("cpu", "pcme++"), *(pytest.param("cuda", name, marks=pytest.mark.gpu) for name in OBJECTIVES)],
    indirect=["device"],
)
def test_every_objective_trains(device, name, tables, tiny_profile, tmp_path, where):
    """With expert codes, a degraded share and varied sentences, so that every path has been on the device."""
    table = pd.read_csv(tables[0])
    table["codes"] = ["normal" if i % 3 else "opacity" for i in range(len(table))]
    table.to_csv(coded := tables[0].parent / "coded.csv", index=False)
    profile = replace(
        after(tiny_profile, 1),
        objective=OBJECTIVES[name],
        augmentation=AugmentationConfig(degraded_share=0.5, sentence_shuffle=True),
    )
    history = train_run(coded, tables[1], tmp_path, profile)
    assert where == {(device.type, device.type)}
    assert np.isfinite(history.drop(columns="epoch").to_numpy()).all()


def test_soft_targets_of_the_text_encoder(device, tables, tiny_profile, tmp_path):
    objective = replace(OBJECTIVES["medprobclip"], soft="encoder")
    history = train_run(*tables, tmp_path, replace(after(tiny_profile, 1), objective=objective))
    assert np.isfinite(history["loss"]).all()


def test_an_interrupted_run_ends_as_if_it_never_stopped(device, tables, tiny_profile, tmp_path, monkeypatch):
    """Byte for byte where the device repeats itself, else as near as two runs of the same settings are."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    profile = after(tiny_profile, 3)
    for name in ("whole", "twin"):
        train_run(*tables, tmp_path / name, profile)
    other = replace(profile, training=replace(profile.training, seed=7))
    train_run(*tables, tmp_path / "other", other)

    def stop_in_the_middle(rows):
        if len(rows) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_run(*tables, tmp_path / "run", profile, stop_in_the_middle)
    assert len(read_history(tmp_path / "run")) == 2
    assert len(train_run(*tables, tmp_path / "run", profile)) == 3
    whole, twin, run, other = (weights(tmp_path / name) for name in ("whole", "twin", "run", "other"))
    noise, far = float((whole - twin).norm()), float((whole - other).norm())
    found = float((whole - run).norm())
    assert far > 1
    assert found <= 10 * noise, f"{found:.3g}, where two runs differ by {noise:.3g}, two seeds by {far:.3g}"
    assert noise < 0.05 * far


@pytest.mark.gpu
@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_run_goes_on_on_another_device(first, tables, tiny_profile, tmp_path, monkeypatch, where):
    """A state that was saved on a GPU opens on a CPU, and the other way round."""
    profile = after(tiny_profile, 2)

    def use(kind):
        monkeypatch.setenv("ACCELERATE_USE_CPU", str(kind == "cpu").lower())
        AcceleratorState._reset_state(True)

    def stop(rows):
        raise Interrupted

    use(first)
    with pytest.raises(Interrupted):
        train_run(*tables, tmp_path, profile, stop)
    before = read_history(tmp_path)
    use({"cpu": "cuda", "cuda": "cpu"}[first])
    history = train_run(*tables, tmp_path, profile)
    AcceleratorState._reset_state(True)
    assert where == {("cpu", "cpu"), ("cuda", "cuda")}
    pd.testing.assert_frame_equal(history.iloc[:1], before)
    assert np.isfinite(history["loss"]).all()


def test_a_checkpoint_opens_on_the_cpu(device, tables, tiny_profile, tmp_path):
    """Whatever trained it: weights and densities are files of numbers, and land on the CPU."""
    train_run(*tables, tmp_path, after(tiny_profile, 1))
    model, _ = load_run(tmp_path)
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert all(p.isfinite().all() for p in model.parameters())
    strangeness = load_strangeness(tmp_path)
    for density in (strangeness.image, strangeness.report):
        assert density.mean.device.type == density.whitening.device.type == "cpu"
        assert density.whitening.isfinite().all()


def test_a_table_is_embedded_on_the_device(device, tables, study_tables, tiny_profile, tmp_path, monkeypatch):
    """Test and calibration studies, too: hours on a CPU with large encoders."""
    train_run(*tables, tmp_path, after(tiny_profile, 1))
    seen, embed = [], runs.embed_together

    def look(model, *arguments, **settings):
        seen.append(model.device.type)
        return embed(model, *arguments, **settings)

    monkeypatch.setattr(runs, "embed_together", look)
    embeddings, _, _ = embed_run(tmp_path, study_tables["test"])
    assert seen == [device.type]
    assert embeddings.image.mean.device.type == embeddings.report_strangeness.device.type == "cpu"
