"""Studies in memory-mapped images and tokens, cut into batches of two views and two sections.

A batch is first drawn (which studies, radiographs, sentences: one after the other, from seeded generators),
then read (pixels and tokens: by any process, in any order).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medprobclip.data.correspondence import same_coding
from medprobclip.data.drawing import bucketed, draw_two
from medprobclip.data.images import ImageCache
from medprobclip.data.missing import has_no_text
from medprobclip.data.reports import same_text, varied
from medprobclip.data.variations import two_forms, two_variations, variation
from medprobclip.data.views import reference_view
from medprobclip.settings import AugmentationConfig

if TYPE_CHECKING:  # half a second, for each process that reads batches
    from transformers import PreTrainedTokenizerBase

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


@dataclass(frozen=True)
class Drawn:
    """What is to be read for a batch: all that a process needs to know for it, and little to send there.

    `rows` int64 `[B]` number its studies; `places` are those of their radiographs in the image cache, for
    two views; of a section, either the tokens, or varied text that is still to be tokenised. Of a part of the
    batch, places and sections are the part's.
    """

    rows: np.ndarray
    places: tuple[list[tuple[Path, int]], list[tuple[Path, int]]]
    sections: tuple[list[list[int]] | list[str], list[list[int]] | list[str]]


def read(
    drawn: Drawn, images: ImageCache, tokenizer: PreTrainedTokenizerBase | None, pad: int
) -> tuple[Tensor, tuple[Texts, Texts]]:
    """Pixels uint8 `[2, B, S, S]` and padded sections of what was drawn: the same whoever reads it."""
    views = np.stack([images.at(places) for places in drawn.places])
    tokens = (tokenized(words, tokenizer) if isinstance(words[0], str) else words for words in drawn.sections)
    return torch.from_numpy(views), tuple(padded(ids, pad) for ids in tokens)


def tokenized(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of each text, cut at the tokenizer's `model_max_length`."""
    return tokenizer(texts, truncation=True)["input_ids"]


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
        return tokenized(texts, self.tokenizer)

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
        for drawn in self.drawn(batch_size, seed, epoch, augmentation, part):
            yield self.batch(drawn.rows, *read(drawn, self.images, self.tokenizer, self.pad))

    @property
    def pad(self) -> int:
        """The token that fills up a text."""
        return self.tokenizer.pad_token_id

    def batch(self, rows: np.ndarray, images: Tensor, sections: tuple[Texts, Texts]) -> Batch:
        """What was read of some studies, with what is known of them."""
        return Batch(
            torch.from_numpy(rows),
            images,
            sections,
            tuple(torch.from_numpy(self.text_ids[section][rows]) for section in SECTIONS),
            None if self.coding is None else torch.from_numpy(self.coding[rows]),
        )

    def drawn(
        self,
        batch_size: int,
        seed: int,
        epoch: int,
        augmentation: AugmentationConfig | None = None,
        part: slice = slice(None),
        start: int = 0,
        buckets: int = 0,
    ) -> Iterator[Drawn]:
        """What `batches` reads, from batch number `start` of the epoch on; nothing is read here.

        With `buckets` n > 1 the studies of n batches each are sorted by the tokens of their (whole) texts
        before they are cut, and the batches come in random order: less padding, every study still at most
        once, and the rest that is dropped as random as without.
        """
        augmentation = augmentation or AugmentationConfig()
        generator, words = np.random.default_rng((seed, epoch)), np.random.default_rng((seed, epoch, 1))
        drop, shuffle = augmentation.sentence_drop, augmentation.sentence_shuffle
        vary = variation if augmentation.sentence_ties else varied
        paths = self.studies["image_paths"].tolist()
        texts = [self.studies[section].tolist() for section in SECTIONS]

        def varied_texts(rows: np.ndarray) -> list[list[str]] | None:
            if not (drop > 0 or shuffle or self.alone[rows].any()):
                return None
            sections = [[whole[row] for row in rows] for whole in texts]
            if drop > 0 or shuffle:
                sections = [[vary(text, drop, shuffle, words) for text in whole] for whole in sections]
            for place in np.flatnonzero(self.alone[rows]):
                pair = two_variations(texts[0][rows[place]], drop, words, self._key)
                for section, text in zip(sections, pair, strict=True):
                    section[place] = text
            return sections

        order = generator.permutation(len(self))
        order = order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)
        if buckets > 1:
            lengths = np.array([list(map(len, self.tokens[section])) for section in SECTIONS]).sum(0)
            order = bucketed(order, lengths, buckets, np.random.default_rng((seed, epoch, 2)))
        for number, rows in enumerate(order):
            pairs = [draw_two(paths[row], generator) for row in rows]
            sections = varied_texts(rows)
            if number < start:
                continue
            sections = sections or [[self.tokens[section][row] for row in rows] for section in SECTIONS]
            yield Drawn(
                rows,
                tuple(self.images.places(pair[view] for pair in pairs[part]) for view in (0, 1)),
                tuple(of[part] for of in sections),
            )


def lone_sections(studies: pd.DataFrame) -> list[str]:
    """The text of each study that has exactly one section, "" of the others."""
    pairs = zip(*(studies[section] for section in SECTIONS), strict=True)
    there = ([text for text in pair if not has_no_text(text)] for pair in pairs)
    return [texts[0] if len(texts) == 1 else "" for texts in there]
