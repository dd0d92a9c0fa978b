"""The four numbers of the README: opposite numbers, opposite words; what is not there is not spoken of."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.paper.findings.readme import BEGIN, END, NEEDED, what_was_found, with_part

BELOW, ACROSS, ABOVE, UNKNOWN = (-0.3, -0.1), (-0.1, 0.1), (0.1, 0.3), (np.nan, np.nan)


def table_1(rival: tuple[float, float] = ABOVE, methods=("medprobclip", "clip")) -> pd.DataFrame:
    """Every value is its own, so that a row taken for another would show."""
    rows, value = [], 10.0
    for direction, metric in (("i2t", "R@5"), ("i2t", "R@10"), ("t2i", "R@10"), ("both", "RSUM")):
        for score in ("own", "bank"):
            for method in methods:
                rows.append((direction, metric, score, method, value))
                value += 1
        rows += [
            (direction, metric, None, "random", value + 30),
            (direction, metric, None, "ceiling", value + 40),
        ]
    table = pd.DataFrame(rows, columns=["direction", "metric", "score", "method", "value"])
    table["low"], table["high"] = table["value"] - 3, table["value"] + 5
    of_rival = (table["method"] == "clip") & (table["score"] == "own")
    for column, bound in (("low", 100 * rival[0]), ("high", 100 * rival[1])):
        table.loc[of_rival, f"difference_{column}"] = bound
    table.loc[of_rival, "difference"] = 50 * sum(rival)
    return table


def guarantees(value: float, error: float = 0.01) -> pd.DataFrame:
    row = {"method": "medprobclip", "what": "coverage", "direction": "i2t", "right": "wording"}
    row |= {"grouped": "all", "level": 0.1, "promise": 0.9, "value": value, "error": error}
    row |= {"calibration": 257, "queries": 684, "size": 230.4, "actual": 0.87}
    others = [
        {"level": 0.2},
        {"direction": "t2i"},
        {"right": "coding"},
        {"grouped": "sharing"},
        {"what": "missed"},
    ]
    wrong = {"value": 0.11, "size": 11.0, "actual": 0.12}
    return pd.DataFrame([row, *(row | other | wrong for other in others)])


def robustness(strange: tuple[float, float], variance: tuple[float, float]) -> pd.DataFrame:
    rows = [
        (panel, severity, doubt, 0.5 + low + shift, 0.5 + high + shift, 0.5 + (low + high) / 2 + shift)
        for panel, severity, shift in (("mean of faults", 3, 0), ("mean of faults", 5, 9), ("by fault", 3, 9))
        for doubt, (low, high) in (("strangeness", strange), ("variance", variance), ("entropy", (9, 9)))
    ]
    return pd.DataFrame(rows, columns=["panel", "severity", "doubt", "low", "high", "auroc"]).assign(
        method="medprobclip"
    )


def confidences(first: tuple[float, float], second: tuple[float, float]) -> pd.DataFrame:
    rows = [
        (method, direction, low, high, np.nan_to_num((low + high) / 2))
        for method in ("clip", "medprobclip")
        for direction, (low, high) in (("i2t", first), ("t2i", second))
    ]
    columns = ["method", "direction", *(f"less_entropy{part}" for part in ("_low", "_high", ""))]
    table = pd.DataFrame(rows, columns=columns)
    table.loc[table["method"] == "clip", "less_entropy"] += 7
    return pd.concat([table, table.assign(less_entropy=np.nan)])


@pytest.fixture
def told(tmp_path):
    """What is told of tables in a folder that holds nothing else."""

    def tell(**tables: pd.DataFrame) -> list[str]:
        for path in tmp_path.glob("*.csv"):
            path.unlink()
        for name, table in tables.items():
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        return what_was_found(tmp_path)

    return tell


def test_recall_stands_between_chance_and_a_perfect_reader(told):
    first, _ = told(table_1=table_1())
    assert first == (
        "**14 %** [11, 19] of the test films find a right report among MedProbCLIP's first ten. "
        "Chance finds 48 %, a perfect reader of these films 58 %."
    )
    (alone,) = told(table_1=table_1(methods=("clip",)))
    assert alone.startswith("**12 %** [9, 17] of the test films find a right report among CLIP's first ten.")


@pytest.mark.parametrize(
    ("bounds", "number", "said"),
    [
        (ABOVE, "**+20** [+10, +30]", "is ahead of"),
        (BELOW, "**-20** [-30, -10]", "is behind"),
        (ACROSS, "** [-10, +10]", "is not shown to differ from"),
    ],
)
def test_the_simpler_method_is_told_as_its_interval_is(told, bounds, number, said):
    *_, last = told(table_1=table_1(bounds))
    assert f"{number} in RSUM, the sum of recalls: CLIP, " in last
    assert last.endswith(f" one view and one section, {said} MedProbCLIP (22 of 800).")


@pytest.mark.parametrize(
    ("value", "said"), [(0.903, "kept"), (0.885, "kept"), (0.875, "broken"), (0.5, "broken")]
)
def test_a_promise_is_kept_within_two_standard_errors(told, value, said):
    (sentence,) = told(guarantees=guarantees(value))
    assert f"splits (87 % in the demo's own): the promise is {said} on average. It takes " in sentence
    assert sentence.endswith("It takes 230 of 941 reports in the median.")
    assert sentence.startswith(f"**{100 * value:.0f} %** of the sets that promise a right report with 90 %")


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        (ABOVE, "notices them"), (BELOW, "is *smaller* for them"),
        (ACROSS, "is not shown to notice them"), (UNKNOWN, "is not shown to notice them"),
    ],
)  # fmt: skip
def test_either_doubt_has_its_own_verdict(told, bounds, verdict):
    middle = f"{0.5 + sum(bounds) / 2:.2f}"
    (strange,), (learned,) = (
        told(robustness=robustness(*pair)) for pair in ((bounds, (0.02, 0.04)), ((0.02, 0.04), bounds))
    )
    assert strange.startswith(f"**{middle}** is the AUROC of *strangeness*")
    assert f"it {verdict}. The learned variance, 0.53, notices them." in strange
    assert learned.startswith("**0.53** ")
    assert learned.endswith(f"it notices them. The learned variance, {middle}, {verdict}.")


def test_variance_against_entropy_by_direction(told):
    (both,) = told(confidences=confidences(ABOVE, ABOVE))
    assert both == (
        "As a confidence the learned variance loses to the plain entropy of the scores (AURC, less is "
        "better: +0.20 image to text and +0.20 text to image)."
    )
    (apart,) = told(confidences=confidences(BELOW, ACROSS))
    assert "variance beats the plain entropy of the scores (AURC, " in apart
    assert "less is better: -0.20 image to text) but cannot be told from the plain entropy" in apart


def test_the_simpler_method_and_the_entropy_are_one_point(told):
    _, last = told(table_1=table_1(), confidences=confidences(ABOVE, ABOVE))
    assert last.startswith("**+20** [+10, +30] in RSUM")
    assert "As a confidence" in last


def test_nothing_is_said_of_what_is_not_there_or_older(told, tmp_path):
    assert told() == []
    (tmp_path / "table_1.csv").write_text("of another form\n1\n")
    guarantees(0.9).to_csv(tmp_path / "guarantees.csv")
    (sentence,) = what_was_found(tmp_path, {"guarantees", "figure_1"})
    assert "promise" in sentence
    assert set(NEEDED) > {"guarantees"}


def test_of_somebodys_own_radiographs_nothing_is_said_of_the_demo(tmp_path):
    own = table_1()
    tables = {
        "table_1": own[own["method"] != "ceiling"],
        "guarantees": guarantees(0.9),
        "robustness": robustness(ABOVE, ACROSS),
    }
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    found, promise, faults, _ = what_was_found(tmp_path, simulated=False)
    assert found.endswith("Chance finds 48 %.")
    assert "(87 % in the tables' split)" in promise
    assert "0.5 is a coin): it" in faults
    assert not any("demo" in said or "CT" in said for said in (found, promise, faults))


PART = BEGIN.format("findings"), END.format("findings")


def test_only_what_stands_between_the_marks_is_written():
    begin, end = PART
    page = f"# Title\n\nbefore\n{begin}\n- old\n- older\n{end}\nafter {end}\n"
    once = with_part(page, "findings", ["One.", "Two."])
    assert once == f"# Title\n\nbefore\n{begin}\nOne.\nTwo.\n{end}\nafter {end}\n"
    assert with_part(once, "findings", ["One.", "Two."]) == once
    assert with_part(once, "findings", ["Three."]) == with_part(page, "findings", ["Three."])


@pytest.mark.parametrize("page", ["", f"{PART[0]} alone", f"{PART[1]} alone", f"{PART[1]} before {PART[0]}"])
def test_a_page_without_marks_has_no_place(page):
    with pytest.raises(ValueError, match="no place for 'findings'"):
        with_part(page, "findings", ["One."])
