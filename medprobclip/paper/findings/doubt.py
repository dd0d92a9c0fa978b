"""What the figures of doubt say: variance against entropy, ambiguity, faults noticed, two numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from medprobclip.data.corruptions import CORRUPTIONS
from medprobclip.evaluation.confidence import LABELS
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.findings.words import against, interval
from medprobclip.paper.tables.experiments import DEGRADED, METHODS, REFERENCE
from medprobclip.paper.tables.names import DOUBTS, RATE, RULE

NAMES = {**METHODS, **DEGRADED}
SEVERITIES = (3, 5)
NOTICES, LOST = 0.8, 1.0  # least AUROC of a variance that notices faults; R@10 it may cost, percent points
_VERBS = ("beats", "loses to", "cannot be told from")  # in the order of a sentence
_NOTICED = ("is larger for", "is not shown to differ for", "is *smaller* for")


def variance_or_entropy(selective: pd.DataFrame, method: str = REFERENCE) -> Iterator[str]:
    """Does the variance beat the entropy as a confidence? From `tables.selective_table`, one a direction."""
    rows = selective[(selective["method"] == method) & selective["less_entropy"].notna()]
    for row in rows.itertuples():
        entropy = row.aurc - row.less_entropy
        bounds = row.less_entropy_low, row.less_entropy_high
        said = against(*bounds, *_VERBS)
        yield (
            f"{NAMES[method]}, {DIRECTIONS[row.direction]}: as a confidence the total variance {said} the "
            f"entropy: AURC at R@{row.k} {row.aurc:.3f} against {entropy:.3f}, difference "
            f"{interval(row.less_entropy, *bounds)} (less is better)."
        )


def noticing_faults(detection: pd.DataFrame, method: str = REFERENCE) -> Iterator[str]:
    """Do variance and strangeness grow with a fault? From `tables.detection_table`, a sentence each."""
    for doubt, name in {"variance": "the total variance", "strangeness": "strangeness"}.items():
        rows = detection[(detection["method"] == method) & (detection["doubt"] == doubt)]
        at: dict[str, list[str]] = {}  # of each verdict, the severities
        for row in rows[rows["severity"].isin(SEVERITIES)].sort_values("severity").itertuples():
            at.setdefault(_noticed(row), []).append(f"{row.severity:g} (AUROC {_auroc(row)})")
        told = " but ".join(f"{said} a faulty film at severity {' and '.join(of)}" for said, of in at.items())
        if told:
            yield f"{NAMES[method]}: {name} {told}, mean of {len(CORRUPTIONS)} faults; 0.5 is a coin."


def two_numbers(mixed: pd.DataFrame, method: str = REFERENCE) -> Iterator[str]:
    """Does the decision out of two numbers beat every single one? From `tables.mixed_table`."""
    rows = mixed[mixed["method"] == method].set_index("order")
    own, others = rows.loc[RULE], rows.drop(RULE)
    beats, loses, same = _VERBS
    verbs = [against(r.difference_low, r.difference_high, loses, beats, same) for r in others.itertuples()]
    counts = [f"{verb} {verbs.count(verb)}" for verb in sorted(set(verbs), key=_VERBS.index)]
    if len(counts) == 1:
        every = "any" if verbs[0] == _VERBS[-1] else "each"
        said = f"{verbs[0]} {every} of the {len(others)} single confidences"
    else:
        said = f"{', '.join(counts[:-1])} and {counts[-1]} of the {len(others)} single confidences"
    best = others["aurc"].idxmin()
    row = others.loc[best]
    yield (
        f"{NAMES[method]}, half of the films with a fault: the risk from confidence and strangeness {said}: "
        f"AURC at R@10 {own['aurc']:.3f}; the best of them, {LABELS.get(best, best)}, {row['aurc']:.3f}, "
        f"difference {interval(row['difference'], row['difference_low'], row['difference_high'])} (above 0 "
        f"the risk is better; oracle {own['oracle']:.3f}, random order {own['random']:.3f})."
    )


def about_ambiguity(knowledge: pd.DataFrame, method: str = REFERENCE) -> Iterator[str]:
    """Is the variance about ambiguity, once normals are set aside? From `tables.knowledge_table`.

    One a side; none of a method whose variances mean nothing, nor where nobody coded the studies.
    """
    for side, name in {"image": "radiograph", "report": "report"}.items():
        rows = knowledge[(knowledge["method"] == method) & (knowledge["side"] == side)].set_index("property")
        if "sharing" not in rows.index:
            continue
        every, few = rows.loc["sharing"], rows.loc["sharing_abnormal"]
        said = against(few["rho_low"], few["rho_high"], "falls", "rises", "is not shown to change")
        yield (
            f"{NAMES[method]}, {name}: with normal studies set aside the total variance {said} with the "
            f"number of studies that share the coding: Spearman's ρ "
            f"{interval(few['rho'], few['rho_low'], few['rho_high'])} "
            f"(with them {interval(every['rho'], every['rho_low'], every['rho_high'])}); given what else is "
            f"known of the studies {interval(few['partial'], few['partial_low'], few['partial_high'])}."
        )


def degraded_views(table: pd.DataFrame) -> Iterator[str]:
    """What the inclusion term and spoilt views buy and cost. From `tables.degraded_table`, one a method.

    The bar for a variance that notices faults: its AUROC at severity 5 surely above 0.8, and less than one
    percent point of R@10 lost, on average.
    """
    rows = table.set_index(["method", "metric"])
    for method in table["method"].unique():
        if method == REFERENCE:
            continue
        good, found = rows.loc[(method, "R@10")], rows.loc[(method, "R@10, severity 5")]
        detects, log = (rows.loc[(method, f"{name}, severity 5")] for name in ("variance", "log_variance"))
        before = rows.loc[(REFERENCE, "variance, severity 5")]
        area, own = (rows.loc[(name, "AURC, variance")] for name in (method, REFERENCE))
        yield (
            f"{NAMES[method]} against {NAMES[REFERENCE]}: RSUM {_change(rows.loc[(method, 'RSUM')])}, R@10 "
            f"{_change(good)}, R@10 of radiographs at severity 5 {_change(found)}; AUROC for a fault at "
            f"severity 5 of Σσ² {_auroc(detects)} instead of {before['value']:.2f}, of Σ log σ² "
            f"{_auroc(log)}. AURC by variance on good films {area['value']:.3f} instead of "
            f"{own['value']:.3f}. It {against_bar(detects, good)} the bar for a variance that notices "
            f"faults (AUROC above {NOTICES:g}, less than {LOST:g} point of R@10 lost)."
        )


def against_bar(detects: pd.Series, recall: pd.Series) -> str:
    """Does a training meet the bar? From its rows of the variance's AUROC at severity 5 and of R@10."""
    return "meets" if detects["low"] > NOTICES and recall["difference"] > -LOST else "misses"


