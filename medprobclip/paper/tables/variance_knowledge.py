"""What the variance knows: rank correlations with what is known of the test studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medprobclip.data.coding import NO_FINDING, NORMAL, UNCODED, codes_of
from medprobclip.data.correspondence import group_sizes, same_coding
from medprobclip.data.views import LATERAL, reference_view, view_kind
from medprobclip.evaluation.reliability import (
    partial_rank_correlation,
    rank_correlation,
    severity_correlation,
)
from medprobclip.settings import OBJECTIVES

if TYPE_CHECKING:  # figures need the names of the properties, but no model
    from medprobclip.paper.tables.scored_runs import Results

SIDES = {"image": "i2t", "report": "t2i"}  # the direction in which each asks
PROPERTIES = {  # in the order of the table
    "sharing": "test studies with the same coding",
    "sharing_abnormal": "the same, without normal studies",
    "conspicuity": "conspicuity of what was drawn",
    "findings": "number of findings",
    "rarity": "rarity of its codes in training",
    "length": "words of the findings section",
    "rank": "rank of the right answer",
    "rank_unambiguous": "the same, where no other is coded alike",
    "severity": "severity of a fault, mean of the faults",
}
CONTROLLED = {
    "sharing_abnormal": "sharing",
    "rank_unambiguous": "rank",
}  # among fewer studies, of all of them
# What a study is; its rank is what becomes of it, and explains none of these away.
_INPUTS = {
    "image": ("sharing", "conspicuity", "findings", "rarity"),
    "report": ("sharing", "findings", "rarity", "length"),
}
_COLUMNS = (
    "method", "side", "property", "n", "rho", "rho_low", "rho_high", "partial", "partial_low", "partial_high",
)  # fmt: skip


def properties(
    studies: pd.DataFrame, rendered: pd.DataFrame | None, train_studies: pd.DataFrame
) -> pd.DataFrame:
    """What is known of N test studies, whatever the model: one row each, in their order.

    `studies` and `train_studies` as `data.studies.read_studies` gives them, `rendered` the table of that name
    of the demo's corpus, None for radiographs of one's own. Columns, as far as they can be known: `study_id`;
    `normal` (bool); `sharing`, how many test studies have the same coding; `findings`, how many codes it has,
    0 for a normal one; `rarity`, the mean over its codes, normal among them, of −log of the share of training
    studies with the code, each count and the total one more; of these three a study that nobody coded has
    none (NaN), and tables without any code have none of the four. `conspicuity`: the mean of what was drawn,
    on the film that stands for the study (`simulator.truth.conspicuity`), NaN where nothing was; only with
    `rendered`. `length`: words of the findings section.
    """
    known = {"study_id": studies["study_id"].to_numpy()}
    if any(codes_of(studies)):
        known |= _of_the_coding(studies, train_studies)
    if rendered is not None:
        films = [view_kind(views[reference_view(views)]) for views in studies["view_names"]]
        seen = rendered.groupby("study_id")[["pa_conspicuity", "lateral_conspicuity"]].mean()
        seen = seen.reindex(studies["study_id"])
        lateral = np.array([film == LATERAL for film in films])
        known["conspicuity"] = np.where(lateral, seen["lateral_conspicuity"], seen["pa_conspicuity"])
    return pd.DataFrame(known | {"length": [len(text.split()) for text in studies["findings"]]})


def _of_the_coding(studies: pd.DataFrame, train_studies: pd.DataFrame) -> dict[str, np.ndarray | list]:
    """The columns of `properties` that ask how studies were coded."""
    codes = [frozenset(of) - {UNCODED} for of in studies["codes"]]
    coded = np.array([bool(of) for of in codes])
    taught: dict[str, int] = {}
    for of in codes_of(train_studies):
        for code in set(of):
            taught[code] = taught.get(code, 0) + 1
    surprise = {
        code: float(np.log((len(train_studies) + 1) / (taught.get(code, 0) + 1)))
        for code in frozenset().union(*codes)
    }
    return {
        "normal": [of == {NORMAL} for of in codes],
        "sharing": np.where(coded, group_sizes(same_coding(studies["codes"])), np.nan),
        "findings": [len(of - set(NO_FINDING)) if of else np.nan for of in codes],
        "rarity": [np.mean([surprise[code] for code in sorted(of)]) if of else np.nan for of in codes],
    }


def knows_variance(method: str) -> bool:
    """Does the method's objective teach its variances anything? A cosine of the means does not."""
    objective = OBJECTIVES[method]
    return objective.learned_variance and objective.score != "cosine"


