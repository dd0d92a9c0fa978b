"""Half of the films faulty: areas by loops, and a rule that is as good as the number that knows."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from faulty import made_films
from scipy.special import expit
from test_scored_runs import made_results

from medprobclip.evaluation.abstention import TwoNumberRisk
from medprobclip.evaluation.confidence import LABELS
from medprobclip.evaluation.reliability import risk_coverage
from medprobclip.evaluation.retrieval import BootstrapConfig
from medprobclip.paper.tables.mixed_quality import (
    DRAWS,
    ORDERS,
    RULE,
    Mixture,
    alarm_table,
    areas,
    decision_shares,
    decision_table,
    drawn_mixtures,
    fitted_risks,
    in_test_gallery,
    mixed_curves,
    mixed_table,
)
from medprobclip.similarity import expected_likelihood

CHOSEN = {("medprobclip", "i2t"): "entropy", ("clip", "i2t"): "margin"}
METHODS = ("medprobclip", "clip")
N = 25


@pytest.fixture(scope="module")
def films():
    return made_films(METHODS, N)


@pytest.fixture(scope="module")
def risks():
    """Fitted on other studies, under other faults."""
    return fitted_risks(made_films(METHODS, 40, ("dust", "stripes"), (0.5, 1.0), seed=1), CHOSEN)


@pytest.fixture(scope="module")
def table(films, risks):
    return mixed_table(films, CHOSEN, risks).set_index(["method", "order"])


def cell(films: pd.DataFrame, method: str, fault: str, severity: float) -> pd.DataFrame:
    at = (films["method"] == method) & (films["corruption"] == fault) & (films["severity"] == severity)
    return films[at].sort_values("film")


def test_half_of_the_films_are_faulty_and_every_fault_as_often_as_any_other():
    rows, cells = drawn_mixtures(50, 7, False, BootstrapConfig(resamples=600))
    assert rows.shape == cells.shape == (600, 50)
    assert (rows == np.arange(50)).all()
    counts = np.bincount(cells.ravel(), minlength=7)
    assert counts[0] == pytest.approx(15_000, abs=4 * 30_000**0.5 / 2)  # four standard deviations
    assert (abs(counts[1:] - 2500) < 4 * (30_000 / 12 * 11 / 12) ** 0.5).all()
    assert (cells[0] != cells[1]).any()


def test_intervals_draw_the_studies_too():
    config = BootstrapConfig(resamples=50)
    (rows, cells), (_, same) = (drawn_mixtures(30, 7, again, config) for again in (True, False))
    np.testing.assert_array_equal(rows, np.random.default_rng((0, 0)).integers(0, 30, (50, 30)))
    np.testing.assert_array_equal(cells, same)


def test_a_mixture_knows_its_films_whatever_their_order_and_names(films):
    """Row 0 is without a fault, though "blur" stands before "none"."""
    own = films[films["method"] == "clip"]
    mixture = Mixture.of(own.sample(frac=1, random_state=0))
    cells = [("none", 0), *((fault, severity) for fault in ("blur", "noise") for severity in (1, 3, 5))]
    assert mixture.errors.shape == (7, N)
    for row, (fault, severity) in enumerate(cells):
        part = cell(films, "clip", fault, severity)
        np.testing.assert_array_equal(mixture.errors[row], part["rank_i2t"] > 10)
        for name in LABELS:
            np.testing.assert_array_equal(mixture.confidences[name][row], part[name])
        np.testing.assert_array_equal(mixture.confidences["strangeness"][row], -part["strangeness"])


def test_the_rule_is_the_order_of_the_risk(films, risks):
    orders = Mixture.of(films[films["method"] == "clip"]).ordered_by("margin", risks["clip"])
    assert set(orders) == set(ORDERS)
    part = cell(films, "clip", "noise", 3)
    np.testing.assert_allclose(orders[RULE][5], -risks["clip"](part["margin"], part["strangeness"]))
    assert list(np.argsort(orders[RULE][5])) == list(
        np.argsort(-risks["clip"](part["margin"], part["strangeness"]))
    )


def test_areas_by_a_loop(films, risks, table):
    """Each drawn test set film by film; the best of it, and the mean of its errors."""
    rows, cells = drawn_mixtures(N, 7, False)
    assert len(rows) == DRAWS.resamples
    order = [("none", 0), *((fault, severity) for fault in ("blur", "noise") for severity in (1, 3, 5))]
    of = [cell(films, "medprobclip", *key).reset_index(drop=True) for key in order]
    stacked = {
        name: np.stack([part[name] for part in of])
        for name in ("rank_i2t", "margin", "entropy", "strangeness")
    }
    found = {"margin": [], "strangeness": [], RULE: [], "oracle": [], "random": []}
    for draw in range(len(rows)):
        picked = {
            name: np.array([v[cells[draw, i], rows[draw, i]] for i in range(N)])
            for name, v in stacked.items()
        }
        wrong = picked["rank_i2t"] > 10
        risk = risks["medprobclip"](picked["entropy"], picked["strangeness"])
        sure = {
            "margin": picked["margin"],
            "strangeness": -picked["strangeness"],
            RULE: -risk,
            "oracle": ~wrong,
        }
        for name, values in sure.items():
            found[name].append(risk_coverage(values, wrong).aurc)
        found["random"].append(wrong.mean())
    for name in ("margin", "strangeness", RULE):
        row = table.loc[("medprobclip", name)]
        assert row["aurc"] == pytest.approx(np.mean(found[name]))
        assert row["oracle"] == pytest.approx(np.mean(found["oracle"]))
        assert row["random"] == pytest.approx(np.mean(found["random"]))
        assert row["own"] == "entropy"
        assert row["low"] < row["aurc"] < row["high"]


def test_differences_from_the_rule_are_paired(films, risks, table):
    mixture = Mixture.of(films[films["method"] == "clip"])
    sure = mixture.ordered_by("margin", risks["clip"])
    draws = drawn_mixtures(N, 7, True)
    gap = areas(sure["variance"], mixture.errors, draws) - areas(sure[RULE], mixture.errors, draws)
    row = table.loc[("clip", "variance")]
    np.testing.assert_allclose(
        row[["difference_low", "difference_high"]].astype(float), np.percentile(gap, [2.5, 97.5])
    )
    assert row["difference"] == pytest.approx(row["aurc"] - table.loc[("clip", RULE), "aurc"])
    rule = table.xs(RULE, level="order")
    assert rule[["difference", "difference_low", "difference_high"]].isna().all(axis=None)
    assert [name for _, name in table.index] == 2 * list(ORDERS)


def knowing(column: str, n: int, seed: int) -> pd.DataFrame:
    """Films whose errors come from one number alone; every other is noise."""
    films = made_films(("medprobclip",), n, severities=(3, 5), seed=seed)
    rng = np.random.default_rng(100 + seed)
    shift = 0.25 * films["severity"]
    known = rng.normal(shift, 0.6)
    doubt = {"strangeness": np.exp(known), "entropy": -known}[column]
    other = {"strangeness": -rng.normal(size=len(films)), "entropy": np.exp(rng.normal(0, 0.6, len(films)))}
    films = films.assign(
        **{column: doubt, "entropy" if column == "strangeness" else "strangeness": other[column]}
    )
    films = films.assign(**{name: rng.normal(size=len(films)) for name in LABELS if name != "entropy"})
    wrong = rng.random(len(films)) < expit(5 * (known - 0.5))
    return films.assign(rank_i2t=np.where(wrong, 99, 1))


@pytest.mark.parametrize("column", ["strangeness", "entropy"])
def test_the_rule_is_as_good_as_the_number_that_knows(column):
    """And better than every other, whichever of the two it is."""
    risks = fitted_risks(knowing(column, 200, 1), CHOSEN)
    table = mixed_table(knowing(column, 120, 2), CHOSEN, risks).set_index("order")
    assert abs(table.loc[column, "difference"]) < 0.02
    others = table.drop([RULE, column])
    assert len(others) == len(ORDERS) - 2
    assert (others["difference"] > 0.1).all()
    assert (others["difference_low"] > 0).all()


def test_good_and_faulty_films_count_alike():
    """Six faulty films for each good one: as if every good one stood there six times."""
    films = made_films(("clip",), 40)
    good = films["corruption"] == "none"
    usual = films.loc[good, "margin"]
    repeated = pd.concat([films[~good], *6 * [films[good]]])
    expected = TwoNumberRisk.fit(
        repeated["margin"], repeated["strangeness"], repeated["rank_i2t"] > 10, usual,
        np.full(len(repeated), 7 / 12),
    )  # fmt: skip
    risk = fitted_risks(films, CHOSEN)["clip"]
    np.testing.assert_array_equal(risk.usual, np.sort(usual))
    for name in ("intercept", "by_confidence", "by_strangeness"):
        assert getattr(risk, name) == pytest.approx(getattr(expected, name), abs=5e-3)
    assert not good.mean() == pytest.approx(0.5)  # else nothing is tested


@pytest.mark.parametrize("rank", [1, 99])
def test_without_both_outcomes_both_numbers_count_alike(rank):
    films = made_films(METHODS, N).assign(rank_i2t=rank)
    risk = fitted_risks(films, CHOSEN)["clip"]
    assert (risk.intercept, risk.by_confidence, risk.by_strangeness) == (0, -1, 1)
    np.testing.assert_array_equal(risk.usual, np.sort(cell(films, "clip", "none", 0)["margin"]))
    table = mixed_table(films, CHOSEN, {"clip": risk, "medprobclip": risk})
    np.testing.assert_allclose(table["aurc"], rank > 10)


def test_nothing_is_fitted_on_the_films_that_are_judged(films, risks, monkeypatch):
    before = {
        name: (r.intercept, r.by_confidence, r.by_strangeness, r.usual.copy()) for name, r in risks.items()
    }
    monkeypatch.setattr(TwoNumberRisk, "fit", lambda *_: pytest.fail("fitted on test films"))
    one = mixed_table(films, CHOSEN, risks).set_index(["method", "order"])
    wrong = films.assign(rank_i2t=110 - films["rank_i2t"])
    other = mixed_table(wrong, CHOSEN, risks).set_index(["method", "order"])
    assert not np.allclose(one["aurc"], other["aurc"])
    for name, (*numbers, usual) in before.items():
        assert numbers == [risks[name].intercept, risks[name].by_confidence, risks[name].by_strangeness]
        np.testing.assert_array_equal(risks[name].usual, usual)


def test_curves_are_means_over_the_drawn_faults(films, risks):
    table = mixed_curves(films, CHOSEN, risks, "clip")
    assert list(table["order"].unique()) == [*ORDERS, "oracle", "random"]
    mixture = Mixture.of(films[films["method"] == "clip"])
    draws = drawn_mixtures(N, 7, False, BootstrapConfig(200))
    picked = [
        (mixture.confidences["top_score"][c, r], mixture.errors[c, r]) for r, c in zip(*draws, strict=True)
    ]
    curve = table[table["order"] == "top_score"].set_index("coverage")["risk"]
    for share in (1, 7, 50, 100):
        answered = next(m for m in range(1, N + 1) if 100 * m >= share * N)
        expected = np.mean([risk_coverage(*one).risk[answered - 1] for one in picked])
        assert curve.loc[share / 100] == pytest.approx(expected)
    ends = table[table["coverage"] == 1]["risk"]
    np.testing.assert_allclose(ends, ends.iloc[0])
    oracle, random = (table.loc[table["order"] == name, "risk"].to_numpy() for name in ("oracle", "random"))
    np.testing.assert_allclose(random, ends.iloc[0])
    assert (oracle <= table.loc[table["order"] == RULE, "risk"].to_numpy() + 1e-12).all()


def test_alarms_by_a_loop(films):
    """Of 59 good films: a film with two above it has p = 3/60, the rate itself, and is flagged."""
    rng = np.random.default_rng(4)
    good = {name: np.exp(rng.normal(0, 0.3, 59)) for name in METHODS}
    calibration = {
        name: [SimpleNamespace(embeddings=SimpleNamespace(image_strangeness=torch.from_numpy(values)))]
        for name, values in good.items()
    }
    table = alarm_table(films, calibration)
    assert [tuple(row) for row in table[["method", "severity"]].to_numpy()] == [
        (name, severity) for name in METHODS for severity in (0, 1, 3, 5)
    ]
    rows = np.random.default_rng((0, 0)).integers(0, N, (1000, N))
    for row in table.itertuples():
        faults = ["none"] if row.severity == 0 else ["blur", "noise"]
        flags = np.zeros((len(faults), N))
        for f, fault in enumerate(faults):
            for i, strange in enumerate(cell(films, row.method, fault, row.severity)["strangeness"]):
                flags[f, i] = (1 + sum(good[row.method] >= strange)) / 60 <= 0.05
        assert row.flagged == pytest.approx(flags.mean())
        expected = np.percentile([flags[:, r].mean() for r in rows], [2.5, 97.5])
        np.testing.assert_allclose((row.low, row.high), expected)
    assert (
        table.loc[table["severity"] == 5, "flagged"].min()
        > table.loc[table["severity"] == 0, "flagged"].max()
    )


def test_decisions_by_a_loop(films, risks):
    rng = np.random.default_rng(5)
    good = np.exp(rng.normal(0, 0.3, 59))
    embeddings = SimpleNamespace(image_strangeness=torch.from_numpy(good))
    calibration = {name: [SimpleNamespace(embeddings=embeddings)] for name in METHODS}
    table = decision_table(films, calibration, CHOSEN, risks)
    assert len(table) == len(METHODS) * 4
    for row in table.itertuples():
        own = films[(films["method"] == row.method) & (films["severity"] == row.severity)]
        counts, wrong = {"answered": 0, "strange": 0, "ambiguous": 0}, []
        for film in own.itertuples():
            sure = getattr(film, CHOSEN[row.method, "i2t"])
            risk = float(risks[row.method](np.array([sure]), np.array([film.strangeness]))[0])
            p = (1 + sum(good >= film.strangeness)) / 60
            said = "strange" if p <= 0.05 else "ambiguous" if risk > 0.5 else "answered"
            counts[said] += 1
            if said == "answered":
                wrong.append(film.rank_i2t > 10)
        for word, count in counts.items():
            assert getattr(row, word) == pytest.approx(count / len(own))
        assert row.wrong == pytest.approx(np.mean(wrong), nan_ok=True) if wrong else np.isnan(row.wrong)
        assert row.wrong_without == pytest.approx((own["rank_i2t"] > 10).mean())
        shown = decision_shares(table, row.method).loc[row.severity]
        told = [row.answered, row.strange, row.ambiguous, row.wrong, row.wrong_without]
        assert shown.tolist() == pytest.approx([100 * share for share in told], nan_ok=True)


def test_usual_confidences_are_asked_in_the_gallery_in_question(monkeypatch):
    """Good calibration films against the test reports; the fit itself stays."""
    calibration, test = (made_results({"medprobclip": 1.5}, seeds=1, n=n) for n in (25, 40))
    model = SimpleNamespace(similarity=expected_likelihood)
    monkeypatch.setattr("medprobclip.paper.tables.mixed_quality.load_run", lambda folder: (model, None))
    before = {"medprobclip": TwoNumberRisk(np.linspace(-9, 0, 30), 0.2, -1.5, 1.1)}
    chosen = {("medprobclip", "i2t"): "entropy"}
    (moved,) = in_test_gallery(before, calibration, test, chosen).values()
    films, reports = calibration["medprobclip"][0].embeddings.image, test["medprobclip"][0].embeddings.report
    p = expected_likelihood(films, reports).double().softmax(1)
    np.testing.assert_allclose(moved.usual, np.sort((p * p.log()).sum(1).numpy()), rtol=1e-5)
    assert len(moved.usual) == 25
    assert (moved.intercept, moved.by_confidence, moved.by_strangeness) == (0.2, -1.5, 1.1)
    assert len(before["medprobclip"].usual) == 30
