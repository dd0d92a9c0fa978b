"""The surest and the least sure of the test studies, and what makes them so: what one wants to look at."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from medprobclip.data.coding import NO_FINDING, codes_of
from medprobclip.data.correspondence import group_sizes, same_coding
from medprobclip.data.privacy import WITHHELD, may_show
from medprobclip.data.reports import sentence_about, sentences
from medprobclip.evaluation.influence import patch_influence, word_influence
from medprobclip.model import MedProbCLIPModel
from medprobclip.paper.tables.scored_runs import Result

ENDS = ("surest", "least sure")
SENTENCE = 110  # characters of a sentence that are quoted; OpenI's reports must not be redistributed
PATCH, STRIDE = 16, 8  # of `patch_influence`, pixels


def extremes(
    run: Result, images: np.ndarray, n: int = 4, show_text: bool | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """The n surest and the n least sure radiographs and reports of a run by Σσ², and pictures of the former.

    images uint8 `[N, S, S]`, the test studies' own in their order (`faulty_films.reference_radiographs`).
    The table has 4n rows, radiographs first, each side from its surest on. Columns: `side` ("image",
    "report"), `end` ("surest", "least sure"), `place` (from 1, the surest or the least sure of all, on),
    `study_id`, `total_variance`, `sharing` (test studies with the same coding, itself included), `codes`
    joined with "; ", `words` of the findings section, and `findings`, one sentence of it, shortened. Of
    reports that are worded alike only the first counts. The pictures are uint8 `[2n, S, S]`, in the order of
    the table. Of small tables n is smaller, so that no study is at both ends. Where nobody coded the studies
    there are neither `sharing` nor `codes`. A sentence may be shown or not (`data.privacy.may_show`); else
    `findings` says that it is withheld. Raises ValueError for n < 1, fewer than two distinct reports, and
    images of other studies.
    """
    studies = run.truth.studies
    if len(images) != len(studies):
        raise ValueError(f"{len(images)} images of {len(studies)} studies")
    codes, shows = codes_of(studies), may_show(studies, show_text)
    coded, sharing = any(codes), group_sizes(same_coding(codes))
    ids = run.embeddings.text_ids.numpy()
    places = {"image": np.arange(len(studies)), "report": np.unique(ids, return_index=True)[1]}
    most = min(len(candidates) for candidates in places.values()) // 2
    if n < 1 or not most:
        raise ValueError(f"no {n} surest and {n} least sure among {len(places['report'])} distinct reports")
    n = min(n, most)
    rows, shown = [], []
    for (side, candidates), direction in zip(places.items(), ("i2t", "t2i"), strict=True):
        variance = run.total_variance[direction]
        order = candidates[np.argsort(variance[candidates], kind="stable")]
        for end, row, place in zip(
            np.repeat(ENDS, n), [*order[:n], *order[-n:]], [*range(1, n + 1), *range(n, 0, -1)], strict=True
        ):
            study = studies.iloc[row]
            known = {"sharing": int(sharing[row]), "codes": "; ".join(codes[row])} if coded else {}
            rows.append({
                "side": side, "end": end, "place": place, "study_id": study["study_id"],
                "total_variance": float(variance[row]), **known, "words": len(study["findings"].split()),
                "findings": _quoted(study["findings"], codes[row]) if shows else WITHHELD,
            })  # fmt: skip
            if side == "image":
                shown.append(row)
    return pd.DataFrame(rows), images[shown]


def influence_table(
    run: Result,
    model: MedProbCLIPModel,
    tokenizer: PreTrainedTokenizerBase,
    images: np.ndarray,
    show_text: bool | None = None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """What makes the surest and the least sure radiograph with a finding so, and their reports.

    `model` and `tokenizer` are those of the run, images uint8 `[N, S, S]` as for `extremes`. One row a word
    or patch: `end`, `study_id`, `codes` (where the studies are coded), `side` ("image": a patch, "report": a
    word), `total_variance` (of that side), `change` (`evaluation.influence`), `word`, and `x`, `y`, the
    centre of the patch in pixels. Words are left out of the whole findings section, white space folded and
    list numbers dropped, but the rows are those of one sentence, the one whose words change most in sum. Also
    returns the two pictures uint8 `[2, S, S]`. Where no two studies are known to have a finding, any two
    serve. Words that may not be shown (`data.privacy.may_show`) are numbered in their places. Raises
    ValueError without two studies that have a sentence.
    """
    studies, codes = run.truth.studies, codes_of(run.truth.studies)
    coded, shows = any(codes), may_show(studies, show_text)
    speaks = np.array([bool(sentences(text)) for text in studies["findings"]])
    found = speaks & [bool(set(of) - set(NO_FINDING)) for of in codes]
    candidates = np.flatnonzero(found if found.sum() >= 2 else speaks)
    if len(candidates) < 2:
        raise ValueError("no two studies with a sentence")
    variance = run.total_variance["i2t"][candidates]
    chosen = candidates[[variance.argmin(), variance.argmax()]]
    parts = []
    for end, row in zip(ENDS, chosen, strict=True):
        study = studies.iloc[row]
        shared = {"end": end, "study_id": study["study_id"]}
        shared |= {"codes": "; ".join(codes[row])} if coded else {}
        changes = patch_influence(model, images[row], PATCH, STRIDE)
        y, x = STRIDE * np.indices(changes.shape) + (PATCH - 1) / 2
        columns = {"x": x.ravel(), "y": y.ravel(), "change": changes.ravel()}
        own = {"side": "image", "total_variance": float(run.total_variance["i2t"][row])}
        parts.append(pd.DataFrame({**shared, **own, **columns}))
        words, changes = _one_sentence(model, tokenizer, sentences(study["findings"]))
        words = words if shows else [f"word {place}" for place in range(1, len(words) + 1)]
        own = {"side": "report", "total_variance": float(run.total_variance["t2i"][row])}
        parts.append(pd.DataFrame({**shared, **own, "word": words, "change": changes}))
    return pd.concat(parts, ignore_index=True), images[chosen]


def _one_sentence(
    model: MedProbCLIPModel, tokenizer: PreTrainedTokenizerBase, found: list[str]
) -> tuple[list[str], np.ndarray]:
    """The words of the sentence that changes most, each left out of all of them."""
    words, changes = word_influence(model, tokenizer, " ".join(found))
    ends = np.cumsum([len(sentence.split()) for sentence in found])
    spans = [slice(end - len(s.split()), end) for end, s in zip(ends, found, strict=True)]
    most = max(spans, key=lambda span: np.abs(changes[span]).sum())
    return words[most], changes[most]


def _quoted(text: str, codes: tuple[str, ...]) -> str:
    """A sentence about one of the codes, the earlier code first, shortened; else the first sentence."""
    first = sentence_about(text, "")
    about = (sentence_about(text, code) for code in codes)
    quote = next((sentence for sentence in about if sentence != first), first)
    return textwrap.shorten(quote, SENTENCE, placeholder=" …")
