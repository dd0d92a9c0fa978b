"""What we need to know of a transformers backbone: loading, width, pooling, grey stem."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    SiglipTextConfig,
    SiglipTextModel,
)
from transformers.models.auto import AutoModel, AutoTokenizer  # not by way of what registers our classes

from medprobclip.settings import TextPooling, VisionPooling
from medprobclip.support.downloads import check_downloaded
from medprobclip.support.packaged import PACKAGED
from medprobclip.support.progress import without_model_bars

# Checkpoints whose hub page brings its own code for what is a BERT with a head that we do not use. Their
# weights and vocabulary load as BERT's, so that nobody's code runs.
_PLAIN_BERT = ("cxr-bert",)
# Without it, transformers asks at the terminal whether to run a folder's own code.
_NO_CODE = {"trust_remote_code": False}
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert")
# The last norm of these is meant for what is pooled (for a ViT: arXiv 2602.16019), so it is applied after
# pooling. Every other backbone keeps its norm where it is.
_POOLED_NORM = {
    "vit": "layernorm",
    "deit": "layernorm",
    "convnext": "layernorm",
    "convnextv2": "layernorm",
    "clip_vision_model": "post_layernorm",
}
# Parameters that stand in the token sequence before the patches: `[1, n, F]`, or `[F]` for one.
_PREFIX = ("cls_token", "class_embedding", "distillation_token", "register_tokens")
# CLIP's first token sees no other, SigLIP has no such token.
_NO_TEXT_CLS = ("clip_text_model", "siglip_text_model")


def load_backbone(name: str, side: str) -> PreTrainedModel:
    """The pretrained "vision" or "text" (`side`) model of that hub name or folder, or `PACKAGED`, in float32.

    Of a model with both towers (CLIP, SigLIP) the one asked for. Code from the hub is never run. Raises
    OSError when it cannot be found, ValueError when it is of the other side.
    """
    settings, name = look_up(name), str(PACKAGED.get(name, name))
    if settings["model_type"] in _PLAIN_BERT:
        foreign = ("model_type", "auto_map", "architectures")
        config = BertConfig.from_dict({key: settings[key] for key in settings if key not in foreign})
        kind, known = BertModel, {"config": config}
    else:
        kind, known = AutoModel, {}
    with without_model_bars(Path(name).is_dir()):
        model = kind.from_pretrained(name, dtype=torch.float32, **known, **_NO_CODE)
    if hasattr(model.config, f"{side}_config"):
        model = getattr(model, f"{side}_model")
    wanted = {"vision": "pixel_values", "text": "input_ids"}[side]
    if model.main_input_name != wanted:
        raise ValueError(f"'{name}' is no {side} model: it reads {model.main_input_name}. Are they swapped?")
    return model


def load_tokenizer(name: str, max_tokens: int) -> PreTrainedTokenizerBase:
    """A text model's own tokenizer, cutting at `max_tokens` or earlier where the model ends earlier."""
    settings = look_up(name)
    plain = settings["model_type"] in _PLAIN_BERT
    tokenizer = (BertTokenizer if plain else AutoTokenizer).from_pretrained(name, **_NO_CODE)
    positions = settings.get("max_position_embeddings", max_tokens)
    if settings["model_type"] in _OFFSET_POSITIONS:  # the first positions are those of padding
        positions -= settings.get("pad_token_id", 1) + 1
    tokenizer.model_max_length = min(tokenizer.model_max_length, max_tokens, positions)
    return tokenizer


def look_up(name: str) -> dict:
    """The configuration of a hub name, folder or `PACKAGED` model. Raises OSError when there is none."""
    name = str(PACKAGED.get(name, name))
    check_downloaded(name)
    return _hub_config(name)


def _hub_config(name: str) -> dict:
    """`config.json` of a hub name or folder as it is. Raises OSError when there is none."""
    settings, _ = PreTrainedConfig.get_config_dict(name, **_NO_CODE)
    return {"model_type": None, **settings}


