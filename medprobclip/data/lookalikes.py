"""Studies that say the same: worded alike, nearly alike, or coded alike in other words; a few to look at."""

from __future__ import annotations

import itertools
import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from medprobclip.data.coding import NORMAL, codes_of
from medprobclip.data.correspondence import group_sizes, same_coding
from medprobclip.data.labels import UNCERTAIN, coded_by_labels, has_labels
from medprobclip.data.missing import has_no_text
from medprobclip.data.patients import owners, patient_column, short_id
from medprobclip.data.report_similarity import ReportSimilarity, tfidf
from medprobclip.data.reports import same_text, sentences
from medprobclip.data.views import has_frontal_view, reference_view

IMPRESSIONS, WORDED = "impressions worded alike", "findings worded alike"
NEARLY, CODED, LABELLED = "reports nearly alike", "coded alike", "labelled alike"
CODERS = {CODED: "expert code", LABELLED: "label"}  # what a code is, by who gave it
NEAR = 0.7  # cosine (TF-IDF) from which two reports count as nearly alike
SHOWN = 3  # studies of a group that are shown
LONGEST = 70  # characters of a quote

# how a code begins, how a sentence names it; what a PA film shows best comes first, the normal study last
NAMED = (
    ("Cardiomegaly", r"cardiomegaly|\b(heart|cardiac)\b.*\b(large|enlarge)|enlarge.*\bheart\b"),
    ("Pleural Effusion", r"effusion"),
    ("Lung/hypoinflation", r"volume.*\blow\b|\blow\b.*volume|hypoinflat"),
    ("Lung/hyperdistention", r"hyper(inflat|expan|disten)"),
    ("Emphysema", r"emphysem"),
    ("Pulmonary Atelectasis", r"atelecta"),
    ("Calcified Granuloma", r"granuloma"),
    ("Granulomatous Disease", r"granuloma"),
    ("Scoliosis", r"scolio|curvature"),
    ("Aorta", r"tortuo|ectas|ectatic"),
    ("Atherosclerosis", r"atheroscl|calcifi"),
    ("Spondylosis", r"spondylo"),
    ("Spine/degenerative", r"degenerat"),
    ("Thoracic Vertebrae/degenerative", r"degenerat"),
    (NORMAL, r"normal|clear|unremarkable"),
)
# The same for the labels of CheXpert and NegBio; before NAMED, where a table has them.
NAMED_LABELS = (
    ("Cardiomegaly", NAMED[0][1]),
    ("Pleural Effusion", r"effusion"),
    ("Support Devices", r"catheter|\btubes?\b|\blines?\b|picc|pacemaker|wires|sternotomy|clips|hardware"),
    ("Edema", r"edema|congesti"),
    ("Consolidation", r"consolidat"),
    ("Pneumothorax", r"pneumothora"),
    ("Atelectasis", r"atelecta"),
    ("Pneumonia", r"pneumonia|infecti"),
    ("Lung Lesion", r"nodul|mass|lesion|granuloma"),
    ("Lung Opacity", r"opaci|infiltrat|densit"),
    ("Enlarged Cardiomediastinum", r"mediastin|widen|enlarge"),
    ("Fracture", r"fracture"),
    ("Pleural Other", r"pleura"),
)
_NEGATED = re.compile(r"\b(no|not|without|normal|clear|resolved)\b", re.IGNORECASE)
_MASKED = re.compile(r"XXXX|_{2,}|\d")
_COMPARED = 40  # studies of one coding among which the least alike are sought: 9,880 triples


@dataclass(frozen=True)
class Lookalikes:
    """A few studies of different patients that say the same, and how many do."""

    title: str  # WORDED, NEARLY, CODED or LABELLED
    coding: str  # the one code of every study shown; "" where nobody coded any
    rows: tuple[int, ...]  # of the study table, from 0
    images: tuple[Path, ...]  # their frontal radiographs
    quotes: tuple[str, ...]  # a sentence of the findings each
    shared: int  # studies of the table that say the same, those shown included
    counted: str  # what `shared` counts, to be read after the number
    coder: str = CODERS[CODED]  # what the code is
    measured: tuple[str, ...] = ()  # what can be told of each without its words
    whose: str = "patients"  # "studies" where the table names no patients

    @property
    def captions(self) -> tuple[str, ...]:
        """What stands below each film: its sentence, or what can be told without it."""
        return tuple(f"“{quote}”" for quote in self.quotes) or self.measured


def report_texts(studies: pd.DataFrame) -> list[str]:
    """The text of each whole report: findings and impression."""
    return studies[["findings", "impression"]].agg(" ".join, axis=1).tolist()


