"""How sure the calibration queries are in this gallery: what an answer's confidence is compared with.

A softmax, its entropy and the ranks depend on the gallery. So the calibration queries are asked in it, too,
each with its own answer beside the gallery's: a new query from the same source, whose answer is in the
gallery, is one more of them.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.retriever.gallery import Gallery
from medprobclip.retriever.promises import Kind, Promises
from medprobclip.retriever.scoring import Similarity, scored
from medprobclip.support.files import replaced_file

DEPTH = 100  # best answers kept of each calibration query: ranks beyond are not told from one another
FILE = "usual.safetensors"


@dataclass(frozen=True, eq=False)
class Usual:
    """n calibration queries against the first `studies` of a gallery, one side of it.

    `scores` float32 and `items` int64 `[n, at most DEPTH]`: their best answers there; `log_mass` and
    `mean_score` float64 `[n]` as in `scoring.Scored`.
    """

    studies: int
    scores: Tensor
    items: Tensor
    log_mass: Tensor
    mean_score: Tensor

    @staticmethod
    def none(queries: int) -> Usual:
        """Of an empty gallery."""
        empty = torch.empty(queries, 0)
        nothing = torch.full((queries,), -torch.inf, dtype=torch.float64)
        return Usual(0, empty, empty.long(), nothing, torch.zeros_like(nothing))

    def grown(self, similarity: Similarity, queries: Gaussian, gallery: Gallery, side: str) -> Usual:
        """The same for all studies that the gallery has now; only the new ones are scored."""
        new = len(gallery) - self.studies
        if not new:
            return self
        found = scored(
            similarity, queries, gallery, side, min(DEPTH, new), first=self.studies,
            progress=f"calibration queries, {side}s",
        )  # fmt: skip
        found = Usual(
            len(gallery), *(t.cpu() for t in (found.scores, found.items, found.log_mass, found.mean_score))
        )
        scores, items = torch.cat([self.scores, found.scores], 1), torch.cat([self.items, found.items], 1)
        order = scores.sort(dim=1, descending=True, stable=True).indices[
            :, :DEPTH
        ]  # earlier studies come first
        log_mass, mean_score = joined(self.log_mass, self.mean_score, found.log_mass, found.mean_score)
        return Usual(len(gallery), scores.gather(1, order), items.gather(1, order), log_mass, mean_score)

    def entropies(self, own: Tensor) -> Tensor:
        """Of each query's softmax over the gallery and its own answer, of logit `own` `[n]`: nats `[n]`."""
        log_mass, mean_score = joined(self.log_mass, self.mean_score, own.double(), own.double())
        return log_mass - mean_score

    def ranks(self, own: Tensor, right: Tensor) -> Tensor:
        """Rank of each query's best right answer among the gallery and its own, int64 `[n]`.

        `own` `[n]` is the logit of its own answer, `right` bool as `items` says which others are right. Wrong
        answers with an equal score come first. All are DEPTH + 1 beyond `DEPTH`, and at its last score, which
        others may share that were not kept.
        """
        best = (
            torch.maximum(own, self.scores.masked_fill(~right, -torch.inf).amax(1)) if right.shape[1] else own
        )
        ranks = 1 + ((self.scores >= best[:, None]) & ~right).sum(1)
        kept = self.scores.shape[1]
        return ranks.masked_fill(best <= self.scores[:, -1], kept + 1) if kept < self.studies else ranks

    def save(self, path: Path, source: str) -> None:
        """Write as safetensors, with what it was made from."""
        tensors = {
            name: getattr(self, name).contiguous() for name in ("scores", "items", "log_mass", "mean_score")
        }
        with replaced_file(path) as temporary:
            save_file(tensors, temporary, metadata={"source": source, "studies": str(self.studies)})

    @classmethod
    def load(cls, path: Path, source: str) -> Usual | None:
        """Inverse of `save`; None where there is none, or one of something else."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("source") != source:
                    return None
                of = {name: file.get_tensor(name) for name in file.keys()}
            return cls(int(metadata["studies"]), of["scores"], of["items"], of["log_mass"], of["mean_score"])
        except (OSError, SafetensorError, KeyError, ValueError):  # it is made anew
            return None


def joined(log_a: Tensor, mean_a: Tensor, log_b: Tensor, mean_b: Tensor) -> tuple[Tensor, Tensor]:
    """`log_mass` and `mean_score` of two sets of scores together."""
    log_mass = torch.logaddexp(log_a, log_b)
    return log_mass, (log_a - log_mass).exp() * mean_a + (log_b - log_mass).exp() * mean_b


class UsualHere:
    """The calibration queries of both kinds in one gallery, kept up to date and, in a folder, on disk."""

    def __init__(self, promises: Promises, model: MedProbCLIPModel, gallery: Gallery) -> None:
        self.promises, self.model, self.gallery = promises, model, gallery
        self._one_thread = threading.Lock()
        self._kept: dict[str, Usual] = {}
        self._read_off: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    def of(self, kind: Kind) -> tuple[Tensor, Tensor]:
        """Entropies and ranks of the right answer, `[n]` each, of that kind's calibration queries."""
        with self._one_thread:
            return self._of(kind.finds, copy(self.gallery))  # another thread may append

    def _of(self, side: str, gallery: Gallery) -> tuple[Tensor, Tensor]:
        studies = self.promises.studies
        if (found := self._read_off.get((side, len(gallery)))) is not None:
            return found
        queries, answers = studies.image, studies.report
        if side == "image":
            queries, answers = answers, queries
        known = self._kept.get(side) or self._read(side) or Usual.none(len(queries))
        if known.studies != len(gallery):
            with torch.no_grad():
                known = known.grown(self.model.similarity, queries.to(self.model.device), gallery, side)
            self._write(side, known)
        self._kept[side] = known
        own = own_scores(self.model, queries, answers)
        wording = gallery.wording
        right = wording[known.items] == self.promises.wording[:, None]
        found = self._read_off[side, len(gallery)] = known.entropies(own), known.ranks(own, right)
        return found

    def _path(self, side: str) -> Path | None:
        return None if self.gallery.folder is None else self.gallery.folder / f"{side}-{FILE}"

    def _read(self, side: str) -> Usual | None:
        path = self._path(side)
        found = None if path is None else Usual.load(path, self.promises.digest)
        # more studies than there are: of an index that was put back to an earlier state
        return found if found is not None and found.studies <= len(self.gallery) else None

    def _write(self, side: str, usual: Usual) -> None:
        path = self._path(side)
        if path is not None:
            # Of a folder that cannot be written, or is full; it is computed again next time.
            with suppress(OSError, SafetensorError):
                usual.save(path, self.promises.digest)


@torch.no_grad()
def own_scores(model: MedProbCLIPModel, queries: Gaussian, answers: Gaussian) -> Tensor:
    """Logit of each query with its own answer: `[n, D]` each -> float32 `[n]` on the CPU."""
    device, size = model.device, 256
    parts = [
        model.similarity(queries[i : i + size].to(device), answers[i : i + size].to(device)).diagonal()
        for i in range(0, len(queries), size)
    ]
    return torch.cat(parts).float().cpu()
