"""What is minimised: named terms that sum to the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medprobclip.gaussian import Gaussian
from medprobclip.settings import ObjectiveConfig
from medprobclip.targets import (
    LOSSES,
    BatchTargets,
    Targets,
    pseudo_positives,
    soft_weights,
    symmetric,
)

Similarity = Callable[[Gaussian, Gaussian], Tensor]


@dataclass(frozen=True)
class Views:
    """A batch of B studies: one or two radiographs and report sections each, all Gaussian `[B, D]`.

    `targets` says which studies answer for one another; None: each for itself only. `spoilt` are degraded
    copies of the first radiographs, for the inclusion term.
    """

    images: tuple[Gaussian, ...]
    reports: tuple[Gaussian, ...]
    targets: BatchTargets | None = None
    spoilt: Gaussian | None = None


def batch_targets(
    config: ObjectiveConfig, text_ids: tuple[Tensor, Tensor], coding: Tensor | None, similarity: Tensor | None
) -> BatchTargets:
    """What the objective takes for right in a batch: wording and coding ids `[B]`, report similarity
    `[B, B]` in [0, 1].

    Raises ValueError when it asks for a coding or a similarity that is not given.
    """
    if config.equal_coding != "negative" and coding is None:
        raise ValueError(f"equal_coding '{config.equal_coding}' needs a study table with a column `codes`")
    if config.soft == "none":
        soft = None
    elif similarity is None:
        raise ValueError(f"soft '{config.soft}' needs the similarity of the reports")
    else:
        soft = soft_weights(similarity, config.soft_threshold, config.soft_power)
    return BatchTargets.of(text_ids, coding, soft, config.duplicates, config.equal_coding)


def objective_terms(
    views: Views, similarity: Similarity, config: ObjectiveConfig | None = None
) -> dict[str, Tensor]:
    """One objective, term by term: `loss` and the unweighted terms of `term_weights`, scalars.

    L = w S(I, T) + λ_I S(I₁, I₂) + λ_T S(T₁, T₂) + β (KL_I + KL_T) + α P(I, T) + γ C

    S(X, Y) = ½ [f(ℓ, m) + f(ℓᵀ, mᵀ)] with logits ℓ, targets m and f a softmax or sigmoid cross-entropy;
    P = f(ℓ, m̃) + f(ℓᵀ, m̃ᵀ) with pseudo-positives m̃; C = −log sigmoid(c H) with the inclusion H of I₁ in its
    spoilt copy. S(I, T) and P are means over the views and sections in use, KL over the batch and these, C
    over the batch. With `OBJECTIVES` these are arXiv 2602.16019, CLIP (Radford 2021, arXiv 2103.00020),
    CXR-CLIP (You 2023, arXiv 2310.13292) and PCME++ (Chun 2024, arXiv 2305.18171); C is ProLIP's (Chun 2025,
    arXiv 2410.18857).

    One departure: studies worded alike share the target where the authors count them as wrong answers
    (PCME++ excepted), which `duplicates="negative"` brings back. Raises ValueError when a view (section) or
    the spoilt copies are missing.
    """
    config = config or ObjectiveConfig()
    images, reports = views.images[: config.views], views.reports[: config.sections]
    if len(images) < config.views or len(reports) < config.sections:
        raise ValueError(
            f"need {config.views} views and {config.sections} sections, got {len(images)} and {len(reports)}"
        )
    if config.inclusion_weight and views.spoilt is None:
        raise ValueError("the inclusion term needs spoilt copies of the first views")
    targets = views.targets or BatchTargets.diagonal(len(images[0]), images[0].mean.device)
    loss = LOSSES[config.loss]
    pairs = [(similarity(i, t), targets.image_text[s]) for i in images for s, t in enumerate(reports)]

    def pseudo_positive(logits: Tensor, m: Targets) -> Tensor:
        return loss(logits, pseudo_positives(logits, m)) + loss(logits.T, pseudo_positives(logits.T, m.T))

    def kl(gaussians: tuple[Gaussian, ...]) -> Tensor:
        nats = Gaussian.cat(gaussians).kl_to_standard_normal().mean()
        return nats / gaussians[0].dim if config.kl_over_dims == "mean" else nats

    def inclusion() -> Tensor:
        inside = images[0].inclusion(views.spoilt)
        return -F.logsigmoid(config.inclusion_scale * inside).mean()

    recipes = {
        "image_text": lambda: torch.stack([symmetric(loss, *pair) for pair in pairs]).mean(),
        "image_image": lambda: symmetric(loss, similarity(*images), targets.image_image),
        "text_text": lambda: symmetric(loss, similarity(*reports), targets.text_text),
        "kl_image": lambda: kl(images),
        "kl_text": lambda: kl(reports),
        "pseudo_positive": lambda: torch.stack([pseudo_positive(*pair) for pair in pairs]).mean(),
        "inclusion": inclusion,
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
        "inclusion": config.inclusion_weight,
    }
    return {name: weight for name, weight in weights.items() if weight}
