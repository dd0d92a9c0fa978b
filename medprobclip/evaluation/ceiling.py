"""The oracle ceiling: what a perfect reader of simulated radiographs could know of their reports."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

from medprobclip.data.chexpert import coded
from medprobclip.data.coding import codes_of
from medprobclip.data.correspondence import same_coding

ALTERNATIVES = "|"  # between the labels of one drawn code; the first is the one that was drawn


def reader_scores(appearance: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Image × report scores float64 `[N, N]` of a reader who knows all that was drawn and how it is drawn.

    `appearance` holds one string for each drawn code of a study: its labels joined by "|", of which the
    first was drawn and all were equally likely given the code. An image shows the multiset A of first
    labels; row i is the posterior P(report j | image i) = L_ij / Σ_j L_ij with L_ij = P(A_i | report j) and
    every report as likely beforehand. Column j orders the images for report j: up to the factor N an entry
    is the likelihood ratio of image i being its image to image i being anyone's. Reports that say the same
    of an image have exactly equal scores (the fractions are exact until the last step).
    """
    drawn = [tuple(tuple(code.split(ALTERNATIVES)) for code in codes) for codes in appearance]
    images, image_of = distinct([tuple(sorted(labels[0] for labels in codes)) for codes in drawn])
    reports, report_of = distinct([tuple(sorted(codes)) for codes in drawn])
    copies = np.bincount(report_of)
    with_label, with_size = defaultdict(set), defaultdict(set)
    for i, shown in enumerate(images):
        with_size[len(shown)].add(i)
        for label in shown:
            with_label[label].add(i)
    likelihoods: list[dict[int, Fraction]] = [{} for _ in images]
    for j, report in enumerate(reports):
        possible = set(with_size[len(report)])
        for labels in report:
            possible &= set().union(*(with_label[label] for label in labels))
        for i in possible:
            likelihoods[i][j] = likelihood(images[i], report)
    posterior = np.zeros((len(images), len(reports)))
    for i, row in enumerate(likelihoods):
        total = sum(value * int(copies[j]) for j, value in row.items())
        for j, value in row.items():
            posterior[i, j] = value / total
    return posterior[np.ix_(image_of, report_of)]


def likelihood(shown: tuple[str, ...], report: Sequence[tuple[str, ...]]) -> Fraction:
    """P(the labels `shown` | `report`): each code draws one of its labels, all of them equally likely.

    A convolution over the codes. Only what can still end in `shown` is followed, and equal remainders are
    merged, so that many ambiguous codes stay affordable.
    """
    left = {tuple(sorted(Counter(shown).items())): Fraction(1)}  # labels still to be explained -> probability
    for labels in report:
        after = defaultdict(Fraction)
        for rest, probability in left.items():
            for label in labels:
                if label in dict(rest):
                    remaining = Counter(dict(rest)) - Counter([label])
                    after[tuple(sorted(remaining.items()))] += probability / len(labels)
        left = after
    return Fraction(left.get((), 0))


def distinct(values: Sequence[tuple]) -> tuple[list[tuple], np.ndarray]:
    """The different values in order of appearance, and for each value its index among them: int64 `[N]`."""
    index: dict[tuple, int] = {}
    of = np.array([index.setdefault(value, len(index)) for value in values], dtype=np.int64)
    return list(index), of


def correspondence(studies: pd.DataFrame) -> dict[str, np.ndarray]:
    """What a study table knows beyond its wording, for `retrieval_table`: bool and float `[N, N]`.

    `relevant`, equal coding, from the column `codes`; `reader`, the scores of a perfect reader, from the
    column `appearance`. A table without a column lacks its entry, or in which nobody coded any study.
    """
    known = {}
    codes = codes_of(studies)
    if coded(codes).any():
        ids = same_coding(codes)
        known["relevant"] = ids[:, None] == ids
    if "appearance" in studies:
        known["reader"] = reader_scores(studies["appearance"].tolist())
    return known
