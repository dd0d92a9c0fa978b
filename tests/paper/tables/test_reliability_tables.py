"""Confidences, areas and calibration of made runs: each number against its definition."""

import numpy as np
import pandas as pd
import pytest
from test_scored_runs import made_result, made_results, made_truth

from medprobclip.evaluation.calibration import (
    CALIBRATORS,
    ForGallery,
    Isotonic,
    Platt,
    brier,
    expected_calibration_error,
    reliability_diagram,
    sigmoid,
)
from medprobclip.evaluation.confidence import LABELS, confidences
from medprobclip.evaluation.reliability import oracle_curve, risk_coverage
from medprobclip.evaluation.retrieval import CUTOFFS
from medprobclip.paper.tables.reliability import (
    area_table,
    calibration_table,
    calibrators,
    chosen_confidences,
    curve_table,
    diagram_table,
    match_probabilities,
    run_confidences,
    selective_table,
)
from medprobclip.paper.tables.scored_runs import Result

NOISES = {"clip": 3.0, "medprobclip": 1.5}
TURNS = {"i2t": np.asarray, "t2i": np.transpose}


@pytest.fixture(scope="module")
def validation():
    """A smaller gallery than that of the test studies."""
    return made_results(NOISES, n=30)


@pytest.fixture(scope="module")
def calibration():
    """Other studies, of another number again."""
    return made_results({"clip": 2.5, "medprobclip": 1.2}, n=25)


@pytest.fixture(scope="module")
def other():
    """Calibration studies with as good as no error: every score above a few is a match."""
    return made_results({"clip": 0.2, "medprobclip": 0.1}, n=20)


@pytest.fixture(scope="module")
def test():
    return made_results(NOISES, n=40)


@pytest.fixture(scope="module")
def selective(validation, calibration, test):
    return selective_table(validation, calibration, test)


@pytest.fixture(scope="module")
def chosen(selective):
    return chosen_confidences(selective)


@pytest.fixture(scope="module")
def areas(calibration, test, chosen):
    return area_table(calibration, test, chosen).set_index(["direction", "k", "method"]).sort_index()


def naive_confidence(fitted: Result, run: Result, direction: str, k: int, gallery: int) -> dict:
    """By the calibrator of the pairs of another run, in a gallery of that size."""
    turn = TURNS[direction]
    platt = ForGallery(Platt.fit(fitted.scores, fitted.truth.matches), len(fitted.truth), gallery)
    return confidences(turn(run.scores), run.total_variance[direction], platt, k)


def test_calibrators_are_fitted_on_pairs_of_held_out_studies(validation, test):
    before, scores = validation["clip"][0], test["clip"][0].scores
    fitted = calibrators(before, 40)
    assert list(fitted) == list(CALIBRATORS)
    np.testing.assert_array_equal(fitted["before"](scores), sigmoid(scores))
    for name, kind in {"platt": Platt, "isotonic": Isotonic}.items():
        p = kind.fit(before.scores, before.truth.matches)(scores)
        odds = p / (1 - p + 1e-300) * 29 / 39
        np.testing.assert_allclose(fitted[name](scores), odds / (1 + odds))
        unchanged = calibrators(before, 30)[name](scores)
        np.testing.assert_allclose(unchanged, p)


def test_every_confidence_by_its_cutoff(validation, test):
    for direction in TURNS:
        found = run_confidences(validation["clip"][0], test["clip"][0], direction)
        assert list(found) == list(CUTOFFS)
        for k in CUTOFFS:
            expected = naive_confidence(validation["clip"][0], test["clip"][0], direction, k, 40)
            assert list(found[k]) == list(LABELS)
            for name in LABELS:
                np.testing.assert_allclose(found[k][name], expected[name])


