"""Selective retrieval where half of the films carry a fault: by every confidence, and by two numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from medprobclip.evaluation.abstention import AMBIGUOUS, ANSWERED, STRANGE, TwoNumberRisk, abstain
from medprobclip.evaluation.confidence import LABELS, confidences
from medprobclip.evaluation.conformal import p_values
from medprobclip.evaluation.reliability import risk_coverage
from medprobclip.evaluation.resampling import drawn_queries, percentiles
from medprobclip.evaluation.retrieval import BootstrapConfig
from medprobclip.paper.tables.names import ORDERS, RATE, RULE
from medprobclip.paper.tables.reliability import calibrators
from medprobclip.paper.tables.scored_runs import Results
from medprobclip.training.runs import load_run

K = 10  # a query is wrong when no right answer stands among its first K
SHARE = 0.5  # of the films that carry a fault, each fault and severity as often as any other
MOST = 0.5  # risk of a wrong answer above which none is given, as in a gallery of validation's size
Risks = dict[str, TwoNumberRisk]  # of each method
DRAWS = BootstrapConfig(resamples=1000)


@dataclass(frozen=True, eq=False)
class Mixture:
    """One method's films under every fault: `errors` and every confidence `[C, N]`, row 0 without a fault."""

    errors: np.ndarray
    confidences: dict[str, np.ndarray]

    @staticmethod
    def of(films: pd.DataFrame) -> Mixture:
        """From one method's rows of `faulty_films`."""
        wide = films.set_index(["corruption", "severity", "film"]).unstack("film")
        wide = wide.loc[sorted(wide.index, key=lambda cell: cell[0] != "none")]  # stable
        cubes = {name: wide[name].to_numpy() for name in (*LABELS, "strangeness")}
        errors = (wide["rank_i2t"].to_numpy() > K).astype(float)
        return Mixture(errors, {**cubes, "strangeness": -cubes["strangeness"]})

    def ordered_by(self, own: str, risk: TwoNumberRisk) -> dict[str, np.ndarray]:
        """Every order of `ORDERS` as confidences `[C, N]`; the rule's from the confidence `own`."""
        rule = -risk(self.confidences[own], -self.confidences["strangeness"])
        return {**self.confidences, RULE: rule}


def areas(sure: np.ndarray, errors: np.ndarray, draws: tuple) -> np.ndarray:
    """AURC of each drawn test set: confidences and errors `[C, N]` -> `[R]`."""
    drawn = zip(*draws, strict=True)
    return np.array([risk_coverage(sure[cells, rows], errors[cells, rows]).aurc for rows, cells in drawn])


def drawn_mixtures(studies: int, cells: int, resampled: bool, config: BootstrapConfig = DRAWS) -> tuple:
    """Test sets of N films, `SHARE` of them with a fault: studies int `[R, N]` and faults int `[R, N]`.

    Fault 0 is none. `resampled`: studies are drawn with replacement as well, for intervals.
    """
    rng = np.random.default_rng((config.seed, 7))
    shape = config.resamples, studies
    rows = drawn_queries(studies, config) if resampled else np.broadcast_to(np.arange(studies), shape)
    faulty = rng.random(shape) < SHARE
    return rows, np.where(faulty, rng.integers(1, cells, shape), 0)


def fitted_risks(validation_films: pd.DataFrame, chosen: dict[tuple[str, str], str]) -> Risks:
    """The risk of a wrong answer from two numbers, by method: fitted on validation studies.

    `validation_films` is the table of `faulty_films` under `MADE_UP` faults, good and faulty ones with equal
    weight; `chosen` are the confidences that validation chose on good films. The evaluation's faults play no
    part.
    """
    risks = {}
    for method, own in validation_films.groupby("method", sort=False):
        sure, good = own[chosen[method, "i2t"]].to_numpy(), (own["corruption"] == "none").to_numpy()
        weights = np.where(good, 1 / good.sum(), 1 / (~good).sum()) * len(own) / 2
        wrong = (own["rank_i2t"] > K).to_numpy()
        if wrong.all() or not wrong.any():  # too few studies to learn from: both numbers count alike
            risks[method] = TwoNumberRisk(np.sort(sure[good]), 0.0, -1.0, 1.0)
            continue
        risks[method] = TwoNumberRisk.fit(sure, own["strangeness"].to_numpy(), wrong, sure[good], weights)
    return risks


def in_test_gallery(
    risks: Risks, calibration: Results, test: Results, chosen: dict[tuple[str, str], str]
) -> Risks:
    """The risks with the test reports as gallery, whose size gives confidences another scale.

    What a usual confidence is there is asked with the calibration patients' good films; no answer is looked
    at.
    """
    moved = {}
    for method, risk in risks.items():
        fitted, run = calibration[method][0], test[method][0]
        model, films = load_run(fitted.folder)[0], fitted.embeddings.image
        with torch.no_grad():
            scores = model.similarity(films, run.embeddings.report).numpy()
        platt = calibrators(fitted, scores.shape[1])["platt"]
        sure = confidences(scores, films.total_variance().numpy(), platt, K)
        moved[method] = risk.in_gallery(sure[chosen[method, "i2t"]])
    return moved


