"""What is said of a film and its reports follows their numbers."""

import pandas as pd

from medprobclip.paper.findings.headlines import headline


def said(distances: tuple[float, float], scores: tuple[float, float], wide: float) -> str:
    rows = {"name": ["film", "“A.”", "“B.”"], "distance": [None, *distances], "score": [None, *scores]}
    return headline("two_gaussians", pd.DataFrame(rows | {"sigma_1": [1, 1, wide], "sigma_2": 1}))


def test_the_best_reports_are_named():
    assert said((1, 2), (-3, -2), 2) == (
        "By distance “A.” is the film's best report, by overlap the vaguer “B.” is."
    )
    assert "by overlap the surer “B.” is" in said((1, 2), (-3, -2), 0.5)
    assert said((1, 2), (-2, -3), 2) == "By distance and by overlap “A.” is the film's best report."