def feature_width(config: PreTrainedConfig, pooling: str) -> int:
    """Width F of a backbone's pooled features. Raises ValueError when its configuration does not say."""
    names = ("hidden_size",)
    if pooling == "own":  # a ViT's pooler and SigLIP's text head may change the width
        names = ("pooler_output_size", "projection_size", "hidden_size")
    sizes = getattr(config, "hidden_sizes", None)  # one per stage of a convolutional backbone
    widths = [sizes[-1]] if sizes else [getattr(config, name, None) for name in names]
    width = next((width for width in widths if width is not None), None)
    if width is None:
        raise ValueError(f"the width of a '{config.model_type}' is unknown: it has no hidden_size(s)")
    return width


def prefix_tokens(tower: PreTrainedModel) -> int:
    """How many class, distillation and register tokens stand before the patches in the output."""
    return sum(
        1 if parameter.ndim == 1 else parameter.shape[1]
        for name, parameter in tower.named_parameters()
        if name.rpartition(".")[2] in _PREFIX
    )


def check_pooling(vision: PreTrainedModel, vision_pooling: str, text: PreTrainedModel, text_pooling: str):
    """Raises ValueError for an unknown pooling, and for "cls" where there is no token for the whole."""
    for field, value, known in (
        ("vision_pooling", vision_pooling, get_args(VisionPooling)),
        ("text_pooling", text_pooling, get_args(TextPooling)),
    ):
        if value not in known:
            raise ValueError(f"no {field} '{value}'; choose one of {', '.join(known)}")
    if vision_pooling == "cls" and not prefix_tokens(vision):
        raise ValueError(
            f"vision_pooling 'cls': a '{vision.config.model_type}' has no class token. Take 'mean' or 'own'."
        )
    if text_pooling == "cls" and text.config.model_type in _NO_TEXT_CLS:
        raise ValueError(
            f"text_pooling 'cls': the first token of a '{text.config.model_type}' does not stand for all. "
            "Take 'own' or 'mean'."
        )


def trim(tower: PreTrainedModel, pooling: str) -> nn.Module | None:
    """Take off a tower what `pooling` does not use, and return its norm for pooled features if it has one.

    What would get no gradient goes: poolers, and as a parameter the token of masked pretraining. The norm
    leaves its place for the one after our pooling; with "own", it and the poolers stay.
    """
    for module in tower.modules():
        if isinstance(getattr(module, "mask_token", None), nn.Parameter):
            token = module.mask_token.detach()
            del module.mask_token
            module.register_buffer("mask_token", token)  # kept, not learned
    if pooling == "own":
        return None
    if "add_pooling_layer" in inspect.signature(type(tower).__init__).parameters:
        tower.pooler = None  # as with add_pooling_layer=False
    elif tower.config.model_type == "siglip_vision_model":
        tower.use_head, tower.head = False, None  # as with vision_use_head=False
    elif tower.config.model_type == "siglip_text_model":
        tower.head = nn.Identity()
    place = _POOLED_NORM.get(tower.config.model_type)
    if place is None:
        return None
    norm = getattr(tower, place)
    setattr(tower, place, nn.Identity())
    return norm


def load_weights(tower: PreTrainedModel, weights: dict[str, Tensor]) -> None:
    """Load every weight as it is; a stem of one channel gets the sum over the channels it replaces.

    That is exactly the answer to equal channels. Raises RuntimeError when weights do not fit otherwise.
    """
    own = tower.state_dict()
    fitting = {}
    for name, weight in weights.items():
        grey = weight.ndim == 4 and name in own and own[name].shape[1] == 1 != weight.shape[1]
        fitting[name] = weight.sum(1, keepdim=True) if grey else weight
    tower.load_state_dict(fitting)


def fit_channels(pixel_values: Tensor, config: PreTrainedConfig) -> Tensor:
    """Radiographs `[B, C, H, W]` -> as many channels as the stem has; one grey channel is viewed as several.

    Raises ValueError when C is neither 1 nor what the stem has.
    """
    has, needs = pixel_values.shape[1], getattr(config, "num_channels", 3)
    if has == needs:
        return pixel_values
    if has == 1:
        return pixel_values.expand(-1, needs, -1, -1)  # a view, no copy
    raise ValueError(
        f"the vision model has {needs} input channel(s), the images have {has}. Give grey images [B, 1, H, W]"
    )


