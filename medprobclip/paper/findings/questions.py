"""What the figures of notebook 06 show: a finding drawn, promises over random splits, what sets cost."""

from __future__ import annotations

from functools import partial

import pandas as pd

from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.findings.promises import (
    kept_on_average,
    kept_promises,
    sets_for_all,
    what_sets_cost,
)
from medprobclip.paper.findings.words import against, each_method, listed, percent, told_method
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.names import ALPHA, LEAST, MODEL

_GAINS = ("gain less than the others", "gain more than the others", "are not shown to gain more or less")
_VARIES = ("falls", "rises", "is not shown to change")


def _with_and_without(numbers: pd.DataFrame) -> str:
    method = told_method(numbers["method"])
    rows = numbers[numbers["method"] == method]
    gains, changes = (rows[rows["what"] == what] for what in ("gain", "variance"))
    said = "no report of the index names one of these findings"
    if len(gains):
        said = _grouped(gains, _GAINS, "reports that name a drawn finding", "for")
    patients = rows["patients"].max()
    return (
        f"{METHODS[method]}, {patients:.0f} patients with and without: {said}. "
        f"{_grouped(changes, _VARIES, 'The total variance of the film', 'with')}."
    )


def _grouped(rows: pd.DataFrame, words: tuple[str, str, str], subject: str, joint: str) -> str:
    """ "subject gain more for a and b, are not shown to ... for c", by what the intervals say."""
    less, more, same = words
    of: dict[str, list[str]] = {more: [], less: [], same: []}
    for row in rows.itertuples():
        of[against(row.low, row.high, less, more, same)].append(row.finding)
    told = []
    for verb, names in of.items():
        if names:
            every = len(names) == len(rows) and len(names) > 2
            told.append(f"{verb} {joint} {f'all {len(names)} findings' if every else listed(names)}")
    return f"{subject} {'; '.join(told)}"


def _guarantees(numbers: pd.DataFrame) -> str:
    method = told_method(numbers["method"])
    own = numbers[numbers["method"] == method]
    rows = own[own["what"] != "selective"]
    kept = kept_on_average(rows).sum()
    total = len(rows)
    told = (
        f"{kept} of {total} promises are"
        if 0 < kept < total
        else (f"all of {total} promises are" if kept else f"none of {total} promises is")
    )
    sets = sets_for_all(own[own["right"] == "wording"])
    held = listed([f"{DIRECTIONS[row.direction]} {percent(row.value)}" for row in sets.itertuples()])
    return (
        f"{METHODS[method]}: {told} kept on average over random splits of the patients (within two standard "
        f"errors). Sets that promise a right answer to {percent(1 - ALPHA)} of the queries hold one: {held}."
    )


def _set_sizes(numbers: pd.DataFrame) -> str:
    method = told_method(numbers["method"])
    whole = numbers[(numbers["method"] == method) & (numbers["group"] == "all")]
    told, whose = [], "the demo's own split" if LEAST in set(whole["by"]) else "the tables' split"
    for direction, rows in whole.groupby("direction", sort=False):
        size = rows.set_index("by")["median"]
        one = f"{DIRECTIONS[direction]} {size[MODEL]:.0f} of {rows['studies'].max():.0f}"
        if LEAST in size.index:
            more = size[MODEL] > size[LEAST]
            one += f", {'more than' if more else 'no more than'} the {size[LEAST]:.0f} of a perfect reader"
        held = rows.set_index("by")["coverage"]
        told.append(f"{one} ({percent(held[MODEL])} of the sets hold a right one)")
    return (
        f"{METHODS[method]}, {whose}: answers in the median set at {percent(1 - ALPHA)}: {'; '.join(told)}."
    )


HEADLINES = {
    "with_and_without": _with_and_without,
    "guarantees": _guarantees,
    "set_sizes": _set_sizes,
}
DETAILS = {
    "guarantees": partial(each_method, kept_promises),
    "set_sizes": partial(each_method, what_sets_cost),
}