def near_identical_sizes(similarity: ReportSimilarity, threshold: float, block: int = 512) -> np.ndarray:
    """How many reports have at least this cosine with each report, itself included: int64 `[N]`.

    In blocks, so that nothing of size N² is kept. Cosines are taken with a tolerance of 1e-6, single
    precision: equal reports are at 1.
    """
    features = similarity.features
    sizes = np.empty(features.shape[0], dtype=np.int64)
    for start in range(0, len(sizes), block):
        cosines = features[start : start + block] @ features.T
        cosines = cosines.numpy() if isinstance(cosines, torch.Tensor) else cosines.toarray()
        sizes[start : start + block] = (cosines >= threshold - 1e-6).sum(axis=1)
    return np.maximum(sizes, 1)  # a report without a known word has cosine 0 even with itself


def same_section(texts: pd.Series) -> np.ndarray:
    """Ids int64 `[N]`, equal where a section is worded alike; a section without text equals none."""
    ids = same_text(texts)
    empty = np.flatnonzero(texts.map(has_no_text))
    ids[empty] = len(ids) + empty
    return ids


def coding_title(studies: pd.DataFrame) -> str | None:
    """What studies with equal codes are: CODED, LABELLED where the codes are labels, None without codes."""
    if not any(map(len, codes_of(studies))):
        return None
    return LABELLED if coded_by_labels(studies) else CODED


def alike_sizes(studies: pd.DataFrame, similarity: ReportSimilarity | None = None) -> dict[str, np.ndarray]:
    """How many studies say the same as each one, itself included, by what that means: int64 `[N]` each.

    In the order IMPRESSIONS, WORDED, CODED or LABELLED (where there are codes), NEARLY; `similarity` of the
    reports, where it is at hand.
    """
    similarity = similarity or tfidf(report_texts(studies))
    sizes = {
        IMPRESSIONS: group_sizes(same_section(studies["impression"])),
        WORDED: group_sizes(same_section(studies["findings"])),
    }
    if title := coding_title(studies):
        sizes[title] = group_sizes(same_coding(studies["codes"]))
    return sizes | {NEARLY: near_identical_sizes(similarity, NEAR)}


def choose_lookalikes(
    studies: pd.DataFrame, sizes: dict[str, np.ndarray] | None = None, show_text: bool = True
) -> list[Lookalikes]:
    """Up to four groups: worded alike (a normal and an abnormal one), nearly alike, coded alike.

    Shown are studies of different patients with a frontal film and a single code, the same for all of a
    group, and a sentence that names it. Studies that are worded alike have the same findings; nearly alike,
    a report with cosine >= NEAR to the first one, but another sentence; coded alike, reports below NEAR and
    sentences that share few words. No code is shown twice where another one is to be had; uncertain labels
    are not shown. Where nobody coded the studies, one group is worded and one nearly alike. A group that does
    not exist is left out. The choice depends on the table alone, not on `show_text`: without it groups have
    no `quotes`. Columns `study_id, image_paths, view_names, findings, impression` and, where there are some,
    codes, labels and patients; `sizes` of `alike_sizes`, where they are at hand.
    """
    similarity = tfidf(report_texts(studies))
    title = coding_title(studies)
    told = _told(studies, sizes or alike_sizes(studies, similarity))
    groups = [_worded_alike(told[told["normal"]]), _worded_alike(told[~told["normal"]])]
    for choose in (_nearly_alike, _coded_alike) if title else (_nearly_alike,):
        shown = {row for group in groups if group and not title for row in group.rows}
        used = {group.coding for group in groups if group}
        # codes not shown yet, in the order of NAMED and the most frequent first, then the others
        by_coding = sorted(
            told[~told["row"].isin(shown)].groupby("coding"),
            key=lambda g: (g[0] in used, g[1]["rank"].iloc[0], -len(g[1]), g[0]),
        )
        found = (choose(members, similarity) for _, members in by_coding if len(members) >= SHOWN)
        groups.append(next(filter(None, found), None))
    known = {"coder": CODERS.get(title, ""), "whose": "patients" if patient_column(studies) else "studies"}
    groups = [replace(group, **known) for group in groups if group]
    return groups if show_text else [_withheld(group, studies, similarity) for group in groups]


def _withheld(group: Lookalikes, studies: pd.DataFrame, similarity: ReportSimilarity) -> Lookalikes:
    """The group without its sentences: study, length and likeness of each report instead."""
    some = studies.iloc[list(group.rows)]
    cosines = similarity.between(torch.tensor(group.rows))[0].tolist()
    measured = [
        f"{short_id(name)}: {len(report.split())} words" + (f", cosine {cosine:.2f}" if row else "")
        for row, (name, report, cosine) in enumerate(
            zip(some["study_id"].astype(str), report_texts(some), cosines, strict=True)
        )
    ]
    return replace(group, quotes=(), measured=tuple(measured))


