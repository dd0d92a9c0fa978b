"""What stands in a cell where there is nothing: empty, "nan", "N/A", "___", #NAME?, invisible characters."""

from __future__ import annotations

import html
import re
import unicodedata

# Without spaces and punctuation around them, in lower case; single letters joined ("N / A" is "na").
_NO_TEXT = frozenset((
    "nan", "nat", "none", "null", "nil", "na", "nd", "undefined", "missing", "empty", "blank", "unknown",
    "unavailable", "not available", "not applicable", "not given", "not provided", "not recorded",
    "not dictated", "not reported", "not documented", "not stated", "not done", "no text", "no report",
    "no data", "none given", "none provided", "none available", "no findings available", "no impression",
    "nodata", "see impression", "see findings", "see report", "see above", "see below", "as above",
    "as below", "same", "same as above", "pending", "tbd", "to follow", "deleted", "final report",
    "wet read", "false", "inf", "b nan", "keine", "kein befund", "ninguno", "aucun", "无", "なし",
))  # fmt: skip
_ERRORS = frozenset(("name", "ref", "value", "num", "div", "na", "qnan", "ind", "null", "spill", "calc"))
_WORDS = frozenset(word for phrase in _NO_TEXT for word in phrase.split()) | _ERRORS | set("nad")
_HEADINGS = ("finding", "findings", "impression", "impressions", "report")
_LETTERS = re.compile(r"[^\W\d_]+")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,40}>")
_HEADING = re.compile(r"\s*(?:findings?|impressions?)\s*:", re.IGNORECASE)
# Drawn as nothing: controls, soft hyphens, joiners, marks of direction and variation, fillers, Braille blank.
_RANGES = (
    (0x00, 0x08), (0x0E, 0x1B), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C),
    (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E),
    (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB),
)  # fmt: skip
_INVISIBLE = dict.fromkeys(code for first, last in _RANGES for code in range(first, last + 1))


def visible(text: str) -> str:
    """The text without characters that are drawn as nothing, others in their usual form (NFKC)."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text.translate(_INVISIBLE))


def is_missing(cell: object) -> bool:
    """Does a cell hold nothing, or a word for it? What is no text (None, NaN of a float) is missing, too."""
    return _stands_for_none(cell, digits_count=True)


def has_no_text(section: object) -> bool:
    """Does a section of a report hold no text: `is_missing`, or numbers and marks only ("0", "1. ___")?"""
    return _stands_for_none(section, digits_count=False)


def _stands_for_none(text: object, digits_count: bool) -> bool:
    if not isinstance(text, str):
        return True
    text = _MARKUP.sub(" ", html.unescape(visible(text))).replace("\\n", " ")
    for word in _LETTERS.finditer(text):  # most texts show at their first word that they are some
        plain = word[0].casefold()
        if plain not in _WORDS and plain not in _HEADINGS:
            if set(plain) != {"x"} or len(plain) < 3:  # XXXX: removed names and dates, as in OpenI
                return False
    numbers = any(c.isdigit() for c in text)
    while heading := _HEADING.match(text):
        text = text[heading.end() :]
    words = [word for word in (m[0].casefold() for m in _LETTERS.finditer(text)) if set(word) != {"x"}]
    if not words:
        return not (numbers and digits_count)
    if text.lstrip().startswith("#") or "#" in text:
        return set(words) <= _ERRORS | {"n", "a"}
    if numbers:
        return False
    if text.strip() == "\\N":  # MySQL's NULL
        return True
    if len(words) == 1 and words[0] in ("findings", "impression", "report"):  # a heading without its text
        return True
    return any(
        words == words[:n] * (len(words) // n) and _phrase(words[:n]) for n in range(1, len(words) + 1)
    )


def _phrase(words: list[str]) -> bool:
    joined = "".join(words) if all(len(word) == 1 for word in words) else " ".join(words)
    return joined in _NO_TEXT
