"""The published checkpoint: a miniature of the published model, loaded and compared; bad files refused."""

import argparse
import math
import os
import re

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel

from medprobclip.model import MedProbCLIPModel
from medprobclip.support.checkpoints import CheckpointError, read_published

WIDTH, INNER, PATCH, SIDE, DIM, WORDS = 128, 192, 8, 4, 8, 60


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention in heads of 64, one head after another: `[B, L, F] -> [B, L, F]`."""
    results = []
    for start in range(0, query.shape[-1], 64):
        q, k, v = (t[..., start : start + 64] for t in (query, key, value))
        logits = torch.einsum("bqd,bkd->bqk", q, k) / 8
        if mask is not None:
            logits = logits.masked_fill(mask[:, None] == 0, -math.inf)
        results.append(torch.einsum("bqk,bkd->bqd", logits.softmax(-1), v))
    return torch.cat(results, -1)


def modules(**children: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(children)


class VisionTransformer(nn.Module):
    """A ViT under timm's parameter names, its patch tokens averaged and then normed."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SIDE**2, WIDTH))
        self.patch_embed = modules(proj=nn.Conv2d(3, WIDTH, PATCH, PATCH))
        self.blocks = nn.ModuleList(
            modules(
                norm1=nn.LayerNorm(WIDTH, eps=1e-6),
                attn=modules(qkv=nn.Linear(WIDTH, 3 * WIDTH), proj=nn.Linear(WIDTH, WIDTH)),
                norm2=nn.LayerNorm(WIDTH, eps=1e-6),
                mlp=modules(fc1=nn.Linear(WIDTH, INNER), fc2=nn.Linear(INNER, WIDTH)),
            )
            for _ in range(depth)
        )
        self.fc_norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), 1, WIDTH), x], 1) + self.pos_embed
        for block in self.blocks:
            x = x + block["attn"]["proj"](attend(*block["attn"]["qkv"](block["norm1"](x)).split(WIDTH, -1)))
            x = x + block["mlp"]["fc2"](nn.functional.gelu(block["mlp"]["fc1"](block["norm2"](x))))
        return self.fc_norm(x[:, 1:].mean(1))


class Bert(nn.Module):
    """BERT under its own parameter names; `[B, L]` tokens and mask -> `[CLS]` state `[B, F]`."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        norm = lambda: nn.LayerNorm(WIDTH, eps=1e-12)  # noqa: E731
        square = lambda: nn.Linear(WIDTH, WIDTH)  # noqa: E731
        self.embeddings = modules(
            word_embeddings=nn.Embedding(WORDS, WIDTH),
            position_embeddings=nn.Embedding(24, WIDTH),
            token_type_embeddings=nn.Embedding(2, WIDTH),
            LayerNorm=norm(),
        )
        self.encoder = modules(
            layer=nn.ModuleList(
                nn.ModuleDict({
                    "attention": nn.ModuleDict({
                        "self": modules(query=square(), key=square(), value=square()),
                        "output": modules(dense=square(), LayerNorm=norm()),
                    }),
                    "intermediate": modules(dense=nn.Linear(WIDTH, INNER)),
                    "output": modules(dense=nn.Linear(INNER, WIDTH), LayerNorm=norm()),
                })
                for _ in range(depth)
            )
        )  # fmt: skip
        self.pooler = modules(dense=square())

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        tables = self.embeddings
        x = tables["word_embeddings"](tokens) + tables["position_embeddings"].weight[: tokens.shape[1]]
        x = tables["LayerNorm"](x + tables["token_type_embeddings"].weight[0])
        for layer in self.encoder["layer"]:
            inner, output = layer["attention"]["self"], layer["attention"]["output"]
            heads = attend(inner["query"](x), inner["key"](x), inner["value"](x), mask)
            x = output["LayerNorm"](x + output["dense"](heads))
            hidden = nn.functional.gelu(layer["intermediate"]["dense"](x))
            x = layer["output"]["LayerNorm"](x + layer["output"]["dense"](hidden))
        return x[:, 0]


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(WIDTH, 2 * DIM)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(features)
        return out[:, :DIM], out[:, DIM:].clamp(-6, 6)


class Miniature(nn.Module):
    """The published model, small, with every parameter drawn at random."""

    def __init__(self) -> None:
        super().__init__()
        self.img_enc = nn.Module()
        self.img_enc.backbone, self.img_enc.proj = VisionTransformer(), Head()
        self.txt_enc = nn.Module()
        self.txt_enc.bert, self.txt_enc.proj = Bert(), Head()
        self.a, self.b = nn.Parameter(torch.tensor(1.7)), nn.Parameter(torch.tensor(-0.4))
        generator = torch.Generator().manual_seed(0)
        for name, parameter in self.named_parameters():
            if parameter.ndim:
                noise = torch.randn(parameter.shape, generator=generator)
                # Matrices keep the size of what they are given; norms scale by about 1; tables spread by 0.5.
                spread = 0.5 if "embed" in name or "token" in name else parameter[0].numel() ** -0.5
                centre = float("norm" in name.lower() and name.endswith("weight"))
                parameter.data = centre + (0.2 if parameter.ndim == 1 else spread) * noise

    def image(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        return self.img_enc.proj(self.img_enc.backbone(torch.cat([grey] * 3, 1)))

    def text(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.txt_enc.proj(self.txt_enc.bert(tokens, mask))

    def logit(self, image: tuple[Tensor, Tensor], text: tuple[Tensor, Tensor], i: int, j: int) -> float:
        """−max(a, 1e-3)·d + b of one pair, one dimension after another."""
        d = 0.0
        rows = [t[i].tolist() for t in image] + [t[j].tolist() for t in text]
        for mx, vx, my, vy in zip(*rows, strict=True):
            s = math.exp(vx) + math.exp(vy)
            d += 0.5 * ((mx - my) ** 2 / s + math.log(s))
        return -max(float(self.a), 1e-3) * d + float(self.b)


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
    """Means, log variances and scores agree to 1e-5."""
    pixels, *text = inputs
    image, report = model(pixels, *text)
    images, texts = miniature.image(pixels), miniature.text(*text)
    for ours, theirs in [(image, images), (report, texts)]:
        torch.testing.assert_close(ours.mean, theirs[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.log_var, theirs[1], atol=1e-5, rtol=0)
        assert float(theirs[0].std(0).min()) > 1e-2  # every embedding is another one
    scores = torch.tensor([[miniature.logit(images, texts, i, j) for j in range(4)] for i in range(5)])
    torch.testing.assert_close(model.similarity(image, report), scores, atol=1e-5, rtol=0)


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
    torch.testing.assert_close(ours.log_var, log_var, atol=1e-4, rtol=0)  # rounding is 20 times larger, too


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
    for content in (b"", b"hello world"):
        path.write_bytes(content)
        refused(path, "no file that torch.save wrote")
    for content in ([torch.ones(2)], {"model": torch.ones(2)}, {"epoch": 3, "a": torch.ones(())}):
        torch.save(content, path)
        refused(path, "neither a state dict")
