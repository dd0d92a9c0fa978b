"""Queries against a gallery, block by block: the best answers, how many reach a score, and the entropy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from medprobclip.gaussian import Gaussian
from medprobclip.retriever.gallery import Gallery, GalleryError
from medprobclip.search import block_best, from_keys
from medprobclip.support import kernels
from medprobclip.support.progress import progress_bar

# Of a block: its numbers m·D (32 MB of means) and its scores N·m, so that memory stays flat.
NUMBERS, SCORES = 2**23, 2**22
Similarity = Callable[[Gaussian, Gaussian], Tensor]


@dataclass(frozen=True, eq=False)
class Scored:
    """N queries against a whole gallery of M, exactly: every pair was scored.

    `scores` float32 and `items` int64 `[N, k]`: the best, equal scores in ascending order of number.
    `reaching` int64 `[N]`: how many scores are at least the query's threshold. `log_mass` and `mean_score`
    float64 `[N]`: log Σ e^s, and the softmax's mean of s; `entropy` is their difference.
    """

    scores: Tensor
    items: Tensor
    reaching: Tensor
    log_mass: Tensor
    mean_score: Tensor

    @property
    def entropy(self) -> Tensor:
        """Of the softmax over the gallery, in nats `[N]`: −Σ p log p = log Σ e^s − Σ p s."""
        return self.log_mass - self.mean_score


@torch.no_grad()
def scored(
    similarity: Similarity,
    queries: Gaussian,
    gallery: Gallery,
    side: str,
    k: int,
    thresholds: Tensor | None = None,
    first: int = 0,
    progress: str = "",
) -> Scored:
    """Score N queries with every study's `side` ("image" or "report"), in one pass over the gallery.

    `similarity(queries, block) -> [N, m]` gives logits; `thresholds` `[N]` are in their units. What exists at
    one time is a block and the k best so far, whatever the size of the gallery. Only studies from the number
    `first` on take part; `progress` names a bar. Raises GalleryError for an empty gallery, a k beyond it,
    another dimension, and a score that is NaN or infinite.
    """
    total = len(gallery) - first
    if not total:
        raise GalleryError("the index holds no studies yet; add some (Retriever.index, medprobclip index)")
    if not 1 <= k <= total:
        raise GalleryError(f"k = {k}, but the index holds {total} studies: ask for 1 to {total}")
    if queries.dim != gallery.dim:
        raise GalleryError(f"the query has {queries.dim} dimensions, the index {gallery.dim}")
    device, n = queries.mean.device, len(queries)
    best = torch.empty(n, 0, dtype=torch.int64, device=device)
    reaching = torch.zeros(n, dtype=torch.int64, device=device)
    peak = torch.full((n,), -torch.inf, dtype=torch.float64, device=device)
    mass, weighted = torch.zeros_like(peak), torch.zeros_like(peak)
    size = max(256, min(NUMBERS // gallery.dim, SCORES // n))
    whole = kernels.part_of(n * total * gallery.dim)  # blocks are small, and many
    with whole, progress_bar(total, progress, "study", shown=bool(progress)) as bar:
        for start, block in gallery.blocks(side, size, first):
            scores = similarity(queries, block.to(device)).float()
            if not (finite := scores.isfinite()).all():
                query, item = (~finite).nonzero()[0].tolist()
                study, score = gallery.study(start + item)[0], float(scores[query, item])
                raise GalleryError(f"query {query} and study {study} have a score of {score}")
            if thresholds is not None:
                reaching += (scores >= thresholds[:, None].to(scores)).sum(1)
            best = torch.cat([best, block_best(scores, start, k, best)], 1)
            best = best.topk(min(k, best.shape[1])).values
            wide = scores.double()
            higher = torch.maximum(peak, wide.amax(1))
            fade, shares = (peak - higher).exp(), (wide - higher[:, None]).exp()
            mass = mass * fade + shares.sum(1)
            weighted = weighted * fade + (shares * wide).sum(1)
            peak = higher
            bar.update(len(block))
    hits = from_keys(best)
    return Scored(hits.scores, hits.ids, reaching, peak + mass.log(), weighted / mass)
