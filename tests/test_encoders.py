"""Encoders from scratch and by name."""

import pytest
import torch
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.encoders import EncoderConfig, build_model, build_tokenizer

TEXTS = ["No effusion.", "The heart is large."]


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
    text = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    vision = ViTConfig(
        image_size=32,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(text).save_pretrained(tmp_path / "text")
    train_tokenizer(TEXTS, 60, 16).save_pretrained(tmp_path / "text")
    ViTModel(vision).save_pretrained(tmp_path / "vision")
    config = EncoderConfig(str(tmp_path / "vision"), str(tmp_path / "text"), embed_dim=8, image_size=32)
    tokenizer = build_tokenizer(config, [])
    model = build_model(config, tokenizer).eval()
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    image, report = model(torch.zeros(2, 1, 32, 32), tokens["input_ids"], tokens["attention_mask"])
    assert image.shape == report.shape == (2, 8)


def test_half_pretrained_is_refused():
    tokenizer = train_tokenizer(TEXTS, 60, 16)
    with pytest.raises(ValueError, match="both from scratch"):
        build_model(EncoderConfig(vision="tiny-resnet"), tokenizer)
