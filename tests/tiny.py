"""Models so small that a test builds its own, and what goes into them."""

import torch
from torch import Tensor
from transformers import BertConfig, PretrainedConfig, ResNetConfig, ViTConfig

from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel

TEXT = BertConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
)
RESNET = ResNetConfig(
    num_channels=1, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
)
VIT = ViTConfig(
    image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=48,
)  # fmt: skip


def build(vision: PretrainedConfig, text: PretrainedConfig = TEXT, **settings) -> MedProbCLIPModel:
    """The same random weights each time."""
    torch.manual_seed(0)
    config = MedProbCLIPConfig(
        vision_config=vision, text_config=text, embed_dim=12, image_size=32, **settings
    )
    return MedProbCLIPModel(config).eval()


def drawn_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Five images; three texts of nine pieces and their mask."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (3, 9), generator=generator)
    return torch.randn(5, 1, 32, 32, generator=generator), tokens, torch.ones_like(tokens)
