"""A model's folder says what to do: without `import medprobclip`, and when it was not really downloaded."""

import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoModel, AutoProcessor

from medprobclip.model import MedProbCLIPModel
from medprobclip.processor import MedProbCLIPProcessor
from medprobclip.settings import EncoderConfig
from medprobclip.support.published_checkpoint import CheckpointError
from medprobclip.training.encoders import build_model, build_tokenizer

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = EncoderConfig(
        "tiny-resnet", "tiny-bert", embed_dim=8, image_size=32, max_tokens=9, vocab_size=60
    )
    tokenizer = build_tokenizer(config, ["No effusion."])
    model = build_model(config, tokenizer).eval()
    model.save_pretrained(folder)
    MedProbCLIPProcessor.for_model(model.config, tokenizer).save_pretrained(folder)
    return folder, model


def fresh(code, folder, home):
    """A Python that has not imported our package."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=environment,
        stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("auto", ["AutoModel", "AutoProcessor"])
def test_without_the_import_a_folder_says_what_to_do(saved, tmp_path, auto):
    """First the error, then, in the same Python, what the error says to do."""
    code = f"""
import sys
from transformers import {auto}
try:
    {auto}.from_pretrained(sys.argv[1])
except ValueError as error:
    print("trust_remote_code=True" in str(error), "medprobclip" in sys.modules)
{auto}.from_pretrained(sys.argv[1], trust_remote_code=True)
print("medprobclip" in sys.modules)
"""
    result = fresh(code, saved[0], tmp_path)
    assert result.stdout.split()[-3:] == ["True", "False", "True"], result.stderr


def test_with_the_import_nothing_is_asked(saved):
    folder, model = saved
    loaded = AutoModel.from_pretrained(folder)
    assert type(loaded) is MedProbCLIPModel
    assert type(AutoProcessor.from_pretrained(folder)) is MedProbCLIPProcessor
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_in_a_folder_is_called_one(saved, tmp_path, name):
    for file in saved[0].iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_text(POINTER)
    for cls in (AutoModel, MedProbCLIPModel, MedProbCLIPProcessor, AutoProcessor):
        with pytest.raises(OSError, match=f"{name} is a Git LFS pointer.*git lfs pull"):
            cls.from_pretrained(tmp_path)


def test_a_published_checkpoint_that_is_a_web_page_is_called_one(tmp_path):
    (tmp_path / "pre-trained_weights.pt").write_text("<!DOCTYPE html><html>")
    with pytest.raises(CheckpointError, match="web page"):
        MedProbCLIPModel.from_published(tmp_path / "pre-trained_weights.pt")