def _told(studies: pd.DataFrame, sizes: dict[str, np.ndarray]) -> pd.DataFrame:
    """Studies fit to be shown, one a patient: `row, coding, rank` (in the names), `normal, image, quote`.

    `words` is equal where the findings are. The columns of `alike_sizes` count the studies of the whole table
    that say the same. Where no film is known to be frontal, those of unknown view are taken.
    """
    names = (*NAMED_LABELS, *NAMED) if has_labels(studies) else NAMED
    codes, nobody = codes_of(studies), coding_title(studies) is None
    frontal = studies["view_names"].map(has_frontal_view).to_numpy(dtype=bool)
    found = []
    for row, (views, findings) in enumerate(zip(studies["view_names"], studies["findings"], strict=True)):
        if (frontal.any() and not frontal[row]) or (len(codes[row]) != 1 and not nobody):
            continue
        code = "" if nobody else codes[row][0]
        rank = (
            0 if nobody else next((i for i, (start, _) in enumerate(names) if code.startswith(start)), None)
        )
        if rank is None or code.endswith(f"/{UNCERTAIN}"):
            continue
        normal = names[rank][0] == NORMAL and not nobody
        quote = _quote(findings, "" if nobody else names[rank][1], negated=nobody or normal)
        if quote:
            found.append(
                (row, code, rank, normal, studies["image_paths"].iloc[row][reference_view(views)], quote)
            )
    told = pd.DataFrame(found, columns=["row", "coding", "rank", "normal", "image", "quote"])
    told = told.astype({"row": int, "normal": bool})
    told = told.assign(patient=np.array(owners(studies), dtype=object)[told["row"]]).drop_duplicates(
        "patient"
    )
    rows = told["row"].to_numpy()
    words = same_section(studies["findings"])[rows]
    shared = {title: counts[rows] for title, counts in sizes.items()}
    return told.drop(columns="patient").assign(words=words, **shared)


def _quote(findings: str, names: str, negated: bool) -> str:
    """The first whole sentence that `names` a finding, shortened at a word; "" if none does."""
    for sentence in sentences(findings):
        if (
            re.search(names, sentence, re.IGNORECASE)
            and (negated or not _NEGATED.search(sentence))
            and not _MASKED.search(sentence)
        ):
            return textwrap.shorten(re.sub(r"\.+$", ".", sentence), LONGEST, placeholder=" …")
    return ""


def _group(title: str, members: pd.DataFrame, counted: str) -> Lookalikes:
    """The members as shown; `shared` is what the first one shares."""
    columns = (tuple(members[name].tolist()) for name in ("row", "image", "quote"))
    first = members.iloc[0]
    return Lookalikes(title, first["coding"], *columns, int(first[title]), counted)


def _worded_alike(told: pd.DataFrame) -> Lookalikes | None:
    """The most frequent findings, counted among all studies."""
    alike = told.groupby(["coding", "words"], sort=False)
    groups = [members.head(SHOWN) for _, members in alike if len(members) >= SHOWN]
    if not groups:
        return None
    best = max(groups, key=lambda members: members[WORDED].iloc[0])
    return _group(WORDED, best, "studies have these findings, word for word")


def _near(members: pd.DataFrame, similarity: ReportSimilarity) -> np.ndarray:
    """Which reports are at least nearly alike: bool `[n, n]`."""
    return similarity.between(torch.tensor(members["row"].tolist())).numpy() >= NEAR


def _nearly_alike(members: pd.DataFrame, similarity: ReportSimilarity) -> Lookalikes | None:
    """The report with the most near neighbours in the table, among those with other sentences beside it."""
    features, rows = similarity.features, members["row"].to_numpy()
    for first in np.argsort(-members[NEARLY].to_numpy(), kind="stable"):
        if members[NEARLY].iloc[first] < SHOWN:
            return None
        near = (features[rows[[first]]] @ features[rows].T).toarray()[0] >= NEAR
        beside = members[near & (np.arange(len(members)) != first)]
        shown = pd.concat([members.iloc[[first]], beside]).drop_duplicates("quote").head(SHOWN)
        if len(shown) < SHOWN and not members["coding"].iloc[0]:  # without codes, a quote is any sentence
            shown = pd.concat([members.iloc[[first]], beside]).drop_duplicates("words").head(SHOWN)
        if len(shown) == SHOWN:
            counted = f"studies have a report at least {NEAR:g} similar to the first (cosine of TF-IDF)"
            return _group(NEARLY, shown, counted)
    return None


def _coded_alike(members: pd.DataFrame, similarity: ReportSimilarity) -> Lookalikes | None:
    """The studies whose sentences share the fewest words, the shorter ones of two such choices."""
    members = members.drop_duplicates("quote").head(_COMPARED)
    near = _near(members, similarity)
    words = [set(re.findall(r"\w+", quote.lower())) for quote in members["quote"]]
    overlap = np.array([[len(a & b) / len(a | b) for b in words] for a in words])
    best = None
    for chosen in itertools.combinations(range(len(members)), SHOWN):
        pairs = tuple(zip(*itertools.combinations(chosen, 2), strict=True))
        if not near[pairs].any():
            cost = overlap[pairs].sum(), sum(len(members["quote"].iloc[i]) for i in chosen), chosen
            best = min(best or cost, cost)
    if best is None:
        return None
    title = LABELLED if LABELLED in members else CODED
    counted = "studies have this label alone" if title == LABELLED else "studies are coded exactly so"
    return _group(title, members.iloc[list(best[2])], counted)
