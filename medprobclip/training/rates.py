"""How fast each weight learns, and which shrink: rates by part and by depth, decay of matrices only."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

from medprobclip.model import MedProbCLIPModel
from medprobclip.training_settings import TrainingConfig

# What numbers the layers of a backbone in the names of its weights, first of all lists in it.
_LAYER = re.compile(r"(?:^|\.)(?:layers?|blocks?|stages|h)\.(\d+)\.")
_BELOW = re.compile(r"(?:^|\.)(?:\w*embed\w*|pre_\w*norm|stem|conv1)\b")


def parameter_groups(model: MedProbCLIPModel, config: TrainingConfig) -> list[dict]:
    """What AdamW shall learn, how fast, and what it shrinks: groups of one part, depth and decay each.

    First those of the heads (with norm and similarity), then vision and text backbone; the key "name" tells
    which. Rates are multiples of `learning_rate`: of the part, times layer_decay to the number of layers
    above (as Bao 2022, arXiv 2106.08254). Unless
    `decay_all`, what is no matrix is not decayed: biases, norms, scale and shift.
    """
    parts = {"vision": (model.vision_model, config.vision_rate), "text": (model.text_model, config.text_rate)}
    backbones = {id(parameter) for module, _ in parts.values() for parameter in module.parameters()}
    heads = [p for p in model.parameters() if id(p) not in backbones]
    groups: dict[tuple, dict] = {}

    def add(part: str, rate: float, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            decay = config.weight_decay if config.decay_all or parameter.ndim > 1 else 0.0
            group = {"name": part, "params": [], "lr": config.learning_rate * rate, "weight_decay": decay}
            groups.setdefault((part, rate, decay), group)["params"].append(parameter)

    add("heads", 1.0, heads)
    for part, (module, rate) in parts.items():
        above = layers_above(module) if config.layer_decay < 1 else {}
        for name, parameter in module.named_parameters():
            add(part, rate * config.layer_decay ** above.get(name, 0), [parameter])
    return list(groups.values())


def layers_above(backbone: nn.Module) -> dict[str, int]:
    """Of each weight of a transformers backbone by name: how many of its layers (stages) come after it.

    Layer i = 0 … L − 1 has L − i, what is before the first L + 1, what is after the last none. Raises
    ValueError for a backbone whose weights number no layers.
    """
    names = [name for name, _ in backbone.named_parameters()]
    found = {name: int(match[1]) for name in names if (match := _LAYER.search(name))}
    if not found:
        raise ValueError(f"layer_decay: {type(backbone).__name__} has no numbered layers; leave it at 1")
    number = max(found.values()) + 1
    before = {name for name in names if name not in found and _BELOW.search(name)}
    return {
        name: number - found[name] if name in found else number + 1 if name in before else 0 for name in names
    }
