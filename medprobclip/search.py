"""Exact search: the k most likely matches of each query in a gallery of any size, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medprobclip.gaussian import Gaussian
from medprobclip.similarity import prepared
from medprobclip.support import kernels
from medprobclip.support.progress import progress_bar

BLOCK = 2048  # gallery items scored at once: with 2,000 queries 16 MB of scores


@dataclass(frozen=True)
class Hits:
    """The k best gallery items of each of N queries, best first; equal scores in ascending order of id.

    scores float32 `[N, k]`: the expected likelihood of `similarity.expected_likelihood`, less the item's
    penalty where there is one; ids int64 `[N, k]`: positions in the gallery, counted through its parts.
    """

    scores: Tensor
    ids: Tensor


@torch.no_grad()
def top_k(
    queries: Gaussian,
    gallery: Gaussian | Sequence[Gaussian],
    k: int,
    progress: bool = False,
    penalty: Tensor | None = None,
) -> Hits:
    """The k gallery items with the highest expected likelihood for each query, exactly.

    queries `[N, D]`; gallery `[M, D]`, or its parts in order, such as `Gaussian.load` of several files:
    these are mapped into memory, so that a gallery may be larger than it. Every pair is scored, in blocks of
    the gallery; what exists at one time is one block of scores `[N, 2048]` and the k best so far. Time grows
    with N·M·D, memory does not grow with M. The gallery is read twice: first for the range of its numbers.
    Scores are float32, whatever the inputs are. `progress` shows a bar. `penalty` float `[M]`, one finite
    number a gallery item through all parts, is taken from its score with every query before the best are
    sought, for instance against hubs (`evaluation.hubs.bank_terms`): exact, and as fast.

    Raises ValueError when k exceeds the gallery, dimensions or the penalty's length differ, or a score is
    not a number.
    """
    parts = [gallery] if isinstance(gallery, Gaussian) else list(gallery)
    queries = queries.float()
    if not len(queries):
        return Hits(queries.mean.new_empty(0, k), queries.mean.new_empty(0, k, dtype=torch.int64))
    total = sum(map(len, parts))
    if not 1 <= k <= total:
        raise ValueError(f"k = {k}, but the gallery holds {total} items")
    if penalty is not None and (penalty.shape != (total,) or not penalty.isfinite().all()):
        raise ValueError(
            f"the penalty {tuple(penalty.shape)} needs one finite number for each of {total} items"
        )
    # Decided once for all blocks, so that a pair has the same score, bit for bit, wherever it stands.
    safe = in_safe_range(queries) and all(in_safe_range(block) for _, block in blocks(parts))
    how = kernels.way(len(queries) * total * queries.dim, queries.mean, safe)
    best = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.mean.device)  # keys, best first
    with progress_bar(total, "searching", "item", shown=progress) as bar:
        for start, block in blocks(parts):
            x, y = prepared(queries, block.to(queries.mean.device, torch.float32))
            scores = kernels.scores(x.mean, x.var, y.mean, y.var, safe, how)
            if penalty is not None:
                scores = scores - penalty[start : start + len(block)].to(scores)
            if not safe and scores.isnan().any():
                query, item = scores.isnan().nonzero()[0].tolist()
                raise ValueError(f"query {query} and gallery item {start + item} have a score of NaN")
            best = torch.cat([best, block_best(scores, start, k, best)], 1)
            best = best.topk(min(k, best.shape[1])).values
            bar.update(len(block))
    return from_keys(best)


def block_best(scores: Tensor, start: int, k: int, best: Tensor) -> Tensor:
    """Keys `[N, ≤ k + 1]` that hold the k best of a block's scores `[N, m]`, whose first item has id `start`.

    Which of equal scores `Tensor.topk` takes is open. Where the next one ties with the k-th, the row is
    ordered by keys instead, unless the k best so far (keys `[N, k]`, fewer at first) leave it no place.
    """
    values, places = scores.topk(min(k + 1, scores.shape[1]))
    keys = ordered_keys(values, start + places)
    if keys.shape[1] > k:
        tied = values[:, k] == values[:, k - 1]
        if best.shape[1] == k:
            tied &= keys[:, k - 1] > best[:, -1]
        ids = start + torch.arange(scores.shape[1], device=scores.device)
        for rows in tied.nonzero()[:, 0].split(256):  # int64 and some copies: not of all at once
            keys[rows] = ordered_keys(scores[rows], ids).topk(k + 1).values
    return keys


def in_safe_range(x: Gaussian) -> bool:
    """May the kernel multiply variances of these? See `kernels.scores`."""
    x = x.float()
    return kernels.in_safe_range(x.mean, x.log_var)


def blocks(parts: Sequence[Gaussian]) -> Iterator[tuple[int, Gaussian]]:
    """(id of the first item, at most `BLOCK` items) through all parts."""
    first = 0
    for part in parts:
        for start in range(0, len(part), BLOCK):
            yield first + start, part[start : start + BLOCK]
        first += len(part)


def ordered_keys(scores: Tensor, ids: Tensor) -> Tensor:
    """Scores float32 and ids below 2³² `[N, m]` -> int64 keys, all different in a row, in search order.

    The upper 32 bits hold the score, as an integer of the same order; the lower ones the id, smaller ids
    ordered higher.
    """
    bits = (scores + 0.0).view(torch.int32)  # −0 becomes 0: both are the same score
    order = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    return (order << 32) | (0xFFFFFFFF - ids)


def from_keys(keys: Tensor) -> Hits:
    """Inverse of `ordered_keys`."""
    order = (keys >> 32).int()
    bits = torch.where(order < 0, order ^ 0x7FFFFFFF, order)
    return Hits(bits.view(torch.float32), 0xFFFFFFFF - (keys & 0xFFFFFFFF))