def knowledge_table(
    test: Results, properties: pd.DataFrame, severity: dict[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Spearman's ρ of the total variance Σσ² with each property, plain and given the others, by method.

    The first run of each method whose variances are learned. Columns: `method`; `side` ("image" or
    "report", whose variance it is); `property` of `PROPERTIES`; `n`, the studies that count; `rho` with
    `rho_low` and `rho_high`; `partial` with `partial_low` and `partial_high`
    (`evaluation.reliability.partial_rank_correlation`): sharing, conspicuity, findings, rarity and, of
    reports, length given each other, and the rank of the right answer given all of them. Given conspicuity
    means 0 where nothing was drawn. Studies that nobody coded are left out, those without a finding for
    "sharing_abnormal", those where nothing was drawn for "conspicuity", and for "rank_unambiguous" those
    whose coding another has. What `properties` does not know has no row; what has nothing else to be given
    has no partial correlation (NaN).

    `severity`: by method the total variance of the radiographs under faults `[F, S, N]`; where it is given,
    "severity" has the row of `evaluation.reliability.severity_correlation`, without a partial one.
    """
    if len(properties) != len(next(iter(test.values()))[0].truth):
        raise ValueError(f"properties of {len(properties)} studies for runs on others")
    rows = []
    for method, (run, *_) in test.items():
        if not knows_variance(method):
            continue
        for side, direction in SIDES.items():
            known = properties.assign(variance=run.total_variance[direction], rank=run.ranks[direction])
            rows += [{"method": method, "side": side, **row} for row in _side(known, _INPUTS[side])]
            if side == "image" and method in (severity or {}):
                values = severity[method]
                row = {"property": "severity", "n": values.shape[2]}
                row |= zip(("rho", "rho_low", "rho_high"), severity_correlation(values), strict=True)
                rows.append({"method": method, "side": side, **row})
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def under_faults(films: pd.DataFrame) -> dict[str, np.ndarray]:
    """The total variance of each film under each fault, severities 0 to 5: by method `[F, 6, N]`.

    `films` is the table of `faulty_films.faulty_films`.
    """
    severity = {}
    for method, own in films.groupby("method", sort=False):
        clean = -own.loc[own["corruption"] == "none", "variance"].to_numpy()
        faults = own[own["corruption"] != "none"]
        severity[method] = np.stack([
            np.stack([clean, *(-part["variance"].to_numpy() for _, part in fault.groupby("severity"))])
            for _, fault in faults.groupby("corruption", sort=False)
        ])  # fmt: skip
    return severity


def counted_studies(known: pd.DataFrame) -> dict[str, np.ndarray]:
    """The studies behind each of PROPERTIES, bool `[N]`, from the table of `properties`.

    Of what is not known there is none; where nobody coded the studies, all count.
    """
    if "rarity" not in known:
        every = np.ones(len(known), dtype=bool)
        return {name: every for name in PROPERTIES if name not in CONTROLLED}
    coded = known["rarity"].notna()
    own = {"sharing_abnormal": coded & ~known["normal"], "rank_unambiguous": known["sharing"] == 1}
    if "conspicuity" in known:
        own["conspicuity"] = coded & known["conspicuity"].notna()
    return {name: own.get(name, coded).to_numpy() for name in PROPERTIES}


def _side(known: pd.DataFrame, inputs: tuple[str, ...]) -> list[dict]:
    """The rows of one run on one side: `properties` with the columns `variance` and `rank`."""
    counted, inputs = counted_studies(known), tuple(name for name in inputs if name in known)
    filled = known.fillna({"conspicuity": 0.0})
    rows = []
    for name in counted:
        column = CONTROLLED.get(name, name)
        if column not in (*inputs, "rank"):
            continue
        part = filled[counted[name]]
        pair = part["variance"].to_numpy(), part[column].to_numpy()
        others = part[[other for other in inputs if other != column]].to_numpy()
        row = {"property": name, "n": len(part)}
        for prefix, values in (
            ("rho", rank_correlation(*pair) if len(part) else (np.nan,) * 3),
            ("partial", partial_rank_correlation(*pair, others) if others.size else (np.nan,) * 3),
        ):
            row |= zip((prefix, f"{prefix}_low", f"{prefix}_high"), values, strict=True)
        rows.append(row)
    return rows
