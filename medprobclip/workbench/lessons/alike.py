"""What the radiologists wrote about, and how often two of them wrote the same: tables, and what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprobclip.data.coding import NO_FINDING, UNCODED
from medprobclip.data.correspondence import group_sizes, same_coding
from medprobclip.data.lookalikes import CODED, IMPRESSIONS, NEAR, NEARLY, WORDED, report_texts
from medprobclip.data.report_similarity import tfidf
from medprobclip.data.reports import same_text

NORMAL = NO_FINDING[0]
ANY = "any two studies"


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

    `sizes` int64 `[N]` each, of `lookalikes.alike_sizes`. Normal: nothing found, or nobody coded it.
    """
    normal = studies["codes"].map(set(NO_FINDING).issuperset).to_numpy()
    chosen = {"all": np.ones(len(studies), bool), "normal": normal, "abnormal": ~normal}
    shares = {
        name: {group: 100 * np.mean(n[rows] > 1) if rows.any() else np.nan for group, rows in chosen.items()}
        for name, n in sizes.items()
    }
    return pd.DataFrame(shares).T.round().rename_axis("% of studies with another one")


def said_of_sharing(table: pd.DataFrame) -> str:
    """What `sharing_table_of` shows, in two sentences."""
    near, coded, worded = table.loc[NEARLY], table.loc[CODED], table.loc[IMPRESSIONS]
    but = "but only" if near["abnormal"] < near["normal"] else "and"
    most = max(coded["abnormal"], near["abnormal"], worded["abnormal"])
    return (
        f"{near['normal']:.0f} % of the normal studies have a near double, {but} {near['abnormal']:.0f} % of "
        f"the abnormal ones. These are {'not ' * bool(most)}spared: {coded['abnormal']:.0f} % of them share "
        f"their coding with another study, {worded['abnormal']:.0f} % their impression, word for word."
    )


def agreement_table(studies: pd.DataFrame, block: int = 512) -> pd.DataFrame:
    """Of two coded studies that are worded so, how often are they coded alike? Rows by wording, columns
    `pairs` and `coded alike, %`.

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
        ids = same_text(coded[section])
        both = np.unique(np.stack([ids, coding]), axis=1, return_inverse=True)[1].ravel()
        rows[name] = (_pairs(ids), _pairs(both))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["pairs", "alike"])
    table["coded alike, %"] = (100 * table.pop("alike") / table["pairs"]).round(1)
    return table.rename_axis("two studies")


def _pairs(ids: np.ndarray) -> int:
    """How many unordered pairs of rows have equal ids `[N]`."""
    return int((group_sizes(ids) - 1).sum()) // 2


def said_of_agreement(table: pd.DataFrame) -> str:
    """Whether nearly the same words mean the same coding, from `agreement_table`."""
    near, every = table.loc[NEARLY, "coded alike, %"], table.loc[ANY, "coded alike, %"]
    if not table.loc[NEARLY, "pairs"]:
        return "No two coded reports are nearly, but not exactly, alike here."
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
