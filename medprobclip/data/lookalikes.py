"""Studies that say the same: worded alike, nearly alike, or coded alike in other words; a few to look at."""

from __future__ import annotations

import itertools
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from medprobclip.data.correspondence import group_sizes, same_coding
from medprobclip.data.report_similarity import ReportSimilarity, tfidf
from medprobclip.data.reports import same_text, sentences

IMPRESSIONS, WORDED = "impressions worded alike", "findings worded alike"
NEARLY, CODED = "reports nearly alike", "coded alike"
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
    ("normal", r"normal|clear|unremarkable"),
)
_NORMAL = len(NAMED) - 1
_NEGATED = re.compile(r"\b(no|not|without|normal|clear|resolved)\b", re.IGNORECASE)
_MASKED = re.compile(r"XXXX|\d")
_COMPARED = 40  # studies of one coding among which the least alike are sought: 9,880 triples


@dataclass(frozen=True)
class Lookalikes:
    """A few studies of different patients that say the same, and how many do."""

    title: str  # WORDED, NEARLY or CODED
    coding: str  # the one expert code of every study shown
    rows: tuple[int, ...]  # of the study table, from 0
    images: tuple[Path, ...]  # their PA radiographs
    quotes: tuple[str, ...]  # a sentence of the findings each
    shared: int  # studies of the table that say the same, those shown included
    counted: str  # what `shared` counts, to be read after the number


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


def alike_sizes(studies: pd.DataFrame, similarity: ReportSimilarity | None = None) -> dict[str, np.ndarray]:
    """How many studies say the same as each one, itself included, by what that means: int64 `[N]` each.

    In the order IMPRESSIONS, WORDED, CODED, NEARLY; `similarity` of the reports, where it is at hand.
    """
    similarity = similarity or tfidf(report_texts(studies))
    return {
        IMPRESSIONS: group_sizes(same_text(studies["impression"])),
        WORDED: group_sizes(same_text(studies["findings"])),
        CODED: group_sizes(same_coding(studies["codes"])),
        NEARLY: near_identical_sizes(similarity, NEAR),
    }


def choose_lookalikes(studies: pd.DataFrame) -> list[Lookalikes]:
    """Up to four groups: worded alike (a normal and an abnormal one), nearly alike, coded alike.

    Shown are studies of different patients with a PA view and a single expert code, the same for all of a
    group, and a sentence that names it. Studies that are worded alike have the same findings; nearly alike,
    a report with cosine >= NEAR to the first one, but another sentence; coded alike, reports below NEAR and
    sentences that share few words. No code is shown twice where another one is to be had. A group that does
    not exist is left out. The choice depends on the table alone. Columns `study_id, image_paths,
    view_names, findings, impression, codes` and, where there is one, `patient_id`.

    Raises ValueError when there is no group at all.
    """
    similarity = tfidf(report_texts(studies))
    told = _told(studies, similarity)
    groups = [_worded_alike(told[told["rank"] == _NORMAL]), _worded_alike(told[told["rank"] != _NORMAL])]
    for choose in (_nearly_alike, _coded_alike):
        used = {group.coding for group in groups if group}
        # codes not shown yet, in the order of NAMED and the most frequent first, then the others
        by_coding = sorted(
            told.groupby("coding"), key=lambda g: (g[0] in used, g[1]["rank"].iloc[0], -len(g[1]), g[0])
        )
        found = (choose(members, similarity) for _, members in by_coding if len(members) >= SHOWN)
        groups.append(next(filter(None, found), None))
    if not any(groups):
        raise ValueError(
            f"no {SHOWN} of {len(studies)} studies are worded, nearly or coded alike and have a PA view, a "
            "single code that NAMED lists and a sentence that names it: give more studies"
        )
    return [group for group in groups if group]


def _told(studies: pd.DataFrame, similarity: ReportSimilarity) -> pd.DataFrame:
    """Studies fit to be shown, one a patient: `row, coding, rank` (in NAMED), `image, quote, words`.

    `words` is equal where the findings are. The columns of `alike_sizes` count the studies of the whole table
    that say the same.
    """
    found = []
    for row, study in enumerate(studies.to_dict("records")):
        if len(study["codes"]) != 1 or "PA" not in study["view_names"]:
            continue
        (code,) = study["codes"]
        rank = next((rank for rank, (start, _) in enumerate(NAMED) if code.startswith(start)), None)
        quote = "" if rank is None else _quote(study["findings"], rank)
        if quote:
            image = study["image_paths"][study["view_names"].index("PA")]
            found.append((row, code, rank, image, quote, study.get("patient_id", study["study_id"])))
    told = pd.DataFrame(found, columns=["row", "coding", "rank", "image", "quote", "patient"])
    told = told.drop_duplicates("patient").drop(columns="patient")
    rows, words = told["row"].to_numpy(dtype=int), same_text(studies["findings"])
    sizes = alike_sizes(studies, similarity)
    return told.assign(words=words[rows], **{title: counts[rows] for title, counts in sizes.items()})


def _quote(findings: str, rank: int) -> str:
    """The first whole sentence that names the finding, shortened at a word; "" if none does."""
    for sentence in sentences(findings):
        negated = rank != _NORMAL and _NEGATED.search(sentence)
        if (
            re.search(NAMED[rank][1], sentence, re.IGNORECASE)
            and not negated
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
    near = _near(members, similarity)
    for first in np.argsort(-members[NEARLY].to_numpy(), kind="stable"):
        beside = members[near[first] & (np.arange(len(members)) != first)]
        shown = pd.concat([members.iloc[[first]], beside]).drop_duplicates("quote").head(SHOWN)
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
    return _group(CODED, members.iloc[list(best[2])], "studies are coded exactly so")
