"""A training survives signals, kills, full disks and damaged files, and repeats itself bit by bit."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import killed
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from medprobclip import medprobclip_train
from medprobclip.model import MedProbCLIPModel
from medprobclip.training import loop, steps, updates
from medprobclip.training.errors import TrainingError
from medprobclip.training.runs import train_run
from medprobclip.training.state import damage, read_history, read_progress, states
from medprobclip.training.stopping import TrainingStopped
from medprobclip.training_settings import MachineConfig

STEPS = 5  # an epoch, of 40 studies


@pytest.fixture(scope="module")
def tables(study_tables):
    return study_tables["train"], study_tables["validate"]


@pytest.fixture(scope="module")
def profile(tiny_profile):
    """Two epochs, saved every second step: dropout, crops and the order are at random."""
    training = replace(tiny_profile.training, epochs=2, threads=1)
    return replace(tiny_profile, training=training, machine=MachineConfig(save_every=2, keep_states=3))


@pytest.fixture(scope="module")
def whole(tables, profile, tmp_path_factory):
    """The same training, never stopped."""
    out = tmp_path_factory.mktemp("whole")
    train_run(*tables, out, profile)
    return out


def assert_same_end(out, whole):
    """Weights and optimizer, bit by bit."""
    assert killed.weights(out) == killed.weights(whole)
    assert killed.last_state(out) == killed.last_state(whole)


@pytest.fixture
def before_step(monkeypatch):
    """`before_step(7, f)`: call f before the seventh update from now on, once."""

    def plan(number, call):
        step, count = updates.Updates.step, [0]

        def counted(self, batch):
            count[0] += 1
            if count[0] == number:
                call()
            return step(self, batch)

        monkeypatch.setattr(updates.Updates, "step", counted)

    return plan


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_it_came_in(tables, profile, whole, tmp_path, before_step, number):
    """The seventh: no multiple of what is saved anyway. Nothing is lost, and the handlers are as before."""
    handlers = [signal.getsignal(of) for of in (signal.SIGTERM, signal.SIGINT)]
    before_step(7, lambda: os.kill(os.getpid(), number))
    with pytest.raises(TrainingStopped, match=f"{number.name} after step 2 of 5 of epoch 2/2") as stopped:
        train_run(*tables, tmp_path, profile)
    assert stopped.value.exit_code == 128 + number
    assert [signal.getsignal(of) for of in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert (read_progress(tmp_path).epoch, read_progress(tmp_path).step) == (1, 2)
    train_run(*tables, tmp_path, profile)
    assert_same_end(tmp_path, whole)


def test_a_second_ctrl_c_waits_for_nothing(tables, profile, tmp_path, before_step):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before_step(4, twice)
    with pytest.raises(KeyboardInterrupt):
        train_run(*tables, tmp_path, profile)
    assert read_progress(tmp_path).step == 2


def test_validation_is_left_at_once_and_done_again(tables, profile, whole, tmp_path, monkeypatch):
    validate = loop.validate

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")

    monkeypatch.setattr(loop, "validate", interrupted)
    with pytest.raises(TrainingStopped, match="SIGTERM after step 5 of 5 of epoch 1/2"):
        train_run(*tables, tmp_path, profile)
    monkeypatch.setattr(loop, "validate", validate)
    train_run(*tables, tmp_path, profile)
    assert_same_end(tmp_path, whole)


def test_the_only_state_is_not_written_again_before_validation(tables, profile, tmp_path, monkeypatch):
    """A kill while it was replaced would leave none."""
    one, validate = replace(profile, machine=MachineConfig(keep_states=1)), loop.validate

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "validate", interrupted)
    with pytest.raises(TrainingStopped):
        train_run(*tables, tmp_path, one)
    (only,) = states(tmp_path)
    written = only.stat().st_mtime_ns
    with pytest.raises(TrainingStopped):
        train_run(*tables, tmp_path, one)
    assert states(tmp_path) == [only]
    assert only.stat().st_mtime_ns == written
    monkeypatch.setattr(loop, "validate", validate)
    assert len(train_run(*tables, tmp_path, one)) == 2


def test_the_command_ends_as_the_signal_says(study_tables, tmp_path, before_step, capsys):
    flags = [f"--{flag}_csv={study_tables[name]}" for flag, name in
             {"train": "train", "val": "validate", "test": "test"}.items()]  # fmt: skip
    sizes = "--profile smoke --image_size 32 --batch_size 8 --epochs 1".split()
    before_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        medprobclip_train.main([*flags, *sizes, "--out", str(tmp_path / "run")])
    assert ended.value.code == 143
    said = capsys.readouterr().err.strip().splitlines()
    assert said == ["Stopped by SIGTERM after step 3 of 5 of epoch 1/1; the state is saved: the same goes on"]
    assert read_progress(tmp_path / "run").step == 3


@pytest.mark.parametrize("processes", [1, 2])
def test_kills_at_random_moments_change_nothing(tables, tmp_path, processes, encoders):
    """Each sitting ends by SIGKILL; `tests/killed.py` tries as many as it is told."""
    kills = {1: 5, 2: 2}[processes]
    command = [sys.executable, killed.__file__, *tables, tmp_path, kills, processes, os.getpid(), *encoders]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        list(map(str, command)), env=environment, text=True, capture_output=True, timeout=200
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{kills} kills" in found.stdout


def spoil(how: str, place: Path) -> None:
    """Damage a state as a crash of the machine or a bad disk does."""
    if how == "half":
        content = (place / "optimizer.bin").read_bytes()
        (place / "optimizer.bin").write_bytes(content[: len(content) // 2])
    elif how == "bit":
        content = bytearray((place / "model.safetensors").read_bytes())
        content[-5] ^= 16
        (place / "model.safetensors").write_bytes(content)
    elif how == "missing":
        (place / "random_states_0.pkl").unlink()
    else:
        (place / how).write_text('{"histo')


@pytest.mark.parametrize("how", ["half", "bit", "missing", "progress.json", "files.json"])
def test_a_damaged_state_is_told_and_the_one_before_taken(
    tables, profile, whole, tmp_path, before_step, capsys, how
):
    before_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingStopped):
        train_run(*tables, tmp_path, profile)
    newest, older, *_ = states(tmp_path)
    spoil(how, newest)
    assert damage(newest)
    assert damage(older) is None
    train_run(*tables, tmp_path, profile)
    said = capsys.readouterr().out
    assert f"Warning: {newest} is damaged" in said
    assert "Resuming after step 4 of 5 of epoch 1/2" in said
    assert_same_end(tmp_path, whole)


def test_all_states_damaged_is_an_error(tables, profile, tmp_path, before_step):
    before_step(4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingStopped):
        train_run(*tables, tmp_path, profile)
    for place in states(tmp_path):
        spoil("half", place)
    with pytest.raises(TrainingError, match="none of its saved states is whole. Delete the folder"):
        train_run(*tables, tmp_path, profile)


def test_a_checkpoint_without_states_is_not_trained_over(tables, profile, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    shutil.rmtree(out / "states")
    before = killed.weights(out), (out / "settings.json").read_bytes()
    other = replace(profile, training=replace(profile.training, seed=7))
    with pytest.raises(TrainingError, match="holds a checkpoint, but no state"):
        train_run(*tables, out, other)
    assert (killed.weights(out), (out / "settings.json").read_bytes()) == before


def test_a_full_disk_leaves_the_last_state(tables, profile, whole, tmp_path, before_step):
    """Files larger than 20 kB cannot be written from the fifth step on, as where no room is left."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before_step(4, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard)))
    try:
        with pytest.raises(TrainingError, match="cannot be saved.*2, is as it was. Make room") as e:
            train_run(*tables, tmp_path, profile)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert "\n" not in str(e.value)
    assert [place.name for place in (tmp_path / "states").iterdir()] == ["epoch-0000-step-0000002"]
    train_run(*tables, tmp_path, profile)
    assert_same_end(tmp_path, whole)


