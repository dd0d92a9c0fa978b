"""A tiny backbone of every family, saved as from a hub, and what goes into one."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    BertConfig,
    CLIPConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    ConvNextConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    ResNetConfig,
    RobertaConfig,
    SiglipConfig,
    SiglipTextConfig,
    SiglipVisionConfig,
    SwinConfig,
    ViTConfig,
)

SIZES = dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
PATCHES = dict(image_size=32, patch_size=8, **SIZES)
VISION = {
    "vit": ViTConfig(**PATCHES),
    "swin": SwinConfig(
        image_size=32, patch_size=4, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4
    ),
    "convnext": ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    "dinov2": Dinov2Config(
        image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=1, num_attention_heads=2
    ),
    "registers": Dinov2WithRegistersConfig(
        image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_register_tokens=3,
    ),
    "clip": CLIPVisionConfig(**PATCHES),
    "siglip": SiglipVisionConfig(**PATCHES),
}  # fmt: skip
WORDS = dict(vocab_size=60, **SIZES)
TEXT = {
    "bert": BertConfig(**WORDS),
    "roberta": RobertaConfig(**WORDS, max_position_embeddings=40),
    "clip": CLIPTextConfig(**WORDS, eos_token_id=59, bos_token_id=58, pad_token_id=59),
    "siglip": SiglipTextConfig(**WORDS, projection_size=20),
}


def save_all(folder: Path) -> SimpleNamespace:
    """A folder with each backbone, every weight away from its usual start: norms and biases count too."""
    torch.manual_seed(0)
    clip = CLIPConfig(text_config=TEXT["clip"].to_dict(), vision_config=VISION["clip"].to_dict())
    siglip = SiglipConfig(text_config=TEXT["siglip"].to_dict(), vision_config=VISION["siglip"].to_dict())
    both = {"clip": clip, "siglip": siglip}
    for side, configs in {"vision": VISION, "text": TEXT, "both": both}.items():
        for name, config in configs.items():
            model = AutoModel.from_config(config)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            model.save_pretrained(folder / side / name)
    return SimpleNamespace(
        vision=lambda name: str(folder / "vision" / name),
        text=lambda name: str(folder / "text" / name),
        both=lambda name: str(folder / "both" / name),
    )


def three_texts() -> tuple[Tensor, Tensor]:
    """7, 4 and 2 pieces: start 58, end 59, padding 1 (RoBERTa's) and the mask that says so."""
    ids = torch.tensor([[58, 5, 9, 30, 7, 8, 59], [58, 20, 21, 59, 1, 1, 1], [58, 59, 1, 1, 1, 1, 1]])
    return ids, (ids != 1).long()


def features_of(head: nn.Module, act: Callable[[], object]) -> Tensor:
    """What the head gets to see while act runs."""
    seen = []
    handle = head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    act()
    handle.remove()
    return seen[0]
