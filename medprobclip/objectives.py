"""What is minimised: named terms that sum to the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from medprobclip.gaussian import Gaussian

Similarity = Callable[[Gaussian, Gaussian], Tensor]


@dataclass(frozen=True)
class Views:
    """A batch of B studies: two radiographs and two report sections each, all Gaussian `[B, D]`.

    `text_ids` holds, for each of the two sections, integer ids `[B]` that are equal where the wording is
    equal: an exact duplicate is a right answer, not a wrong one. None: every study has its own wording.
    """

    images: tuple[Gaussian, Gaussian]
    reports: tuple[Gaussian, Gaussian]
    text_ids: tuple[Tensor, Tensor] | None = None

    def image_text_matches(self, section: int) -> Tensor | None:
        """bool `[B, B]`: does radiograph i also answer to section `section` of study j?"""
        return None if self.text_ids is None else same_id(self.text_ids[section])

    def text_text_matches(self) -> Tensor | None:
        """bool `[B, B]`: is the first section of i a companion of the second section of j?

        So it is when either section is worded alike in both studies.
        """
        return None if self.text_ids is None else same_id(self.text_ids[0]) | same_id(self.text_ids[1])


def same_id(ids: Tensor) -> Tensor:
    """Ids `[B]` -> bool `[B, B]`, True where equal."""
    return ids[:, None] == ids[None, :]


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights of the MedProbCLIP objective (arXiv 2602.16019; `Loss` of its published code)."""

    image_image_weight: float = field(default=1.0, metadata={"help": "λ_I, weight of S(I1, I2)"})
    text_text_weight: float = field(default=0.1, metadata={"help": "λ_T, weight of S(T1, T2)"})
    kl_weight: float = field(
        default=1e-4, metadata={"help": "β, weight of each KL to N(0, I), in nats summed over D"}
    )


def symmetric_cross_entropy(logits: Tensor, matches: Tensor | None = None) -> Tensor:
    """S = ½[CE(ℓ) + CE(ℓᵀ)], symmetric InfoNCE: logits `[B, B]` -> scalar.

    The target is the diagonal, or, given `matches` (bool `[B, B]`), spread evenly over each row's (and
    each column's) matches. Raises ValueError if a row or column has no match.
    """
    if matches is None:
        target = torch.arange(len(logits), device=logits.device)
        return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
    weights = matches.to(logits.dtype)
    if not (matches.any(0).all() and matches.any(1).all()):
        raise ValueError("every row and column of `matches` needs at least one match")
    rows = F.cross_entropy(logits, weights / weights.sum(1, keepdim=True))
    columns = F.cross_entropy(logits.T, (weights / weights.sum(0, keepdim=True)).T)
    return 0.5 * (rows + columns)


def medprobclip_objective(
    views: Views, similarity: Similarity, config: ObjectiveConfig | None = None
) -> dict[str, Tensor]:
    """The objective of arXiv 2602.16019, term by term.

    L = ¼ Σ_{v,s} S(I_v, T_s) + λ_I S(I₁, I₂) + λ_T S(T₁, T₂) + β (KL_I + KL_T)

    with each KL summed over D and averaged over the batch and its two views (sections). Returns scalars:
    `loss` and the unweighted terms `image_text`, `image_image`, `text_text`, `kl_image`, `kl_text`.

    One departure: where `views.text_ids` are given, sections worded alike share the target. The published
    code counts them as wrong answers, which `text_ids=None` reproduces.
    """
    config = config or ObjectiveConfig()
    (i1, i2), (t1, t2) = views.images, views.reports
    image_text = [
        symmetric_cross_entropy(similarity(image, text), views.image_text_matches(section))
        for image in (i1, i2)
        for section, text in enumerate((t1, t2))
    ]
    terms = {
        "image_text": torch.stack(image_text).mean(),
        "image_image": symmetric_cross_entropy(similarity(i1, i2)),
        "text_text": symmetric_cross_entropy(similarity(t1, t2), views.text_text_matches()),
        "kl_image": Gaussian.cat([i1, i2]).kl_to_standard_normal().mean(),
        "kl_text": Gaussian.cat([t1, t2]).kl_to_standard_normal().mean(),
    }
    weights = term_weights(config)
    return {"loss": sum(weights[name] * term for name, term in terms.items()), **terms}


def term_weights(config: ObjectiveConfig) -> dict[str, float]:
    """Weight of each named term in `loss`."""
    return {
        "image_text": 1.0,
        "image_image": config.image_image_weight,
        "text_text": config.text_text_weight,
        "kl_image": config.kl_weight,
        "kl_text": config.kl_weight,
    }
