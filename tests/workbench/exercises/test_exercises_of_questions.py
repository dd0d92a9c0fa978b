"""Notebook 06: right answers are called right, and a wrong one gets the hint that fits."""

import pytest

from medprobclip.workbench.checks import RIGHT, check


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("06.1", lambda n: 1 / (n + 1), RIGHT),
        ("06.1", lambda n: 1 / n, "places are counted"),
        ("06.1", lambda n: n / (n + 1), "at most"),
        ("06.1", lambda n: 0.1, "Solve it"),
        ("06.1", 0.004, "without calling it"),
        ("06.1", lambda n: {}, "cannot be used"),
        ("06.2", ("doubles", "halves", "stays"), RIGHT),
        ("06.2", [" Doubles", "HALVES", "stays"], RIGHT),
        ("06.2", "doubles, halves, stays", RIGHT),
        ("06.2", ("stays", "halves", "stays"), "twin"),
        ("06.2", ("doubles", "stays", "stays"), "among how many"),
        ("06.2", ("doubles", "halves", "halves"), "threshold"),
        ("06.2", "doubles", "Three words"),
        ("06.2", ("grows", "halves", "stays"), "Three words"),
        ("06.2", 3, "cannot be used"),
        ("06.3", [0, 0, 1.5], RIGHT),
        ("06.3", (0.0, 0.0, -3.0), RIGHT),
        ("06.3", [0, 0, 1], "not further off"),
        ("06.3", [0.5, 0, 3], "exactly on the film"),
        ("06.3", [0, 0], "Three numbers"),
        ("06.3", [0, 0, float("nan")], "Three numbers"),
        ("06.3", "far", "cannot be used"),
    ],
)
def test_what_is_said_of_an_answer(capsys, exercise, answer, hint):
    check(exercise, answer)
    assert hint in capsys.readouterr().out
