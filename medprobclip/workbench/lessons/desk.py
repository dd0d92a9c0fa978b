"""A trained model at a desk: asked by studies, files and words, with the whole gallery's scores in view."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from medprobclip.data.coding import codes_of
from medprobclip.data.correspondence import same_coding
from medprobclip.data.radiographs import read_image, resize_square
from medprobclip.data.studies import read_studies
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
    `coding` int `[M]` is equal where codes are, `wording` where reports read alike to the model; `coded`: has
    any study a code? `shows_text` as the retriever was indexed. Raises KeyError when an indexed study is not
    in the table.
    """

    def __init__(self, retriever: Retriever, studies: pd.DataFrame) -> None:
        self.retriever, gallery = retriever, retriever.gallery
        ids = [study_id for part in gallery.parts for study_id in part.study_ids]
        self.studies = studies.set_index("study_id").loc[ids]
        self.codes, self.shows_text = codes_of(self.studies), gallery.with_text
        self.coded = any(self.codes)
        self.coding, self.wording = same_coding(self.codes), gallery.wording.numpy()
        self.sides = {
            side: Gaussian.cat([part.side(side) for part in gallery.parts]) for side in ("image", "report")
        }
        self._kept: dict[object, object] = {}

    @classmethod
    def of(cls, retriever: Retriever, csv: Path) -> Desk:
        """With the table that was indexed."""
        return cls(retriever, read_studies(csv))

    def once(self, key: object, make: Callable[[], object]) -> object:
        """What `make` gives, made once for each key: a picture that is moved back is there at once."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def row(self, study: str) -> int:
        """Number of a study. Raises KeyError for one that is not indexed."""
        return self.studies.index.get_loc(study)

    def choices(self, most: int = 40) -> dict[str, str]:
        """Some studies, evenly spread over the gallery, by a label: id and codes."""
        step = -(-len(self.studies) // most)
        rows = range(0, len(self.studies), step)
        said = (textwrap.shorten(self.said_codes(row), 60, placeholder=" …") for row in rows)
        return {
            f"{study}: {words}": study
            for study, words in zip(self.studies.index[list(rows)], said, strict=True)
        }

    def said_codes(self, row: int) -> str:
        """A study's codes in words."""
        return ", ".join(self.codes[row]) or "not coded"

    def report(self, row: int) -> str:
        """The report section that is searched, whether or not it may be shown."""
        return self.studies["findings"].iloc[row]

    def every(self, least: int, most: int = 1000) -> list[str]:
        """Every `least`-th study, or fewer: no more than `most`."""
        step = max(least, -(-len(self.studies) // most))
        return self.studies.index[::step].tolist()

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