def test_a_best_model_that_cannot_be_written_leaves_the_one_before(tables, profile, tmp_path, monkeypatch):
    save, values = MedProbCLIPModel.save_pretrained, iter([1.0, 2.0])

    def full(model, folder):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    told = dict.fromkeys(("val_R@10_i2t", "val_R@10_t2i"), 1.0)
    monkeypatch.setattr(loop, "validate", lambda *_: told | {"val_rsum": next(values)})
    train_run(*tables, tmp_path, after_one := replace(profile, training=replace(profile.training, epochs=1)))
    before = killed.weights(tmp_path)
    monkeypatch.setattr(MedProbCLIPModel, "save_pretrained", full)
    two = replace(after_one, training=replace(after_one.training, epochs=2))
    with pytest.raises(TrainingError, match="checkpoint: cannot be saved .*No space left.*0005 is as it was"):
        train_run(*tables, tmp_path, two)
    assert killed.weights(tmp_path) == before
    monkeypatch.setattr(MedProbCLIPModel, "save_pretrained", save)


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("number", [4, STEPS])
def test_what_is_not_finite_leaves_the_last_state(
    tables, profile, whole, tmp_path, monkeypatch, what, number
):
    """In any step, the last of an epoch included; also where the loss is a number and its gradient none."""
    terms, count = steps.objective_terms, [0]

    def spoilt(views, similarity, objective):
        found, mean = terms(views, similarity, objective), views.images[0].mean
        count[0] += 1
        if count[0] == number:
            found["loss"] = found["loss"] + ((mean * 0).sum().sqrt() if what == "gradient" else torch.inf)
        return found

    monkeypatch.setattr(steps, "objective_terms", spoilt)
    with pytest.raises(TrainingError, match=rf"epoch 1/2, step {number}: not finite.*is as it was"):
        train_run(*tables, tmp_path, profile)
    weights = load_file(states(tmp_path)[0] / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())
    train_run(*tables, tmp_path, profile)
    assert_same_end(tmp_path, whole)


def test_only_the_newest_states_are_kept(tables, profile, tmp_path):
    machine = MachineConfig(save_every=1, keep_states=2)
    train_run(*tables, tmp_path, replace(profile, machine=machine))
    names = [place.name for place in states(tmp_path)]
    assert names == ["epoch-0002-step-0000000", "epoch-0001-step-0000005"]
    assert len(list((tmp_path / "states").iterdir())) == 2
    assert len(read_history(tmp_path)) == 2
