"""Kinds of findings by conspicuity, and the study to look at."""

import pandas as pd

from medprobclip.workbench.lessons import drawn


def test_kinds_are_told_by_their_better_film_the_best_first(monkeypatch):
    monkeypatch.setattr(drawn, "MOST_KINDS", 2)
    rendered = pd.DataFrame({
        "kind": ["net", "net", "net", "wire", "wire", "rare"],
        "pa_conspicuity": [0.1, 0.2, 0.1, 2.0, 1.0, 9.0],
        "lateral_conspicuity": [0.3, 0.1, 0.6, 1.0, 3.0, 9.0],
    })  # fmt: skip
    table = drawn.conspicuity_by_kind(rendered)
    assert table["group"].tolist() == ["wire", "net"]
    assert table["studies"].tolist() == [2, 3]
    assert table["median"].tolist() == [2.5, 0.3]


def test_a_study_with_both_films_and_several_codes_is_shown():
    studies = pd.DataFrame({
        "codes": [("a",) * 2, ("a",) * 3, ("a",) * 7, ("a",) * 4],
        "view_names": [("PA", "LATERAL"), ("PA",), ("PA", "LATERAL"), ("PA", "LATERAL")],
    })  # fmt: skip
    assert drawn.study_with_findings(studies).name == 3
