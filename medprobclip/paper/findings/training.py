"""What the figures of notebooks 02 and 03 show, and what the chest encoder sees."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binom

from medprobclip.paper.findings.words import listed

RARE = 0.05  # a probability below which chance explains nothing
BEFORE, AFTER = "before", "after"  # stages of `workbench/lessons/before_after.py`


def _untrained_similarity(numbers: pd.DataFrame) -> str:
    """From scores `[n, n]` with a column `image`: what decides them, and where the own report ranks."""
    scores = numbers.drop(columns="image").to_numpy(dtype=float)
    n, (by_row, by_column, pair) = len(scores), _shares(scores)
    stripes = "stripes" if by_row + by_column > pair else "no stripes"
    first = int((scores.argmax(1) == range(n)).sum())
    luck = binom.sf(first - 1, n, 1 / n)  # of at least so many, if every order were as likely
    chance = "more than chance explains" if luck < RARE else "no more than by chance"
    return (
        f"Before training the scores are {stripes}: {100 * by_row:.1f} % of how they vary belongs to the "
        f"radiograph alone, {100 * by_column:.1f} % to the report alone, {100 * pair:.1f} % to the pair. The "
        f"own report is the first for {first} of {n} radiographs, {chance}."
    )


def _training_curves(history: pd.DataFrame) -> str:
    best, last = history.loc[history["val_rsum"].idxmax()], history.iloc[-1]
    said = (
        f"Validation chose epoch {best['epoch']:.0f} of {len(history)}, with R@10 of "
        f"{best['val_R@10_i2t']:.0f} % from image to text and {best['val_R@10_t2i']:.0f} % the other way."
    )
    if best["epoch"] == last["epoch"]:
        return f"{said} It was the last one: more epochs might still have helped."
    rsum = f"RSUM did not rise again ({best['val_rsum']:.0f} then, {last['val_rsum']:.0f} at the end)"
    if last["loss"] < best["loss"]:
        fell = f"the loss still fell, from {best['loss']:.2f} to {last['loss']:.2f}"
        return f"{said} After it {fell}, but {rsum}: what was learned then is of no use for new studies."
    return f"{said} After it the loss did not fall any more, and {rsum}."


def said_of_terms(contributions: pd.DataFrame, indifferent: float) -> list[str]:
    """What the terms of a loss did, from their weighted contributions by epoch, a column each.

    `indifferent` is what a model that gives every candidate the same score pays for image–text: log B. Of
    terms that an objective lacks nothing is said.
    """
    first, last = contributions.iloc[0], contributions.iloc[-1]
    fell = 100 * (1 - last / first)
    said = [
        f"Image–text: {first['image_text']:.2f} in the mean of the first epoch, "
        f"{'above' if first['image_text'] > indifferent else 'below'} the {indifferent:.2f} of a model that "
        f"is indifferent; {last['image_text']:.2f} in the last."
    ]
    if "image_image" in contributions:
        sooner = fell["image_image"] > fell["image_text"]
        means = (
            "two views of a patient are matched sooner than film and report, and for that anatomy can serve"
            if sooner
            else "two views of a patient are not matched sooner than film and report"
        )
        said.append(
            f"Image–image {_change(fell['image_image'])}, image–text {_change(fell['image_text'])}: {means}."
        )
    if kl := [name for name in ("kl_image", "kl_text") if name in contributions]:
        of = contributions[kl].sum(axis=1)
        rose = "grew" if of.iloc[-1] > of.iloc[0] else "did not grow"
        share = 100 * of.iloc[-1] / last["loss"]
        said.append(f"The KL terms {rose} in training and are {share:.2g} % of the loss at its end.")
    return said


def _change(fell: float) -> str:
    return f"fell by {fell:.0f} %" if fell > 0 else f"rose by {-fell:.0f} %"


def _trained_similarity(scores: pd.DataFrame) -> str:
    first, stripes = {}, {}
    for stage, rows in scores.groupby("stage", sort=False):
        matrix = rows.pivot(index="film", columns="report", values="score")
        first[stage] = int((matrix.idxmax(axis=1) == matrix.index).sum())
        stripes[stage] = 100 * sum(_shares(matrix.to_numpy(dtype=float))[:2])
    more = first[AFTER] - first[BEFORE]
    than = "more than" if more > 0 else "fewer than" if more < 0 else "as many as"
    fell = stripes[AFTER] < stripes[BEFORE]
    return (
        f"Of {scores['film'].nunique()} films, {first[AFTER]} have their own report first after training, "
        f"{than} the {first[BEFORE]} before it; a random order gives 1 in the mean. Stripes, what a row or a "
        f"column has in common, are {_part(stripes[BEFORE])} of the spread before training and "
        f"{'only ' if fell else ''}{_part(stripes[AFTER])} after."
    )


def _part(percent: float) -> str:
    return "over 99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def _shares(scores: np.ndarray) -> tuple[float, float, float]:
    """Of the variance of scores: what the means of rows explain, those of columns, and neither."""
    centred = scores - scores.mean()
    rows, columns = centred.mean(1, keepdims=True), centred.mean(0, keepdims=True)
    parts = (rows, columns, centred - rows - columns)
    total = max((centred**2).sum(), 1e-12)
    return tuple(float((np.broadcast_to(part, scores.shape) ** 2).sum() / total) for part in parts)


def _readability(table: pd.DataFrame) -> str:
    measured = table[table["both"].notna()]
    hard = measured[measured["verdict"] != "readable"].sort_values("both")
    said = (
        f"The chest encoder can tell {len(measured) - len(hard)} of {len(measured)} kinds of finding on "
        f"films of held-out patients (median AUROC {measured['both'].median():.2f})."
    )
    if hard.empty:
        return f"{said} None is hard."
    named = [f"{row.kind} ({row.both:.2f}, {row.verdict})" for row in hard.head(4).itertuples()]
    return f"{said} {'The hardest' if len(hard) > len(named) else 'Hard'}: {listed(named)}."


HEADLINES = {
    "untrained_similarity": _untrained_similarity,
    "training_curves": _training_curves,
    "trained_similarity": _trained_similarity,
    "readability": _readability,
}
DETAILS = {}
