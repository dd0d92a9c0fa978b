"""Exercises of notebook 01: what is right, and which hint fits what is not."""

import numpy as np
import pytest

from medprobclip.workbench.checks import RIGHT, check


def said(capsys, exercise, answer) -> str:
    check(exercise, answer)
    return capsys.readouterr().out.strip()


def naive_duplicates(sizes, batch):
    """Every ordered pair of two different studies is as likely at every place of the batch."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    pairs = [(i, j) for i in range(len(group)) for j in range(len(group)) if i != j]
    return np.mean([group[i] == group[j] for i, j in pairs]) * batch * (batch - 1)


def drawn_again(sizes, batch):
    return ((sizes / sizes.sum()) ** 2).sum() * batch * (batch - 1)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (naive_duplicates, RIGHT),
        (lambda n, b: naive_duplicates(n, b) / 2, "(i, j) and (j, i)"),
        (lambda n, b: naive_duplicates(n, b) / (b * (b - 1)), "probability"),
        (lambda n, b: naive_duplicates(n, b) * b / (b - 1), "no duplicate of itself"),
        (drawn_again, "same study twice"),
        (lambda n, b: 0, "two *different* studies"),
        (3.5, "without calling it"),
        (lambda n: n, "cannot be used"),
    ],
)
def test_duplicates_of_a_batch(capsys, answer, hint):
    assert hint in said(capsys, "01.1", answer)


def shared(keys) -> float:
    return sum(keys.count(key) > 1 for key in keys) / len(keys)


def headings(codes):
    return {code.split("/")[0] for code in codes}


def alone(codes, row, key):
    """The key, or one that nobody else has where nobody coded."""
    return row if set(codes) <= {"No Indexing"} else key


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda all_: shared([alone(c, i, headings(c)) for i, c in enumerate(all_)]), RIGHT),
        (lambda all_: 100 * shared([alone(c, i, headings(c)) for i, c in enumerate(all_)]), "percent"),
        (lambda all_: shared([alone(c, i, set(c)) for i, c in enumerate(all_)]), "before the first slash"),
        (lambda all_: shared([headings(c) for c in all_]), "nobody looked"),
        (lambda all_: shared([headings(c) - {"No Indexing"} for c in all_]), "nobody looked"),
        (lambda all_: shared([c[0].split("/")[0] if c else i for i, c in enumerate(all_)]), "the sets"),
        (
            lambda all_: shared([alone(c, i, [one.split("/")[0] for one in c]) for i, c in enumerate(all_)]),
            "neither order",
        ),
        (lambda all_: 1 - shared([alone(c, i, headings(c)) for i, c in enumerate(all_)]), "stand alone"),
        (lambda all_: 0.123, "ids of equal sets"),
        ([0.5], "without calling it"),
        (lambda: 0, "cannot be used"),
    ],
)
def test_share_by_heading(capsys, answer, hint):
    assert hint in said(capsys, "01.2", answer)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ((0.4, 2.0), RIGHT),
        (np.array([0.4, 2.0]), RIGHT),
        ((2, 0.4), "exchanged"),
        ((12 / 28, 3), "below the line"),
        ((30 / 12, 6 / 12), "Upside down"),
        ((0.4, 2, 1), "cannot be used"),
        ((12, 12), "Two numbers"),
        ("much", "cannot be used"),
    ],
)
def test_conspicuity_of_two_places(capsys, answer, hint):
    assert hint in said(capsys, "01.3", answer)
