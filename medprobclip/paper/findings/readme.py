"""What was found, in four numbers, the unflattering one among them: for the README and the end of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from textwrap import fill

import pandas as pd

from medprobclip.evaluation.hubs import BANK
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.findings.doubt import NAMES, detection_of
from medprobclip.paper.findings.promises import kept_on_average, sets_for_all
from medprobclip.paper.findings.words import against, listed, percent, told_method

BEGIN, END = "<!-- {}: written by `make figures` -->", "<!-- end of {} -->"
FOUND = "what was found"  # name of the README's part
NEEDED = ("table_1", "guarantees", "robustness", "confidences")  # figures
RIVAL = "clip"
WIDTH = 100  # characters of a line in a terminal
SEVERITY = 3  # of five


def what_was_found(folder: Path, made: Collection[str] = NEEDED, simulated: bool = True) -> list[str]:
    """At most four sentences, each with its number, from the CSV files of the figures in a folder.

    Of a figure that is not there, or not among those that were `made` just now, nothing is said. Without
    `simulated` the radiographs are somebody's own, and nothing is said of the demo's.
    """
    paths = {name: Path(folder) / f"{name}.csv" for name in NEEDED if name in made}
    tables = {name: pd.read_csv(path) for name, path in paths.items() if path.exists()}
    told = [s for name, said in _TOLD.items() if name in tables for s in said(tables[name], simulated)]
    sceptic = [s for name, said in _SCEPTIC.items() if name in tables for s in said(tables[name])]
    return [*told, *([" ".join(sceptic)] if sceptic else [])]


def for_a_terminal(sentences: list[str]) -> str:
    """The same without Markdown, as an indented paragraph each: what a command ends with."""
    lines = [sentence.replace("*", "").replace(" %", "\xa0%") for sentence in sentences]
    parts = [fill(line, WIDTH, initial_indent="  ", subsequent_indent="    ") for line in lines]
    return "\n".join(parts).replace("\xa0", " ")


def _retrieval(table: pd.DataFrame, simulated: bool) -> Iterator[str]:
    """R@10 from image to text, between a random order and, of simulated radiographs, a perfect reader."""
    rows = table[(table["metric"] == "R@10") & (table["direction"] == "i2t") & (table["score"] != BANK)]
    method = told_method(rows["method"])
    value = rows.set_index("method")["value"]
    row = rows[rows["method"] == method].iloc[0]
    bounds = f"[{row['low']:.0f}, {row['high']:.0f}]"
    reader = f", a perfect reader of these films {value['ceiling']:.0f} %" if simulated else ""
    yield (
        f"**{value[method]:.0f} %** {bounds} of the test films find a right report among {NAMES[method]}'s "
        f"first ten. Chance finds {value['random']:.0f} %{reader}."
    )


def _promise(guarantees: pd.DataFrame, simulated: bool) -> Iterator[str]:
    """The share of sets that hold a report worded like the right one, against what was promised."""
    method = told_method(guarantees["method"])
    rows = sets_for_all(guarantees[guarantees["method"] == method])
    rows = rows[(rows["direction"] == "i2t") & (rows["right"] == "wording")]
    split = "the demo's own" if simulated else "the tables' split"
    for row in rows.assign(kept=kept_on_average(rows)).itertuples():
        gallery = row.calibration + row.queries  # of the splits, see `tables.guarantee_table`
        yield (
            f"**{percent(row.value)}** of the sets that promise a right report with {percent(row.promise)} "
            f"hold one over random splits ({percent(row.actual)} in {split}): the promise is "
            f"{'kept' if row.kept else 'broken'} on average. It takes {row.size:.0f} of {gallery:.0f} "
            "reports in the median."
        )


def _faults(robustness: pd.DataFrame, simulated: bool) -> Iterator[str]:
    """Does strangeness tell a faulty film from a good one, does the variance? AUROC, mean over faults."""
    detection = detection_of(robustness)
    rows = detection[detection["severity"] == SEVERITY]
    rows = rows[rows["method"] == told_method(detection["method"])].set_index("doubt")
    verbs = ("is *smaller* for them", "notices them", "is not shown to notice them")
    (own, strange), (learned, variance) = (
        (f"{row['auroc']:.2f}", against(row["low"] - 0.5, row["high"] - 0.5, *verbs))
        for row in (rows.loc["strangeness"], rows.loc["variance"])
    )
    origin = "; all from one CT" if simulated else ""
    yield (
        f"**{own}** is the AUROC of *strangeness*, a second number of doubt, for faulty films (severity "
        f"{SEVERITY} of 5; 0.5 is a coin{origin}): it {strange}. The learned variance, "
        f"{learned}, {variance}."
    )


def _rival(table: pd.DataFrame) -> Iterator[str]:
    """RSUM against that of CLIP."""
    rows = table[(table["metric"] == "RSUM") & (table["score"] != BANK)].set_index("method")
    method = told_method(rows.index)
    if method == RIVAL or RIVAL not in rows.index:
        return
    row = rows.loc[RIVAL]
    low, high = row["difference_low"], row["difference_high"]
    said = against(low, high, "is behind", "is ahead of", "is not shown to differ from")
    own = f"{NAMES[method]} ({rows.loc[method, 'value']:.0f} of 800)"
    yield (
        f"**{row['difference']:+.0f}** [{low:+.0f}, {high:+.0f}] in RSUM, the sum of recalls: CLIP, "
        f"the simpler method with one view and one section, {said} {own}."
    )


def _entropy(confidences: pd.DataFrame) -> Iterator[str]:
    """The variance against the entropy as a confidence."""
    rows = confidences[confidences["less_entropy"].notna()]
    if rows.empty:
        return
    rows = rows[rows["method"] == told_method(rows["method"])]
    told: dict[str, list[str]] = {}  # of each verdict, the directions
    for row in rows.itertuples():
        said = against(
            row.less_entropy_low, row.less_entropy_high, "beats", "loses to", "cannot be told from"
        )
        told.setdefault(said, []).append(f"{row.less_entropy:+.2f} {DIRECTIONS[row.direction]}")
    parts = [
        f"{said} the plain entropy of the scores (AURC, less is better: {listed(of)})"
        for said, of in told.items()
    ]
    yield f"As a confidence the learned variance {' but '.join(parts)}."


_TOLD = {"table_1": _retrieval, "guarantees": _promise, "robustness": _faults}
_SCEPTIC = {"table_1": _rival, "confidences": _entropy}  # what is asked first, in one sentence or two


def with_part(text: str, part: str, lines: list[str]) -> str:
    """A page whose part between two marks is these lines. Raises ValueError without the marks."""
    begin, end = BEGIN.format(part), END.format(part)
    head, begun, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"no place for '{part}': '{begin}' and '{end}' are missing")
    listing = "\n".join(lines)
    return f"{head}{begin}\n{listing}\n{end}{tail}"
