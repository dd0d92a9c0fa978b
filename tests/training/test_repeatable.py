"""A training with a fixed number of threads repeats itself, however many the process was given."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from medprobclip.settings import EncoderConfig
from medprobclip.training import runs
from medprobclip.training.profiles import Profile
from medprobclip.training_settings import TrainingConfig

# The settings of `tiny_profile`, one epoch with two threads, as in the test below.
TRAIN = """
import sys
from medprobclip.settings import EncoderConfig
from medprobclip.training_settings import TrainingConfig
from medprobclip.training.profiles import Profile
from medprobclip.training.runs import train_run

encoders = EncoderConfig(
    "tiny-resnet", "tiny-bert", embed_dim=8, image_size=32, max_tokens=32, vocab_size=100
)
training = TrainingConfig(epochs=1, batch_size=8, learning_rate=3e-3, threads=2)
train_run(*sys.argv[1:], Profile("tiny", encoders, training))
"""


def test_checkpoints_are_equal_byte_by_byte(study_tables, tmp_path, monkeypatch):
    """Here with one thread, and in a process with three: they differ if they are left to themselves."""
    encoders = EncoderConfig(
        "tiny-resnet", "tiny-bert", embed_dim=8, image_size=32, max_tokens=32, vocab_size=100
    )
    once = Profile("tiny", encoders, TrainingConfig(epochs=1, batch_size=8, learning_rate=3e-3, threads=2))
    tables, threads = (study_tables["train"], study_tables["validate"]), torch.get_num_threads()
    monkeypatch.setenv("MEDPROBCLIP_IMAGES", str(tmp_path / "images-here"))
    try:
        torch.set_num_threads(1)
        runs.train_run(*tables, tmp_path / "here", once)
    finally:
        torch.set_num_threads(threads)
    environment = {
        "OMP_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "passive",  # threads that wait take no core from other tests
        "MEDPROBCLIP_IMAGES": str(tmp_path / "images-there"),
    }
    subprocess.run(
        [sys.executable, "-c", TRAIN, *tables, tmp_path / "there"],
        env=os.environ | environment, check=True, capture_output=True,
    )  # fmt: skip
    here, there = (
        (tmp_path / place / "checkpoint" / "model.safetensors").read_bytes() for place in ("here", "there")
    )
    assert len(here) > 10_000
    assert here == there


@pytest.fixture
def counted(monkeypatch):
    """How many threads there were for each training and embedding, which then take one, for speed."""
    seen = []

    def count(name, call):
        def counting(*arguments, **settings):
            seen.append((name, torch.get_num_threads()))
            torch.set_num_threads(1)
            return call(*arguments, **settings)

        monkeypatch.setattr(runs, name, counting)

    count("train", runs.train)
    count("embed_together", runs.embed_together)
    before = torch.get_num_threads()
    yield seen
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [7, None])
def test_training_and_embedding_take_the_threads_of_the_run(
    study_tables, tiny_profile, tmp_path, counted, threads
):
    torch.set_num_threads(2)
    profile = replace(tiny_profile, training=replace(tiny_profile.training, epochs=1, threads=threads))
    runs.train_run(study_tables["train"], study_tables["validate"], tmp_path, profile)
    assert torch.get_num_threads() == 2
    runs.embed_run(tmp_path, study_tables["test"])
    assert torch.get_num_threads() == 2
    assert counted == [("train", threads or 2), ("embed_together", threads or 2)]
