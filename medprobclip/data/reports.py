"""Report text: sentences, and which texts are the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# A list number: "1. No effusion", "2) Clear", "3.Stable", "2. 17 mm nodule", but not "2.5 cm".
_LIST_NUMBER = re.compile(r"(?<!\S)\(?(\d{1,2})[.)](?:\s*(?=[A-Z])|\s+(?=\w))")
# The end of a sentence: punctuation before white space, or a forgotten space ("seen.The heart").
_SENTENCE_END = re.compile(r"[.!?]+(?:\s+|$)|(?<=[a-z]{2})\.(?=[A-Z][a-z])")
# Words whose full stop does not end a sentence.
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:dr|mr|mrs|ms|vs|approx|e\.g|i\.e|[A-Z])$", re.IGNORECASE)


def normalise(text: str) -> str:
    """Lower case, every run of white space folded to one space: the form in which duplicates are found."""
    return " ".join(text.lower().split())


def same_text(texts: Iterable[str], tokens: Iterable[Sequence[int]] | None = None) -> np.ndarray:
    """Ids int64 `[N]`, equal where the normalised texts are equal; numbered by first appearance.

    With the texts' `tokens`, as a model gets them, also equal where these are: no model can tell such texts
    apart (cut at the same place, words spelled alike).
    """
    ids: dict[object, int] = {}
    words = np.array([ids.setdefault(normalise(text), len(ids)) for text in texts], dtype=np.int64)
    if tokens is None or not len(words):
        return words
    ids = {}
    seen = np.array([ids.setdefault(tuple(one), len(ids)) for one in tokens], dtype=np.int64)
    count = words.max() + 1  # wordings and token sequences as the two sides of a graph, texts as its edges
    size = count + seen.max() + 1
    graph = coo_array((np.ones(len(words), bool), (words, count + seen)), shape=(size, size))
    labels, ids = connected_components(graph, directed=False)[1][words], {}
    return np.array([ids.setdefault(label, len(ids)) for label in labels.tolist()], dtype=np.int64)


def wording_keys(tokens: Iterable[Sequence[int]]) -> list[int]:
    """A number of 63 bits for each tokenised text, equal where the tokens are, in any table and any process.

    Two different texts share one with a probability of 2⁻⁶³.
    """
    return [
        int.from_bytes(hashlib.sha256(" ".join(map(str, ids)).encode()).digest()[:8], "little") >> 1
        for ids in tokens
    ]


def piece_of(words: Sequence[str], length: int, seed: Sequence[int]) -> list[str]:
    """So many words in a row, from a place that the seed decides; none when there are fewer."""
    if len(words) < length:
        return []
    start = int(np.random.default_rng(seed).integers(len(words) - length + 1))
    return list(words[start : start + length])


def sentences(text: str) -> list[str]:
    """Split report text into its sentences, in order, white space folded.

    Knows numbered impressions ("1. Small effusion 2. No pneumothorax."), whose numbers are dropped, and
    leaves decimals ("2.5 cm") and a few abbreviations ("Dr. XXXX") whole. Pieces without a letter or
    digit (a stray ".") are dropped. Empty text gives an empty list.
    """
    found = []
    for item in _list_items(" ".join(text.split())):
        start = 0
        for end in _SENTENCE_END.finditer(item):
            if item[end.start()] == "." and _ABBREVIATION.search(item[start : end.start()]):
                continue
            found.append(item[start : end.end()].strip())
            start = end.end()
        found.append(item[start:].strip())
    return [sentence for sentence in found if any(c.isalnum() for c in sentence)]


def varied(text: str, drop: float, shuffle: bool, generator: np.random.Generator) -> str:
    """The text with each sentence left out with probability `drop` (one stays), the rest shuffled if asked.

    For training: a section that says less, or the same in another order, still describes its study. Text
    without a sentence comes back as it is.
    """
    found = sentences(text)
    if not found:
        return text
    stay = generator.random(len(found)) >= drop
    if not stay.any():
        stay[generator.integers(len(found))] = True
    order = generator.permutation(len(found)) if shuffle else range(len(found))
    return " ".join(found[i] for i in order if stay[i])


def _list_items(text: str) -> list[str]:
    """Cut text at its list numbers and drop them.

    A number counts when it opens the text, follows the end of a sentence, or continues the list so far:
    "2." in "1. Mild cardiomegaly 2. Small effusion", but not "12." in "fracture of T 12. The heart".
    """
    items, start, last = [], 0, None
    for match in _LIST_NUMBER.finditer(text):
        before, number = text[: match.start()].rstrip(), int(match[1])
        if not before or before[-1] in ".!?:;" or (last is not None and number == last + 1):
            items.append(text[start : match.start()])
            start, last = match.end(), number
    return [*items, text[start:]]


def sentence_about(text: str, code: str) -> str:
    """The first sentence that uses a word of an expert code's heading, else the first; "" for empty text.

    `Pleural Effusion/right` looks for "pleural" or "effusion", singular or plural, but not in a negation.
    """
    found = sentences(text)
    stems = [word.lower()[:7] for word in re.findall(r"[A-Za-z]{5,}", code.split("/")[0])]
    for sentence in found:
        words = sentence.lower()
        if any(stem in words for stem in stems) and not re.search(
            r"\b(no|not|without|normal|clear)\b", words
        ):
            return sentence
    return found[0] if found else ""
