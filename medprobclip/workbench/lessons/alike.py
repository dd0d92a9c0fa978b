"""What the radiologists wrote about, and how often two of them wrote the same: tables, and what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprobclip.data.coding import NO_FINDING, NORMAL, UNCODED, codes_of
from medprobclip.data.correspondence import group_sizes, same_coding
from medprobclip.data.dataset import SECTIONS
from medprobclip.data.lookalikes import (
    CODED,
    IMPRESSIONS,
    LABELLED,
    NEAR,
    NEARLY,
    SHOWN,
    WORDED,
    Lookalikes,
    report_texts,
    same_section,
)
from medprobclip.data.missing import has_no_text
from medprobclip.data.privacy import shown
from medprobclip.data.radiographs import read_square
from medprobclip.data.report_similarity import tfidf
from medprobclip.data.reports import same_text

ANY = "any two studies"
MOST_VIEWS = 8  # combinations of views that are listed
UNNAMED = "not named"  # a view
_CODES = {CODED: "coding", LABELLED: "labels"}


def view_table(studies: pd.DataFrame) -> pd.DataFrame:
    """How many studies have which films: one row `studies`, a column a combination, commonest first."""
    views = studies["view_names"].map(lambda names: " + ".join(name or UNNAMED for name in names))
    return views.value_counts().rename("studies").head(MOST_VIEWS).to_frame().T


def example_study(studies: pd.DataFrame, show_text: bool) -> dict[str, str]:
    """The first study with three codes and both sections (else the most codes), column by column in words.

    Without `show_text` the length of a section stands in its place.
    """
    complete = ~studies[list(SECTIONS)].map(has_no_text).any(axis=1).to_numpy()
    counts = np.array([len(codes) for codes in codes_of(studies)])
    study = studies.iloc[np.lexsort((-counts, counts != 3, ~complete))[0]]
    names = {"study_id": study["study_id"], "view_names": [name or UNNAMED for name in study["view_names"]]}
    told = names | ({"codes": study["codes"]} if counts.any() else {})
    for section in SECTIONS:
        text = study[section]
        told[section] = text if show_text else f"{shown(text, show_text)} ({len(text.split())} words)"
    return {name: text if isinstance(text, str) else "; ".join(text) for name, text in told.items()}


def heading_table(studies: pd.DataFrame, rows: int = 12) -> pd.DataFrame:
    """The most frequent headings of the codes, each with two shares that are easily mistaken.

    Columns `codings`, `% of all codings`, `studies with it`, `% of all studies`; a study counts once.
    """
    codes = studies["codes"].explode().dropna()
    headings = codes.str.split("/").str[0]
    codings = headings.value_counts(sort=False)
    having = headings.groupby(level=0).unique().explode().value_counts(sort=False)
    table = pd.DataFrame({
        "codings": codings,
        "% of all codings": (100 * codings / len(headings)).round(1),
        "studies with it": having,
        "% of all studies": (100 * having / len(studies)).round(1),
    })  # fmt: skip
    order = table.sort_values(["codings", "studies with it"], ascending=False, kind="stable")
    return order.head(rows).rename_axis("heading")


def said_of_normal(studies: pd.DataFrame) -> str:
    """How much of the corpus is normal, counted by studies and by codings, in one or two sentences."""
    normal = studies["codes"].map(lambda codes: tuple(codes) == (NORMAL,))
    codings = studies["codes"].map(len).sum()
    found = studies["codes"].map(lambda codes: not set(codes) <= set(NO_FINDING))
    uncoded = studies["codes"].map(lambda codes: set(codes) <= {UNCODED}).sum()
    by_study, by_coding = normal.mean(), normal.sum() / codings
    told = (
        f"{normal.sum():,} of {len(studies):,} studies ({100 * by_study:.0f} %) are coded normal and nothing "
        f"else; of the {codings:,} codings that is {100 * by_coding:.0f} %."
    )
    if found.any() and by_coding < by_study:
        many = studies.loc[found, "codes"].map(len).mean()
        told += f" It is less because a study with findings has {many:.1f} codings on average."
    return told + (f" Nobody coded {uncoded}." if uncoded else "")


def sharing_table_of(studies: pd.DataFrame, sizes: dict[str, np.ndarray]) -> pd.DataFrame:
    """% of studies with at least one other that says the same: a row for each way, `all, normal, abnormal`.

    `sizes` int64 `[N]` each, of `lookalikes.alike_sizes`. Normal: nothing found, or nobody coded it. Where
    nobody coded any, or all are of one kind, the column `all` stands alone.
    """
    chosen = {"all": np.ones(len(studies), bool)}
    if any(map(len, codes_of(studies))):
        normal = studies["codes"].map(set(NO_FINDING).issuperset).to_numpy()
        chosen |= {"normal": normal, "abnormal": ~normal} if 0 < normal.sum() < len(normal) else {}
    shares = {
        name: {group: 100 * np.mean(n[rows] > 1) for group, rows in chosen.items()}
        for name, n in sizes.items()
    }
    return pd.DataFrame(shares).T.round().rename_axis("% of studies with another one")


def said_of_sharing(table: pd.DataFrame) -> str:
    """What `sharing_table_of` shows, in a sentence or two."""
    title = next((name for name in (CODED, LABELLED) if name in table.index), None)
    near, worded = table.loc[NEARLY], table.loc[IMPRESSIONS]
    impression = "their impression, word for word"
    if "abnormal" not in table:
        said = (
            f"{near['all']:.0f} % of the studies have a near double, {worded['all']:.0f} % share {impression}"
        )
        return said + (f", {table.loc[title, 'all']:.0f} % their {_CODES[title]}." if title else ".")
    coded = table.loc[title]
    but = "but only" if near["abnormal"] < near["normal"] else "and"
    most = max(coded["abnormal"], near["abnormal"], worded["abnormal"])
    return (
        f"{near['normal']:.0f} % of the normal studies have a near double, {but} {near['abnormal']:.0f} % of "
        f"the abnormal ones. These are {'not ' * bool(most)}spared: {coded['abnormal']:.0f} % of them share "
        f"their {_CODES[title]} with another study, {worded['abnormal']:.0f} % {impression}."
    )


def films_of(groups: list[Lookalikes], size_px: int) -> list[list[np.ndarray]]:
    """The films of each group, square: uint8 `[S, S]` each. Raises ImageError where one cannot be read."""
    return [[read_square(path, size_px)[0] for path in group.images] for group in groups]


def said_of_groups(groups: list[Lookalikes]) -> str:
    """What the rows of figure 1 leave out: sentences that are withheld, or that there is none; else ""."""
    if not groups:
        return (
            f"No {SHOWN} studies of different patients with a frontal film and a fitting sentence are alike: "
            "the figure has curves only."
        )
    if any(group.quotes for group in groups):
        return ""
    return (
        "Sentences are withheld (`show_text`). Below each film stand its study, the words of its report, and "
        "the cosine with the report of the first film in the row: 1 is the same words."
    )


def agreement_table(studies: pd.DataFrame, block: int = 512) -> pd.DataFrame:
    """Of two coded studies that are worded so, how often are they coded alike? Rows by wording, columns
    `pairs` and `coded alike, %`. What no two studies are has no row.

    Pairs are unordered. Reports that are nearly alike have a cosine of at least NEAR, but are not equal.
    """
    coded = studies[studies["codes"].map(lambda codes: bool(set(codes) - {UNCODED}))]
    coding = same_coding(coded["codes"])
    features, wording = tfidf(report_texts(coded)).features, same_text(report_texts(coded))
    near = alike = 0
    for start in range(0, len(coded), block):
        cosines = (features[start : start + block] @ features.T).tocoo()
        i, j = cosines.row + start, cosines.col
        pairs = (i < j) & (cosines.data >= NEAR - 1e-6) & (wording[i] != wording[j])
        near += int(pairs.sum())
        alike += int((coding[i] == coding[j])[pairs].sum())
    rows = {ANY: (_pairs(np.zeros(len(coded), int)), _pairs(coding)), NEARLY: (near, alike)}
    for name, section in ((WORDED, "findings"), (IMPRESSIONS, "impression")):
        ids = same_section(coded[section])
        both = np.unique(np.stack([ids, coding]), axis=1, return_inverse=True)[1].ravel()
        rows[name] = (_pairs(ids), _pairs(both))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["pairs", "alike"])
    table = table[table["pairs"] > 0]
    table["coded alike, %"] = (100 * table.pop("alike") / table["pairs"]).round(1)
    return table.rename_axis("two studies")


def _pairs(ids: np.ndarray) -> int:
    """How many unordered pairs of rows have equal ids `[N]`."""
    return int((group_sizes(ids) - 1).sum()) // 2


def said_of_agreement(table: pd.DataFrame) -> str:
    """Whether nearly the same words mean the same coding, from `agreement_table`."""
    if NEARLY not in table.index:
        return "No two coded reports are nearly, but not exactly, alike here."
    near, every = table.loc[NEARLY, "coded alike, %"], table.loc[ANY, "coded alike, %"]
    told = (
        f"Of two reports that are nearly alike {near:.0f} % have the same coding, of any two {every:.0f} %: "
    )
    if near <= every:
        return told + "nearly the same words are no evidence of the same content."
    return told + (
        "nearly the same words are evidence of the same content, but no proof."
        if near < 100
        else "here nearly the same words always meant the same content."
    )
