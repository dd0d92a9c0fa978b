"""What a person should know of a study table before it is used: counted, in one line each."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd

from medprobclip.data.dataset import SECTIONS, StudyDataset
from medprobclip.data.patients import patient_column, patients_of
from medprobclip.data.privacy import may_show, shown
from medprobclip.data.reports import normalise
from medprobclip.data.views import named_views, unknown_views

REPEATED = 0.05  # share of the studies with one wording, from which on it is named
SHOWN = 60  # characters of a wording
# One letter of a script that writes words of several, or one byte.
_LETTER = re.compile(r"[A-Za-z\u00c0-\u024f\u0370-\u052f]|<0x[0-9A-F]{2}>")
FOREIGN = 0.5  # share of words that the text model does not know, from which on a text is counted


def table_notices(studies: pd.DataFrame, show_text: bool | None = None) -> list[str]:
    """Views of unknown names, patients that cannot be checked, and wordings that many studies share.

    Wordings are given where text may be shown (`privacy.may_show`), everywhere the first study that has them.
    """
    notices, allowed = [], may_show(studies, show_text)
    if unknown := unknown_views(studies["view_names"]):
        notices.append(
            f"view names not known: {named_views(unknown)}. Such an image stands for its study where no PA "
            "or AP view is named"
        )
    column = patient_column(studies)
    if column is None:
        notices.append(
            "no column names patients (patient_id, subject_id): not checked whether one is in two tables"
        )
    elif nameless := sum(not patient for patient in patients_of(studies) or ()):
        notices.append(
            f"{nameless} of {len(studies)} studies have no {column}: their patients are not checked"
        )
    files = Counter(path for paths in studies.get("image_paths", ()) for path in set(paths))
    repeated = {path: n for path, n in files.most_common() if n > 1}
    if repeated:
        path, count = next(iter(repeated.items()))
        notices.append(f"{len(repeated)} image files stand in more than one study, {path} in {count}")
    for section in SECTIONS:
        wordings = studies[section].map(normalise)
        counts = wordings.value_counts()
        counts = counts[(counts.index != "") & (counts > max(2, REPEATED * len(studies)))]
        for wording, count in counts.items():
            begun = wording if len(wording) <= SHOWN else wording[:SHOWN] + "…"
            first = studies["study_id"].iloc[int((wordings == wording).to_numpy().argmax())]
            notices.append(
                f"{section}: {count} of {len(studies)} studies ({100 * count / len(studies):.0f} %) have "
                f"word for word '{shown(begun, allowed)}', first {first}: each counts as a right answer for "
                "the others"
            )
    return notices


def text_notices(dataset: StudyDataset, show_text: bool | None = None) -> list[str]:
    """Texts cut at the token limit, and texts of which the model knows hardly a word; see `table_notices`."""
    tokenizer, notices = dataset.tokenizer, []
    allowed = may_show(dataset.studies, show_text)
    pieces = [piece or "" for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    wordpiece = any(piece.startswith("##") for piece in pieces)
    begins = [not p.startswith("##") if wordpiece else p.startswith(("▁", "Ġ")) for p in pieces]
    spelled = [bool(_LETTER.fullmatch(piece.strip("#▁Ġ"))) for piece in pieces]
    unknown = tokenizer.unk_token_id
    for section in SECTIONS:
        texts, tokens = dataset.studies[section].tolist(), dataset.tokens[section]
        full = [
            text for text, ids in zip(texts, tokens, strict=True) if len(ids) >= tokenizer.model_max_length
        ]
        cut = sum(len(ids) > tokenizer.model_max_length for ids in _whole(tokenizer, full))
        if cut:
            notices.append(
                f"{section}: {cut} of {len(texts)} texts are cut at {tokenizer.model_max_length} tokens; "
                "--max_tokens moves the limit"
            )
        foreign = [
            row
            for row, ids in enumerate(tokens)
            if _unknown_share([i for i in ids if i not in special], begins, spelled, unknown) > FOREIGN
        ]
        if foreign:
            notices.append(
                f"{section}: {len(foreign)} of {len(texts)} texts are mostly words that the text model does "
                f"not know, first '{shown(texts[foreign[0]][:SHOWN], allowed)}' of "
                f"{dataset.study_ids[foreign[0]]}. Another language, or a damaged file?"
            )
    return notices


def used_and_left_out(dataset: StudyDataset, one_section: bool) -> str:
    """How many studies train (or choose the epoch), and how many cannot, in words."""
    if not one_section:
        return f"{len(dataset)} studies ({dataset.left_out} without both sections left out)"
    return (
        f"{len(dataset)} studies ({int(dataset.alone.sum())} with one section, in two variations; "
        f"{dataset.left_out} left out, whose one section is a single statement)"
    )


def _unknown_share(ids: list[int], begins: list[bool], spelled: list[bool], unknown: int | None) -> float:
    """The share of a text's words that are unknown: one piece for what is unknown, or letter by letter."""
    words: list[list[int]] = []
    for piece in ids:
        if begins[piece] or not words:
            words.append([])
        words[-1].append(piece)
    missed = sum(
        word == [unknown] or (len(word) > 1 and all(spelled[piece] for piece in word)) for word in words
    )
    return missed / len(words) if words else 0.0


def _whole(tokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, truncation=False, verbose=False)["input_ids"] if texts else []
