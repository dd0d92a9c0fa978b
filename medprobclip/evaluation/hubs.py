"""A score that knows about hubs: what every query finds is worth less.

A hub is a gallery item among the first of many queries, whatever they ask. Take the scores s(q, g) as the
log likelihood, up to a constant, of a query q given the item g, and a bank B of queries as all that could
be asked. Bayes' rule normalises over them:

    log p(q | g) = s(q, g) − log Σ_{b ∈ B} exp s(b, g)

An item that scores high with the whole bank loses that much; an order of items that favoured it for its low
variance, or because it is near the centre of all queries, no longer does. The second term is one number a
gallery item, so ranking and search are as exact and fast as before. (The inverted softmax of Smith et al.
2017; querybank normalisation of Bogolin et al. 2022. The bank is training queries: nothing of the held-out
studies is used, and no other query of theirs either.)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import ScaledSimilarity

OWN, BANK = "own", "bank"  # what tables call a score as it is, and less the bank's term
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the term; 1 is Bayes' rule, 0 the score as it is
BLOCK = 2048  # gallery items scored at once against the bank


@torch.no_grad()
def bank_terms(
    similarity: ScaledSimilarity, bank: Gaussian, gallery: Gaussian, images_ask: bool = True
) -> Tensor:
    """log Σ_{b ∈ bank} exp s(b, g) of each gallery item: bank `[B, D]`, gallery `[M, D]` -> float32 `[M]`.

    The scores are the model's logits a · score + b, at most `[B, 2048]` at one time. `images_ask`: the bank
    is of radiographs and the gallery of reports; else the other way round, which matters to a score that
    is not symmetric (KL). For `search.top_k`, whose scores have a = 1, its `penalty` is strength · terms / a.
    Raises ValueError for an empty bank.
    """
    if not len(bank):
        raise ValueError("a bank without queries says nothing about hubs")
    terms = []
    for start in range(0, len(gallery), BLOCK):
        items = gallery[start : start + BLOCK]
        scores = similarity(bank, items) if images_ask else similarity(items, bank).T
        terms.append(torch.logsumexp(scores.float(), dim=0))
    return torch.cat(terms) if terms else torch.empty(0)


def without_hubs(
    scores: np.ndarray, column_terms: np.ndarray, row_terms: np.ndarray, strength: float = 1.0
) -> np.ndarray:
    """Scores `[N, M]` less `strength` times the bank's terms, for the rankings of rows and of columns alike.

    `column_terms` `[M]` are those of the columns as a gallery, `row_terms` `[N]` those of the rows. Both
    stand in one matrix because neither disturbs the other: what is taken from a whole row changes no order
    within it. Raises ValueError for other shapes.
    """
    scores, column_terms, row_terms = map(np.asarray, (scores, column_terms, row_terms))
    if scores.shape != (len(row_terms), len(column_terms)):
        raise ValueError(
            f"scores {scores.shape} with {len(row_terms)} row and {len(column_terms)} column terms"
        )
    return scores - strength * (column_terms[None, :] + row_terms[:, None])
