"""The published checkpoint -> settings and weights under our names.

The authors' file holds a timm ViT and a transformers BERT, each under one linear head. A table of every
tensor that such a model has, with its shape, says where each goes. Whatever the file lacks, holds beyond the
table or holds in another shape is an error that names it.
"""

from __future__ import annotations

import argparse
import math
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from medprobclip.support.downloads import not_downloaded

# Width of one attention head, in ViT-B/16 as in BERT: the one size that no tensor tells.
HEAD_WIDTH = 64

# The published logit is −max(a, 1e-3)·d + b: the learned a itself may be lower.
MIN_SCALE = 1e-3

# In the file, but no embedding depends on them: they are left out.
UNUSED = {
    "txt_enc.bert.pooler.dense.weight",  # a report's feature is the [CLS] state before BERT's pooler
    "txt_enc.bert.pooler.dense.bias",
    "txt_enc.bert.embeddings.position_ids",  # 0, 1, 2, …, a buffer that older transformers saved
}

# Published name -> shape, and our names: three where one tensor holds query, key and value.
Places = dict[str, tuple[tuple[int, ...], tuple[str, ...]]]


class CheckpointError(RuntimeError):
    """A file that is not the published checkpoint, or not safe to load."""


def read_published(path: str | Path) -> tuple[dict, dict[str, Tensor]]:
    """Read the authors' checkpoint: fields of `MedProbCLIPConfig` and a state dict of `MedProbCLIPModel`.

    They copy a grey radiograph to three channels; here the first kernel is summed over its channels, which
    computes the same from one. a is kept as the logarithm of what it counts as, max(a, 1e-3). Their code
    takes log(s + 1e-6), a guard that s ≥ 2 e⁻⁶ does not need; without it −d is higher by 5e-7 Σ 1/s.

    Raises FileNotFoundError when there is no such file, CheckpointError when it is a Git LFS pointer or web
    page, when loading it could execute code, or when a tensor is missing, has another shape or has no place.
    """
    if reason := not_downloaded(path):
        raise CheckpointError(f"{path} {reason}.")
    tensors = load_tensors(Path(path))
    vision_config, vision_places = read_vision(tensors)
    text_config, text_places = read_text(tensors)
    scale = {name: ((), (ours,)) for name, ours in {"a": "similarity.log_a", "b": "similarity.b"}.items()}
    places: Places = vision_places | text_places | scale
    check(tensors, places)
    weights = {}
    for name, (_, ours) in places.items():
        parts = tensors[name].chunk(len(ours)) if len(ours) > 1 else [tensors[name]]
        weights.update(zip(ours, parts, strict=True))
    stem = "vision_model.embeddings.patch_embeddings.projection.weight"
    weights[stem] = weights[stem].sum(1, keepdim=True)
    weights["similarity.log_a"] = weights["similarity.log_a"].clamp(min=MIN_SCALE).log()
    outputs = {len(weights[f"{tower}_head.linear.bias"]) for tower in ("vision", "text")}
    if len(outputs) != 1:
        raise CheckpointError(f"not the published model: the heads have {sorted(outputs)} outputs")
    settings = {
        "vision_config": vision_config,
        "text_config": text_config,
        "embed_dim": outputs.pop() // 2,
        "image_size": vision_config["image_size"],
        "score": "expected_likelihood",
    }
    return settings, weights


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The model's tensors by published name, from the training checkpoint or from a bare state dict."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint '{path}'")
    try:
        # A Namespace, as argparse returns it, only holds values. Mapped into memory, the optimizer's state,
        # twice the size of the model, is never read.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"'{path}' was refused: it asks for {found[1] if found else 'more'} beyond tensors and plain "
            "values, and loading that could execute code"
        ) from None  # torch's own message explains how to load it all the same
    except RuntimeError as error:
        raise CheckpointError(
            f"'{path}' is no file that torch.save wrote in the format since torch 1.6: {error}"
        ) from error
    tensors = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()
    ):
        raise CheckpointError(f"'{path}' is neither a state dict nor holds one as 'model'")
    if all(name.startswith("module.") for name in tensors):  # saved from within nn.DataParallel
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def read_vision(tensors: dict[str, Tensor]) -> tuple[dict, Places]:
    """Configuration of a transformers ViT with the sizes of the timm ViT, and the places of its tensors."""
    published, ours = "img_enc.backbone", "vision_model"
    width, channels, patch, _ = shape_of(tensors, f"{published}.patch_embed.proj.weight", 4)
    _, positions, _ = shape_of(tensors, f"{published}.pos_embed", 3)
    inner, _ = shape_of(tensors, f"{published}.blocks.0.mlp.fc1.weight", 2)
    side = math.isqrt(positions)  # of the square of patches; the one position more is the class token's
    config = {
        "model_type": "vit",
        "hidden_size": width,
        "num_hidden_layers": count(tensors, f"{published}.blocks"),
        "num_attention_heads": heads(width),
        "intermediate_size": inner,
        "image_size": side * patch,
        "patch_size": patch,
        "num_channels": 1,
        "layer_norm_eps": 1e-6,
    }
    places: Places = {
        f"{published}.cls_token": ((1, 1, width), (f"{ours}.embeddings.cls_token",)),
        f"{published}.pos_embed": ((1, 1 + side**2, width), (f"{ours}.embeddings.position_embeddings",)),
    }
    kernel = (width, channels, patch, patch)
    places |= layer(f"{published}.patch_embed.proj", kernel, f"{ours}.embeddings.patch_embeddings.projection")
    for n in range(config["num_hidden_layers"]):
        block, target = f"{published}.blocks.{n}", f"{ours}.layers.{n}"
        attention = [f"{target}.attention.{part}_proj" for part in "qkv"]
        places |= layer(f"{block}.norm1", (width,), f"{target}.layernorm_before")
        places |= layer(f"{block}.attn.qkv", (3 * width, width), *attention)
        places |= layer(f"{block}.attn.proj", (width, width), f"{target}.attention.o_proj")
        places |= layer(f"{block}.norm2", (width,), f"{target}.layernorm_after")
        places |= layer(f"{block}.mlp.fc1", (inner, width), f"{target}.mlp.fc1")
        places |= layer(f"{block}.mlp.fc2", (width, inner), f"{target}.mlp.fc2")
    places |= layer(f"{published}.fc_norm", (width,), "vision_norm")
    return config, places | head(tensors, "img_enc.proj.net", width, "vision_head.linear")


