"""The published checkpoint: a miniature of the published model, loaded and compared; bad files refused."""

import argparse
import os
import re

import pytest
import torch
from miniature import DIM, PATCH, SIDE, WIDTH, WORDS, Miniature
from torch import Tensor, nn
from transformers import AutoModel

from medprobclip.model import MedProbCLIPModel
from medprobclip.support.published_checkpoint import CheckpointError, read_published


@pytest.fixture
def miniature():
    return Miniature().eval()


@pytest.fixture
def inputs():
    """Five grey images, four texts of 12 tokens, three of them padded."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, WORDS, (4, 12), generator=generator)
    mask = (torch.arange(12) < torch.tensor([12, 9, 5, 2])[:, None]).long()
    pixels = torch.randn(5, 1, PATCH * SIDE, PATCH * SIDE, generator=generator)
    return pixels, tokens * mask, mask


@pytest.fixture
def write(tmp_path):
    """Save tensors as the published training checkpoint does."""

    def save(tensors: dict, cfg: object = None) -> str:
        path = tmp_path / "pre-trained_weights.pt"
        optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(3))])
        content = {
            "model": tensors,
            "optimizer": optimizer.state_dict(),
            "scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 12},
            "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10).state_dict(),
            "cfg": cfg or {"embed_dim": DIM, "img_backbone": "vit_base_patch16_224", "proj_hidden": 0},
            "metrics": {"R1_i2t": 1.5, "RSUM": 80.2},
            "epoch": 7,
            "best_rsum": 80.2,
        }
        torch.save(content, path)
        return str(path)

    return save


@torch.no_grad()
def assert_same(model: MedProbCLIPModel, miniature: Miniature, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    """Means, log variances and scores agree to 1e-4: rounding is 1e-6, and embeddings differ by 1e-1."""
    pixels, *text = inputs
    image, report = model(pixels, *text)
    images, texts = miniature.image(pixels), miniature.text(*text)
    for ours, theirs in [(image, images), (report, texts)]:
        torch.testing.assert_close(ours.mean, theirs[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(ours.log_var, theirs[1], atol=1e-4, rtol=0)
        assert float(theirs[0].std(0).min()) > 1e-1
    scores = torch.tensor([[miniature.logit(images, texts, i, j) for j in range(4)] for i in range(5)])
    torch.testing.assert_close(model.similarity(image, report), scores, atol=1e-4, rtol=0)


def test_means_log_variances_and_scores_are_the_published_ones(miniature, inputs, write):
    model = MedProbCLIPModel.from_published(write(miniature.state_dict()))
    assert not model.training
    assert_same(model, miniature, inputs)


def test_sizes_are_read_off_the_tensors(miniature, write):
    model = MedProbCLIPModel.from_published(write(miniature.state_dict()))
    vision, text = model.config.vision_config, model.config.text_config
    assert (vision.image_size, vision.patch_size, vision.num_channels) == (32, 8, 1)
    assert (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads) == (128, 2, 2)
    assert (text.hidden_size, text.num_hidden_layers, text.num_attention_heads) == (128, 3, 2)
    assert (vision.intermediate_size, text.intermediate_size) == (192, 192)
    assert (text.vocab_size, text.max_position_embeddings, text.type_vocab_size) == (60, 24, 2)
    assert (model.config.image_size, model.config.embed_dim) == (32, 8)


@torch.no_grad()
def test_log_variances_are_clamped_as_published(miniature, inputs, write):
    for encoder in (miniature.img_enc, miniature.txt_enc):
        encoder.proj.net.weight[DIM:] *= 20
    log_var = miniature.image(inputs[0])[1]
    assert (float(log_var.min()), float(log_var.max())) == (-6, 6)
    model = MedProbCLIPModel.from_published(write(miniature.state_dict()))
    ours = model.encode_image(inputs[0])
    torch.testing.assert_close(ours.log_var, log_var, atol=2e-3, rtol=0)  # rounding is 20 times larger, too


@pytest.mark.parametrize("a", [0.0, -1.0, 5e-4])
def test_a_scale_that_is_not_positive_counts_as_a_thousandth(miniature, inputs, write, a):
    miniature.a.data.fill_(a)
    model = MedProbCLIPModel.from_published(write(miniature.state_dict()))
    assert model.similarity.a.item() == pytest.approx(1e-3, rel=1e-6)
    assert_same(model, miniature, inputs)


def variants(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The same model, saved by others: several GPUs, a head within a Sequential, an older transformers."""
    nested = {name.replace("proj.net.", "proj.net.0."): value for name, value in tensors.items()}
    old = {"txt_enc.bert.embeddings.position_ids": torch.arange(24)[None]}
    unpooled = {name: value for name, value in tensors.items() if ".pooler." not in name}
    parallel = {f"module.{name}": value for name, value in tensors.items()}
    return {"parallel": parallel, "nested": nested, "old": tensors | old, "unpooled": unpooled}


@pytest.mark.parametrize("variant", ["parallel", "nested", "old", "unpooled"])
def test_other_ways_to_save_the_same_model(miniature, inputs, write, variant):
    path = write(variants(miniature.state_dict())[variant])
    assert_same(MedProbCLIPModel.from_published(path), miniature, inputs)


