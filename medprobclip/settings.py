"""Every default of the method, one frozen dataclass a part; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

from medprobclip.ranges import refuse_out_of_range

VisionPooling = Literal["mean", "cls", "own"]
TextPooling = Literal["cls", "mean", "own"]
Treatment = Literal["positive", "ignored", "negative"]  # of another study that says the same
SmallVision = Literal["small-resnet", "tiny-resnet"]  # built from scratch, as text: small-bert, tiny-bert
ScoreName = Literal[  # of `similarity.SCORES`
    "expected_likelihood", "csd", "wasserstein", "bhattacharyya", "hellinger", "kl", "reverse_kl",
    "symmetric_kl", "cosine",
]  # fmt: skip


@dataclass(frozen=True)
class GreyConfig:
    """What a radiograph becomes for every encoder: (grey value in [0, 1] − mean) / std, arXiv 2602.16019."""

    mean: float = 0.5  # middle of the range
    std: float = 0.25  # values then lie in [−2, 2]


@dataclass(frozen=True)
class EncoderConfig:
    """Backbones and sizes; the defaults are those of arXiv 2602.16019.

    `vision` and `text` are both a key of `SMALL_VISION` / `SMALL_TEXT` (built from scratch, no network) or
    both the hub name or folder of a pretrained transformers model. The vision model "chest-encoder" comes
    with the package and goes with either kind of text model.
    """

    vision: str = field(
        default="google/vit-base-patch16-224",
        metadata={
            "help": "chest-encoder (schooled on simulated films), small-resnet or tiny-resnet (from "
            "scratch), or the hub name or folder of a vision model"
        },
    )
    text: str = field(
        default="microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
        metadata={"help": "small-bert, tiny-bert, or the hub name or folder of a text model"},
    )
    embed_dim: int = field(default=512, metadata={"help": "D, dimensions of the shared space"})
    image_size: int = field(default=224, metadata={"help": "side of the square input, px"})
    max_tokens: int = field(default=256, metadata={"help": "longer sections are cut, word pieces"})
    vocab_size: int = field(
        default=3000, metadata={"help": "word pieces to learn from the training reports (small-, tiny-bert)"}
    )
    vision_pooling: VisionPooling = field(
        default="mean", metadata={"help": "mean of the patches, cls, or the vision model's own pooling (own)"}
    )
    text_pooling: TextPooling = field(
        default="cls", metadata={"help": "cls, mean of the tokens, or the text model's own pooling (own)"}
    )
    head_hidden: int = field(
        default=0, metadata={"help": "units of a hidden layer in the heads; 0: linear heads"}
    )
    freeze: Literal["none", "vision", "text", "both"] = field(
        default="none",
        metadata={
            "help": "none, vision, text or both: backbones that keep their weights; heads always learn"
        },
    )
    gradient_checkpointing: bool = field(
        default=False,
        metadata={"help": "compute transformer layers again in the backward pass: less memory, more time"},
    )

    def __post_init__(self) -> None:
        least = {"embed_dim": 1, "image_size": 8, "max_tokens": 3, "vocab_size": 1, "head_hidden": 0}
        refuse_out_of_range(self, {name: getattr(self, name) >= value for name, value in least.items()})


@dataclass(frozen=True)
class AugmentationConfig:
    """Random changes of a training view and section. Never a left-right flip: reports name sides.

    Crop areas, rotation, brightness and contrast are those of arXiv 2602.16019; how much is blurred, and
    that crops keep the image's shape, is ours, and so is what happens to sentences.
    """

    crop_area_1: float = field(default=0.85, metadata={"help": "least share of the area kept, first view"})
    crop_area_2: float = field(default=0.80, metadata={"help": "least share of the area kept, second view"})
    rotation: float = field(default=5.0, metadata={"help": "largest rotation to either side, degrees"})
    brightness: float = field(default=0.08, metadata={"help": "largest change of brightness, share of white"})
    contrast: float = field(default=0.10, metadata={"help": "largest relative change of contrast"})
    blur_share: float = field(default=0.3, metadata={"help": "share of the views that are blurred"})
    blur_sigma: float = field(default=0.6, metadata={"help": "largest Gaussian blur, standard deviation, px"})
    sentence_drop: float = field(
        default=0.0, metadata={"help": "share of a section's sentences left out at random; one stays"}
    )
    sentence_shuffle: bool = field(
        default=False, metadata={"help": "put a section's sentences into random order"}
    )
    sentence_ties: bool = field(
        default=False, metadata={"help": "vary only what keeps its meaning so (data/variations.py)"}
    )
    one_section: bool = field(
        default=False, metadata={"help": "train on studies with one section, too, in two variations of it"}
    )
    degraded_share: float = field(
        default=0.0, metadata={"help": "share of the training radiographs that are spoilt (data/degraded.py)"}
    )
    degraded_severity: float = field(
        default=1.0, metadata={"help": "how badly at most, 0 to 1; evenly drawn, for inclusion's copies, too"}
    )

    def __post_init__(self) -> None:
        ranges = {
            **{name: 0.01 <= getattr(self, name) <= 1 for name in ("crop_area_1", "crop_area_2")},
            "rotation": 0 <= self.rotation <= 180,
            **{name: 0 <= getattr(self, name) < 1 for name in ("brightness", "contrast", "sentence_drop")},
            "blur_share": 0 <= self.blur_share <= 1,
            "degraded_share": 0 <= self.degraded_share <= 1,
            "degraded_severity": 0 < self.degraded_severity <= 1,
            "blur_sigma": 0.1 <= self.blur_sigma <= 100,  # kornia draws from 0.1 px on
        }
        refuse_out_of_range(self, ranges)


@dataclass(frozen=True)
class ObjectiveConfig:
    """One contrastive objective; the defaults are those of arXiv 2602.16019, others are in `OBJECTIVES`.

    Raises ValueError for an unknown word, a value out of range, or a term without its second view (section).
    """

    loss: Literal["softmax", "sigmoid"] = field(
        default="softmax",
        metadata={"help": "softmax: the right answer among the batch's; sigmoid: each pair right or wrong"},
    )
    score: ScoreName = field(
        default="expected_likelihood", metadata={"help": "how much two Gaussians overlap, see similarity.py"}
    )
    scale: float = field(default=1.0, metadata={"help": "a at the start, of the logit a * score + b"})
    shift: float = field(default=0.0, metadata={"help": "b at the start; a softmax cannot move it"})
    max_scale: float | None = field(default=None, metadata={"help": "largest a; none by default"})
    unit_mean: bool = field(default=False, metadata={"help": "scale every mean to length 1"})
    learned_variance: bool = field(default=True, metadata={"help": "False: every variance is 1"})
    log_var_start: float = field(
        default=0.0, metadata={"help": "log σ² at the start, up to the spread of the head's fresh weights"}
    )
    log_var_min: float = field(default=-6.0, metadata={"help": "least log σ²: below, it is clamped"})
    views: Literal[1, 2] = field(default=2, metadata={"help": "radiographs of a study that are used"})
    sections: Literal[1, 2] = field(default=2, metadata={"help": "sections used: findings; and impression"})
    image_text_weight: float = field(default=1.0, metadata={"help": "weight of the contrast I, T; above 0"})
    image_image_weight: float = field(default=1.0, metadata={"help": "λ_I, of the contrast I1, I2"})
    text_text_weight: float = field(default=0.1, metadata={"help": "λ_T, of the contrast T1, T2"})
    kl_weight: float = field(default=1e-4, metadata={"help": "β, of each KL to N(0, I), in nats"})
    kl_over_dims: Literal["sum", "mean"] = field(
        default="sum", metadata={"help": "what is taken of the KL over the D dimensions"}
    )
    pseudo_positive_weight: float = field(
        default=0.0, metadata={"help": "α, of the loss that trusts answers preferred to the right one"}
    )
    inclusion_weight: float = field(
        default=0.0,
        metadata={"help": "of −log sigmoid(c H), H: first views lie inside their spoilt copies"},
    )
    inclusion_scale: float = field(default=1.0, metadata={"help": "c of the inclusion term, a factor of H"})
    mixed_share: float = field(
        default=0.0, metadata={"help": "share of the radiographs mixed with another (needs 1 view)"}
    )
    duplicates: Treatment = field(
        default="positive",
        metadata={"help": "sections of other studies worded alike: right answers, left out, or wrong"},
    )
    equal_coding: Treatment = field(
        default="negative",
        metadata={"help": "other studies with the same expert codes (table column `codes`): likewise"},
    )
    soft: Literal["none", "tfidf", "encoder"] = field(
        default="none",
        metadata={"help": "share targets by report similarity: of words, or of the untrained text encoder"},
    )
    # Counted on OpenI's TF-IDF: in a batch of 64 a study then keeps two thirds of its target, and over half
    # of what it shares goes to studies with its own expert codes, which are an eighth of all.
    soft_threshold: float = field(
        default=0.3, metadata={"help": "similarities r below share nothing, 0 to 1 (without 1)"}
    )
    soft_power: float = field(default=2.0, metadata={"help": "p > 0; weight r^p beside 1 for its own"})

    def __post_init__(self) -> None:
        hints = get_type_hints(ObjectiveConfig).items()
        words = {name: get_args(hint) for name, hint in hints if get_origin(hint) is Literal}
        for name, choices in words.items():
            if getattr(self, name) not in choices:
                listed = ", ".join(map(str, choices))
                raise ValueError(f"no {name} '{getattr(self, name)}'; choose one of {listed}")
        ranges = {
            "scale": self.scale > 0,
            "max_scale": self.max_scale is None or self.max_scale >= self.scale,
            "mixed_share": 0 <= self.mixed_share <= 1,
            "log_var_start": -50 <= self.log_var_start <= 6,
            "log_var_min": self.log_var_min < 6,  # the largest log σ² of every model
            "soft_threshold": 0 <= self.soft_threshold < 1,
            "soft_power": self.soft_power > 0,
            "inclusion_scale": self.inclusion_scale > 0,
            **{name: getattr(self, name) >= 0 for name in vars(self) if name.endswith("_weight")},
            "image_text_weight": self.image_text_weight > 0,
        }
        refuse_out_of_range(self, ranges)
        for term, number in {"image_image_weight": "views", "text_text_weight": "sections"}.items():
            if getattr(self, term) and getattr(self, number) == 1:
                raise ValueError(f"{term} contrasts two {number}: set it to 0 or {number} to 2")
        if self.inclusion_weight and not self.learned_variance:
            raise ValueError("inclusion_weight needs learned_variance: equal variances include nothing")
        if self.mixed_share and self.views == 2:
            raise ValueError("mixed_share needs views = 1: two mixed views have no clear common target")

    def model_settings(self) -> dict:
        """What it asks of the model, as fields of `MedProbCLIPConfig`."""
        return {
            "score": self.score,
            "similarity_scale": self.scale,
            "similarity_shift": self.shift,
            "similarity_max_scale": self.max_scale,
            "unit_mean": self.unit_mean,
            "learned_variance": self.learned_variance,
            "log_var_start": self.log_var_start,
            "log_var_min": self.log_var_min,
        }


_ONE_PAIR = {"views": 1, "sections": 1, "image_image_weight": 0.0, "text_text_weight": 0.0}
OBJECTIVES = {
    # arXiv 2602.16019
    "medprobclip": ObjectiveConfig(),
    # ours: the same, but studies with similar reports share their targets
    "medprobclip-soft": ObjectiveConfig(soft="tfidf"),
    # ours: the same, but studies that experts coded alike share their targets; needs the codes
    "medprobclip-coded": ObjectiveConfig(equal_coding="positive"),
    # the same, and every radiograph lies inside its spoilt copy: the inclusion of ProLIP (Chun 2025)
    "medprobclip-inclusion": ObjectiveConfig(inclusion_weight=1.0),
    # Radford 2021
    "clip": ObjectiveConfig(score="cosine", scale=1 / 0.07, max_scale=100.0, kl_weight=0.0, **_ONE_PAIR),
    # You 2023
    "cxr-clip": ObjectiveConfig(score="cosine", scale=1 / 0.07, text_text_weight=0.5, kl_weight=0.0),
    # Chun 2024. With unit means a CSD is at most 4 + Σσ²: at σ² = 1 the variances alone say that nothing
    # matches, and the loss settles on one answer for all. The authors' heads start at log σ² = −10 ("to
    # prevent too large std") and clamp nothing; from −5 with our clamp the demo's stays at chance
    # (benchmarks/demo_settings.csv).
    "pcme++": ObjectiveConfig(
        loss="sigmoid", score="csd", scale=5.0, shift=5.0, unit_mean=True, image_text_weight=2.0,
        log_var_start=-10.0, log_var_min=-20.0, kl_over_dims="mean", pseudo_positive_weight=0.1,
        mixed_share=0.25, **_ONE_PAIR,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ScalingConfig:
    """Sizes of the comparison of notebook 07."""

    queries: int = field(default=256, metadata={"help": "N, radiographs that look for their report"})
    dim: int = field(default=512, metadata={"help": "D, dimensions of an embedding"})
    galleries: tuple[int, ...] = field(
        default=(32, 128, 512, 2048, 8192, 32768, 131072), metadata={"help": "M, reports to choose from"}
    )
    k: int = field(default=10, metadata={"help": "best reports kept by the search"})
    most_mb: float = field(default=2000.0, metadata={"help": "a method that would need more is left out, MB"})
