"""Exercises of notebook 05: what is right is called right, and each mistake gets its hint."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medprobclip.workbench.checks import RIGHT, check


def cumulated(confidence, wrong, sign=-1, by=None):
    """Mean over n of the errors among the first n, divided by `by` or by n."""
    ordered = np.asarray(wrong, dtype=float)[np.argsort(sign * confidence)]
    return np.mean(ordered.cumsum() / (by or np.arange(1, len(wrong) + 1)))


def oracle(wrong, by=None):
    return np.mean(np.sort(np.asarray(wrong, dtype=float)).cumsum() / (by or np.arange(1, len(wrong) + 1)))


def by_mann_whitney(doubt, wrong, twist=lambda p: p):
    """No shuffles: the share of 200 random doubts with an AUROC for errors as high as the true one."""
    generator, true = np.random.default_rng(1), roc_auc_score(wrong, doubt)
    areas = [roc_auc_score(wrong, generator.permutation(doubt)) for _ in range(200)]
    return twist((1 + np.sum(np.array(areas) >= true)) / 201)


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("05.1", lambda c, w: cumulated(c, w) - oracle(w), RIGHT),
        ("05.1", cumulated, "That is AURC"),
        ("05.1", lambda c, w: oracle(w), "oracle's AURC"),
        ("05.1", lambda c, w: oracle(w) - cumulated(c, w), "sign"),
        ("05.1", lambda c, w: cumulated(c, w, sign=1) - oracle(w), "least sure are answered first"),
        ("05.1", lambda c, w: cumulated(c, w) - w.mean(), "random order"),
        ("05.1", lambda c, w: cumulated(c, w, by=len(w)) - oracle(w, by=len(w)), "divided by all"),
        ("05.1", lambda c, w: cumulated(-np.arange(len(w)), w) - oracle(w), "order in which they came"),
        ("05.1", lambda c, w: 1.0, "count the errors so far"),
        ("05.1", lambda c, w: c @ {}, "cannot be used"),
        ("05.1", 0.1, "without calling it"),
        ("05.2", 0.0244, RIGHT),
        ("05.2", 1 / 41, RIGHT),
        ("05.2", 2.44, "percent"),
        ("05.2", 0.025, "odds"),
        ("05.2", 0.024, "four decimals"),
        ("05.2", 0.02, "not the probability"),
        ("05.2", 0.2, "as many wrong items"),
        ("05.2", 2.5 / 3.5, "wrong way round"),
        ("05.2", 0.0246, "*wrong* items"),
        ("05.2", 0.5, "p / (1 − p)"),
        ("05.2", "small", "cannot be used"),
        ("05.3", by_mann_whitney, RIGHT),
        ("05.3", lambda d, w: by_mann_whitney(d, w, lambda p: p - 1 / 201), "Never 0"),
        ("05.3", lambda d, w: by_mann_whitney(-d, w), "Turned round"),
        ("05.3", lambda d, w: by_mann_whitney(d, w, lambda p: 100 * p), "a share"),
        ("05.3", lambda d, w: 0.5, "What is shuffled"),
        ("05.3", lambda d, w: 0.001 if np.ptp(d) else 0.5, "ties"),
        ("05.3", lambda d, w: 0.001 if np.ptp(d) else 1.0, "wrong way round"),
        ("05.3", 0.03, "without calling it"),
        ("05.4", "Never ", RIGHT),
        ("05.4", "sometimes", "least of six"),
        ("05.4", True, "One word"),
    ],
)
def test_what_is_said_of_an_answer(capsys, exercise, answer, hint):
    check(exercise, answer)
    assert hint in capsys.readouterr().out
