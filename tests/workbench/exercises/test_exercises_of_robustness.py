"""Exercises of notebook 08: right ways are called right, each mistake gets its hint."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from medprobclip.workbench.checks import RIGHT, check


def said(capsys, exercise, answer) -> str:
    check(exercise, answer)
    return capsys.readouterr().out.strip()


def area(good, faulty):
    return roc_auc_score([0] * len(good) + [1] * len(faulty), np.concatenate([good, faulty]))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (area, RIGHT),
        (lambda g, f: mannwhitneyu(f, g).statistic / len(f) / len(g), RIGHT),
        (lambda g, f: area(f, g), "Turned round"),
        (lambda g, f: (f[:, None] > g).mean(), "Right without ties"),
        (lambda g, f: (f[:, None] >= g).mean(), "Right without ties"),
        (lambda g, f: 100 * area(g, f), "not in percent"),
        (lambda g, f: (f > g.mean()).mean(), "each good one"),
        (lambda g, f: f.mean() - g.mean(), "Of all pairs"),
        (lambda g: g, "cannot be used"),
        (0.5, "without calling it"),
    ],
)
def test_chance_of_more_doubt(capsys, answer, hint):
    assert hint in said(capsys, "08.1", answer)


def decide(risk, p):
    if p <= 0.05:
        return "strange"
    return "ambiguous" if risk > 0.5 else "answered"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (decide, RIGHT),
        (lambda r, p: decide(r, p).upper() + " ", RIGHT),
        (lambda r, p: "ambiguous" if r > 0.5 else decide(r, p), "two reasons"),
        (lambda r, p: "strange" if p < 0.05 else decide(r, p + 1), "5 % at most 5 %"),
        (lambda r, p: "ambiguous" if r >= 0.5 and p > 0.05 else decide(r, p), "above one half"),
        (lambda r, p: "ambiguous" if r > 0.5 else "answered", "to be believed"),
        (lambda r, p: "strange", "reason to be silent"),
        (lambda r, p: decide(0, p), "what is wrong with it"),
        (lambda r, p: "perhaps", "none of the three words"),
        (lambda r: r, "cannot be used"),
        ("strange", "without calling it"),
    ],
)
def test_decision(capsys, answer, hint):
    assert hint in said(capsys, "08.2", answer)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (128, RIGHT),
        (128 * 1.0, RIGHT),
        (0, "infinitely far"),
        (1, "one dimension"),
        (128**0.5, "typical draw"),
        (64, "What is Σσ²"),
        ("large", "cannot be used"),
    ],
)
def test_variance_under_a_strong_bottleneck(capsys, answer, hint):
    assert hint in said(capsys, "08.3", answer)