def test_selective_areas_are_means_over_the_runs(validation, calibration, test, selective):
    """On test studies by the probabilities of the calibration studies, on validation by its own."""
    assert len(selective) == 2 * 2 * len(CUTOFFS) * len(LABELS)
    table = selective.set_index(["method", "direction", "k", "confidence"])
    assert table.index.is_unique
    for method, direction, k in (("clip", "i2t", 1), ("medprobclip", "t2i", 5)):
        for name in LABELS:
            known, seen, best, rates = [], [], [], []
            for before, fitted, run in zip(
                validation[method], calibration[method], test[method], strict=True
            ):
                wrong = run.ranks[direction] > k
                sure = naive_confidence(fitted, run, direction, k, 40)[name]
                seen.append(risk_coverage(sure, wrong))
                best.append(oracle_curve(wrong).aurc)
                rates.append(wrong.mean())
                sure = naive_confidence(before, before, direction, k, 30)[name]
                known.append(risk_coverage(sure, before.ranks[direction] > k).aurc)
            row = table.loc[(method, direction, k, name)]
            assert row["aurc"] == pytest.approx(np.mean([curve.aurc for curve in seen]))
            assert row["augrc"] == pytest.approx(np.mean([curve.augrc for curve in seen]))
            assert row["validation_aurc"] == pytest.approx(np.mean(known))
            assert row["random"] == pytest.approx(np.mean(rates))
            assert row["oracle"] == pytest.approx(np.mean(best))
            assert row["excess"] == pytest.approx(row["aurc"] - row["oracle"])


def test_the_confidence_is_chosen_on_validation_studies(selective, chosen):
    assert set(chosen) == {(method, direction) for method in NOISES for direction in TURNS}
    for (method, direction), name in chosen.items():
        rows = selective[(selective["method"] == method) & (selective["direction"] == direction)]
        mean = {c: rows.loc[rows["confidence"] == c, "validation_aurc"].mean() for c in LABELS}
        assert name == min(mean, key=mean.get)
        assert rows.loc[rows["chosen"], "confidence"].tolist() == len(CUTOFFS) * [name]


def test_the_choice_does_not_see_the_test_studies(validation, calibration, test):
    """A run of other test studies, on which another confidence is best."""
    others = made_results({"clip": 6.0, "medprobclip": 0.5}, n=40)
    one, two = (selective_table(validation, calibration, of) for of in (test, others))
    assert chosen_confidences(one) == chosen_confidences(two)
    assert not np.allclose(one["aurc"], two["aurc"])


def test_calibration_studies_choose_nothing(validation, test, selective, other):
    """Of test studies only the order by match probability may change: the rest needs no fit."""
    found = selective_table(validation, other, test)
    same = ["method", "direction", "k", "confidence", "validation_aurc", "random", "oracle", "chosen"]
    pd.testing.assert_frame_equal(found[same], selective[same], check_exact=True)
    changed = found["aurc"] != selective["aurc"]
    assert changed.any()
    assert set(found.loc[changed, "confidence"]) == {"match_probability"}


def test_validation_is_judged_by_its_own_probabilities(calibration, test, selective):
    """Of other validation studies the test side stays what it was, whatever is chosen there."""
    others = made_results({"clip": 1.0, "medprobclip": 4.0}, n=30)
    found = selective_table(others, calibration, test)
    same = ["method", "direction", "k", "confidence", "aurc", "excess", "augrc", "random", "oracle"]
    pd.testing.assert_frame_equal(found[same], selective[same], check_exact=True)
    assert not np.allclose(found["validation_aurc"], selective["validation_aurc"])


def test_areas_and_curves_are_of_the_calibration_studies_probabilities(calibration, other, test):
    """By match probability they change with them; by what needs no fit they do not."""
    for name, changes in {"match_probability": True, "margin": False}.items():
        chosen = {(method, direction): name for method in NOISES for direction in TURNS}
        for table, column in ((area_table, "value"), (curve_table, "risk")):
            one, two = (table(of, test, chosen) for of in (calibration, other))
            assert (not one[column].equals(two[column])) == changes


