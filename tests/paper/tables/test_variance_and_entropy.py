"""The paired difference of two confidences' areas in the table of selective retrieval, by a loop."""

import numpy as np
import pytest
from test_scored_runs import made_results

from medprobclip.evaluation.reliability import risk_coverage
from medprobclip.paper.tables.reliability import run_confidences, selective_table

NOISES = {"clip": 3.0, "medprobclip": 1.5}
COLUMNS = ["less_entropy", "less_entropy_low", "less_entropy_high"]
N = 40


@pytest.fixture(scope="module")
def calibration():
    return made_results({"clip": 2.5, "medprobclip": 1.2}, n=25)


@pytest.fixture(scope="module")
def test():
    return made_results(NOISES, n=N)


@pytest.fixture(scope="module")
def table(calibration, test):
    selective = selective_table(calibration, calibration, test)
    return selective.set_index(["method", "direction", "k", "confidence"]).sort_index()


def test_only_the_variance_at_ten_has_a_difference(table):
    assert table.index.is_unique
    here = table[COLUMNS].dropna()
    assert set(here.index) == {(m, d, 10, "variance") for m in NOISES for d in ("i2t", "t2i")}
    assert table[COLUMNS].notna().sum().tolist() == [4, 4, 4]


def test_it_is_the_difference_of_the_areas(table):
    for (method, direction, k, _), row in table[COLUMNS].dropna().iterrows():
        areas = table.loc[(method, direction, k), "aurc"]
        assert row["less_entropy"] == pytest.approx(areas["variance"] - areas["entropy"])
        assert abs(row["less_entropy"]) > 1e-4


def test_bounds_draw_queries_and_runs(calibration, test, table):
    """Both areas of the same queries; of two runs each draw takes one."""
    rows = np.random.default_rng((0, 0)).integers(0, N, (2000, N))
    for salt, method in enumerate(test):
        chosen = np.random.default_rng((0, 1, salt)).integers(0, 2, (2000, 1))[:, 0]
        for direction in ("i2t", "t2i"):
            of = [
                (run_confidences(fitted, run, direction)[10], run.ranks[direction] > 10)
                for fitted, run in zip(calibration[method], test[method], strict=True)
            ]
            drawn = []
            for r, number in zip(rows, chosen, strict=True):
                sure, wrong = of[number]
                areas = [risk_coverage(sure[name][r], wrong[r]).aurc for name in ("variance", "entropy")]
                drawn.append(areas[0] - areas[1])
            row = table.loc[(method, direction, 10, "variance"), COLUMNS[1:]].astype(float)
            np.testing.assert_allclose(row, np.percentile(drawn, [2.5, 97.5]))