def read_text(tensors: dict[str, Tensor]) -> tuple[dict, Places]:
    """Configuration of BERT, and the places of its tensors, whose names behind the prefix are ours."""
    published, ours = "txt_enc.bert", "text_model"
    words, width = shape_of(tensors, f"{published}.embeddings.word_embeddings.weight", 2)
    positions, _ = shape_of(tensors, f"{published}.embeddings.position_embeddings.weight", 2)
    types, _ = shape_of(tensors, f"{published}.embeddings.token_type_embeddings.weight", 2)
    inner, _ = shape_of(tensors, f"{published}.encoder.layer.0.intermediate.dense.weight", 2)
    config = {
        "model_type": "bert",
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": count(tensors, f"{published}.encoder.layer"),
        "num_attention_heads": heads(width),
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": 1e-12,
    }
    places: Places = {}
    for kind, rows in {"word": words, "position": positions, "token_type": types}.items():
        name = f"embeddings.{kind}_embeddings.weight"
        places[f"{published}.{name}"] = ((rows, width), (f"{ours}.{name}",))
    shapes = {"embeddings.LayerNorm": (width,)}
    for n in range(config["num_hidden_layers"]):
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"encoder.layer.{n}.attention.{part}"] = (width, width)
        shapes[f"encoder.layer.{n}.attention.output.LayerNorm"] = (width,)
        shapes[f"encoder.layer.{n}.intermediate.dense"] = (inner, width)
        shapes[f"encoder.layer.{n}.output.dense"] = (width, inner)
        shapes[f"encoder.layer.{n}.output.LayerNorm"] = (width,)
    for name, weight in shapes.items():
        places |= layer(f"{published}.{name}", weight, f"{ours}.{name}")
    return config, places | head(tensors, "txt_enc.proj.net", width, "text_head.linear")


def layer(published: str, weight: tuple[int, ...], *ours: str) -> Places:
    """Places of the weight, of the given shape, and the bias of one linear, convolution or norm layer."""
    shapes = {"weight": weight, "bias": weight[:1]}
    return {f"{published}.{n}": (shape, tuple(f"{to}.{n}" for to in ours)) for n, shape in shapes.items()}


def head(tensors: dict[str, Tensor], prefix: str, width: int, ours: str) -> Places:
    """Places of the one linear layer under a prefix, be it "net" itself or a numbered part of it."""
    found = [n for n, t in tensors.items() if re.match(rf"{prefix}\.(.+\.)?weight$", n) and t.ndim == 2]
    if len(found) != 1:
        raise CheckpointError(f"need one linear layer under '{prefix}', found {', '.join(found) or 'none'}")
    outputs = len(tensors[found[0]])
    if outputs % 2:
        raise CheckpointError(f"'{found[0]}' has {outputs} outputs: not a mean and a log variance of each")
    return layer(found[0].removesuffix(".weight"), (outputs, width), ours)


def shape_of(tensors: dict[str, Tensor], name: str, axes: int) -> torch.Size:
    """Shape of a tensor that sizes are read off."""
    found = tensors[name].shape if name in tensors else None
    if found is None or len(found) != axes:
        raise CheckpointError(
            f"not the published model: '{name}' needs {axes} axes and is {found and tuple(found)}"
        )
    return found


def count(tensors: dict[str, Tensor], prefix: str) -> int:
    """Number of numbered layers under a prefix."""
    return len({match[1] for name in tensors if (match := re.match(rf"{prefix}\.(\d+)\.", name))})


def heads(width: int) -> int:
    """Number of attention heads."""
    if width % HEAD_WIDTH:
        raise CheckpointError(f"a width of {width} does not split into attention heads of {HEAD_WIDTH}")
    return width // HEAD_WIDTH


def check(tensors: dict[str, Tensor], places: Places) -> None:
    """Raise CheckpointError, naming the tensors, unless they are those of the table, and so shaped."""
    problems = [f"'{name}' is missing" for name in places if name not in tensors]
    problems += [f"'{n}' has no place" for n in tensors if n not in places and n not in UNUSED]
    problems += [
        f"'{name}' is {tuple(tensors[name].shape)}, not {shape}"
        for name, (shape, _) in places.items()
        if name in tensors and tensors[name].shape != shape
    ]
    if problems:
        raise CheckpointError(f"not the published model: {'; '.join(problems)}")