def test_settings_may_be_a_namespace(miniature, inputs, write):
    path = write(miniature.state_dict(), argparse.Namespace(embed_dim=DIM, lr=5e-5))
    assert_same(MedProbCLIPModel.from_published(path), miniature, inputs)


def test_a_bare_state_dict_will_do(miniature, inputs, tmp_path):
    torch.save(miniature.state_dict(), tmp_path / "model.pt")
    assert_same(MedProbCLIPModel.from_published(tmp_path / "model.pt"), miniature, inputs)


def test_the_loaded_model_saves_and_loads_as_any_other(miniature, inputs, write, tmp_path):
    MedProbCLIPModel.from_published(write(miniature.state_dict())).save_pretrained(tmp_path / "ours")
    loaded = AutoModel.from_pretrained(tmp_path / "ours").eval()
    assert type(loaded) is MedProbCLIPModel
    assert_same(loaded, miniature, inputs)


def refused(path: str, *parts: str) -> None:
    with pytest.raises(CheckpointError, match=".*".join(map(re.escape, parts))):
        MedProbCLIPModel.from_published(path)


@pytest.mark.parametrize(
    "name",
    [
        "ema",
        "module.a",  # beside names without the prefix
        "img_enc.backbone.norm.weight",
        "img_enc.backbone.head.weight",
        "img_enc.backbone.blocks.1.ls1.gamma",
        "img_enc.proj.net.norm.bias",
        "txt_enc.bert.encoder.layer.0.attention.self.rotary.weight",
    ],
)
def test_a_tensor_without_a_place_is_named(miniature, write, name):
    refused(write(miniature.state_dict() | {name: torch.ones(5)}), f"'{name}' has no place")


def test_every_missing_tensor_is_named(miniature, write):
    tensors = miniature.state_dict()
    for name in [n for n in tensors if ".pooler." not in n]:
        if "blocks.1" in name or "layer.1" in name or "layer.2" in name:
            continue  # as block 0
        refused(write({n: t for n, t in tensors.items() if n != name}), name.removesuffix(".weight"))
    gone = ["txt_enc.bert.embeddings.LayerNorm.bias", "b"]
    refused(write({n: t for n, t in tensors.items() if n not in gone}), "'b'", "missing")


def test_a_whole_block_that_is_missing_is_named(miniature, write):
    tensors = {n: t for n, t in miniature.state_dict().items() if ".layer.1." not in n}
    refused(write(tensors), "'txt_enc.bert.encoder.layer.1.attention.self.query.weight' is missing")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("img_enc.backbone.pos_embed", (1, 1 + 15, WIDTH)),
        ("img_enc.backbone.pos_embed", (1, SIDE**2, WIDTH)),
        ("img_enc.backbone.patch_embed.proj.weight", (WIDTH, 3, 8, 4)),
        ("img_enc.backbone.blocks.1.attn.qkv.weight", (WIDTH, WIDTH)),
        ("txt_enc.bert.encoder.layer.1.output.dense.bias", (WIDTH + 1,)),
        ("txt_enc.bert.embeddings.word_embeddings.weight", (WORDS,)),
        ("a", (2,)),
    ],
)
def test_a_tensor_of_another_shape_is_named(miniature, write, name, shape):
    refused(write(miniature.state_dict() | {name: torch.ones(shape)}), f"'{name}'", str(shape))


def test_heads_of_more_than_one_layer_or_of_two_sizes_are_refused(miniature, write):
    tensors = miniature.state_dict()
    refused(
        write(tensors | {"img_enc.proj.net.2.weight": torch.ones(4, 4)}), "one linear", "img_enc.proj.net.2"
    )
    net = {"txt_enc.proj.net.weight": torch.ones(8, WIDTH), "txt_enc.proj.net.bias": torch.ones(8)}
    refused(write(tensors | net), "heads have [8, 16]")


class Malicious:
    """Unpickled without care it would create a file."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["cfg", "model", "alone", "plain pickle"])
def test_a_file_that_would_execute_code_is_refused(miniature, write, tmp_path, place):
    trap = tmp_path / "executed"
    if place == "cfg":
        path = write(miniature.state_dict(), Malicious(trap))
    elif place == "model":
        path = write(miniature.state_dict() | {"a": Malicious(trap)})
    else:
        path = str(tmp_path / "model.pt")
        torch.save(Malicious(trap), path, _use_new_zipfile_serialization=place == "alone")
    with pytest.raises(CheckpointError) as refusal:
        MedProbCLIPModel.from_published(path)
    assert not trap.exists()
    if place != "plain pickle":  # which is not even read
        assert f"asks for {os.mkdir.__module__}.mkdir" in str(refusal.value)
        assert "could execute code" in str(refusal.value)
    torch.load(path, weights_only=False)
    assert trap.exists()  # the trap was armed


def test_other_files_are_refused(miniature, write, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.pt"):
        read_published(tmp_path / "absent.pt")
    with pytest.raises(FileNotFoundError):
        read_published(tmp_path)
    path = tmp_path / "other.pt"
    for content, reason in ((b"", "is empty"), (b"hello world", "no file that torch.save wrote")):
        path.write_bytes(content)
        refused(path, reason)
    for content in ([torch.ones(2)], {"model": torch.ones(2)}, {"epoch": 3, "a": torch.ones(())}):
        torch.save(content, path)
        refused(path, "neither a state dict")