def test_areas_with_the_chosen_confidence(validation, test, selective, chosen, areas):
    table = selective.set_index(["method", "direction", "k", "confidence"])
    for (direction, k, method), row in areas.iterrows():
        assert row["confidence"] == chosen[method, direction]
        same = table.loc[(method, direction, k, row["confidence"])]
        assert row["value"] == pytest.approx(same["aurc"])
        assert (row["random"], row["oracle"]) == pytest.approx((same["random"], same["oracle"]))
        assert row["low"] <= row["value"] <= row["high"]
        assert row["seeds"] == 2
    gap = areas["value"].xs("clip", level="method") - areas["value"].xs("medprobclip", level="method")
    np.testing.assert_allclose(areas["difference"].xs("clip", level="method"), gap)
    assert areas["difference"].xs("medprobclip", level="method").isna().all()


def test_intervals_of_an_area_redraw_the_queries():
    """One run, and a loop over the draws."""
    fitted, test = (made_results({"medprobclip": 1.5}, seeds=1, n=n) for n in (30, 40))
    chosen = {("medprobclip", direction): "margin" for direction in TURNS}
    table = area_table(fitted, test, chosen).set_index(["direction", "k"])
    (run,) = test["medprobclip"]
    best = np.sort(run.scores, axis=1)
    sure, wrong = best[:, -1] - best[:, -2], run.ranks["i2t"] > 5
    rows = np.random.default_rng((0, 0)).integers(0, 40, (2000, 40))
    drawn = [risk_coverage(sure[r], wrong[r]).aurc for r in rows]
    row = table.loc[("i2t", 5)]
    np.testing.assert_allclose((row["low"], row["high"]), np.percentile(drawn, [2.5, 97.5]))


def test_the_papers_areas_stand_beside_ours(areas):
    assert areas.loc[("i2t", 1, "medprobclip"), "reported"] == 0.753
    assert areas.loc[("t2i", 1, "medprobclip"), "reported"] == 0.753  # it does not say which direction
    assert areas.loc[("i2t", 100, "clip"), "reported"] == 0.124
    soft = made_results({"medprobclip-soft": 1.0}, seeds=1)
    chosen = {("medprobclip-soft", direction): "margin" for direction in TURNS}
    assert area_table(soft, soft, chosen)["reported"].isna().all()


def test_curves_end_at_the_error_rate(calibration, test, chosen):
    table = curve_table(calibration, test, chosen)
    for (direction, k, name), curve in table.groupby(["direction", "k", "method"]):
        method = "medprobclip" if name in ("random", "oracle") else name
        wrong = test[method][0].ranks[direction] > k
        np.testing.assert_allclose(curve["coverage"], np.arange(1, 101) / 100)
        assert curve["risk"].iloc[-1] == pytest.approx(wrong.mean())
        if name == "random":
            np.testing.assert_allclose(curve["risk"], wrong.mean())
        if name == "oracle":
            assert curve["risk"].iloc[0] == 0
    assert set(table["method"]) == {"clip", "medprobclip", "random", "oracle"}


def test_curves_answer_the_surest_share_of_the_queries():
    """Of 100 queries, n are answered at n per cent; of 40, as many as reach the coverage."""
    for n in (40, 100):
        truth = made_truth(n)
        runs = {"medprobclip": [made_result(truth, 2.0, 0)]}
        chosen = {("medprobclip", direction): "top_score" for direction in TURNS}
        table = curve_table(runs, runs, chosen).set_index(["direction", "k", "method"]).sort_index()
        (run,) = runs["medprobclip"]
        for direction, turn in TURNS.items():
            order = np.argsort(-turn(run.scores).max(1))
            wrong = (run.ranks[direction] > 1)[order]
            answered = [next(m for m in range(1, n + 1) if 100 * m >= share * n) for share in range(1, 101)]
            risk = table.loc[(direction, 1, "medprobclip"), "risk"]
            np.testing.assert_allclose(risk, [wrong[:m].mean() for m in answered])
            assert table.loc[(direction, 1, "medprobclip"), "answered"].tolist() == answered


