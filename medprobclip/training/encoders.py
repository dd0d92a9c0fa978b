"""Which encoders a model is built from: small ones from scratch, ours, or pretrained ones by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from transformers import BertConfig, PreTrainedTokenizerBase, ResNetConfig

from medprobclip.data.dataset import SECTIONS
from medprobclip.data.patients import owners
from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.settings import EncoderConfig
from medprobclip.support.backbones import load_backbone, load_tokenizer, load_weights, look_up
from medprobclip.support.packaged import PACKAGED

SMALL_VISION = {
    # 2.4 million parameters, most where they are cheap; see `benchmarks/school_settings.py` for others.
    "small-resnet": dict(embedding_size=32, hidden_sizes=[32, 64, 128, 240], depths=[1, 1, 2, 2]),
    "tiny-resnet": dict(embedding_size=8, hidden_sizes=[8, 16, 32], depths=[1, 1, 1]),
}
# No dropout of attention weights: drawing it costs more than such a small attention itself.
SMALL_TEXT = {
    "small-bert": dict(
        hidden_size=192, num_hidden_layers=2, num_attention_heads=6, intermediate_size=384,
        attention_probs_dropout_prob=0.0,
    ),
    "tiny-bert": dict(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        attention_probs_dropout_prob=0.0,
    ),
}  # fmt: skip
# What a model's configuration takes over by the same name.
MODEL_FIELDS = ("embed_dim", "image_size", "vision_pooling", "text_pooling", "head_hidden")


def build_tokenizer(
    config: EncoderConfig,
    training_texts: Iterable[str],
    patients: Sequence[str] | None = None,
    least_patients: int = 1,
) -> PreTrainedTokenizerBase:
    """The named text model's own tokenizer, or one learned from the training reports (`train_tokenizer`)."""
    if config.text in SMALL_TEXT:
        return train_tokenizer(training_texts, config.vocab_size, config.max_tokens, patients, least_patients)
    return load_tokenizer(config.text, config.max_tokens)


def training_tokenizer(
    config: EncoderConfig, training: pd.DataFrame, least_patients: int
) -> PreTrainedTokenizerBase:
    """As `build_tokenizer`, of both sections of every training study."""
    texts = training[list(SECTIONS)].to_numpy().ravel().tolist()
    patients = [owner for owner in owners(training) for _ in SECTIONS]
    return build_tokenizer(config, texts, patients, least_patients)


def check_encoders(config: EncoderConfig) -> bool:
    """Do vision and text go together, and are pretrained ones there? True when they are small ones of ours.

    Of a pretrained one only the configuration is looked at. Raises ValueError, and OSError by name.
    """
    small = config.text in SMALL_TEXT
    fitting = {*SMALL_VISION, *PACKAGED} if small else {config.vision} - SMALL_VISION.keys()
    if config.vision not in fitting:
        raise ValueError(
            f"vision '{config.vision}' and text '{config.text}': take both small "
            f"({', '.join((*SMALL_VISION, *PACKAGED))}; {', '.join(SMALL_TEXT)}) or both pretrained"
        )
    if not small:
        for name in (config.vision, config.text):
            try:
                look_up(name)
            except OSError as error:
                raise OSError(f"encoder {name}: {error}") from error
    return small


def build_model(config: EncoderConfig, tokenizer: PreTrainedTokenizerBase, **settings) -> MedProbCLIPModel:
    """A model with fresh heads, on small encoders from scratch or on pretrained backbones.

    `settings` are further fields of `MedProbCLIPConfig`, such as its score. Raises ValueError when a vision
    encoder from scratch stands beside a pretrained text model or the other way round (but the chest encoder
    goes with either) or a backbone cannot do what is asked, OSError when a pretrained one cannot be found.
    """
    small = check_encoders(config)
    settings |= {name: getattr(config, name) for name in MODEL_FIELDS}
    if small:
        model = _small_model(config, tokenizer, settings)
    else:
        model = MedProbCLIPModel.from_vision_text_pretrained(config.vision, config.text, **settings)
    model.freeze(config.freeze)
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable()
    return model


def _small_model(
    config: EncoderConfig, tokenizer: PreTrainedTokenizerBase, settings: dict
) -> MedProbCLIPModel:
    schooled = load_backbone(config.vision, "vision") if config.vision in PACKAGED else None
    vision = schooled.config if schooled else small_vision_config(config.vision)
    text = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=config.max_tokens,
        pad_token_id=tokenizer.pad_token_id,
        **SMALL_TEXT[config.text],
    )
    model = MedProbCLIPModel(MedProbCLIPConfig(vision_config=vision, text_config=text, **settings))
    if schooled:
        load_weights(model.vision_model, schooled.state_dict())
    # The same attention in plain matrix products: for short texts on a CPU its backward pass is faster than
    # the fused kernel's.
    model.text_model.set_attn_implementation("eager")
    return model


def small_vision_config(name: str) -> ResNetConfig:
    """A small grey ResNet, by its key in `SMALL_VISION`."""
    return ResNetConfig(num_channels=1, layer_type="basic", **SMALL_VISION[name])