def third_kind(table: pd.DataFrame) -> Iterator[str]:
    """Which films and texts that no study has are noticed. From `tables.third_kind_table`, three a side."""
    for side, name in {"image": "Films", "report": "Texts"}.items():
        for doubt in ("strangeness", "variance"):
            kinds: dict[str, list[str]] = {said: [] for said in _NOTICED}
            for row in table[(table["side"] == side) & (table["doubt"] == doubt)].itertuples():
                kinds[_noticed(row)].append(f"{row.label} {_auroc(row)}")
            told = "; it ".join(f"{said} {', '.join(of)}" for said, of in kinds.items() if of)
            if told:
                yield f"{name} of a third kind (AUROC): {DOUBTS[doubt]} {told}."
        kinds = table[(table["side"] == side) & (table["doubt"] == "strangeness")]
        flagged = ", ".join(f"{row.label} {100 * row.flagged:.0f} %" for row in kinds.itertuples())
        if flagged:
            yield f"{name} called strange, at {100 * RATE:g} % false alarms: {flagged}."


def detection_of(robustness: pd.DataFrame) -> pd.DataFrame:
    """The rows of `tables.detection_table` in the numbers of the figure `robustness`."""
    return robustness[robustness["panel"] == "mean of faults"]


def _noticed(row) -> str:
    """What an AUROC with bounds says of a doubt."""
    more, same, less = _NOTICED
    return against(row.low - 0.5, row.high - 0.5, less, more, same)


def _auroc(row) -> str:
    row = row._asdict() if hasattr(row, "_asdict") else dict(row)
    value = row["auroc"] if "auroc" in row else row["value"]
    return f"{value:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _change(row: pd.Series) -> str:
    low, high = row["difference_low"], row["difference_high"]
    change = f"{row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"{row['value']:.1f} ({change}{against(low, high, '', '', ', no difference shown')})"
