"""Encoders from scratch and by name."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    HfArgumentParser,
    ResNetModel,
    ViTConfig,
    ViTModel,
)

from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.model import MedProbCLIPConfig
from medprobclip.settings import EncoderConfig
from medprobclip.support.backbones import PACKAGED
from medprobclip.training.encoders import build_model, build_tokenizer, small_vision_config
from medprobclip.training.schooling import save_encoder

TEXTS = ["No effusion.", "The heart is large."]


def text_folder(folder: Path) -> str:
    """A pretrained text model, by its folder."""
    text = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(text).save_pretrained(folder)
    train_tokenizer(TEXTS, 60, 16).save_pretrained(folder)
    return str(folder)


def test_small_encoders_from_scratch():
    config = EncoderConfig(
        "small-resnet", "small-bert", embed_dim=32, image_size=64, max_tokens=16, vocab_size=60
    )
    tokenizer = build_tokenizer(config, TEXTS)
    model = build_model(config, tokenizer).eval()
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    image, report = model(torch.zeros(2, 1, 64, 64), tokens["input_ids"], tokens["attention_mask"])
    assert image.shape == report.shape == (2, 32)


def test_pretrained_encoders_from_folders(tmp_path):
    """What a hub name does with a network, a folder does without."""
    text = text_folder(tmp_path / "text")
    vision = ViTConfig(
        image_size=32,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    ViTModel(vision).save_pretrained(tmp_path / "vision")
    config = EncoderConfig(str(tmp_path / "vision"), text, embed_dim=8, image_size=32)
    tokenizer = build_tokenizer(config, [])
    model = build_model(config, tokenizer).eval()
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    image, report = model(torch.zeros(2, 1, 32, 32), tokens["input_ids"], tokens["attention_mask"])
    assert image.shape == report.shape == (2, 8)


@pytest.mark.parametrize(
    "towers",
    [
        {"vision": "tiny-resnet"},
        {"text": "tiny-bert"},
        {"vision": "a/vit", "text": "small-bert"},
        {"vision": "small-resnet", "text": "a/bert"},
    ],
    ids=str,
)
def test_half_pretrained_is_refused(towers):
    tokenizer = train_tokenizer(TEXTS, 60, 16)
    small = r"take both small \(small-resnet, tiny-resnet, chest-encoder; small-bert, tiny-bert\)"
    with pytest.raises(ValueError, match=f"{small} or both pretrained") as error:
        build_model(EncoderConfig(**towers), tokenizer)
    for side, name in towers.items():
        assert f"{side} '{name}'" in str(error.value)


@pytest.fixture
def schooled(tmp_path, monkeypatch):
    """A tiny chest encoder as the package would bring it: every weight and statistic away from its start."""
    torch.manual_seed(3)
    encoder = ResNetModel(small_vision_config("tiny-resnet"))
    with torch.no_grad():
        for tensor in encoder.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    save_encoder(encoder, tmp_path / "chest", {"taught": "nothing"})
    monkeypatch.setitem(PACKAGED, "chest-encoder", tmp_path / "chest")
    return encoder


@torch.no_grad()
@pytest.mark.parametrize("text", ["tiny-bert", "pretrained"])
def test_the_chest_encoder_goes_with_either_text_model(schooled, text, tmp_path):
    """Stored in half precision, loaded in float32: the numbers are the rounded ones."""
    name = text_folder(tmp_path / "text") if text == "pretrained" else text
    config = EncoderConfig("chest-encoder", name, embed_dim=8, image_size=32, max_tokens=16, vocab_size=60)
    tokenizer = build_tokenizer(config, TEXTS)
    model = build_model(config, tokenizer).eval()
    found, saved = model.vision_model.state_dict(), schooled.state_dict()
    assert found.keys() == saved.keys()
    rounded = 0
    for key, weight in saved.items():
        assert found[key].dtype == (torch.float32 if weight.is_floating_point() else weight.dtype), key
        if weight.is_floating_point():
            weight = weight.half().float()
            rounded += int((weight != saved[key]).sum())
        assert torch.equal(found[key], weight), key
    assert rounded > 1000
    assert all(parameter.requires_grad for parameter in model.vision_model.parameters())
    assert model.config.vision_config.num_channels == 1
    pixels = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    image, report = model(pixels, tokens["input_ids"], tokens["attention_mask"])
    assert image.shape == report.shape == (2, 8)
    reference = ResNetModel.from_pretrained(PACKAGED["chest-encoder"], dtype=torch.float32).eval()
    features = model.vision_norm(reference(pixel_values=pixels).last_hidden_state.mean((2, 3)))
    torch.testing.assert_close(image.mean, model.vision_head(features).mean)


@torch.no_grad()
def test_a_model_on_the_chest_encoder_is_saved_whole(schooled, tmp_path, monkeypatch):
    """What is loaded needs the package's file no more."""
    config = EncoderConfig(
        "chest-encoder", "tiny-bert", embed_dim=8, image_size=32, max_tokens=16, vocab_size=60
    )
    model = build_model(config, build_tokenizer(config, TEXTS))
    model.vision_model.embedder.embedder.convolution.weight.mul_(2)
    model.save_pretrained(tmp_path / "model")
    monkeypatch.setitem(PACKAGED, "chest-encoder", tmp_path / "gone")
    loaded = AutoModel.from_pretrained(tmp_path / "model")
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def tiny(**settings):
    config = EncoderConfig(
        "tiny-resnet", "tiny-bert", embed_dim=8, image_size=32, max_tokens=16, vocab_size=60, **settings
    )
    tokenizer = build_tokenizer(config, TEXTS)
    torch.manual_seed(0)
    return config, tokenizer