def mixed_table(test_films: pd.DataFrame, chosen: dict[tuple[str, str], str], risks: Risks) -> pd.DataFrame:
    """AURC at R@10 of films as queries, half of them faulty, by method and order; mean over drawn faults.

    Columns: `method`, `order` (of `ORDERS`), `aurc`, `low`, `high` (over test studies and faults);
    `difference` from the rule's, `difference_low`, `difference_high`, paired, above 0 where the rule is
    better, absent for the rule; `oracle`, `random`; `own`, the confidence that the rule uses.
    """
    rows = []
    for method, films in test_films.groupby("method", sort=False):
        mixture, own = Mixture.of(films), chosen[method, "i2t"]
        errors, sure = mixture.errors, mixture.ordered_by(own, risks[method])
        once, again = (drawn_mixtures(*errors.shape[::-1], resampled) for resampled in (False, True))
        frame = {"oracle": areas(-errors, errors, once).mean(), "random": _random(errors, once)}
        values = {name: areas(sure[name], errors, once).mean() for name in ORDERS}
        drawn = {name: areas(sure[name], errors, again) for name in ORDERS}
        for name in ORDERS:
            low, high = percentiles(drawn[name], DRAWS)
            row = {"method": method, "order": name, "aurc": values[name], "low": low, "high": high}
            if name != RULE:
                low, high = percentiles(drawn[name] - drawn[RULE], DRAWS)
                row |= {"difference": values[name] - values[RULE]}
                row |= {"difference_low": low, "difference_high": high}
            rows.append({**row, **frame, "own": own})
    return pd.DataFrame(rows)


def mixed_curves(
    test_films: pd.DataFrame, chosen: dict[tuple[str, str], str], risks: Risks, method: str
) -> pd.DataFrame:
    """Risk–coverage of one method, mean over drawn faults, at 1, 2 … 100 % coverage.

    Columns: `order` (of `ORDERS`, `random`, `oracle`), `coverage`, `risk`.
    """
    mixture = Mixture.of(test_films[test_films["method"] == method])
    errors = mixture.errors
    sure = {**mixture.ordered_by(chosen[method, "i2t"], risks[method]), "oracle": -errors}
    sure = {name: sure[name] for name in (*ORDERS, "oracle")} | {"random": np.zeros_like(errors)}
    draws = list(zip(*drawn_mixtures(*errors.shape[::-1], False, BootstrapConfig(200)), strict=True))
    shares = np.arange(1, 101)
    at = -(-shares * errors.shape[1] // 100) - 1
    parts = []
    for name, values in sure.items():
        curves = [risk_coverage(values[cells, rows], errors[cells, rows]).risk for rows, cells in draws]
        columns = {"order": name, "coverage": shares / 100, "risk": np.mean(curves, axis=0)[at]}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def alarm_table(test_films: pd.DataFrame, calibration: Results) -> pd.DataFrame:
    """How many films are called strange at `RATE`, by severity (0: good films, false alarms).

    Columns: `method`, `severity`, `flagged` (share, mean over faults), `low`, `high` (over studies).
    """
    rows, config = [], DRAWS
    for method, own in test_films.groupby("method", sort=False):
        good = calibration[method][0].embeddings.image_strangeness.numpy()
        for severity, films in own.groupby("severity", sort=True):
            flags = p_values(films["strangeness"].to_numpy(), good) <= RATE
            share = pd.Series(flags).groupby(films["film"].to_numpy()).mean().to_numpy()
            low, high = percentiles(share[drawn_queries(len(share), config)].mean(1), config)
            row = {"method": method, "severity": severity, "flagged": share.mean()}
            rows.append({**row, "low": low, "high": high})
    return pd.DataFrame(rows)


def decision_table(
    test_films: pd.DataFrame, calibration: Results, chosen: dict[tuple[str, str], str], risks: Risks
) -> pd.DataFrame:
    """What the decision does with the films, by severity: shares, means over faults.

    Columns: `method`, `severity` (0: good films), `answered`, `strange`, `ambiguous` (they sum to 1,
    `evaluation.abstention.abstain` at the risk `MOST` and the rate `RATE`); `wrong`, the share of wrong among
    the answered (NaN where none is), and `wrong_without`, among all.
    """
    rows = []
    for method, own in test_films.groupby("method", sort=False):
        good = calibration[method][0].embeddings.image_strangeness.numpy()
        strange = own["strangeness"].to_numpy()
        risk = risks[method](own[chosen[method, "i2t"]].to_numpy(), strange)
        decision = abstain(risk, p_values(strange, good), MOST, RATE)
        wrong = (own["rank_i2t"] > K).to_numpy()
        for severity in sorted(own["severity"].unique()):
            here = (own["severity"] == severity).to_numpy()
            shares = {word: float((decision[here] == word).mean()) for word in (ANSWERED, STRANGE, AMBIGUOUS)}
            answered = here & (decision == ANSWERED)
            errors = {
                "wrong": wrong[answered].mean() if answered.any() else np.nan,
                "wrong_without": wrong[here].mean(),
            }
            rows.append({"method": method, "severity": severity, **shares, **errors})
    return pd.DataFrame(rows)


def decision_shares(decisions: pd.DataFrame, method: str) -> pd.DataFrame:
    """One method's rows of `decision_table` for readers: percent, a row a severity."""
    columns = {
        "answered": "answered, %", STRANGE: "strange, %", AMBIGUOUS: "ambiguous, %",
        "wrong": "wrong of those answered, %", "wrong_without": "wrong if all were answered, %",
    }  # fmt: skip
    own = decisions[decisions["method"] == method].set_index("severity")
    return 100 * own[list(columns)].rename(columns=columns)


def _random(errors: np.ndarray, draws: tuple) -> float:
    """AURC of a random order: the share of errors."""
    return float(np.mean([errors[cells, rows].mean() for rows, cells in zip(*draws, strict=True)]))
