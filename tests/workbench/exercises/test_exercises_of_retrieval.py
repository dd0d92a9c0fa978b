"""What is said of answers to the exercises of notebook 04."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from medprobclip.workbench.checks import RIGHT, check


def said(capsys, exercise, answer) -> str:
    check(exercise, answer)
    return capsys.readouterr().out.strip()


def hit(M, m, K):
    return hypergeom.sf(0, M, m, K)


def summed(belief, ids):
    return int(np.argmax([belief[ids == own].sum() for own in ids]))


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("04.1", hit, RIGHT),
        ("04.1", lambda M, m, K: 100 * hit(M, m, K), "percent"),
        ("04.1", lambda M, m, K: 1 - hit(M, m, K), "none of them"),
        ("04.1", lambda M, m, K: K / M, "one right answer"),
        ("04.1", lambda M, m, K: m * K / M, "counted twice"),
        ("04.1", lambda M, m, K: 1 - (1 - K / M) ** m, "not independent"),
        ("04.1", lambda M, m, K: 0.5, "Count the ways"),
        ("04.1", 0.5, "without calling it"),
        ("04.1", lambda M: M, "cannot be used"),
        ("04.2", summed, RIGHT),
        (
            "04.2",
            lambda belief, ids: 2 if len(set(ids)) == 3 and len(ids) == 4 else summed(belief, ids),
            RIGHT,
        ),
        ("04.2", lambda belief, ids: int(np.argmax(belief)), "add them up"),
        ("04.2", lambda belief, ids: int(ids[summed(belief, ids)]), "id of a text"),
        ("04.2", lambda belief, ids: 3, "add the beliefs"),
        ("04.2", 1, "without calling it"),
        ("04.2", lambda belief, ids: "B", "cannot be used"),
        ("04.3", " Reports", RIGHT),
        ("04.3", "films", "along one film"),
        ("04.3", "both", "One word"),
    ],
)
def test_what_is_said_of_an_answer(capsys, exercise, answer, hint):
    told = said(capsys, exercise, answer)
    assert hint in told
    assert (told == RIGHT) == (hint == RIGHT)
