"""What is minimised: named terms that sum to the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import SCORES
from medprobclip.targets import (
    LOSSES,
    BatchTargets,
    Targets,
    Treatment,
    pseudo_positives,
    soft_weights,
    symmetric,
)

Similarity = Callable[[Gaussian, Gaussian], Tensor]


@dataclass(frozen=True)
class Views:
    """A batch of B studies: one or two radiographs and report sections each, all Gaussian `[B, D]`.

    `targets` says which studies answer for one another; None: each for itself only.
    """

    images: tuple[Gaussian, ...]
    reports: tuple[Gaussian, ...]
    targets: BatchTargets | None = None


@dataclass(frozen=True)
class ObjectiveConfig:
    """One contrastive objective; the defaults are those of arXiv 2602.16019, others are in `OBJECTIVES`.

    Raises ValueError for an unknown word, a value out of range, or a term without its second view (section).
    """

    loss: Literal["softmax", "sigmoid"] = field(
        default="softmax",
        metadata={"help": "softmax: the right answer among the batch's; sigmoid: each pair right or wrong"},
    )
    score: str = field(default="expected_likelihood", metadata={"help": f"one of {', '.join(SCORES)}"})
    scale: float = field(default=1.0, metadata={"help": "a at the start, of the logit a * score + b"})
    shift: float = field(default=0.0, metadata={"help": "b at the start; a softmax cannot move it"})
    max_scale: float = field(default=math.inf, metadata={"help": "largest a; inf: no limit"})
    unit_mean: bool = field(default=False, metadata={"help": "scale every mean to length 1"})
    learned_variance: bool = field(default=True, metadata={"help": "False: every variance is 1"})
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
        for name, choices in {**words, "score": tuple(SCORES)}.items():
            if getattr(self, name) not in choices:
                listed = ", ".join(map(str, choices))
                raise ValueError(f"no {name} '{getattr(self, name)}'; choose one of {listed}")
        ranges = {
            "scale": self.scale > 0,
            "max_scale": self.max_scale >= self.scale,
            "mixed_share": 0 <= self.mixed_share <= 1,
            "soft_threshold": 0 <= self.soft_threshold < 1,
            "soft_power": self.soft_power > 0,
            **{name: getattr(self, name) >= 0 for name in vars(self) if name.endswith("_weight")},
            "image_text_weight": self.image_text_weight > 0,
        }
        for name, fits in ranges.items():
            if not fits:
                rule = f"{name} = {getattr(self, name)} is out of range"
                raise ValueError(f"{rule}: {self.__dataclass_fields__[name].metadata['help']}")
        for term, number in {"image_image_weight": "views", "text_text_weight": "sections"}.items():
            if getattr(self, term) and getattr(self, number) == 1:
                raise ValueError(f"{term} contrasts two {number}: set it to 0 or {number} to 2")
        if self.mixed_share and self.views == 2:
            raise ValueError("mixed_share needs views = 1: two mixed views have no clear common target")

    def model_settings(self) -> dict:
        """What it asks of the model, as fields of `MedProbCLIPConfig`."""
        return {
            "score": self.score,
            "similarity_scale": self.scale,
            "similarity_shift": self.shift,
            "similarity_max_scale": None if math.isinf(self.max_scale) else self.max_scale,
            "unit_mean": self.unit_mean,
            "learned_variance": self.learned_variance,
        }

    def targets(
        self, text_ids: tuple[Tensor, Tensor], coding: Tensor | None, similarity: Tensor | None
    ) -> BatchTargets:
        """Its correspondence for a batch: wording and coding ids `[B]`, report similarity `[B, B]` in [0, 1].

        Raises ValueError when it asks for a coding or a similarity that is not given.
        """
        if self.equal_coding != "negative" and coding is None:
            raise ValueError(f"equal_coding '{self.equal_coding}' needs a study table with a column `codes`")
        if self.soft == "none":
            soft = None
        elif similarity is None:
            raise ValueError(f"soft '{self.soft}' needs the similarity of the reports")
        else:
            soft = soft_weights(similarity, self.soft_threshold, self.soft_power)
        return BatchTargets.of(text_ids, coding, soft, self.duplicates, self.equal_coding)


_ONE_PAIR = {"views": 1, "sections": 1, "image_image_weight": 0.0, "text_text_weight": 0.0}
OBJECTIVES = {
    # arXiv 2602.16019
    "medprobclip": ObjectiveConfig(),
    # ours: the same, but studies with similar reports share their targets
    "medprobclip-soft": ObjectiveConfig(soft="tfidf"),
    # Radford 2021
    "clip": ObjectiveConfig(score="cosine", scale=1 / 0.07, max_scale=100.0, kl_weight=0.0, **_ONE_PAIR),
    # You 2023
    "cxr-clip": ObjectiveConfig(score="cosine", scale=1 / 0.07, text_text_weight=0.5, kl_weight=0.0),
    # Chun 2024
    "pcme++": ObjectiveConfig(
        loss="sigmoid", score="csd", scale=5.0, shift=5.0, unit_mean=True, image_text_weight=2.0,
        kl_over_dims="mean", pseudo_positive_weight=0.1, mixed_share=0.25, **_ONE_PAIR,
    ),
}  # fmt: skip


def objective_terms(
    views: Views, similarity: Similarity, config: ObjectiveConfig | None = None
) -> dict[str, Tensor]:
    """One objective, term by term: `loss` and the unweighted terms of `term_weights`, scalars.

    L = w S(I, T) + λ_I S(I₁, I₂) + λ_T S(T₁, T₂) + β (KL_I + KL_T) + α P(I, T)

    S(X, Y) = ½ [f(ℓ, m) + f(ℓᵀ, mᵀ)] with logits ℓ, targets m and f a softmax or sigmoid cross-entropy;
    P = f(ℓ, m̃) + f(ℓᵀ, m̃ᵀ) with pseudo-positives m̃. S(I, T) and P are means over the views and sections in
    use, KL over the batch and these. With `OBJECTIVES` these are arXiv 2602.16019, CLIP (Radford 2021,
    arXiv 2103.00020), CXR-CLIP (You 2023, arXiv 2310.13292) and PCME++ (Chun 2024, arXiv 2305.18171).

    One departure: studies worded alike share the target where the authors count them as wrong answers
    (PCME++ excepted), which `duplicates="negative"` brings back. Raises ValueError when a view (section) is
    missing.
    """
    config = config or ObjectiveConfig()
    images, reports = views.images[: config.views], views.reports[: config.sections]
    if len(images) < config.views or len(reports) < config.sections:
        raise ValueError(
            f"need {config.views} views and {config.sections} sections, got {len(images)} and {len(reports)}"
        )
    targets = views.targets or BatchTargets.diagonal(len(images[0]), images[0].mean.device)
    loss = LOSSES[config.loss]
    pairs = [(similarity(i, t), targets.image_text[s]) for i in images for s, t in enumerate(reports)]

    def pseudo_positive(logits: Tensor, m: Targets) -> Tensor:
        return loss(logits, pseudo_positives(logits, m)) + loss(logits.T, pseudo_positives(logits.T, m.T))

    def kl(gaussians: tuple[Gaussian, ...]) -> Tensor:
        nats = Gaussian.cat(gaussians).kl_to_standard_normal().mean()
        return nats / gaussians[0].dim if config.kl_over_dims == "mean" else nats

    recipes = {
        "image_text": lambda: torch.stack([symmetric(loss, *pair) for pair in pairs]).mean(),
        "image_image": lambda: symmetric(loss, similarity(*images), targets.image_image),
        "text_text": lambda: symmetric(loss, similarity(*reports), targets.text_text),
        "kl_image": lambda: kl(images),
        "kl_text": lambda: kl(reports),
        "pseudo_positive": lambda: torch.stack([pseudo_positive(*pair) for pair in pairs]).mean(),
    }
    weights = term_weights(config)
    terms = {name: recipes[name]() for name in weights}
    return {"loss": sum(weights[name] * term for name, term in terms.items()), **terms}


def term_weights(config: ObjectiveConfig) -> dict[str, float]:
    """Weight of each named term in `loss`; a term of weight 0 is left out."""
    weights = {
        "image_text": config.image_text_weight,
        "image_image": config.image_image_weight,
        "text_text": config.text_text_weight,
        "kl_image": config.kl_weight,
        "kl_text": config.kl_weight,
        "pseudo_positive": config.pseudo_positive_weight,
    }
    return {name: weight for name, weight in weights.items() if weight}
