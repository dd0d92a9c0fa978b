"""A training with a fixed number of threads repeats itself, however many the process was given."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from medprobclip.training import runs

# The settings of `tiny_profile`, one epoch with two threads.
TRAIN = """
import sys
from medprobclip.settings import EncoderConfig, TrainingConfig
from medprobclip.training.profiles import Profile
from medprobclip.training.runs import train_run

encoders = EncoderConfig(
    "tiny-resnet", "tiny-bert", embed_dim=8, image_size=32, max_tokens=32, vocab_size=100
)
training = TrainingConfig(epochs=1, batch_size=8, learning_rate=3e-3, threads=2)
train_run(*sys.argv[1:], Profile("tiny", encoders, training))
"""


def test_checkpoints_are_equal_byte_by_byte(study_tables, tmp_path):
    """In a process with one thread and in one with three, which differ if they are left to themselves."""
    checkpoints = []
    for threads in ("1", "3"):
        environment = {
            "OMP_NUM_THREADS": threads,
            "OMP_WAIT_POLICY": "passive",  # threads that wait take no core from other tests
            "MEDPROBCLIP_IMAGES": str(tmp_path / f"images-{threads}"),
        }
        out = tmp_path / threads
        subprocess.run(
            [sys.executable, "-c", TRAIN, study_tables["train"], study_tables["validate"], out],
            env=os.environ | environment, check=True, capture_output=True,
        )  # fmt: skip
        checkpoints.append((out / "checkpoint" / "model.safetensors").read_bytes())
    assert len(checkpoints[0]) > 10_000
    assert checkpoints[0] == checkpoints[1]


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
    count("embed", runs.embed)
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
    assert counted == [("train", threads or 2), ("embed", threads or 2)]
