"""The model: two encoders, two Gaussian heads, one similarity."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.configuration_utils import SubConfigSpec
from transformers.models.auto import AutoConfig, AutoModel  # not by way of what registers our classes

from medprobclip.gaussian import Gaussian
from medprobclip.settings import EncoderConfig, GreyConfig, ObjectiveConfig
from medprobclip.similarity import ScaledSimilarity
from medprobclip.support.backbones import (
    check_pooling,
    feature_width,
    fit_channels,
    load_backbone,
    load_weights,
    pool_image,
    pool_image_and_inner,
    pool_text,
    pool_text_and_inner,
    trim,
)
from medprobclip.support.downloads import check_downloaded
from medprobclip.support.imports import announce_in
from medprobclip.support.progress import without_model_bars
from medprobclip.support.published_checkpoint import read_published


@strict
class MedProbCLIPConfig(PreTrainedConfig):
    """Configuration of `MedProbCLIPModel`: two transformers backbones and the embedding space.

    Defaults follow arXiv 2602.16019. `vision_config` and `text_config` are the configurations (or their
    dicts) of any transformers vision and text backbone; a `vision_config.num_channels` of 1 is a grey stem.
    """

    model_type = "medprobclip"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vit"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
    }

    vision_config: PreTrainedConfig | dict | None = None
    text_config: PreTrainedConfig | dict | None = None
    vision_pooling: str = EncoderConfig.vision_pooling  # one of `settings.VisionPooling`
    text_pooling: str = EncoderConfig.text_pooling  # one of `settings.TextPooling`
    head_hidden: int = EncoderConfig.head_hidden  # units of a hidden layer in the heads, 0: linear heads
    embed_dim: int = EncoderConfig.embed_dim  # D, dimensions of the shared space
    log_var_min: float = ObjectiveConfig.log_var_min  # clamp of log σ², so that no variance vanishes …
    log_var_max: float = 6.0  # … or explodes
    score: str = ObjectiveConfig.score  # one of `similarity.SCORES`
    similarity_scale: float = ObjectiveConfig.scale  # a₀ of ℓ = a·score + b
    similarity_shift: float = ObjectiveConfig.shift  # b₀
    similarity_max_scale: float | None = ObjectiveConfig.max_scale  # largest a, none: any
    unit_mean: bool = ObjectiveConfig.unit_mean  # scale every mean to length 1 (PCME++)
    learned_variance: bool = ObjectiveConfig.learned_variance  # False: no head for it, every σ² is 1
    log_var_start: float = ObjectiveConfig.log_var_start  # of fresh heads
    image_size: int = EncoderConfig.image_size  # side of the square input in px
    image_mean: float = GreyConfig.mean  # of grey values in [0, 1]
    image_std: float = GreyConfig.std


class GaussianHead(nn.Module):
    """Features `[B, F]` -> Gaussian `[B, D]`, log variance clamped (or 0): linear, or with a hidden layer."""

    def __init__(self, in_features: int, config: MedProbCLIPConfig) -> None:
        super().__init__()
        self.hidden: nn.Module = nn.Identity()
        spread = 0.3  # of means and log variances at the start, so that every σ² is near its start
        if config.head_hidden:
            self.hidden = nn.Sequential(nn.Linear(in_features, config.head_hidden), nn.GELU())
            self.hidden[0].spread = 1.0
            in_features, spread = config.head_hidden, spread / 0.652  # root mean square of GELU(N(0, 1))
        self.learned_variance = config.learned_variance
        self.linear = nn.Linear(in_features, (2 if config.learned_variance else 1) * config.embed_dim)
        self.linear.spread = spread
        self.linear.log_var_start = config.log_var_start if config.learned_variance else None
        self.limits = (config.log_var_min, config.log_var_max)
        self.unit_mean = config.unit_mean

    def forward(self, features: Tensor) -> Gaussian:
        # Not in autocast's half precision, and float32 out: scores are sums of D terms in these values.
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.linear.weight.dtype)
            out = self.linear(self.hidden(features)).float()
            mean, log_var = out.chunk(2, dim=-1) if self.learned_variance else (out, torch.zeros_like(out))
            mean = F.normalize(mean, dim=-1) if self.unit_mean else mean
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
    supports_gradient_checkpointing = True

    def __init__(self, config: MedProbCLIPConfig) -> None:
        super().__init__(config)
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.text_model = AutoModel.from_config(config.text_config)
        check_pooling(self.vision_model, config.vision_pooling, self.text_model, config.text_pooling)
        trim(self.vision_model, config.vision_pooling)
        trim(self.text_model, config.text_pooling)
        vision_width = feature_width(config.vision_config, config.vision_pooling)
        text_width = feature_width(config.text_config, config.text_pooling)
        self.vision_norm = nn.LayerNorm(vision_width, eps=1e-6)
        self.vision_head = GaussianHead(vision_width, config)
        self.text_head = GaussianHead(text_width, config)
        self.similarity = ScaledSimilarity(
            config.score, config.similarity_scale, config.similarity_shift, config.similarity_max_scale
        )
        self.frozen: tuple[str, ...] = ()
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Our own layers; the backbones initialise theirs."""
        if isinstance(module, nn.Linear):  # the heads
            nn.init.normal_(module.weight, std=module.spread * module.in_features**-0.5)
            nn.init.zeros_(module.bias)
            if (start := getattr(module, "log_var_start", None)) is not None:
                module.bias[len(module.bias) // 2 :] = start
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, ScaledSimilarity):
            module.log_a.fill_(math.log(self.config.similarity_scale))
            module.b.fill_(self.config.similarity_shift)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *arguments, **settings
    ) -> MedProbCLIPModel:
        """As of every transformers model. Raises OSError for a Git LFS pointer or web page in its place."""
        check_downloaded(pretrained_model_name_or_path)
        with without_model_bars(Path(pretrained_model_name_or_path).is_dir()):
            return super().from_pretrained(pretrained_model_name_or_path, *arguments, **settings)

    def save_pretrained(self, save_directory: str | Path, *arguments, **settings) -> None:
        """As of every transformers model, and loadable without `import medprobclip` (`trust_remote_code`)."""
        with without_model_bars():
            super().save_pretrained(save_directory, *arguments, **settings)
        announce_in(Path(save_directory), "config.json", {
            "AutoConfig": MedProbCLIPConfig.__name__, "AutoModel": MedProbCLIPModel.__name__,
        })  # fmt: skip

    @classmethod
    def from_vision_text_pretrained(
        cls, vision: str, text: str, grey: bool = True, **settings
    ) -> MedProbCLIPModel:
        """Combine a pretrained vision and text backbone (hub name or folder) under fresh heads.

        With `grey` the first convolution takes one channel, its weights summed over the colours, where the
        backbone lets us choose: the same answers as to three equal channels, for a third of the input.
        `settings` are fields of `MedProbCLIPConfig`. Raises OSError when a backbone cannot be found,
        ValueError when it cannot do what is asked.
        """
        vision_model, text_model = load_backbone(vision, "vision"), load_backbone(text, "text")
        if grey and hasattr(vision_model.config, "num_channels"):
            vision_model.config.num_channels = 1
        model = cls(
            MedProbCLIPConfig(vision_config=vision_model.config, text_config=text_model.config, **settings)
        )
        norm = trim(vision_model, model.config.vision_pooling)
        trim(text_model, model.config.text_pooling)
        load_weights(model.vision_model, vision_model.state_dict())
        load_weights(model.text_model, text_model.state_dict())
        if norm is not None:
            model.vision_norm.load_state_dict(norm.state_dict())
        return model

    def freeze(self, which: str) -> None:
        """Backbones that keep their weights from now on: "none", "vision", "text" or "both".

        The others learn, and so do the heads and the norm after the pooling, always. A frozen backbone
        stays in evaluation mode (no dropout, no new batch statistics). Not stored: a loaded model learns
        everywhere until asked again. Raises ValueError for another word.
        """
        towers = {"vision": ("vision_model",), "text": ("text_model",), "none": ()}
        towers["both"] = towers["vision"] + towers["text"]
        if which not in towers:
            raise ValueError(f"freeze '{which}'? Choose one of {', '.join(towers)}")
        self.frozen = towers[which]
        for tower in towers["both"]:
            getattr(self, tower).requires_grad_(tower not in self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> MedProbCLIPModel:
        super().train(mode)
        for tower in self.frozen:
            getattr(self, tower).eval()
        return self

    @classmethod
    def from_published(cls, path: str | Path) -> MedProbCLIPModel:
        """Load the authors' checkpoint, "pre-trained_weights.pt", ready to encode.

        Sizes are read off the tensors. Raises FileNotFoundError when there is no such file, CheckpointError
        when loading it could execute code or a tensor does not find its place.
        """
        settings, weights = read_published(path)
        model = cls(MedProbCLIPConfig(**settings))
        model.load_state_dict(weights)
        return model.eval()

    def encode_image(self, pixel_values: Tensor) -> Gaussian:
        """Radiographs `[B, 1, H, W]`, normalised -> Gaussian `[B, D]`: pooled, LayerNorm, head.

        As many equal channels as the backbone has are taken too; raises ValueError for other numbers.
        """
        pixel_values = fit_channels(pixel_values, self.config.vision_config)
        features = pool_image(self.vision_model, pixel_values, self.config.vision_pooling)
        return self.vision_head(self.vision_norm(features))

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Gaussian:
        """Tokens and their mask `[B, L]` -> Gaussian `[B, D]`: pooled, head."""
        return self.text_head(pool_text(self.text_model, input_ids, attention_mask, self.config.text_pooling))

    def encode_image_and_inner(self, pixel_values: Tensor) -> tuple[Gaussian, Tensor]:
        """As `encode_image`, and the features half-way through the encoder `[B, G]`, for `Strangeness`."""
        pixel_values = fit_channels(pixel_values, self.config.vision_config)
        features, inner = pool_image_and_inner(self.vision_model, pixel_values, self.config.vision_pooling)
        return self.vision_head(self.vision_norm(features)), inner

    def encode_text_and_inner(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Gaussian, Tensor]:
        """As `encode_text`, and the features half-way through the encoder `[B, G]`, for `Strangeness`."""
        pooling = self.config.text_pooling
        features, inner = pool_text_and_inner(self.text_model, input_ids, attention_mask, pooling)
        return self.text_head(features), inner

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> tuple[Gaussian, Gaussian]:
        """Both encoders: images `[B, C, H, W]` and texts `[B', L]` -> Gaussian `[B, D]`, `[B', D]`.

        `token_type_ids` are taken because tokenizers give them, and not used: a text is one segment.
        """
        return self.encode_image(pixel_values), self.encode_text(input_ids, attention_mask)


AutoConfig.register("medprobclip", MedProbCLIPConfig)
AutoModel.register(MedProbCLIPConfig, MedProbCLIPModel)
