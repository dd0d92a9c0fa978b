"""Which answers in a batch are right, partly right or left out, and what wrong ones cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from medprobclip.settings import Treatment


@dataclass(frozen=True, eq=False)
class Targets:
    """The answers j to each query i of one contrast of B studies.

    `weights` float `[B, B]`: 1 right, 0 wrong, between them partly right. `counted` bool `[B, B]`: False
    leaves a pair out of the loss, neither right nor wrong; None counts all. Every row and column has a
    right answer, at least the study's own. Raises ValueError when the shapes are not square and equal.
    """

    weights: Tensor
    counted: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.weights.shape)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"weights need a shape [B, B], got {shape}")
        if self.counted is not None and tuple(self.counted.shape) != shape:
            raise ValueError(f"counted needs the shape of weights, {shape}, got {tuple(self.counted.shape)}")

    @property
    def T(self) -> Targets:
        """The same pairs asked the other way round."""
        return Targets(self.weights.T, None if self.counted is None else self.counted.T)

    @staticmethod
    def diagonal(n: int, device: torch.device | None = None) -> Targets:
        """Only a study's own answer is right."""
        return Targets(torch.eye(n, device=device))

    @staticmethod
    def soft(weights: Tensor) -> Targets:
        """Partly right as given, `[B, B]` in [0, 1]; a study's own answer fully."""
        return Targets(torch.where(own(weights), 1.0, weights))

    def accepting(self, pairs: Tensor) -> Targets:
        """`pairs` bool `[B, B]` are right answers, even where they were left out."""
        counted = None if self.counted is None else self.counted | pairs
        return Targets(torch.where(pairs, 1.0, self.weights), counted)

    def ignoring(self, pairs: Tensor) -> Targets:
        """`pairs` bool `[B, B]` are left out, except a study's own answer."""
        pairs = pairs & ~own(pairs)
        counted = ~pairs if self.counted is None else self.counted & ~pairs
        return Targets(torch.where(pairs, 0.0, self.weights), counted)


def own(square: Tensor) -> Tensor:
    """bool `[B, B]`, True on the diagonal, on the device of a `[B, B]` tensor."""
    return torch.eye(len(square), dtype=torch.bool, device=square.device)


def same_id(ids: Tensor) -> Tensor:
    """Ids `[B]` -> bool `[B, B]`, True where equal."""
    return ids[:, None] == ids[None, :]


def soft_weights(similarity: Tensor, threshold: float, power: float) -> Tensor:
    """Similarities r in [0, 1] -> weights r^power, 0 where r is below the threshold: `[B, B] -> [B, B]`."""
    return torch.where(similarity >= threshold, similarity.pow(power), 0.0)


@dataclass(frozen=True)
class BatchTargets:
    """What is right in each contrast of a batch: one `Targets` a report section for image to text."""

    image_text: tuple[Targets, ...]
    image_image: Targets
    text_text: Targets

    @staticmethod
    def diagonal(n: int, device: torch.device | None = None) -> BatchTargets:
        """Every study answers only to itself."""
        alone = Targets.diagonal(n, device)
        return BatchTargets((alone, alone), alone, alone)

    @staticmethod
    def of(
        text_ids: tuple[Tensor, Tensor],
        coding: Tensor | None = None,
        soft: Tensor | None = None,
        duplicates: Treatment = "positive",
        equal_coding: Treatment = "negative",
    ) -> BatchTargets:
        """What follows from wording, expert coding and similar reports.

        `text_ids`, for each section, and `coding` are ids int64 `[B]`, equal where the studies' wording or
        coding is; `soft` `[B, B]` weighs each study as an answer for each other one. Wording decides image to
        text by that section, and text to text by either (the first section of i goes with the second of j
        where either is worded alike). Coding and soft weights belong to whole studies and hold in every
        contrast, between images, too: radiographs of studies that say the same are not pushed apart.
        Where rules differ a right answer stays right, and one left out is not partly right.
        """

        def targets(alike: Tensor | None) -> Targets:
            found = (
                Targets.diagonal(len(text_ids[0]), text_ids[0].device) if soft is None else Targets.soft(soft)
            )
            rules = [(alike, duplicates), (None if coding is None else same_id(coding), equal_coding)]
            for pairs in (pairs for pairs, rule in rules if rule == "ignored" and pairs is not None):
                found = found.ignoring(pairs)
            for pairs in (pairs for pairs, rule in rules if rule == "positive" and pairs is not None):
                found = found.accepting(pairs)
            return found

        by_section = tuple(same_id(ids) for ids in text_ids)
        return BatchTargets(
            tuple(map(targets, by_section)), targets(None), targets(by_section[0] | by_section[1])
        )


def pseudo_positives(logits: Tensor, targets: Targets) -> Targets:
    """m̃ of PCME++ (Chun 2024): what the model prefers to the right answer might be right as well.

    In each row every j with a logit of at least that of the true match, the answer with the row's largest
    weight (among equals the study's own), gets the weight of the true match. Logits `[B, B]`.
    """
    best, match = targets.weights.max(1, keepdim=True)
    itself = torch.arange(len(logits), device=logits.device)[:, None]
    match = torch.where(targets.weights.gather(1, itself) == best, itself, match)
    preferred = logits >= logits.gather(1, match)
    if targets.counted is not None:
        preferred = preferred & targets.counted
    return replace(targets, weights=torch.where(preferred, best, targets.weights))


def softmax_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Cross-entropy of each row with its weights, scaled to sum to 1, mean over rows: `[B, B]` -> scalar.

    A pair left out is no candidate: it is missing from the softmax. Raises ValueError if a row has no right
    answer.
    """
    weights = targets.weights.to(logits.dtype)
    total = weights.sum(1, keepdim=True)
    if not (total > 0).all():
        raise ValueError("every row and column of the targets needs at least one right answer")
    if targets.counted is not None:  # not −inf, whose product with a weight of 0 is not a number
        logits = logits.masked_fill(~targets.counted, torch.finfo(logits.dtype).min)
    return F.cross_entropy(logits, weights / total)


def sigmoid_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Binary cross-entropy of every pair with its weight, mean over counted pairs: `[B, B]` -> scalar."""
    pairs = F.binary_cross_entropy_with_logits(logits, targets.weights.to(logits.dtype), reduction="none")
    return pairs.mean() if targets.counted is None else pairs[targets.counted].mean()


# By name: the loss of one direction, rows as queries.
LOSSES: dict[str, Callable[[Tensor, Targets], Tensor]] = {"softmax": softmax_loss, "sigmoid": sigmoid_loss}


def symmetric(loss: Callable[[Tensor, Targets], Tensor], logits: Tensor, targets: Targets) -> Tensor:
    """½ [loss(ℓ, m) + loss(ℓᵀ, mᵀ)]: with the softmax S, symmetric InfoNCE; with the sigmoid plain BCE."""
    return 0.5 * (loss(logits, targets) + loss(logits.T, targets.T))
