"""Variance, shared codings and rank: groups by a loop, both controls against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from test_scored_runs import made_results

from medprobclip.evaluation.reliability import correlation_change, rank_correlation
from medprobclip.paper.tables import ambiguity
from medprobclip.paper.tables.ambiguity import (
    control_table,
    rank_by_variance,
    sharing_panels,
    variance_by_sharing,
)

DIRECTIONS = {"image": "i2t", "report": "t2i"}


@pytest.fixture(scope="module")
def run():
    return made_results({"medprobclip": 1.5}, seeds=1, n=60)["medprobclip"][0]


@pytest.fixture(scope="module")
def known():
    """Of 60 studies: 35 normal, 3 not coded, the others alone or in pairs."""
    normal, uncoded = np.arange(60) < 35, np.arange(60) >= 57
    table = pd.DataFrame({
        "normal": normal, "sharing": np.where(normal, 35.0, 1 + np.arange(60) % 2), "rarity": 1.0,
        "conspicuity": np.nan,
    })  # fmt: skip
    table.loc[uncoded, ["sharing", "rarity"]] = np.nan
    return table


def test_variances_are_grouped_by_how_many_share_the_coding(run, known):
    table = variance_by_sharing(run, known).set_index(["side", "group"])
    for side, direction in DIRECTIONS.items():
        for group, number in {"only it": 1, "2 – 5": 2, "more": 35}.items():
            inside = run.total_variance[direction][(known["sharing"] == number).to_numpy()]
            row = table.loc[(side, group)]
            assert row["studies"] == len(inside)
            assert row["median"] == pytest.approx(np.median(inside))
    assert len(table) == 6  # nobody has 6 to 30
    assert table["studies"].sum() == 2 * 57


def test_ranks_are_those_of_fifths_of_the_variance(run):
    table = rank_by_variance(run).set_index(["side", "group"])
    assert table["studies"].tolist() == [12] * 10
    for side, direction in DIRECTIONS.items():
        order = sorted(range(60), key=lambda i: run.total_variance[direction][i])
        for group, part in {"surest": order[:12], "3rd": order[24:36], "least sure": order[48:]}.items():
            assert table.loc[(side, group), "median"] == np.median(run.ranks[direction][part])


def test_controls_are_correlations_of_fewer_studies(run, known):
    table = control_table(run, known).set_index(["side", "property"])
    coded, alone = known["sharing"].notna().to_numpy(), (known["sharing"] == 1).to_numpy()
    for side, direction in DIRECTIONS.items():
        variance, ranks, sharing = run.total_variance[direction], run.ranks[direction], known["sharing"]
        for whole, fewer, values, kept in (
            ("sharing", "sharing_abnormal", sharing.to_numpy(), coded & ~known["normal"].to_numpy()),
            ("rank", "rank_unambiguous", ranks, alone),
        ):
            for name, rows in ((whole, coded), (fewer, kept)):
                row = table.loc[(side, name)]
                assert row["n"] == rows.sum()
                assert row["rho"] == pytest.approx(spearmanr(variance[rows], values[rows]).statistic)
                bounds = rank_correlation(variance[rows], values[rows])[1:]
                assert (row["rho_low"], row["rho_high"]) == pytest.approx(bounds)
            change = correlation_change(variance[coded], values[coded], kept[coded])
            row = table.loc[(side, fewer)]
            assert (row["change"], row["change_low"], row["change_high"]) == pytest.approx(change)
            assert row["change"] == pytest.approx(row["rho"] - table.loc[(side, whole), "rho"])
            assert np.isnan(table.loc[(side, whole), "change"])


def test_the_panels_stand_below_each_other(run, known, monkeypatch):
    made = pd.DataFrame({"side": ["image"], "rho": [0.5]})
    monkeypatch.setattr(ambiguity, "control_table", lambda run, known: made)
    panels, numbers = sharing_panels(run, known, "clip")
    assert [len(panel) for panel in panels] == [6, 10, 1]
    assert panels[2] is made
    assert numbers["method"].tolist() == ["clip"] * 17
    assert numbers["panel"].tolist() == [
        *["variance by sharing"] * 6, *["rank by variance"] * 10, "correlation"
    ]  # fmt: skip
    assert numbers["rho"].dropna().tolist() == [0.5]


def test_without_studies_there_is_no_correlation(run, known):
    table = control_table(run, known.assign(normal=True, sharing=60.0)).set_index("property")
    assert table.loc["rank_unambiguous", "n"].tolist() == [0, 0]
    assert table.loc["rank_unambiguous", ["rho", "change"]].isna().all(axis=None)
