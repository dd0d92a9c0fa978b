"""Studies in memory-mapped images and tokens, cut into batches of two views and two sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from medprobclip.data.correspondence import same_coding
from medprobclip.data.images import ImageCache
from medprobclip.data.missing import has_no_text
from medprobclip.data.reports import same_text, varied
from medprobclip.data.variations import two_forms, two_variations, variation
from medprobclip.data.views import reference_view
from medprobclip.settings import AugmentationConfig

SECTIONS = ("findings", "impression")


@dataclass(frozen=True)
class Texts:
    """Tokens of one section for B studies, padded to the longest: int64 `[B, L]` each."""

    input_ids: Tensor
    attention_mask: Tensor

    def to(self, device: torch.device) -> Texts:
        return Texts(self.input_ids.to(device), self.attention_mask.to(device))


def padded(tokens: Sequence[Sequence[int]], pad: int) -> Texts:
    """Tokenised texts in one batch, each filled up with `pad` to the longest."""
    input_ids = torch.full((len(tokens), max(map(len, tokens))), pad)
    mask = torch.zeros_like(input_ids)
    for i, ids in enumerate(tokens):
        input_ids[i, : len(ids)] = torch.tensor(ids)
        mask[i, : len(ids)] = 1
    return Texts(input_ids, mask)


@dataclass(frozen=True)
class Batch:
    """B studies: uint8 images `[2, B, S, S]`, two sections, and ids int64 `[B]`.

    `rows` number the studies in their dataset. `text_ids`, per section, are equal where the wording is;
    `coding`, where the table has codes, where these are. Of several processes each has the images and
    sections of its own part only, the ids of all.
    """

    rows: Tensor
    images: Tensor
    sections: tuple[Texts, Texts]
    text_ids: tuple[Tensor, Tensor]
    coding: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        first, second = self.sections
        return Batch(
            self.rows.to(device),
            self.images.to(device, non_blocking=True),
            (first.to(device), second.to(device)),
            tuple(ids.to(device) for ids in self.text_ids),
            None if self.coding is None else self.coding.to(device),
        )


class StudyDataset:
    """A checked study table with its images and tokenised sections.

    Studies that lack one of the `required` sections are left out and counted in `left_out`. Training
    requires both: the text-text term would contrast a section with itself. With `one_section` a study that
    has only one stays, `alone` (bool `[N]`): it stands for both, and `batches` gives two variations of it;
    left out are those of which no two can be told apart (`variations.two_forms`). Texts are cut at the
    tokenizer's `model_max_length`. Raises ValueError when no study is left.
    """

    def __init__(
        self,
        studies: pd.DataFrame,
        images: ImageCache,
        tokenizer: PreTrainedTokenizerBase,
        required: tuple[str, ...] = SECTIONS,
        one_section: bool = False,
    ) -> None:
        self.images = images
        self.tokenizer = tokenizer
        complete = ~studies[list(required)].map(has_no_text).any(axis=1)
        alone = np.zeros(len(studies), bool)
        if one_section:
            texts = lone_sections(studies)
            alone = np.array([bool(text) and two_forms(text, self._key) is not None for text in texts])
            filled = {section: studies[section].where(~alone, texts) for section in SECTIONS}
            studies = studies.assign(**filled)
        keep = complete.to_numpy() | alone
        self.studies, self.alone = studies[keep].reset_index(drop=True), alone[keep]
        self.left_out = int((~keep).sum())
        if self.studies.empty:
            raise ValueError(f"none of {len(studies)} studies has {' and '.join(required)}")
        self.tokens = {section: self._tokenised(self.studies[section].tolist()) for section in SECTIONS}
        self.text_ids = {s: same_text(self.studies[s], self.tokens[s]) for s in SECTIONS}
        self.coding = same_coding(self.studies["codes"]) if "codes" in self.studies else None

    def __len__(self) -> int:
        return len(self.studies)

    @property
    def study_ids(self) -> list[str]:
        return self.studies["study_id"].tolist()

    @property
    def reports(self) -> list[str]:
        """The text of each whole report: findings and impression, or the one there is."""
        joined = self.studies[list(SECTIONS)].agg(" ".join, axis=1)
        return joined.where(~self.alone, self.studies[SECTIONS[0]]).tolist()

    def part(self, rows: slice) -> StudyDataset:
        """Some neighbouring studies of it."""
        some = copy(self)
        some.studies, some.alone = self.studies.iloc[rows].reset_index(drop=True), self.alone[rows]
        some.tokens = {section: ids[rows] for section, ids in self.tokens.items()}
        some.text_ids = {section: ids[rows] for section, ids in self.text_ids.items()}
        some.coding = None if self.coding is None else self.coding[rows]
        return some

    def _tokenised(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, truncation=True)["input_ids"]

    def _key(self, text: str) -> tuple[int, ...]:
        """What a model gets of a text."""
        return tuple(self._tokenised([text])[0])

    def texts(self, rows: np.ndarray, section: str) -> Texts:
        """Tokens of one section for the given rows."""
        return padded([self.tokens[section][row] for row in rows], self.tokenizer.pad_token_id)

    def reference_images(self, rows: np.ndarray) -> Tensor:
        """The one radiograph that evaluation uses, the same every time: uint8 `[B, S, S]`."""
        table = self.studies.iloc[rows]
        paths = [
            images[reference_view(views)]
            for images, views in zip(table["image_paths"], table["view_names"], strict=True)
        ]
        return torch.from_numpy(self.images.rows(paths))

    def batches(
        self,
        batch_size: int,
        seed: int,
        epoch: int,
        augmentation: AugmentationConfig | None = None,
        part: slice = slice(None),
    ) -> Iterator[Batch]:
        """One epoch in random order, the same for the same seed and epoch; the odd rest is dropped.

        Each study gives two of its radiographs in random order, or its only one twice. Sections vary as the
        `augmentation` says (its other fields are for what becomes of the pictures); without, they are whole.
        The one section of a study that is `alone` comes as two different variations of it. Of a `part` of
        every batch only the images and sections are given; all is drawn as for the whole.
        """
        augmentation = augmentation or AugmentationConfig()
        generator, words = np.random.default_rng((seed, epoch)), np.random.default_rng((seed, epoch, 1))
        drop, shuffle = augmentation.sentence_drop, augmentation.sentence_shuffle
        vary = variation if augmentation.sentence_ties else varied

        def section_texts(rows: np.ndarray) -> tuple[Texts, Texts]:
            if not (drop > 0 or shuffle or self.alone[rows].any()):
                return tuple(self.texts(rows[part], section) for section in SECTIONS)
            sections = [self.studies[section].iloc[rows].tolist() for section in SECTIONS]
            if drop > 0 or shuffle:
                sections = [[vary(text, drop, shuffle, words) for text in texts] for texts in sections]
            for place in np.flatnonzero(self.alone[rows]):
                whole = self.studies[SECTIONS[0]].iloc[rows[place]]
                pair = two_variations(whole, drop, words, self._key)
                for texts, text in zip(sections, pair, strict=True):
                    texts[place] = text
            return tuple(
                padded(self._tokenised(texts[part]), self.tokenizer.pad_token_id) for texts in sections
            )

        order = generator.permutation(len(self))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            pairs = [draw_two(paths, generator) for paths in self.studies["image_paths"].iloc[rows]]
            views = [self.images.rows([pair[view] for pair in pairs[part]]) for view in (0, 1)]
            yield Batch(
                torch.from_numpy(rows),
                torch.from_numpy(np.stack(views)),
                section_texts(rows),
                tuple(torch.from_numpy(self.text_ids[section][rows]) for section in SECTIONS),
                None if self.coding is None else torch.from_numpy(self.coding[rows]),
            )


def lone_sections(studies: pd.DataFrame) -> list[str]:
    """The text of each study that has exactly one section, "" of the others."""
    pairs = zip(*(studies[section] for section in SECTIONS), strict=True)
    there = ([text for text in pair if not has_no_text(text)] for pair in pairs)
    return [texts[0] if len(texts) == 1 else "" for texts in there]


def draw_two(paths: tuple, generator: np.random.Generator) -> tuple:
    """Two different images of a study in random order; a study's only image twice."""
    if len(paths) == 1:
        return paths[0], paths[0]
    first, second = generator.choice(len(paths), size=2, replace=False)
    return paths[first], paths[second]
