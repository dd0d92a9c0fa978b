"""What the figures of notebook 05 show: who to be sure by, calibration, what the variance knows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from medprobclip.data.coding import NORMAL
from medprobclip.evaluation.calibration import CALIBRATORS
from medprobclip.evaluation.resampling import verdicts as compared
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.evaluation.selective import difference_of_shares
from medprobclip.paper.findings.doubt import about_ambiguity, variance_or_entropy
from medprobclip.paper.findings.words import against, each_method, interval, listed, percent, told_method
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.readable import SIDE_NAMES

K = 10  # of the R@K that is spoken of
# What is told of films of which no simulator knows how hard they are to read.
_UNDRAWN = {"findings": "the number of findings", "rank": "the rank of the right answer"}
_RISES = ("falls", "rises", "is not shown to change")  # of an interval below 0, above it, around it
_CONTROLS = {  # of a property of all studies: with which others set aside, and what that says
    "sharing": ("sharing_abnormal", "the number of studies coded alike", "without the normal studies"),
    "rank": ("rank_unambiguous", "the rank of the right answer", "where no other study is coded alike"),
}
_READ = {  # what becomes of a correlation when ambiguity is set aside
    ("sharing", "none"): "so no ambiguity is shown that it would know",
    ("sharing", "hidden"): "so the normal studies hid a link",
    ("sharing", "kept"): "so it is not the normal studies alone",
    ("sharing", "gone"): "so the normal studies may be all that it tells apart",
    ("sharing", "turned"): "so the normal studies alone make it so",
    ("rank", "none"): "so there is no link that ambiguity could explain",
    ("rank", "hidden"): "so ambiguity hid a link",
    ("rank", "kept"): "so ambiguity does not explain all of it",
    ("rank", "gone"): "so ambiguity may explain all of it",
    ("rank", "turned"): "so ambiguity makes the link, and hides one the other way round",
}


def two_controls(numbers: pd.DataFrame) -> Iterator[str]:
    """Is the variance about ambiguity, and are unsure queries wrong because of it? Two sentences a side.

    The rows of `tables.ambiguity.control_table` (others are left out), with a column `method`.
    """
    method = METHODS[told_method(numbers["method"])]
    for side, name in SIDE_NAMES.items():
        rows = _controlled(numbers, side)
        for whole, (fewer, what, aside) in _CONTROLS.items():
            if not {whole, fewer} <= set(rows.index):
                yield f"{method}, {name}, {what}: too few studies are left {aside}."
                continue
            every, few = rows.loc[whole], rows.loc[fewer]
            yield (
                f"{method}, {name}: the total variance {_verb(every)} with {what}, ρ {_rho(every)}; {aside} "
                f"it {_verb(few)}, ρ {_rho(few)}, a change of {_rho(few, 'change')}: "
                f"{_READ[whole, _kind(every, few)]}."
            )


def hard_to_see(knowledge: pd.DataFrame, method: str) -> Iterator[str]:
    """Does the variance know how hard a finding is to see? From `tables.knowledge_table`."""
    for row in _known(knowledge, method, "conspicuity"):
        said = against(
            row["rho_low"], row["rho_high"],
            "it is less sure of radiographs whose findings are harder to see",
            "it is *surer* of radiographs whose findings are harder to see",
            "it is not shown to know how hard the findings of a radiograph are to see",
        )  # fmt: skip
        given = (
            f", given the other properties {_rho(row, 'partial')}" if row["partial"] == row["partial"] else ""
        )
        yield f"{METHODS[method]}: {said} (total variance with conspicuity: ρ {_rho(row)}{given})."


def _risk(table: pd.DataFrame) -> str:
    method = told_method(table["method"])
    rows = table[(table["method"] == method) & (table["k"] == K)]
    told, kinds = [], {}
    for direction, label in DIRECTIONS.items():
        of = rows[rows["direction"] == direction].sort_values("coverage")
        every, half = of.iloc[-1], of[of["coverage"] <= 0.5].iloc[-1]
        shares = f"{percent(every['risk'])} of all queries, {percent(half['risk'])} of the surest half"
        told.append(f"from {label} {shares}")
        verb = against(*_more_errors(every, half), "raises", "lowers", "is not shown to change")
        kinds.setdefault(verb, []).append(label)
    said = " and ".join(f"{verb} it from {listed(of)}" for verb, of in kinds.items())
    return (
        f"{METHODS[method]}: the share without a right answer among the first {K} is {'; '.join(told)}. "
        f"To answer only the surest half {said}."
    )


def _more_errors(every: pd.Series, half: pd.Series) -> tuple[float, float]:
    """How much larger the error rate of the less sure rest is: a 95 % interval."""
    rest = every["answered"] - half["answered"]
    wrong = every["answered"] * every["risk"] - half["answered"] * half["risk"]
    return difference_of_shares(wrong / rest, rest, half["risk"], half["answered"])


def _area(table: pd.DataFrame) -> str:
    method = told_method(table["method"])
    table = table[table["k"] == K]
    told, others = [], []
    for direction, label in DIRECTIONS.items():
        rows = table[table["direction"] == direction].set_index("method")
        row = rows.loc[method]
        random = row["random"]
        where = against(row["low"] - random, row["high"] - random, "below", "above", "not told from")
        told.append(
            f"{label} {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}], {where} the {random:.3f} of "
            "a random order"
        )
        rest = rows.drop(method)
        if len(rest):
            signs = [against(r.difference_low, r.difference_high, -1, 1, 0) for r in rest.itertuples()]
            others.append(f"{signs.count(-1)} less and {signs.count(1)} more")
    said = f"{METHODS[method]}, AURC at R@{K} (less is better): {'; '.join(told)}."
    if others:
        said += (
            f" Of {len(rest)} other methods {others[0]} is shown for the first, {others[1]} for the second."
        )
    return said


def _confidence(table: pd.DataFrame) -> str:
    method = told_method(table["method"])
    rows = table[(table["method"] == method) & (table["k"] == K)].set_index(["direction", "confidence"])
    told = []
    for direction, label in DIRECTIONS.items():
        own, entropy = rows.loc[(direction, "variance")], rows.loc[(direction, "entropy")]
        bounds = own["less_entropy_low"], own["less_entropy_high"]
        beats = against(*bounds, "beats", "does **not** beat", "does **not** beat")
        told.append(
            f"from {label} the total variance {beats} the entropy: "
            f"excess AURC at R@{K} {own['excess']:.3f} against {entropy['excess']:.3f} "
            f"({interval(own['less_entropy'], *bounds)}{against(*bounds, '', '', ', no difference shown')})"
        )
    return f"{METHODS[method]}: {'; '.join(told)}."


def _calibrated(table: pd.DataFrame) -> str:
    method = told_method(table["method"])
    rows = table[(table["method"] == method) & (table["level"] == "i2t")].set_index("calibrator")
    before, fits = rows.loc["before"], rows.drop("before")
    best = fits.loc[fits["ace"].idxmin()]
    said = "lowers" if best["ace"] < before["ace"] else "does not lower"
    left = "more than" if best["ace"] > best["ace_bias"] else "no more than"
    useful = "better" if best["brier"] < best["brier_constant"] else "no better"
    return (
        f"{METHODS[method]}, is the report among the first ten: a fit {said} the adaptive ECE, from "
        f"{before['ace']:.3f} as trained to {best['ace']:.3f} ({CALIBRATORS[best.name]}), {left} the "
        f"{best['ace_bias']:.3f} that right probabilities show by chance. Its Brier score, "
        f"{best['brier']:.3f}, is {useful} than that of always saying the base rate, "
        f"{best['brier_constant']:.3f}."
    )


def _sharing(numbers: pd.DataFrame) -> str:
    parts = []
    heads = {"rank": "Σσ² and rank of the answer", "sharing": "Σσ² and number of studies coded alike"}
    for whole, head in heads.items():
        fewer, _, aside = _CONTROLS[whole]
        told = []
        for side, name in SIDE_NAMES.items():
            rows = _controlled(numbers, side)
            if {whole, fewer} <= set(rows.index):
                few, every = rows.loc[fewer], rows.loc[whole, "rho"]
                said = against(few["rho_low"], few["rho_high"], "it falls", "it rises", "no change shown")
                told.append(f"for {name} {said}, ρ {_rho(few)} (all {every:+.2f})")
        parts.append(f"{head} {aside}: {', '.join(told) or 'too few studies are left to say'}.")
    return f"{METHODS[told_method(numbers['method'])]}, {' '.join(parts)}"


def _knows(table: pd.DataFrame) -> str:
    if table.empty:
        return "No method that was trained here learns its variances, so there is nothing to correlate."
    method = told_method(table["method"])
    said = list(hard_to_see(table, method))
    if not said and "conspicuity" in set(table["property"]):
        said = [f"{METHODS[method]}: too few findings were drawn to say whether it knows how they show."]
    for name, what in {} if said else _UNDRAWN.items():
        for row in _known(table, method, name):
            said.append(
                f"{METHODS[method]}, radiographs: the total variance {_verb(row)} with {what}, ρ {_rho(row)}."
            )
    for row in _known(table, method, "severity"):
        said.append(f"With the severity of a film’s fault the total variance {_verb(row)}, ρ {_rho(row)}.")
    return " ".join(said)


def _ends(cards: pd.DataFrame) -> str:
    reports = cards[cards["side"] == "report"]
    words = reports.groupby("end")["words"].median()
    least, most = words["least sure"], words["surest"]
    said = "shorter" if least < most else "longer" if least > most else "no longer"
    told = (
        f"{METHODS[told_method(cards['method'])]}: the least sure reports are {said} than the surest (median "
        f"{least:g} against {most:g} words)."
    )
    if "codes" not in cards:
        return told
    count = cards[cards["codes"] == NORMAL].groupby(["side", "end"]).size()
    normal = [
        f"{count.get((side, 'least sure'), 0)} of the {len(reports) // 2} least sure {name} and "
        f"{count.get((side, 'surest'), 0)} of the surest"
        for side, name in SIDE_NAMES.items()
    ]
    return f"{told} Normal studies: {'; '.join(normal)}."


def _influence(table: pd.DataFrame) -> str:
    words, places = (table[table["side"] == side] for side in ("report", "image"))
    told = []
    for row, sign, most, more in (
        (words.loc[words["change"].idxmin()], -1, "surest", "surer"),
        (words.loc[words["change"].idxmax()], 1, "least sure", "less sure"),
    ):
        word = str(row["word"]).strip(".,;:")
        shown = sign * row["change"] > 0
        told.append(f"“{word}” makes {most} ({row['change']:+.2g})" if shown else f"no word makes {more}")
    strongest = []
    for end, rows in places.groupby("end", sort=False):
        change = rows.loc[rows["change"].abs().idxmax(), "change"]
        said = "surer" if change < 0 else "less sure" if change > 0 else "neither surer nor less sure"
        strongest.append(f"the {end} film {said} ({change:+.2g})")
    return (
        f"{METHODS[told_method(table['method'])]}, changes of log Σσ² in two studies: in the reports "
        f"{listed(told)}. The strongest place makes {listed(strongest)}."
    )


def _controlled(numbers: pd.DataFrame, side: str) -> pd.DataFrame:
    """The correlations of one side that are known, by property."""
    return numbers[(numbers["side"] == side) & numbers["rho"].notna()].set_index("property")


def _known(knowledge: pd.DataFrame, method: str, name: str) -> list[dict]:
    """The row of one property of a method's radiographs, if it is known."""
    rows = knowledge[(knowledge["method"] == method) & (knowledge["property"] == name)]
    return rows[(rows["side"] == "image") & rows["rho"].notna()].to_dict("records")


