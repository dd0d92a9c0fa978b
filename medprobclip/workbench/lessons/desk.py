"""A trained model at a desk: asked by studies, files and words, with the whole gallery's scores in view."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from medprobclip.data.correspondence import same_coding
from medprobclip.data.radiographs import read_image, resize_square
from medprobclip.data.views import reference_view
from medprobclip.evaluation.confidence import negative_entropy
from medprobclip.gaussian import Gaussian
from medprobclip.retriever.answers import Answers
from medprobclip.retriever.queries import Query, embed_queries
from medprobclip.retriever.retriever import Retriever

K = 10  # answers that are shown
ANSWERED, STRANGE, AMBIGUOUS = "answered", "not: strange", "not: ambiguous"


@dataclass(frozen=True, eq=False)
class Reply:
    """One answered query: its Gaussian `[1, D]`, what the retriever says, and every study's logit `[M]`."""

    gaussian: Gaussian
    answers: Answers
    scores: np.ndarray

    @property
    def variance(self) -> float:
        """Total variance Σσ² of the query."""
        return self.gaussian.total_variance().item()

    @property
    def entropy(self) -> float:
        """Of the softmax over the gallery, in nats."""
        return -float(negative_entropy(self.scores[None])[0])

    @property
    def decision(self) -> str:
        """One of `ANSWERED`, `STRANGE` (an input unlike the training's) and `AMBIGUOUS`."""
        if not self.answers.abstain:
            return ANSWERED
        return STRANGE if self.answers.reason.startswith("unlike") else AMBIGUOUS

    @property
    def order(self) -> np.ndarray:
        """Numbers of the studies, best first: int `[M]`."""
        return np.argsort(-self.scores, kind="stable")

    def rank(self, row: int) -> int:
        """Place of a study among all, 1 is best; wrong ones with an equal score come first."""
        return int((self.scores >= self.scores[row]).sum())


class Desk:
    """A retriever whose gallery is known study by study.

    `studies` is the part of a study table that is indexed, in the gallery's order, with the id as index;
    `coding` int `[M]` is equal where expert codes are, `wording` where reports read alike to the model.
    Raises KeyError when an indexed study is not in the table.
    """

    def __init__(self, retriever: Retriever, studies: pd.DataFrame) -> None:
        self.retriever, gallery = retriever, retriever.gallery
        ids = [study_id for part in gallery.parts for study_id in part.study_ids]
        self.studies = studies.set_index("study_id").loc[ids]
        codes = self.studies["codes"] if "codes" in studies else [()] * len(ids)
        self.coding, self.wording = same_coding(codes), gallery.wording.numpy()
        self.sides = {
            side: Gaussian.cat([part.side(side) for part in gallery.parts]) for side in ("image", "report")
        }
        self._kept: dict[object, object] = {}

    def once(self, key: object, make: Callable[[], object]) -> object:
        """What `make` gives, made once for each key: a picture that is moved back is there at once."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def row(self, study: str) -> int:
        """Number of a study. Raises KeyError for one that is not indexed."""
        return self.studies.index.get_loc(study)

    def choices(self, most: int = 40) -> dict[str, str]:
        """Some studies, evenly spread over the gallery, by a label: id and expert codes."""
        step = -(-len(self.studies) // most)
        rows = self.studies.iloc[::step]
        codes = rows["codes"] if "codes" in rows else [()] * len(rows)
        said = (textwrap.shorten(", ".join(of) or "not coded", 60, placeholder=" …") for of in codes)
        return {f"{study}: {words}": study for study, words in zip(rows.index, said, strict=True)}

    def report(self, row: int) -> str:
        """The report section that is searched."""
        return self.studies["findings"].iloc[row]

    def film(self, study: str) -> np.ndarray:
        """The radiograph that stands for a study, as large as the model takes it: uint8 `[S, S]`."""
        paths, views = self.studies.loc[study, ["image_paths", "view_names"]]
        size = self.retriever.model.config.image_size
        return self.once(
            ("film", study), lambda: resize_square(read_image(paths[reference_view(views)]), size)
        )

    def ask(self, queries: Sequence[Query]) -> list[Reply]:
        """Films and words as `Retriever.search` takes them; raises what it raises."""
        of = self.retriever
        asked = embed_queries(of.model, of.processor, of.strangeness, of.promises, queries)
        answers = of.search_embedded(asked, min(K, len(self.studies)))
        replies = []
        for place, (kind, said) in enumerate(zip(asked.kinds, answers, strict=True)):
            one = asked.gaussian[[place]]
            with torch.no_grad():
                scores = of.model.similarity(
                    one.to(of.model.device), self.sides[kind.finds].to(of.model.device)
                )
            replies.append(Reply(one, said, scores[0].float().cpu().numpy()))
        return replies

    def ask_study(self, study: str) -> Reply:
        """By the study's film."""
        return self.once(("reply", study), lambda: self.ask([self.film(study)])[0])

    def relation(self, row: int, own: int | None) -> str:
        """What a study is to the one that asks, in words; "" where nothing is known."""
        if own is None:
            return ""
        if row == own:
            return "own"
        if self.wording[row] == self.wording[own]:
            return "worded alike"
        return "coded alike" if self.coding[row] == self.coding[own] else ""
