"""Promises over random splits against loops over splits and queries."""

from dataclasses import replace

import numpy as np
import pytest
from pooled import made_pair, without
from scipy.stats import binom

from medprobclip.evaluation.confidence import softmax_maximum
from medprobclip.evaluation.conformal import p_values, risk_control_threshold, set_threshold
from medprobclip.evaluation.retrieval import TURNS, first_match_ranks
from medprobclip.evaluation.selective import selective_threshold
from medprobclip.paper.tables.guarantees import K, guarantee_table
from medprobclip.paper.tables.names import ALARMS, ALPHAS, DELTA, RISKS
from medprobclip.paper.tables.pooled_studies import Pool, film_groups, finding_groups

pytestmark = pytest.mark.usefixtures("made_model")
SPLITS = 20
KEYS = ["what", "direction", "right", "grouped", "group", "level"]


@pytest.fixture(scope="module")
def table(pair):
    return guarantee_table(*pair, splits=SPLITS)


@pytest.fixture(scope="module")
def pool(pair):
    return Pool.of(*(results["medprobclip"][0] for results in pair))


@pytest.fixture(scope="module")
def splits(pool):
    """The real one, and those that are drawn."""
    return [np.arange(80) < 30, *pool.splits(SPLITS)]


def row(table, *keys):
    (found,) = table[(table[KEYS[: len(keys)]] == list(keys)).all(axis=1)].to_dict("records")
    return found


def assert_means(found, shares):
    """Of each split, the real one first."""
    assert found["actual"] == pytest.approx(shares[0])
    assert found["value"] == pytest.approx(np.mean(shares[1:]))
    assert found["error"] == pytest.approx(np.std(shares[1:]) / np.sqrt(len(shares) - 1))
    assert found["least"] == pytest.approx(np.percentile(shares[1:], 2.5))
    assert found["most"] == pytest.approx(np.percentile(shares[1:], 97.5))


def test_every_promise_has_a_row(table):
    assert (table["method"] == "medprobclip").all()
    assert not table[KEYS].duplicated().any()
    for direction in TURNS:
        own = table[table["direction"] == direction]
        assert sorted(own.loc[own["what"] == "missed", "level"]) == list(ALPHAS)
        assert sorted(own.loc[own["what"] == "false alarms", "level"]) == list(ALARMS)
        assert sorted(own.loc[own["what"] == "selective", "level"]) == list(RISKS)
    assert set(table.loc[table["grouped"] == "films", "direction"]) == {"i2t"}
    coverage = table[table["what"] == "coverage"]
    np.testing.assert_allclose(coverage["promise"], 1 - coverage["level"])


