"""What the figures of notebook 01 show: the corpus, its many-to-many problem, what was drawn."""

from __future__ import annotations

import pandas as pd

from medprobclip.data.lookalikes import CODED, IMPRESSIONS, LABELLED, NEARLY, WORDED
from medprobclip.paper.findings.words import listed, percent
from medprobclip.school_settings import ReadabilityConfig

SUBTLE = ReadabilityConfig().subtle  # the conspicuity below which a finding is subtle
_BY = {CODED: ("expert codes", "the codes"), LABELLED: ("labels", "the labels")}
NAMED = 3  # so many subtle findings are named, more are counted


def _subtle(names: list[str]) -> str:
    """Who is subtle: ": a and b", or nothing where there are too many or none."""
    return f" ({listed(names)})" if 0 < len(names) <= NAMED else ""


def _contact_sheet(numbers: pd.DataFrame) -> str:
    films = numbers[["pa_conspicuity", "lateral_conspicuity"]]
    best, names = films.max(axis=1), numbers["code"].str.split("/").str[0]
    subtle = names[best < SUBTLE].tolist()
    plainer = int((films["pa_conspicuity"] > films["lateral_conspicuity"]).sum())
    stay = "stays" if len(subtle) < 2 else "stay"
    return (
        f"Of {len(numbers)} findings {names[best.idxmax()]} shows best (conspicuity {best.max():.2f} in its "
        f"better film) and {names[best.idxmin()]} least ({best.min():.2f}); {len(subtle) or 'none'} {stay} "
        f"below {SUBTLE:g} in both films{_subtle(subtle)}. The PA film is the plainer one for {plainer}."
    )


def _figure_1(numbers: pd.DataFrame) -> str:
    shared = numbers[numbers["size"] > 1].groupby("by")["studies"].sum()
    share = (shared / numbers.groupby("by")["studies"].sum()).fillna(0)
    studies = numbers.loc[numbers["by"] == NEARLY, "studies"].sum()
    title = next((name for name in _BY if name in share), None)
    theirs, by = _BY.get(title, ("", "wording"))
    most = share[title] if title else max(share[IMPRESSIONS], share[WORDED])
    wrong = (
        f"so the diagonal, which takes the own report alone for right, is wrong for {percent(most)} by {by} "
        "alone"
        if most
        else f"so by {by} the diagonal, which takes the own report alone for right, is right"
    )
    coded = f"{percent(share[title])} its {theirs}, " if title else ""
    return (
        f"Of {studies:,} studies {percent(share[IMPRESSIONS])} have the impression of another one, word for "
        f"word, {percent(share[WORDED])} the findings, {coded}and {percent(share[NEARLY])} a report that is "
        f"nearly the same; {wrong}."
    )


def _rendered_truth(numbers: pd.DataFrame) -> str:
    median = numbers.set_index("group")["median"]
    subtle = median[median < SUBTLE].index.tolist()
    be = "is" if len(subtle) < 2 else "are"
    return (
        f"Of {len(median)} kinds of finding {median.idxmax()} shows best (median conspicuity "
        f"{median.max():.2f}) and {median.idxmin()} least ({median.min():.2f}); {len(subtle) or 'none'} {be} "
        f"subtle, with a median below {SUBTLE:g}{_subtle(subtle)}."
    )


HEADLINES = {
    "contact_sheet": _contact_sheet,
    "figure_1": _figure_1,
    "rendered_truth": _rendered_truth,
}
DETAILS = {}