def _kind(every: pd.Series, few: pd.Series) -> str:
    signs = [against(row["rho_low"], row["rho_high"], -1, 1, 0) for row in (every, few)]
    if not signs[0]:
        return "hidden" if signs[1] else "none"
    return {1: "kept", 0: "gone", -1: "turned"}[signs[0] * signs[1]]


def _verb(row: pd.Series | dict) -> str:
    return against(row["rho_low"], row["rho_high"], *_RISES)


def _rho(row: pd.Series | dict, kind: str = "rho") -> str:
    return interval(row[kind], row[f"{kind}_low"], row[f"{kind}_high"], 2)


def _areas(table: pd.DataFrame) -> Iterator[str]:
    for (direction, k), rows in table.groupby(["direction", "k"], sort=False):
        yield compared(f"{DIRECTIONS[direction]}, AURC at R@{k} (less is better)", rows, METHODS)


def _calibration(table: pd.DataFrame) -> Iterator[str]:
    rows = table[table["level"] == "i2t"].pivot(index="method", columns="calibrator", values="ace")
    lines = [f"report among the first ten, adaptive ECE: {', '.join(CALIBRATORS.values())}"]
    for method, row in rows.loc[table["method"].unique(), list(CALIBRATORS)].iterrows():
        lines.append(f"{METHODS[method]}: {', '.join(f'{error:.3f}' for error in row)}")
    yield "\n  ".join(lines)


def _knowledge(table: pd.DataFrame) -> Iterator[str]:
    unknown = table[(table["property"] == "sharing_abnormal") & table["rho"].isna()]
    pairs = set(zip(unknown["method"], unknown["side"], strict=True))
    known = [pair not in pairs for pair in zip(table["method"], table["side"], strict=True)]
    yield from each_method(about_ambiguity, table[known])
    yield from each_method(hard_to_see, table)


HEADLINES = {
    "figure_2": _risk,
    "figure_2_areas": _area,
    "confidences": _confidence,
    "calibration": _calibrated,
    "uncertainty_and_sharing": _sharing,
    "what_variance_knows": _knows,
    "surest_and_least_sure": _ends,
    "influence_on_variance": _influence,
}
DETAILS = {
    "figure_2_areas": _areas,
    "confidences": partial(each_method, variance_or_entropy),
    "calibration": _calibration,
    "uncertainty_and_sharing": two_controls,
    "what_variance_knows": _knowledge,
}
