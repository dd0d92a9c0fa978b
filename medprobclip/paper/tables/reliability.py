"""Uncertainty of several methods as tables: selective retrieval by every confidence, and calibration."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd

from medprobclip.evaluation.calibration import (
    ForGallery,
    Isotonic,
    Platt,
    adaptive_calibration_error,
    brier,
    ece_bias,
    expected_calibration_error,
    reliability_diagram,
    sigmoid,
)
from medprobclip.evaluation.confidence import confidences
from medprobclip.evaluation.reliability import (
    drawn_aurc,
    excess_aurc,
    oracle_curve,
    random_curve,
    risk_coverage,
)
from medprobclip.evaluation.resampling import percentiles, resampled, summaries
from medprobclip.evaluation.retrieval import CUTOFFS, TURNS, BootstrapConfig
from medprobclip.paper.tables.reported import beside
from medprobclip.paper.tables.scored_runs import Result, Results, reference_of, stacked

Calibrator = Callable[[np.ndarray], np.ndarray]
QUERY_K = 10  # a query's match probability: of a match among so many first items
BINS = 15  # of every calibration error


@cache  # of few runs, asked for many times
def calibrators(held_out: Result, gallery: int) -> dict[str, Calibrator]:
    """From score to match probability in a gallery of that size, by name in `CALIBRATORS`.

    Fitted on all pairs of a run on held-out studies, whose gallery has another size: the calibration part
    for what is reported, the validation part itself where a confidence is chosen on it.
    """
    pairs = held_out.scores, held_out.truth.matches
    fitted = {"platt": Platt.fit(*pairs), "isotonic": Isotonic.fit(*pairs)}
    sizes = len(held_out.truth), gallery
    return {"before": sigmoid} | {name: ForGallery(f, *sizes) for name, f in fitted.items()}


def run_confidences(held_out: Result, run: Result, direction: str) -> dict[int, dict[str, np.ndarray]]:
    """Every confidence of every query of a run, `[N]`, by the K of the R@K to foretell.

    Probabilities are fitted on `held_out`.
    """
    platt = calibrators(held_out, len(run.truth))["platt"]
    scores = TURNS[direction](run.scores)
    return {k: confidences(scores, run.total_variance[direction], platt, k) for k in CUTOFFS}


def selective_table(validation: Results, calibration: Results, test: Results) -> pd.DataFrame:
    """Areas under risk–coverage by method, direction, K and confidence, means over the runs.

    Columns: `method`, `direction`, `k`, `confidence`; `validation_aurc`; on the test studies `aurc`,
    `excess` (AURC over the oracle's), `augrc`, and the `random` and `oracle` AURC; `chosen`: the method's
    confidence for this direction, the one with the least AURC on validation studies, mean over the K.
    At R@10 the row of the variance has its paired difference from the entropy's AURC, `less_entropy` with
    bounds `_low` and `_high` over test studies and seeds. Nothing is chosen by the calibration studies: the
    match probability by which validation judges is fitted on validation, that of the test studies on them.
    """
    rows = []
    for method, runs in test.items():
        for direction in TURNS:
            for before, fitted, run in zip(validation[method], calibration[method], runs, strict=True):
                known = run_confidences(before, before, direction)
                sure = run_confidences(fitted, run, direction)
                for k in CUTOFFS:
                    missed, wrong = (r.ranks[direction] > k for r in (before, run))
                    frame = {"random": random_curve(wrong).aurc, "oracle": oracle_curve(wrong).aurc}
                    for name in sure[k]:
                        curve = risk_coverage(sure[k][name], wrong)
                        rows.append({
                            "method": method, "direction": direction, "k": k, "confidence": name,
                            "validation_aurc": risk_coverage(known[k][name], missed).aurc,
                            "aurc": curve.aurc,
                            "excess": excess_aurc(sure[k][name], wrong), "augrc": curve.augrc,
                            **frame,
                        })  # fmt: skip
    keys = ["method", "direction", "k", "confidence"]
    table = pd.DataFrame(rows).groupby(keys, sort=False, as_index=False).mean()
    mean = table.groupby(["method", "direction", "confidence"], sort=False)["validation_aurc"].mean()
    best = mean.groupby(["method", "direction"], sort=False).idxmin()
    chosen = {key[:2]: key[2] for key in best}
    own = zip(table["method"], table["direction"], table["confidence"], strict=True)
    table = table.assign(chosen=[chosen[m, d] == c for m, d, c in own])
    return table.merge(_variance_less_entropy(calibration, test), how="left", on=keys)


def _variance_less_entropy(calibration: Results, test: Results) -> pd.DataFrame:
    """AURC by total variance less that by entropy, at R@10, paired over test studies and seeds."""
    rows = []
    for salt, (method, runs) in enumerate(test.items()):
        for direction in TURNS:
            of = [
                (run_confidences(fitted, run, direction)[QUERY_K], run.ranks[direction] > QUERY_K)
                for fitted, run in zip(calibration[method], runs, strict=True)
            ]

            def less(number: int, drawn: np.ndarray, of=of) -> np.ndarray:
                sure, wrong = of[number]
                return drawn_aurc(sure["variance"], wrong, drawn) - drawn_aurc(sure["entropy"], wrong, drawn)

            draws = resampled(less, len(runs), len(runs[0].truth), salt)
            low, high = percentiles(draws, BootstrapConfig())
            areas = [
                risk_coverage(sure["variance"], wrong).aurc - risk_coverage(sure["entropy"], wrong).aurc
                for sure, wrong in of
            ]
            row = {"method": method, "direction": direction, "k": QUERY_K, "confidence": "variance"}
            row |= {"less_entropy": float(np.mean(areas))}
            rows.append({**row, "less_entropy_low": low, "less_entropy_high": high})
    return pd.DataFrame(rows)


def chosen_confidences(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The confidence that `selective_table` chose, by method and direction."""
    rows = table[table["chosen"]]
    return dict(zip(zip(rows["method"], rows["direction"], strict=True), rows["confidence"], strict=True))


def area_table(calibration: Results, test: Results, chosen: dict[tuple[str, str], str]) -> pd.DataFrame:
    """AURC with the chosen confidences, by method, with intervals and the paper's numbers beside.

    Columns: `direction`, `k`, `confidence`, those of `evaluation.resampling.compare`, the mean `random` and
    `oracle` AURC of the method's runs, and `reported` (the paper does not say in which direction).
    """
    parts = {}
    for direction in TURNS:
        sure = {
            method: [run_confidences(c, r, direction) for c, r in zip(calibration[method], runs, strict=True)]
            for method, runs in test.items()
        }
        for k in CUTOFFS:
            every, draws, frames = {}, {}, {}
            for salt, (method, runs) in enumerate(test.items()):
                queries = [
                    (of[k][chosen[method, direction]], run.ranks[direction] > k)
                    for of, run in zip(sure[method], runs, strict=True)
                ]
                every[method] = np.array([risk_coverage(*query).aurc for query in queries])
                draws[method] = resampled(
                    lambda number, rows, queries=queries: drawn_aurc(*queries[number], rows),
                    len(runs), len(runs[0].truth), salt,
                )  # fmt: skip
                frames[method] = {
                    "random": np.mean([random_curve(wrong).aurc for _, wrong in queries]),
                    "oracle": np.mean([oracle_curve(wrong).aurc for _, wrong in queries]),
                }
            table = summaries(every, draws, reference_of(test))
            parts[direction, k] = table.join(pd.DataFrame.from_dict(frames, orient="index"), on="method")
    table = stacked(parts, "direction", "k")
    own = zip(table["method"], table["direction"], strict=True)
    table.insert(2, "confidence", [chosen[key] for key in own])
    return table.assign(reported=beside("figure2", table["method"], [f"AURC_R@{k}" for k in table["k"]]))


def curve_table(calibration: Results, test: Results, chosen: dict[tuple[str, str], str]) -> pd.DataFrame:
    """Risk–coverage curves of each method's first run by its chosen confidence, at 1, 2 … 100 % coverage.

    Columns: `direction`, `k`, `method` (also `random` and `oracle`, the reference's), `coverage`, `answered`
    (the queries behind it), `risk`.
    """
    parts = {}
    shares = np.arange(1, 101)
    for direction in TURNS:
        for method, runs in test.items():
            sure = run_confidences(calibration[method][0], runs[0], direction)
            for k in CUTOFFS:
                wrong = runs[0].ranks[direction] > k
                curves = {method: risk_coverage(sure[k][chosen[method, direction]], wrong)}
                if method == reference_of(test):
                    curves |= {"random": random_curve(wrong), "oracle": oracle_curve(wrong)}
                at = -(-shares * len(wrong) // 100) - 1  # in whole numbers: 0.07 * 100 is above 7
                for name, curve in curves.items():
                    columns = {"coverage": shares / 100, "answered": at + 1, "risk": curve.risk[at]}
                    parts[direction, k, name] = pd.DataFrame(columns)
    return stacked(parts, "direction", "k", "method")


def match_probabilities(run: Result, fitted: dict[str, Calibrator]) -> pd.DataFrame:
    """Probabilities and outcomes of a test run: columns `level`, `calibrator`, `p`, `y`, one row a case.

    Levels: "pairs", all N² pairs, is it a match; "i2t" and "t2i", the N queries, is a match among the first
    10 (`confidence.match_probability`).
    """
    parts = {}
    for name, calibrator in fitted.items():
        pairs = {"p": calibrator(run.scores).ravel(), "y": run.truth.matches.ravel()}
        parts["pairs", name] = pd.DataFrame(pairs)
        for direction, turn in TURNS.items():
            sure = confidences(turn(run.scores), run.total_variance[direction], calibrator, QUERY_K)
            queries = {"p": sure["match_probability"], "y": run.ranks[direction] <= QUERY_K}
            parts[direction, name] = pd.DataFrame(queries)
    return stacked(parts, "level", "calibrator")


def diagram_table(cases: pd.DataFrame) -> pd.DataFrame:
    """`calibration.reliability_diagram` in bins of equal mass for each level and calibrator of the cases."""
    parts = []
    for (level, name), part in cases.groupby(["level", "calibrator"], sort=False):
        diagram = reliability_diagram(part["p"].to_numpy(), part["y"].to_numpy(), BINS, "mass")
        parts.append(diagram.assign(level=level, calibrator=name))
    return pd.concat(parts, ignore_index=True)


def calibration_table(calibration: Results, test: Results) -> pd.DataFrame:
    """Calibration errors before and after a fit on the calibration studies' pairs, means over the runs.

    Columns: `method`, `level` and `calibrator` as in `match_probabilities`, `cases`, `matches` (their share),
    `p` (mean probability), `ece` (15 bins of equal width), `ece_bias` (what right probabilities would show by
    chance), `ace` (15 bins of equal mass), `ace_bias`, `brier`, and `brier_constant`, the Brier score of
    always saying the share of matches.
    """
    rows = []
    for method, runs in test.items():
        for fitted, run in zip(calibration[method], runs, strict=True):
            table = match_probabilities(run, calibrators(fitted, len(run.truth)))
            for (level, name), cases in table.groupby(["level", "calibrator"], sort=False):
                p, y = cases["p"].to_numpy(), cases["y"].to_numpy()
                share = y.mean()
                resamples = 10 if level == "pairs" else 200  # of many cases, few redraws suffice
                rows.append({
                    "method": method, "level": level, "calibrator": name, "cases": len(p),
                    "matches": share, "p": p.mean(),
                    "ece": expected_calibration_error(p, y, BINS),
                    "ece_bias": ece_bias(p, BINS, "width", resamples),
                    "ace": adaptive_calibration_error(p, y, BINS),
                    "ace_bias": ece_bias(p, BINS, "mass", resamples),
                    "brier": brier(p, y), "brier_constant": share * (1 - share),
                })  # fmt: skip
    return pd.DataFrame(rows).groupby(["method", "level", "calibrator"], sort=False, as_index=False).mean()