def test_defaults_are_those_of_the_model():
    model = MedProbCLIPConfig()
    shared = [field for field in dataclasses.fields(EncoderConfig) if hasattr(model, field.name)]
    assert {field.name for field in shared} == {
        "embed_dim", "image_size", "vision_pooling", "text_pooling", "head_hidden",
    }  # fmt: skip
    assert {field.name: field.default for field in shared} == {
        field.name: getattr(model, field.name) for field in shared
    }


def test_every_setting_reaches_the_model():
    config, tokenizer = tiny(vision_pooling="own", text_pooling="mean", head_hidden=20)
    model = build_model(config, tokenizer, score="csd", similarity_scale=5.0, unit_mean=True)
    for name in ("vision_pooling", "text_pooling", "head_hidden", "embed_dim", "image_size"):
        assert getattr(model.config, name) == getattr(config, name)
    assert model.similarity.score == "csd"
    assert model.similarity.a.item() == pytest.approx(5)
    assert model.vision_head.unit_mean
    assert model.text_head.linear.in_features == 20


@torch.no_grad()
def test_a_fixed_variance_as_asked():
    config, tokenizer = tiny()
    model = build_model(config, tokenizer, learned_variance=False).eval()
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    image, report = model(torch.randn(2, 1, 32, 32), tokens["input_ids"], tokens["attention_mask"])
    assert image.shape == report.shape == (2, 8)
    for gaussian, head in ((image, model.vision_head), (report, model.text_head)):
        assert (gaussian.log_var == 0).all()
        assert head.linear.out_features == 8
    learned = build_model(config, tokenizer)
    assert learned.vision_head.linear.out_features == learned.text_head.linear.out_features == 16


@pytest.mark.parametrize("which", ["none", "vision", "text", "both"])
def test_frozen_as_asked(which):
    model = build_model(*tiny(freeze=which))
    for part in ("vision", "text"):
        learns = {parameter.requires_grad for parameter in getattr(model, f"{part}_model").parameters()}
        assert learns == {which not in (part, "both")}
        assert all(parameter.requires_grad for parameter in getattr(model, f"{part}_head").parameters())


@pytest.mark.parametrize("asked", [False, True])
def test_gradient_checkpointing_as_asked(asked):
    model = build_model(*tiny(gradient_checkpointing=asked))
    assert model.text_model.is_activation_checkpointing is asked


def test_the_command_line_knows_every_field():
    (config,) = HfArgumentParser(EncoderConfig).parse_args_into_dataclasses(
        ["--head_hidden", "64", "--freeze", "both", "--gradient_checkpointing", "--text_pooling", "mean"]
    )
    assert config == EncoderConfig(
        head_hidden=64, freeze="both", gradient_checkpointing=True, text_pooling="mean"
    )
