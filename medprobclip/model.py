"""The model: two encoders, two Gaussian heads, one similarity."""

from __future__ import annotations

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.configuration_utils import SubConfigSpec

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import ScaledSimilarity


@strict
class MedProbCLIPConfig(PreTrainedConfig):
    """Configuration of `MedProbCLIPModel`: two transformers backbones and the embedding space.

    Defaults follow arXiv 2602.16019. `vision_config` and `text_config` are the configurations (or their
    dicts) of any transformers vision and text backbone.
    """

    model_type = "medprobclip"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vit"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
    }

    vision_config: PreTrainedConfig | dict | None = None
    text_config: PreTrainedConfig | dict | None = None
    embed_dim: int = 512  # D, dimensions of the shared space
    log_var_min: float = -6.0  # clamp of log σ², so that no variance vanishes …
    log_var_max: float = 6.0  # … or explodes
    similarity_scale: float = 1.0  # a₀ of ℓ = −max(a, 1e-3)·d + b
    similarity_shift: float = 0.0  # b₀
    image_size: int = 224  # side of the square input in px
    image_mean: float = 0.5  # of grey values in [0, 1]
    image_std: float = 0.25


class GaussianHead(nn.Module):
    """One linear layer to 2·D: features `[B, F]` -> Gaussian `[B, D]`, log variance clamped."""

    def __init__(self, in_features: int, config: MedProbCLIPConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 2 * config.embed_dim)
        self.limits = (config.log_var_min, config.log_var_max)

    def forward(self, features: Tensor) -> Gaussian:
        # Float32 whatever the encoders run in: scores are sums of D terms in these values.
        with torch.autocast(features.device.type, enabled=False):
            mean, log_var = self.linear(features.float()).chunk(2, dim=-1)
            return Gaussian(mean, log_var.clamp(*self.limits))


class MedProbCLIPModel(PreTrainedModel):
    """Probabilistic vision-language embeddings of radiographs and reports (arXiv 2602.16019).

    image = model.encode_image(pixel_values)                  # Gaussian [B, D]
    report = model.encode_text(input_ids, attention_mask)     # Gaussian [B, D]
    scores = model.similarity(image, report)                  # [N, M]
    """

    config_class = MedProbCLIPConfig
    base_model_prefix = "medprobclip"
    main_input_name = "pixel_values"
    input_modalities = ("image", "text")

    def __init__(self, config: MedProbCLIPConfig) -> None:
        super().__init__(config)
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.text_model = AutoModel.from_config(config.text_config)
        if hasattr(self.vision_model, "layernorm"):  # ViT: the patches are averaged first, normed after
            self.vision_model.layernorm = nn.Identity()
        vision_width = feature_width(config.vision_config)
        self.vision_norm = nn.LayerNorm(vision_width, eps=1e-6)
        self.vision_head = GaussianHead(vision_width, config)
        self.text_head = GaussianHead(feature_width(config.text_config), config)
        self.similarity = ScaledSimilarity(config.similarity_scale, config.similarity_shift)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Our own layers; the backbones initialise theirs."""
        if isinstance(module, nn.Linear):  # the heads
            # Means and log variances start with a spread of 0.3, so that every σ² is near 1.
            nn.init.normal_(module.weight, std=0.3 * module.in_features**-0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, ScaledSimilarity):
            module.a.fill_(self.config.similarity_scale)
            module.b.fill_(self.config.similarity_shift)

    @classmethod
    def from_vision_text_pretrained(cls, vision: str, text: str, **settings) -> MedProbCLIPModel:
        """Combine a pretrained vision and text backbone (hub name or folder) under fresh heads.

        `settings` are fields of `MedProbCLIPConfig`. Raises OSError when a backbone cannot be found.
        """
        vision_model, text_model = AutoModel.from_pretrained(vision), AutoModel.from_pretrained(text)
        config = MedProbCLIPConfig(
            vision_config=vision_model.config, text_config=text_model.config, **settings
        )
        model = cls(config)
        vision_weights = vision_model.state_dict()
        for name in ("weight", "bias"):  # a ViT's own norm goes where it is applied now
            if f"layernorm.{name}" in vision_weights:
                getattr(model.vision_norm, name).data = vision_weights.pop(f"layernorm.{name}")
        model.vision_model.load_state_dict(vision_weights)
        model.text_model.load_state_dict(text_model.state_dict())
        return model

    def encode_image(self, pixel_values: Tensor) -> Gaussian:
        """Radiographs `[B, 1 or 3, H, W]`, normalised -> Gaussian `[B, D]`.

        Token backbones: mean of the patch tokens (the class token left out); convolutional ones: mean of
        the feature map. Then LayerNorm and the head.
        """
        channels = self.config.vision_config.num_channels
        if pixel_values.shape[1] == 1 and channels != 1:
            pixel_values = pixel_values.expand(-1, channels, -1, -1)  # grey in every channel, no copy
        features = self.vision_model(pixel_values=pixel_values).last_hidden_state
        if features.ndim == 4:
            pooled = features.mean((2, 3))
        else:
            patches = (pixel_values.shape[-1] // self.config.vision_config.patch_size) ** 2
            pooled = features[:, -patches:].mean(1)
        return self.vision_head(self.vision_norm(pooled))

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Gaussian:
        """Tokens and their mask `[B, L]` -> Gaussian `[B, D]`, from the first ([CLS]) token."""
        hidden = self.text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.text_head(hidden[:, 0])

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Gaussian, Gaussian]:
        """Both encoders: images `[B, C, H, W]` and texts `[B', L]` -> Gaussian `[B, D]`, `[B', D]`."""
        return self.encode_image(pixel_values), self.encode_text(input_ids, attention_mask)


def feature_width(config: PreTrainedConfig) -> int:
    """Width F of a backbone's features (the last stage of a convolutional one)."""
    return config.hidden_sizes[-1] if hasattr(config, "hidden_sizes") else config.hidden_size


AutoConfig.register("medprobclip", MedProbCLIPConfig)
AutoModel.register(MedProbCLIPConfig, MedProbCLIPModel)
