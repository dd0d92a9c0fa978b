"""Several processes compute what one does: the same loss, the same gradients, the same order."""

import contrasted
import numpy as np
import pytest
import torch
from contrasted import CASES, measured
from together import together

from medprobclip.data.dataset import StudyDataset
from medprobclip.evaluation.embedding import Embeddings, embed
from medprobclip.training.processes import Team
from medprobclip.training.runs import load_run, open_table
from medprobclip.training.state import read_history


@pytest.fixture
def alone(float32):
    found = {}
    for name, objective in CASES.items():
        found |= measured(name, objective, Team(), None)
    return found


@pytest.mark.parametrize("number", [2, 3])
def test_loss_and_gradients_are_those_of_one_process(alone, number, tmp_path):
    """For every objective, of a batch that does not divide: 4 + 3, and 3 + 2 + 2 studies. At once, and three
    studies at a time: 3 + 1 and 3 of two processes.
    """
    together(number, contrasted.__file__, tmp_path)
    for file in ("whole.pt", "chunks.pt"):
        found = torch.load(tmp_path / file)
        assert found.pop("processes") == number
        assert found.keys() >= alone.keys()
        for name, expected in alone.items():
            torch.testing.assert_close(
                found[name], expected, atol=1e-5, rtol=1e-5, msg=lambda why, name=name: f"{name}: {why}"
            )
        for name in found.keys() - alone.keys():  # what one process leaves without a gradient
            assert not found[name].any()
    assert found.keys() == alone.keys()  # in chunks these have none either


def test_parts_are_neighbours_and_all_there_is():
    for number in range(1, 9):
        for n in range(number, 40):
            teams = [Team(number, rank) for rank in range(number)]
            rows = [np.arange(n)[team.part(n)] for team in teams]
            np.testing.assert_array_equal(np.concatenate(rows), np.arange(n))
            assert [len(part) for part in rows] == teams[0].sizes(n)
            assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_the_command_trains_with_two(study_tables, encoders, tmp_path):
    """Batches of 9 studies on 2 processes, radiographs of both mixed: one run folder, told once, embedded in
    the order of the table.
    """
    tables = {"train": "train", "val": "validate", "test": "test", "calibrate": "calibrate"}
    flags = [part for flag, name in tables.items() for part in (f"--{flag}_csv", study_tables[name])]
    sizes = "--embed_dim 8 --image_size 32 --max_tokens 32 --batch_size 9 --learning_rate 3e-3".split()
    sizes += ["--vision", encoders[0], "--text", encoders[1]]
    command = [*flags, *sizes, "--objective", "pcme++", "--out", tmp_path / "run"]
    first, second = together(2, "-m medprobclip train", *command, "--epochs", 2)
    assert second.strip() == ""
    assert first.count("epoch 1/2") == first.count("Checkpoint, metrics.json") == 1
    history = read_history(tmp_path / "run")
    # The cosine of one process, after one step of warm-up: three of seven steps down, then all.
    expected = [3e-3 * (1 + np.cos(np.pi * 3 / 7)) / 2, 0]
    np.testing.assert_allclose(history["learning_rate"], expected, atol=1e-9)
    model, tokenizer = load_run(tmp_path / "run")
    table = open_table(study_tables["test"], 32)
    dataset = StudyDataset(table.studies, table.images, tokenizer, required=("findings",))
    alone, found = embed(model, dataset), Embeddings.load(tmp_path / "run" / "embeddings.safetensors")
    assert found.study_ids == dataset.study_ids
    for side in ("image", "report"):
        torch.testing.assert_close(getattr(found, side).mean, getattr(alone, side).mean, atol=1e-3, rtol=1e-2)
    assert (tmp_path / "run" / "calibration.json").exists()


@pytest.mark.gpu
def test_two_devices_train_one_model(study_tables, tmp_path):
    """Batch normalisation over both: the chest encoder has it, and is refused on two CPUs."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two devices")
    tables = {"train": "train", "val": "validate", "test": "test"}
    flags = [part for flag, name in tables.items() for part in (f"--{flag}_csv", study_tables[name])]
    sizes = "--embed_dim 8 --image_size 32 --max_tokens 32 --vocab_size 100 --batch_size 9 --epochs 2".split()
    together(2, "-m medprobclip train", *flags, *sizes, "--out", tmp_path / "run", devices="0,1")
    assert np.isfinite(read_history(tmp_path / "run")["loss"]).all()
