"""Variations of a report section that say nothing else than it does: fewer sentences, another order."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable

import numpy as np

from medprobclip.data.reports import normalise, sentences

# A sentence that leans on the one before it, by how it begins ...
_LEANS = re.compile(
    r"(?:it|its|they|they're|their|this|these|those|that|which|such|each|neither|nor|or|and|but|yet|however|"
    r"although|though|also|again|additionally|in addition|further|furthermore|moreover|similarly|likewise|"
    r"thus|therefore|hence|then|if|with|without|due|given|may|might|could|would|should|can|cannot|probably|"
    r"possibly|perhaps|likely|consistent|compatible|suggestive|suggesting|suggests|favou?r\w*|concerning|"
    r"representing|measuring|differential|considerations?|correlat\w+)\b|"
    r"(?:(?:un)?changed|stable|increased|decreased|improved|worse\w*)"
    r"(?:$|[.,]| (?:since|from|compared|when)\b)|"
    r"the (?:finding|opacit|nodul|lesion|mass|densit|area|abnormalit|fractur|effusion|infiltrat|process)\w*"
)
# ... or by a word in it.
_LEANS_WITHIN = re.compile(
    r"\b(?:this|these|those|former|latter|also|another|additional|second|same|above|aforementioned|"
    r"as (?:described|noted|mentioned|before|previously))\b"
)
# "Otherwise clear" speaks of all that was said before it.
_LEANS_ON_ALL = re.compile(r"\b(?:otherwise|other|others|remaining|remainder|rest|elsewhere|except\w*)\b")
_HEADING = re.compile(r"[^.,;:]{1,60}:(?:\s|$)")  # "Right shoulder: ...", until the next one
# What speaks of nothing found, or of no finding at all.
_NO_FINDING = re.compile(
    r"\b(?:no|not|nor|none|negative|never|absent|normal|clear|unremarkable|intact|within|free|"
    r"recommend\w*|correlat\w+|discussed|compar\w+|technique|views?)\b"
)
_CHANGE = re.compile(r"\bno (?:\w+ ){0,2}changes?\b|\bnot (?:\w+ )?changed\b|\bno longer\b")
_TRIES = 20


def units(text: str) -> list[list[str]]:
    """The sentences of report text in units that only together mean what they do, in order.

    A sentence that leans on another ("This is unchanged.", "Also ...", "May represent ...") is in a unit with
    the one before it; one that speaks of the rest ("Otherwise clear.") with all before it; what follows a
    heading ("Right shoulder: ...") with the heading, until the next. Where it is not sure, a rule joins. Each
    sentence is as it was but ends in a full stop, if in nothing else: without, the next would go on with it.
    """
    found: list[list[str]] = []
    headed = False
    for sentence in sentences(text):
        words, heading = sentence.lower(), bool(_HEADING.match(sentence))
        headed = headed or heading
        sentence = sentence if sentence[-1] in ".!?:" else f"{sentence}."
        if found and _LEANS_ON_ALL.search(words):
            found = [[*(one for unit in found for one in unit), sentence]]
        elif found and (headed and not heading or leans(sentence)):
            found[-1].append(sentence)
        else:
            found.append([sentence])
    return found


def leans(sentence: str) -> bool:
    """Does a sentence lean on the one before it? By its words, or because it begins with a small letter."""
    words = sentence.lower()
    return sentence[0].islower() or bool(_LEANS.match(words) or _LEANS_WITHIN.search(words))


def names_finding(sentence: str) -> bool:
    """Does a sentence say that something is there? Plainly: before any "without" no word of nothing found.

    "Small effusion without pneumothorax." and "No change of the effusion." do, "Lungs are clear.", "No
    effusion." and "CT is recommended." do not. A sentence that says both counts as none.
    """
    said = _CHANGE.sub("change", sentence.lower()).partition("without")[0]
    return bool(re.search("[a-z]", said)) and not _NO_FINDING.search(said)


def variation(text: str, drop: float, shuffle: bool, generator: np.random.Generator) -> str:
    """The text with each of its `units` left out with probability `drop`, the rest shuffled if asked.

    One unit stays, and where any names a finding, one that does. Nothing inside a unit changes. Text without
    a sentence comes back as it is. Draws as `reports.varied`, where each sentence is a unit.
    """
    found = units(text)
    if not found:
        return text
    stay = generator.random(len(found)) >= drop
    candidates = np.flatnonzero([any(map(names_finding, unit)) for unit in found])
    if not len(candidates):
        candidates = np.arange(len(found))
    if not stay[candidates].any():
        stay[candidates[generator.integers(len(candidates))]] = True
    order = generator.permutation(len(found)) if shuffle else range(len(found))
    return _joined([found[i] for i in order if stay[i]])


def two_forms(text: str, key: Callable[[str], Hashable] = normalise) -> tuple[str, str] | None:
    """The whole text, and with its first unit last; None where these are the same, as `key` tells texts.

    None of text with one unit: what it says can be said in one way only.
    """
    found = units(text)
    forms = _joined(found), _joined([*found[1:], *found[:1]])
    return forms if key(forms[0]) != key(forms[1]) else None


def two_variations(
    text: str, drop: float, generator: np.random.Generator, key: Callable[[str], Hashable] = normalise
) -> tuple[str, str]:
    """Two different `variation`s of one text, shuffled; different as `key` tells texts.

    Raises ValueError for a text that has no `two_forms`.
    """
    forms = two_forms(text, key)
    if forms is None:
        raise ValueError("the text can be said in one way only: it has no two variations")
    for _ in range(_TRIES):
        first, second = (variation(text, drop, True, generator) for _ in range(2))
        if key(first) != key(second):
            return first, second
    return forms


def _joined(found: list[list[str]]) -> str:
    return " ".join(sentence for unit in found for sentence in unit)