def pool_image(tower: PreTrainedModel, pixel_values: Tensor, pooling: str) -> Tensor:
    """Normalised images `[B, C, H, W]` -> features `[B, F]`.

    "mean": over the patch tokens, or over the feature map of a convolutional backbone; "cls": the class
    token; "own": the backbone's pooled output.
    """
    return _pooled_image(tower, tower(pixel_values=pixel_values, **_other_size(tower, pixel_values)), pooling)


def pool_image_and_inner(tower: PreTrainedModel, pixel_values: Tensor, pooling: str) -> tuple[Tensor, Tensor]:
    """As `pool_image`, and the mean over all places half-way through the backbone: `[B, F]` and `[B, G]`.

    Half-way: of a ViT with twelve layers what leaves the sixth, of a ResNet with four stages the second.
    """
    size = _other_size(tower, pixel_values)
    output = tower(pixel_values=pixel_values, output_hidden_states=True, **size)
    return _pooled_image(tower, output, pooling), _mean_of_places(tower, _half_way(tower, output))


def _half_way(tower: PreTrainedModel, output) -> Tensor:
    if getattr(output, "hidden_states", None) is None:
        raise ValueError(f"a '{tower.config.model_type}' does not show its hidden states")
    return output.hidden_states[len(output.hidden_states) // 2].float()


def _mean_of_places(tower: PreTrainedModel, hidden: Tensor) -> Tensor:
    return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden[:, prefix_tokens(tower) :].mean(1)


def _pooled_image(tower: PreTrainedModel, output, pooling: str) -> Tensor:
    if pooling == "own":
        return _pooled_output(tower, output).flatten(1)  # a ResNet's is [B, F, 1, 1]
    hidden = output.last_hidden_state
    if pooling == "cls":
        return hidden[:, 0]
    return _mean_of_places(tower, hidden)


def pool_text(tower: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, pooling: str) -> Tensor:
    """Tokens and their mask `[B, L]` -> features `[B, F]`, whatever the padding on the right.

    "cls": the first token; "mean": over the tokens under the mask; "own": the backbone's pooled output.
    """
    return _pooled_text(tower, _read(tower, input_ids, attention_mask, pooling), attention_mask, pooling)


def pool_text_and_inner(
    tower: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, pooling: str
) -> tuple[Tensor, Tensor]:
    """As `pool_text`, and the mean over the tokens half-way through the backbone: `[B, F]` and `[B, G]`."""
    output = _read(tower, input_ids, attention_mask, pooling, output_hidden_states=True)
    inner = _half_way(tower, output)[:, : attention_mask.shape[1]]
    return _pooled_text(tower, output, attention_mask, pooling), _mean_of_tokens(inner, attention_mask)


def _read(tower: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, pooling: str, **more):
    if pooling == "own" and tower.config.model_type == "siglip_text_model":
        # Trained on texts padded to the full length, padding seen, and read at the last position.
        missing = tower.config.max_position_embeddings - input_ids.shape[1]
        ids = torch.where(attention_mask.bool(), input_ids, tower.config.pad_token_id)
        ids = torch.nn.functional.pad(ids, (0, missing), value=tower.config.pad_token_id)
        return tower(input_ids=ids, **more)
    return tower(input_ids=input_ids, attention_mask=attention_mask, **more)


def _mean_of_tokens(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    mask = attention_mask[..., None].to(hidden.dtype)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def _pooled_text(tower: PreTrainedModel, output, attention_mask: Tensor, pooling: str) -> Tensor:
    hidden = output.last_hidden_state
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "mean":
        return _mean_of_tokens(hidden, attention_mask)
    return _pooled_output(tower, output)


def _other_size(tower: PreTrainedModel, pixel_values: Tensor) -> dict[str, bool]:
    """Asks for interpolated position embeddings where images differ from those of the pretraining."""
    size = getattr(tower.config, "image_size", None)
    able = "interpolate_pos_encoding" in inspect.signature(tower.forward).parameters
    return {"interpolate_pos_encoding": True} if able and size != pixel_values.shape[-1] else {}


def _pooled_output(tower: PreTrainedModel, output) -> Tensor:
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        raise ValueError(f"pooling 'own': a '{tower.config.model_type}' has no pooled output. Take 'mean'.")
    return pooled


# transformers lists SigLIP's vision tower among its models and leaves out the text tower.
AutoModel.register(SiglipTextConfig, SiglipTextModel, exist_ok=True)
