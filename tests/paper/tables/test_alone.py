"""One method by itself as a small table, and the strengths that were chosen."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.paper.tables.alone import chosen_strengths, one_method

ROWS = [
    ("i2t", "R@1", "own", "medprobclip", 13.74, 11.0, 16.26),
    ("i2t", "R@1", "bank", "medprobclip", 14.0, 11.5, 16.7),
    ("i2t", "R@1", None, "random", 0.26, np.nan, np.nan),
    ("i2t", "R@1", None, "ceiling", 53.5, np.nan, np.nan),
    ("t2i", "plausible share", "own", "medprobclip", 28.0, 20.0, 37.0),
    ("t2i", "plausible share", None, "random", 14.5, np.nan, np.nan),
    ("both", "RSUM", "own", "medprobclip", 313.3, 293.7, 331.65),
]
COLUMNS = ["direction", "metric", "score", "method", "value", "low", "high"]


def test_a_line_a_measure_and_direction():
    table = one_method(pd.DataFrame(ROWS, columns=COLUMNS))
    assert table.index.tolist() == [
        ("R@1", "image to text"),
        ("wrong first answers coded alike", "text to image"),
        ("RSUM", "both together"),
    ]
    assert table.iloc[0].tolist() == ["13.7", "11.0 to 16.3", "14.0", "0.3", "53.5"]
    assert table.iloc[1].tolist() == ["28.0", "20.0 to 37.0", "–", "14.5", "–"]
    assert table.loc[("RSUM", "both together"), "random order"] == "–"


def test_several_methods_are_refused():
    table = pd.DataFrame([*ROWS, ("i2t", "R@1", "own", "clip", 14.1, 11.6, 16.8)], columns=COLUMNS)
    with pytest.raises(ValueError, match="medprobclip, clip"):
        one_method(table)
    with pytest.raises(ValueError, match="none"):
        one_method(table[table["method"] == "random"])


def test_strengths_are_told_without_the_term_and_with_it():
    rows = [
        ("medprobclip", 0.0, 40.0, 3.0, False), ("medprobclip", 0.5, 44.0, 1.5, True),
        ("clip", 0.0, 42.0, np.nan, True), ("clip", 0.5, 41.0, np.nan, False),
    ]  # fmt: skip
    table = chosen_strengths(pd.DataFrame(rows, columns=["method", "strength", "mAP@R", "skew", "chosen"]))
    assert table.index.tolist() == ["MedProbCLIP", "CLIP"]
    assert table.loc["MedProbCLIP"].tolist() == ["0.5", "40.0", "44.0", "3.0", "1.5"]
    assert table.loc["CLIP"].tolist() == ["0", "42.0", "42.0", "–", "–"]


def test_without_the_simulator_there_is_no_column_of_a_ceiling():
    rows = [row for row in ROWS if row[3] != "ceiling"]
    table = one_method(pd.DataFrame(rows, columns=COLUMNS))
    assert table.columns.tolist() == ["value", "95 % interval", "less the bank's term", "random order"]
    assert table.iloc[0].tolist() == ["13.7", "11.0 to 16.3", "14.0", "0.3"]


def test_strengths_are_told_by_what_they_were_chosen_by():
    rows = [("clip", 0.0, 300.0, 3.0, False), ("clip", 0.25, 310.4, 1.5, True)]
    table = chosen_strengths(pd.DataFrame(rows, columns=["method", "strength", "RSUM", "skew", "chosen"]))
    assert table.columns.tolist() == ["λ", "RSUM, λ = 0", "RSUM", "skew, λ = 0", "skew"]
    assert table.loc["CLIP"].tolist() == ["0.25", "300.0", "310.4", "3.0", "1.5"]