def test_cases_of_every_level(calibration, test):
    run, fitted = test["clip"][0], calibrators(calibration["clip"][0], 40)
    cases = match_probabilities(run, fitted).set_index(["level", "calibrator"]).sort_index()
    for name in CALIBRATORS:
        pairs = cases.loc[("pairs", name)]
        np.testing.assert_allclose(pairs["p"], fitted[name](run.scores).ravel())
        np.testing.assert_array_equal(pairs["y"], run.truth.matches.ravel())
        for direction, turn in TURNS.items():
            queries = cases.loc[(direction, name)]
            first = np.sort(turn(run.scores), axis=1)[:, -10:]
            np.testing.assert_allclose(queries["p"], 1 - np.prod(1 - fitted[name](first), axis=1), atol=1e-9)
            np.testing.assert_array_equal(queries["y"], run.ranks[direction] <= 10)


def test_calibration_errors_are_means_over_the_runs(calibration, test):
    table = calibration_table(calibration, test).set_index(["method", "level", "calibrator"])
    assert len(table) == 2 * 3 * 3
    for method in NOISES:
        cases = [
            match_probabilities(run, calibrators(fitted, 40)).set_index(["level", "calibrator"]).sort_index()
            for fitted, run in zip(calibration[method], test[method], strict=True)
        ]
        for level, count in {"pairs": 1600, "i2t": 40, "t2i": 40}.items():
            for name in CALIBRATORS:
                row = table.loc[(method, level, name)]
                parts = [
                    (c.loc[(level, name), "p"].to_numpy(), c.loc[(level, name), "y"].to_numpy())
                    for c in cases
                ]
                assert row["cases"] == count
                assert row["matches"] == pytest.approx(np.mean([y.mean() for _, y in parts]))
                assert row["p"] == pytest.approx(np.mean([p.mean() for p, _ in parts]))
                assert row["brier"] == pytest.approx(np.mean([brier(p, y) for p, y in parts]))
                errors = [expected_calibration_error(p, y, 15) for p, y in parts]
                assert row["ece"] == pytest.approx(np.mean(errors))
                constant = [brier(np.full(len(y), y.mean()), y) for _, y in parts]
                assert row["brier_constant"] == pytest.approx(np.mean(constant))
    before, after = (
        table["p"].xs(name, level="calibrator").xs("pairs", level="level") for name in ("before", "platt")
    )
    share = table["matches"].xs("platt", level="calibrator").xs("pairs", level="level")
    assert (abs(after - share) < 0.01).all()  # though fitted in a smaller gallery
    assert abs(before - share)["medprobclip"] > 0.02


def test_probabilities_are_those_of_the_calibration_studies(calibration, other, test):
    """Of others, all but what was said as trained changes."""
    keys = ["method", "level", "calibrator"]
    one, two = (calibration_table(of, test).set_index(keys) for of in (calibration, other))
    for name in CALIBRATORS:
        before, after = (table.xs(name, level="calibrator") for table in (one, two))
        for column in ("p", "ace", "brier"):
            assert (before[column] == after[column]).all() == (name == "before")
        assert (before["matches"] == after["matches"]).all()


def test_diagrams_of_every_level_and_calibrator(calibration, test):
    cases = match_probabilities(test["clip"][0], calibrators(calibration["clip"][0], 40))
    table = diagram_table(cases)
    groups = {key: part for key, part in table.groupby(["level", "calibrator"])}
    assert len(groups) == 9
    part = cases[(cases["level"] == "t2i") & (cases["calibrator"] == "platt")]
    expected = reliability_diagram(part["p"].to_numpy(), part["y"].to_numpy(), 15, "mass")
    found = groups["t2i", "platt"].drop(columns=["level", "calibrator"]).reset_index(drop=True)
    np.testing.assert_array_equal(found, expected)
    assert {key: part["count"].sum() for key, part in groups.items()}["pairs", "isotonic"] == 1600
