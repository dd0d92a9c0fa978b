"""What the variance knows: properties by hand, and each row of the table against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from test_scored_runs import made_results

from medprobclip.evaluation.reliability import partial_rank_correlation, severity_correlation
from medprobclip.paper.tables.variance_knowledge import (
    PROPERTIES,
    knowledge_table,
    knows_variance,
    properties,
)

INPUTS = {"image": ["sharing", "conspicuity", "findings", "rarity"]}
INPUTS["report"] = ["sharing", "findings", "rarity", "length"]
DIRECTIONS = {"image": "i2t", "report": "t2i"}


def test_properties_by_hand():
    studies = pd.DataFrame({
        "study_id": ["a", "b", "c", "d", "e", "f"],
        "codes": [("normal",), ("Cardiomegaly", "Nodule/left"), ("normal",), ("No Indexing",), ("Rare",), ()],
        "view_names": [("PA",), ("LATERAL", "PA"), ("PA",), ("PA",), ("LATERAL",), ("LATERAL",)],
        "findings": ["Clear lungs.", "A large heart.  A nodule\nis seen.", "", "x", "y z", "One two three"],
    })  # fmt: skip
    train = pd.DataFrame(
        {"codes": [("normal",)] * 5 + [("Cardiomegaly", "Cardiomegaly")] * 2 + [("Nodule/left", "x")] + [()]}
    )
    rendered = pd.DataFrame({
        "study_id": ["b", "b", "e", "elsewhere"],
        "pa_conspicuity": [0.5, 1.5, np.nan, 9], "lateral_conspicuity": [0.1, 0.3, 0.7, 9],
    })  # fmt: skip
    table = properties(studies, rendered, train).set_index("study_id")
    assert table["normal"].tolist() == [True, False, True, False, False, False]
    np.testing.assert_array_equal(table["sharing"], [2, 1, 2, np.nan, 1, np.nan])
    np.testing.assert_array_equal(table["findings"], [0, 2, 0, np.nan, 1, np.nan])
    normal, heart, nodule, rare = -np.log(np.array([6, 3, 2, 1]) / 10)  # of nine training studies, one added
    expected = [normal, (heart + nodule) / 2, normal, np.nan, rare, np.nan]
    np.testing.assert_allclose(table["rarity"], expected)
    np.testing.assert_allclose(table["conspicuity"], [np.nan, 1.0, np.nan, np.nan, 0.7, np.nan])
    assert table["length"].tolist() == [2, 7, 0, 1, 2, 3]


def test_of_ones_own_tables_less_is_known():
    """Without a simulator no conspicuity, without a coding nothing that asks for one: no empty columns."""
    studies = pd.DataFrame({
        "study_id": ["a", "b"], "codes": [("normal",), ("Edema", "Pneumonia/uncertain")],
        "view_names": [("PA",), ("",)], "findings": ["Clear lungs.", "Edema."],
    })  # fmt: skip
    table = properties(studies, None, studies)
    assert list(table) == ["study_id", "normal", "sharing", "findings", "rarity", "length"]
    assert table["findings"].tolist() == [0, 2]
    for uncoded in (studies.drop(columns="codes"), studies.assign(codes=[(), ()])):
        assert list(properties(uncoded, None, uncoded)) == ["study_id", "length"]


@pytest.fixture(scope="module")
def test_runs():
    return made_results({"clip": 3.0, "medprobclip": 1.5, "pcme++": 2.0}, n=40)


@pytest.fixture(scope="module")
def known():
    """Of 40 studies: 12 normal, 3 not coded, nothing drawn in every fifth of the others."""
    generator = np.random.default_rng(0)
    normal, uncoded = np.arange(40) % 10 < 3, np.arange(40) % 13 == 12
    table = pd.DataFrame({
        "study_id": [f"s{i}" for i in range(40)], "normal": normal & ~uncoded,
        "sharing": np.where(normal, 12.0, generator.integers(1, 3, 40)),
        "findings": np.where(normal, 0.0, generator.integers(1, 5, 40)),
        "rarity": np.where(normal, 1.0, 2 + generator.random(40)),
        "conspicuity": np.where(normal | (np.arange(40) % 5 == 4), np.nan, generator.random(40)),
        "length": generator.integers(5, 60, 40),
    })  # fmt: skip
    table.loc[uncoded, ["sharing", "findings", "rarity", "conspicuity"]] = np.nan
    return table


@pytest.fixture(scope="module")
def severity():
    generator = np.random.default_rng(1)
    return {m: generator.normal(size=(3, 6, 40)) + np.arange(6)[:, None] for m in ("clip", "medprobclip")}


@pytest.fixture(scope="module")
def table(test_runs, known, severity):
    return knowledge_table(test_runs, known, severity)


def counted(known: pd.DataFrame, name: str) -> pd.Series:
    """The studies behind a row, by the words of the docstring."""
    coded = known["sharing"].notna()
    if name == "sharing_abnormal":
        return coded & (known["findings"] > 0)
    if name == "conspicuity":
        return known["conspicuity"].notna()
    return (known["sharing"] == 1) if name == "rank_unambiguous" else coded


def test_rows_are_the_methods_with_a_learned_variance(table):
    names = [name for name in PROPERTIES if name not in ("length", "severity")]
    image, report = names, [n for n in PROPERTIES if n not in ("conspicuity", "severity")]
    expected = [("medprobclip", "image", name) for name in [*image, "severity"]]
    expected += [("medprobclip", "report", name) for name in report]
    expected += [("pcme++", "image", name) for name in image]  # no faults were measured
    expected += [("pcme++", "report", name) for name in report]
    assert list(table[["method", "side", "property"]].itertuples(index=False, name=None)) == expected
    assert [knows_variance(m) for m in ("medprobclip", "pcme++", "clip", "cxr-clip")] == [
        True,
        True,
        False,
        False,
    ]


def test_each_row_against_its_definition(table, test_runs, known):
    for row in table[table["property"] != "severity"].to_dict("records"):
        run, inputs = test_runs[row["method"]][0], INPUTS[row["side"]]
        all_known = known.assign(rank=run.ranks[DIRECTIONS[row["side"]]]).fillna({"conspicuity": 0})
        column = {"sharing_abnormal": "sharing", "rank_unambiguous": "rank"}.get(
            row["property"], row["property"]
        )
        rows = counted(known, row["property"])
        variance = run.total_variance[DIRECTIONS[row["side"]]][rows]
        values, others = all_known[rows][column], all_known[rows][[n for n in inputs if n != column]]
        assert row["n"] == rows.sum()
        assert row["rho"] == pytest.approx(spearmanr(variance, values).statistic), row
        partial = partial_rank_correlation(variance, values.to_numpy(), others.to_numpy())
        assert [row[f"partial{end}"] for end in ("", "_low", "_high")] == pytest.approx(partial), row
        assert row["rho_low"] < row["rho"] < row["rho_high"]
    assert table["n"].nunique() >= 4


def test_what_is_not_known_has_no_row(test_runs, known, table):
    """Without conspicuity the others are given less; without a coding all studies count."""
    (run, *_), runs = test_runs["medprobclip"], {"medprobclip": test_runs["medprobclip"]}
    own = knowledge_table(runs, known.drop(columns="conspicuity")).set_index(["side", "property"])
    every = table[table["method"] == "medprobclip"].set_index(["side", "property"])
    assert list(own.index) == [key for key in every.index if key[1] not in ("conspicuity", "severity")]
    rows = known["sharing"].notna()
    partial = partial_rank_correlation(
        run.total_variance["i2t"][rows], known["rarity"][rows].to_numpy(),
        known.loc[rows, ["sharing", "findings"]].to_numpy(),
    )  # fmt: skip
    assert own.loc[("image", "rarity"), "partial"] == pytest.approx(partial[0])
    bare = knowledge_table(runs, known[["study_id", "length"]]).set_index(["side", "property"])
    assert list(bare.index) == [("image", "rank"), ("report", "length"), ("report", "rank")]
    assert (bare["n"] == 40).all()
    assert bare["rho"].notna().all()
    assert bare["partial"].isna().tolist() == [True, True, False]  # nothing else is known of a radiograph


def test_severity_is_that_of_the_faults(table, severity):
    (row,) = table[table["property"] == "severity"].to_dict("records")
    found = [row[name] for name in ("rho", "rho_low", "rho_high")]
    assert found == pytest.approx(severity_correlation(severity["medprobclip"]))
    assert row["n"] == 40
    assert np.isnan(row["partial"])


def test_without_a_learned_variance_there_is_nothing_to_say(test_runs, known, table):
    empty = knowledge_table({"clip": test_runs["clip"]}, known)
    assert empty.empty
    assert list(empty) == list(table)


def test_properties_of_other_studies_are_refused(test_runs, known):
    with pytest.raises(ValueError, match="properties of 39 studies"):
        knowledge_table(test_runs, known.iloc[1:])
