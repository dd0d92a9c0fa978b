"""What the figures of notebook 08 show: faults, who notices, what breaks, what helps, which part matters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from medprobclip.evaluation.resampling import verdicts as compared
from medprobclip.paper.findings.doubt import (
    LOST,
    NAMES,
    NOTICES,
    SEVERITIES,
    against_bar,
    degraded_views,
    detection_of,
    noticing_faults,
    third_kind,
    two_numbers,
)
from medprobclip.paper.findings.promises import broken_promises
from medprobclip.paper.findings.words import against, each_method, listed, percent, told_method
from medprobclip.paper.tables.ablation import variant_labels
from medprobclip.paper.tables.experiments import METHODS, REFERENCE
from medprobclip.paper.tables.names import RATE


def _robustness(table: pd.DataFrame) -> Iterator[str]:
    by_fault = table[table["panel"] == "by fault"]
    faulty = by_fault[by_fault["severity"] == by_fault["severity"].max()].groupby("method", sort=False)
    lines = ["at severity 5, mean of all corruptions: R@10, total variance (1 = no fault)"]
    for method, row in faulty[["recall", "variance"]].mean().iterrows():
        clean = by_fault[(by_fault["method"] == method) & (by_fault["severity"] == 0)]["recall"].iloc[0]
        lines.append(
            f"{METHODS[method]}: {row['recall']:.1f} % (without a fault {clean:.1f} %), {row['variance']:.2f}"
        )
    yield "\n  ".join(lines)
    yield from each_method(noticing_faults, detection_of(table))


def _ablation(table: pd.DataFrame) -> Iterator[str]:
    labels = variant_labels(table.fillna({"part": ""}))
    for metric, rows in table[table["value"].notna()].groupby("metric", sort=False):
        yield compared(metric, rows, labels)


def _notices(row, rises: str = "rises", falls: str = "falls", same: str = "is not shown to change") -> str:
    """What a doubt does on faulty films, from the bounds of its AUROC around that of a coin."""
    return against(row.low - 0.5, row.high - 0.5, falls, rises, same)


def _kinds_of_fault(numbers: pd.DataFrame) -> str:
    severities = [name for name in numbers.columns if str(name).isdigit()]
    steps = numbers[severities].astype(float).diff(axis=1).iloc[:, 1:]
    one_way = (steps > 0).all(axis=1) | (steps < 0).all(axis=1)
    how = "all of them grow" if one_way.all() else f"{one_way.sum()} of them grow"
    first, least, most = numbers.iloc[0], severities[0], severities[-1]
    return (
        f"{len(numbers)} faults at {len(severities)} severities, and {how} from each severity to the next; "
        f"{first['corruption']} goes from {first[least]:g} to {first[most]:g} ({first['unit']})."
    )


def _noticed(numbers: pd.DataFrame) -> str:
    method = told_method(numbers["method"])
    own = numbers[(numbers["method"] == method) & (numbers["panel"] == "by fault")]
    worst = own["severity"].max()
    good, faulty = own[own["severity"] == 0].iloc[0], own[own["severity"] == worst]
    below, above = faulty["recall_high"] < good["recall_low"], faulty["recall_low"] > good["recall_high"]
    rises = f", above it for {above.sum()}" if above.any() else ""
    found = detection_of(numbers)
    found = found[found["method"] == method]
    told = "; ".join(
        f"{name} {_by_severity(found[found['doubt'] == doubt])}"
        for doubt, name in {"variance": "The total variance", "strangeness": "strangeness"}.items()
    )
    return (
        f"{METHODS[method]}: R@10 is {good['recall']:.1f} % on good films and {faulty['recall'].mean():.1f} "
        f"% at severity {worst:g}, below the interval of good films for {below.sum()} of {len(faulty)} "
        f"faults{rises}. {told}."
    )


def _by_severity(found: pd.DataFrame) -> str:
    """What one doubt does at the severities of `doubt.SEVERITIES`, with its AUROC."""
    rows = found[found["severity"].isin(SEVERITIES)].sort_values("severity").itertuples()
    return ", ".join(f"{_notices(row)} at severity {row.severity:g} (AUROC {row.auroc:.2f})" for row in rows)


def _which_kinds(numbers: pd.DataFrame) -> str:
    """Of films and texts: how many of those that can be told are noticed, and by what."""

    def count(doubt: str, side: str, told: bool) -> str:
        rows = numbers[(numbers["side"] == side) & (numbers["doubt"] == doubt)]
        rows = rows[rows["detectable"].astype(str).eq(str(told))]
        return f"{sum(row.low > 0.5 for row in rows.itertuples())} of {len(rows)}"

    parts = [
        f"{name} rises for {count(doubt, 'image', True)} kinds of film and {count(doubt, 'report', True)} "
        "kinds of text"
        for doubt, name in {"strangeness": "strangeness", "variance": "the total variance"}.items()
    ]
    sides = {"image": "kinds of film", "report": "of text"}
    if not numbers.loc[numbers["side"] == "image", "detectable"].astype(str).eq("False").any():
        sides = {"report": "kinds of text"}  # no study of one's own has a lateral
    idle = " and ".join(f"{count('strangeness', side, False)} {name}" for side, name in sides.items())
    return (
        f"Of what a look alone could tell from a study's own, {parts[0]}, and {parts[1]}. Where there is "
        f"nothing to tell, strangeness rises for {idle}."
    )


def _two_numbers(numbers: pd.DataFrame) -> str:
    return next(two_numbers(numbers, told_method(numbers["method"])))


def _broken(numbers: pd.DataFrame) -> str:
    method = told_method(numbers["method"])
    own = numbers[numbers["method"] == method]
    good = own[own["corruption"] == "none"].iloc[0]
    faulty = own[own["corruption"] == "all"].sort_values("severity")
    most, worst = 1 - good["promise"], faulty.iloc[-1]

    def beyond(column: str) -> str:
        at = [f"{severity:g}" for severity in faulty.loc[faulty[column] > most, "severity"]]
        return f"at severity {listed(at)}" if at else "at no severity"

    return (
        f"{METHODS[method]}: {percent(good['promise'])} of the sets were promised to hold a right report; "
        f"{percent(good['coverage'])} do on good films and {percent(worst['coverage'])} at severity "
        f"{worst['severity']:g}. More than {percent(most)} of all films get a set without one "
        f"{beyond('failed')}; if strange films are not answered, {beyond('failed_answered')} "
        f"({percent(worst['answered'])} of those at severity {worst['severity']:g} still get an answer)."
    )


def _taught(numbers: pd.DataFrame) -> str:
    if numbers.empty:
        return f"{METHODS[REFERENCE]} was not trained, so spoilt views have nothing to be compared with."
    rows = numbers.set_index(["method", "metric"])
    before = rows.loc[(REFERENCE, "variance, severity 5")]
    own = (
        f"At severity 5 the total variance of {NAMES[REFERENCE]} {_notices(before)} "
        f"(AUROC {before['value']:.2f})"
    )
    others = [method for method in numbers["method"].unique() if method != REFERENCE]
    if not others:
        return f"{own}; nothing was trained to change that (`make figures` does)."
    told = []
    for method in others:
        detects, good = rows.loc[(method, "variance, severity 5")], rows.loc[(method, "R@10")]
        lost = f"{abs(good['difference']):.1f}"
        cost = against(
            good["difference_low"], good["difference_high"],
            f"R@10 falls by {lost}", f"R@10 rises by {lost}", "no change of R@10 is shown",
        )  # fmt: skip
        name = NAMES[method].removeprefix(NAMES[REFERENCE]).strip(", -")
        told.append(
            f"with {name} it {_notices(detects)} ({detects['value']:.2f}) and {cost}: "
            f"{against_bar(detects, good)} the bar"
        )
    return (
        f"{own}; {'; '.join(told)}. The bar: AUROC surely above {NOTICES:g}, less than {LOST:g} point of "
        "R@10 lost in the mean, whatever its interval."
    )


def _changes(numbers: pd.DataFrame) -> str:
    if numbers.empty:
        return f"{METHODS[REFERENCE]} was not trained, so there is nothing whose parts could be left out."
    told = []
    for metric, good in {"RSUM": "", "mAP@R": "", "AURC": " (less is better)"}.items():
        rows = numbers[(numbers["metric"] == metric) & numbers["value"].notna()]
        rows = rows[rows["method"] != REFERENCE]
        if "difference" in rows and len(rows):
            sides = {"lower it": rows["difference_high"] < 0, "raise it": rows["difference_low"] > 0}
            counts = ", ".join(f"{_counted(rows[of])} {how}" for how, of in sides.items())
            told.append(f"{metric}{good}: of {len(rows)} changes {counts}")
    trained = any(not name.startswith("rescored") for name in numbers["method"] if name != REFERENCE)
    note = "" if trained else " Only scores were changed: `make figures-full` trains the other variants."
    return f"{'; '.join(told)}; intervals that hold 0 count as neither.{note}"


def _counted(rows: pd.DataFrame) -> str:
    """How many changes, and the part of the largest one."""
    if rows.empty:
        return "none"
    most = rows.loc[rows["difference"].abs().idxmax()]
    return f"{len(rows)} ({'most: ' if len(rows) > 1 else ''}{most['part']}, {_signed(most['difference'])})"


def _signed(difference: float) -> str:
    return f"{difference:+.0f}" if abs(difference) >= 10 else f"{difference:+.2g}"


def costliest_fault(costs: pd.DataFrame) -> str:
    """Which fault costs most, and is it noticed best? From `tables.by_fault`, in three sentences."""
    recall, spread, strange = (costs[name] for name in costs.columns)
    worst, seen = recall.idxmin(), strange.idxmax()
    too = "it, too" if worst == seen else f"another one, {seen} ({strange[seen]:.2f})"
    raised = (spread > 0.5).sum()
    return (
        f"The costliest fault is {worst} (R@10 {recall[worst]:.1f} %), the mildest {recall.idxmax()} "
        f"({recall.max():.1f} %). Best of all strangeness notices {too}. The AUROC of the total variance is "
        f"above 0.5 for {raised} of {len(costs)} faults and not above it for {len(costs) - raised}."
    )


def decided(shares: pd.DataFrame, alarms: pd.DataFrame, method: str) -> Iterator[str]:
    """What the decision does: false alarms against their promise, errors on good films and on the worst.

    `shares` from `tables.decision_shares`, `alarms` from `tables.alarm_table`; two sentences.
    """
    row = alarms[(alarms["method"] == method) & (alarms["severity"] == 0)].iloc[0]
    said = "broken" if row["low"] > RATE else "not shown to be broken"
    bounds = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    yield (
        f"{METHODS[method]}: {100 * row['flagged']:.1f} % of the good films are called strange "
        f"{bounds}: the promise of at most {percent(RATE)} is {said}."
    )
    parts = []
    for severity in (shares.index.min(), shares.index.max()):
        answered, *_, wrong, without = shares.loc[severity]
        films = f"films at severity {severity:g}" if severity else "good films"
        errors = "none is answered"
        if wrong == wrong:
            verb = "fewer" if wrong < without else "no fewer"
            less = f"{verb} than the {without:.0f} % if all were"
            errors = f"{answered:.1f} % are answered, {wrong:.0f} % of them wrongly ({less})"
        parts.append(f"of {films} {errors}")
    yield f"By the decision, {'; '.join(parts)}."


HEADLINES = {
    "corruptions": _kinds_of_fault,
    "robustness": _noticed,
    "third_kind": _which_kinds,
    "selective_faulty": _two_numbers,
    "broken_promise": _broken,
    "degraded_training": _taught,
    "ablation": _changes,
}
DETAILS = {
    "broken_promise": partial(each_method, broken_promises),
    "robustness": _robustness,
    "third_kind": lambda table: ["\n".join(third_kind(table))],
    "selective_faulty": partial(each_method, two_numbers),
    "degraded_training": lambda table: ["\n".join(degraded_views(table))],
    "ablation": _ablation,
}
