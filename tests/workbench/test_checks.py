"""Exercises: right answers are called right, wrong ones get the hint that fits, and no answer is given away.

The folded answers run with their notebooks in tests/paper/test_reproduce.py.
"""

import re

import nbformat
import numpy as np
import pytest
from scipy.stats import norm

from medprobclip.workbench.checks import EXERCISES, OPEN, RIGHT, check
from medprobclip.workbench.workspace import ROOT

NOTEBOOKS = {
    path.stem[:2]: nbformat.read(path, 4).cells for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}


def said(capsys, exercise, answer) -> str:
    check(exercise, answer)
    return capsys.readouterr().out.strip()


def right(dmu, s):
    return norm.logpdf(0, dmu, np.sqrt(s))


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("00.1", 8, RIGHT),
        ("00.1", 8.01, RIGHT),
        ("00.1", 9, "That is s."),
        ("00.1", 3, "its square"),
        ("00.1", 8**0.5, "variance"),
        ("00.1", 1, "flat"),
        ("00.1", "wide", "cannot be used"),
        ("00.2", right, RIGHT),
        ("00.2", lambda d, s: -right(d, s), "sign"),
        ("00.2", lambda d, s: 0.5 * (d**2 / s + np.log(s)), "sign"),
        ("00.2", lambda d, s: -(d**2 / s + np.log(s)), "where is the ½"),
        ("00.2", lambda d, s: 2 * right(d, s), "where is the ½"),
        ("00.2", lambda d, s: right(d, s) - 1.0, "missing or wrong"),
        ("00.2", lambda d, s: d * s, "density of a Gaussian with mean Δμ"),
        ("00.2", lambda d, s: np.exp(right(d, s)), "the density"),
        ("00.2", lambda d, s: right(d, s) + 0.5 * np.log(2 * np.pi), "+0.919"),
        ("00.2", lambda d, s: -0.5 * d**2 / s, "wide density"),
        ("00.2", lambda d, s: norm.logpdf(0, d, s), "not standard deviation"),
        ("00.2", lambda d, s: right(d, s).sum(), "element by element"),
        ("00.2", lambda d, s: d @ {}, "cannot be used"),
        ("00.2", 1.5, "without calling it"),
        ("00.3", "Rises ", RIGHT),
        ("00.3", "falls", "white patch"),
        ("00.3", "both", "One word"),
    ],
)
def test_what_is_said_of_an_answer(capsys, exercise, answer, hint):
    assert hint in said(capsys, exercise, answer)


@pytest.mark.parametrize("exercise", EXERCISES)
def test_no_answer_is_no_mistake(capsys, exercise):
    assert said(capsys, exercise, None) == OPEN


def test_an_unknown_exercise_is_refused():
    with pytest.raises(KeyError):
        check("99.9", 1)


def test_every_exercise_stands_in_its_notebook_once():
    asked = [
        name for cells in NOTEBOOKS.values() for c in cells if c.cell_type == "code"
        for name in re.findall(r'check\("([\d.]+)"', c.source)
    ]  # fmt: skip
    assert sorted(asked) == sorted(EXERCISES)
    assert all(name[:2] in NOTEBOOKS for name in EXERCISES)