@pytest.mark.parametrize("direction", ["i2t", "t2i"])
@pytest.mark.parametrize("right", ["wording", "coding"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_coverage_is_counted(table, pool, splits, direction, right, alpha):
    scores, matches = (TURNS[direction](of) for of in (pool.scores, pool.right[right]))
    shares, sizes = [], []
    for calibrates in splits:
        best = [max(scores[i][matches[i]]) for i in np.flatnonzero(calibrates)]
        threshold = set_threshold(np.array(best), alpha)
        tested = np.flatnonzero(~calibrates)
        shares.append(np.mean([any(scores[i][matches[i]] >= threshold) for i in tested]))
        sizes.append(np.median([sum(scores[i] >= threshold) for i in tested]))
    found = row(table, "coverage", direction, right, "all", "all", alpha)
    assert_means(found, shares)
    assert found["size"] == pytest.approx(np.mean(sizes[1:]))
    assert (found["calibration"], found["queries"]) == (30, 50)
    low, high = binom.interval(0.95, SPLITS, 1 - alpha)
    assert (found["low"], found["high"]) == (low / SPLITS, high / SPLITS)
    assert 0 <= found["once"] <= 1
    assert (found["once"] * SPLITS) == pytest.approx(round(found["once"] * SPLITS))


@pytest.mark.parametrize(("direction", "grouped"), [("i2t", "films"), ("i2t", "finding"), ("t2i", "finding")])
def test_coverage_by_group_is_counted(table, pool, splits, direction, grouped):
    """The finding of a film is not known: every answer is held to its own group's threshold."""
    groups = (film_groups if grouped == "films" else finding_groups)(pool.studies)
    scores, matches = (TURNS[direction](of) for of in (pool.scores, pool.right["wording"]))
    of_answers = (direction, grouped) == ("i2t", "finding")
    shares = {group: [] for group in groups}
    for calibrates in splits:
        for group in shares:
            allowed = matches & (groups == group) if of_answers else matches
            rows = np.flatnonzero(groups == group)
            best = np.array([max(scores[i][allowed[i]]) for i in rows if calibrates[i]])
            threshold = set_threshold(best, 0.1)
            tested = [i for i in rows if not calibrates[i]]
            shares[group].append(np.mean([any(scores[i][allowed[i]] >= threshold) for i in tested]))
    for group, of in shares.items():
        found = row(table, "coverage", direction, "wording", grouped, group, 0.1)
        assert_means(found, of)
        drawn = [calibrates[groups == group].sum() for calibrates in splits[1:]]
        assert found["calibration"] == pytest.approx(np.mean(drawn))
        assert found["queries"] == pytest.approx((groups == group).sum() - np.mean(drawn))


@pytest.mark.parametrize("direction", ["i2t", "t2i"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_missed_answers_are_counted(table, pool, splits, direction, alpha):
    scores, matches = (TURNS[direction](of) for of in (pool.scores, pool.right["coding"]))
    shares = []
    for calibrates in splits:
        least = risk_control_threshold(scores[calibrates], matches[calibrates], alpha)
        shares.append(np.mean([np.mean(scores[i][matches[i]] < least) for i in np.flatnonzero(~calibrates)]))
    assert_means(row(table, "missed", direction, "coding", "all", "all", alpha), shares)


@pytest.mark.parametrize("direction", ["i2t", "t2i"])
@pytest.mark.parametrize("alpha", ALARMS)
def test_false_alarms_are_counted(table, pool, splits, direction, alpha):
    strange = pool.strangeness[direction]
    shares = [np.mean(p_values(strange[~c], strange[c]) <= alpha) for c in splits]
    assert_means(row(table, "false alarms", direction, "", "all", "all", alpha), shares)


@pytest.mark.parametrize("direction", ["i2t", "t2i"])
@pytest.mark.parametrize("risk", RISKS)
def test_selective_answers_are_counted(table, pool, splits, direction, risk):
    scores, matches = (TURNS[direction](of) for of in (pool.scores, pool.right["coding"]))
    sure, wrong = softmax_maximum(scores), first_match_ranks(scores, matches) > K
    broken, answered = [], []
    for calibrates in splits:
        least = selective_threshold(sure[calibrates], wrong[calibrates], risk, DELTA)
        of = [w for c, w in zip(sure, wrong, strict=True) if least is not None and c >= least]
        broken.append(len(of) > 0 and np.mean(of) > risk)
        answered.append(len(of) / 80)
    found = row(table, "selective", direction, "coding", "all", "all", risk)
    assert (found["value"], found["actual"]) == (np.mean(broken[1:]), broken[0])
    assert found["answered"] == pytest.approx(np.mean(answered[1:]))
    assert found["none"] == np.mean(np.array(answered[1:]) == 0)


def test_a_group_that_is_never_asked_has_no_row():
    """One study of its kind, which calibrates in the only split."""
    runs = []
    for results in made_pair(6, 2):
        (run,) = results["medprobclip"]
        codes = [("normal",)] * len(run.truth)
        codes[0] = ("Cardiomegaly",) if not runs else codes[0]
        truth = replace(run.truth, studies=run.truth.studies.assign(codes=codes))
        runs.append({"medprobclip": [replace(run, truth=truth)]})
    calibration, test = runs
    pool = Pool.of(calibration["medprobclip"][0], test["medprobclip"][0])
    seed = next(seed for seed in range(50) if pool.splits(1, seed)[0, 0])
    table = guarantee_table(calibration, test, splits=1, seed=seed)
    assert set(table.loc[table["grouped"] == "finding", "group"]) == {"normal"}


def test_without_strangeness_there_are_no_alarms():
    table = guarantee_table(*made_pair(strange=False), splits=2)
    assert set(table["what"]) == {"coverage", "missed", "selective"}


def test_without_a_coding_the_rows_by_wording_are_left(pair, table):
    left = guarantee_table(*without(pair, "codes", "appearance"), splits=SPLITS)
    assert set(left["right"]) == {"wording", ""}
    assert set(left["grouped"]) == {"all", "films"}
    keys = [
        ["coverage", "t2i", "wording", "all", "all", 0.1],
        ["coverage", "i2t", "wording", "films", "one film", 0.1],
    ]
    for key in keys:
        assert row(left, *key)["value"] == row(table, *key)["value"]
    pool = Pool.of(*(results["medprobclip"][0] for results in pair))
    scores, matches = pool.scores, pool.right["wording"]
    sure, wrong, broken = softmax_maximum(scores), first_match_ranks(scores, matches) > K, []
    for calibrates in pool.splits(SPLITS):
        least = selective_threshold(sure[calibrates], wrong[calibrates], 0.5, DELTA)
        broken.append(least is not None and wrong[sure >= least].mean() > 0.5)
    assert row(left, "selective", "i2t", "wording", "all", "all", 0.5)["value"] == np.mean(broken)


def test_three_calibration_studies_promise_the_whole_gallery():
    table = guarantee_table(*made_pair(3, 12), splits=5)
    sets = table[(table["what"] == "coverage") & (table["grouped"] == "all")]
    assert (sets["size"] == 15).all()
    assert (sets[["value", "actual"]] == 1).all(axis=None)
