"""What of a report may leave its study table: wordings in messages, words in a learned vocabulary.

The reports of the default corpus are public. Those of any other table stay in it unless somebody asks for
them (`show_text`); `docs/privacy.md` says what is kept where.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

WITHHELD = "[report text withheld]"
# Of patients whose reports must have a word before a vocabulary that is saved with a model may hold it.
# Names, dates and misspellings belong to fewer; of OpenI's training reports, the rarer words are 1.8 %.
LEAST_PATIENTS = 5
_OPENI_ID = re.compile(r"CXR\d+")
_OF_THE_SIMULATOR = {"codes", "sex", "appearance"}  # columns of `simulator/openi_sim.py`
_PICTURE = re.compile(r"\.(?:png|jpe?g|dcm|dicom?|ima|tiff?|bmp|gif|webp)$", re.IGNORECASE)


def is_default_corpus(studies: pd.DataFrame) -> bool:
    """Are these studies of `openi-sim`: public reports, simulated radiographs? By ids and columns."""
    ids = studies["study_id"].astype(str)
    return len(ids) > 0 and _OF_THE_SIMULATOR <= set(studies) and bool(ids.str.fullmatch(_OPENI_ID).all())


def may_show(studies: pd.DataFrame, asked: bool | None = None) -> bool:
    """May report text of these studies be shown and kept? As asked; unasked only the default corpus's."""
    return is_default_corpus(studies) if asked is None else asked


def least_patients(studies: pd.DataFrame, asked: bool | None = None) -> int:
    """How many patients must have a word for a saved vocabulary to hold it; 1 where text may be shown."""
    return 1 if may_show(studies, asked) else LEAST_PATIENTS


def shown(text: str, allowed: bool) -> str:
    """The text where it may be shown, else `WITHHELD`: how notices quote report text."""
    return text if allowed else WITHHELD


def as_name(text: str, words: int = 2) -> str:
    """What ought to be a name (of a study, a view, a column); `WITHHELD` where it reads like prose.

    For messages about broken tables: behind a stray quote, or in a table whose columns were mixed up, a
    report stands where an id should. A name has at most so many words, and no end of a sentence.
    """
    prose = len(text.split()) > words or re.search(r"[.!?](?:\s|$)|\n", text)
    return WITHHELD if prose else text


def as_path(text: str) -> str:
    """What ought to be a path; `WITHHELD` where its last part is neither one word nor a picture's name."""
    name = re.split(r"[\\/]", text)[-1]
    plain = len(name.split()) <= 6 and _PICTURE.search(name) and "\n" not in name
    return text if plain or as_name(name, 1) == name else WITHHELD


def as_header(names: Sequence[str], needed: Sequence[str]) -> list[str]:
    """A file's first line, to be named in a message.

    With one of the needed names in it, it is a header. Else it may be a study: only what looks like the name
    of a column is shown.
    """
    if set(needed) & set(names):
        return list(names)
    return [name if re.fullmatch(r"[A-Za-z]\w*", name) else WITHHELD for name in names]
