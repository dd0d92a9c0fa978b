"""The perfect reader, against an enumeration of every drawing that a report allows."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from counting import lines_run

from medprobclip.evaluation import ceiling
from medprobclip.evaluation.ceiling import reader_scores
from medprobclip.evaluation.retrieval import expected_recall_at


def enumerated(appearance) -> np.ndarray:
    """P(report | image), from the list of all drawings of every report, in floating point."""
    drawn = [[code.split("|") for code in codes] for codes in appearance]
    shown = [tuple(sorted(labels[0] for labels in codes)) for codes in drawn]
    drawings = []
    for codes in drawn:
        chances = defaultdict(float)
        outcomes = list(product(*codes))
        for outcome in outcomes:
            chances[tuple(sorted(outcome))] += 1 / len(outcomes)
        drawings.append(chances)
    likelihoods = np.array([[chances.get(image, 0) for chances in drawings] for image in shown])
    return likelihoods / likelihoods.sum(1, keepdims=True)


def test_posterior_by_hand():
    """A nodule on the right is told by "right nodule" for sure, by "nodule" half of the time."""
    scores = reader_scores([("right",), ("right|left",), ("left|right",), (), ()])
    both = np.array([2, 1, 1, 0, 0]) / 4
    left = np.array([0, 1, 1, 0, 0]) / 2
    none = np.array([0, 0, 0, 1, 1]) / 2
    np.testing.assert_allclose(scores, [both, both, left, none, none])


def test_the_order_of_codes_does_not_matter_but_their_number_does():
    scores = reader_scores([("a", "b"), ("b", "a"), ("a", "a", "b"), ("a", "b", "b"), ("a",)])
    same = np.eye(5)
    same[:2, :2] = 0.5
    np.testing.assert_allclose(scores, same)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_enumeration(seed):
    """Few labels and many ambiguous codes, so that drawings coincide, within and across codes."""
    generator = np.random.default_rng(seed)
    labels = list("abcde")

    def code() -> str:
        return "|".join(generator.permutation(labels)[: generator.integers(1, 4)])

    appearance = [tuple(code() for _ in range(generator.integers(0, 5))) for _ in range(120)]
    scores = reader_scores(appearance)
    np.testing.assert_allclose(scores, enumerated(appearance), rtol=1e-12)
    np.testing.assert_allclose(scores.sum(1), 1)


def test_equal_evidence_ties_exactly():
    """1/3 · 1/3 · 1/5 in any order is one number to a reader; in floating point it is two."""
    assert 1 / 3 * (1 / 3) * (1 / 5) != 1 / 3 * (1 / 5) * (1 / 3)
    third, fifth = "{0}|{0}1|{0}2", "{0}|{0}3|{0}4|{0}5|{0}6"
    orders = [(third, third, fifth), (third, fifth, third), (fifth, third, third)]
    scores = reader_scores([tuple(f.format(c) for f, c in zip(o, "abc", strict=True)) for o in orders])
    assert (scores == scores[0, 0]).all()


def test_images_of_a_report_are_ordered_by_their_likelihood_ratio():
    """ "a" is unsaid by others and so tells for its report; "b" is what everyone's image shows."""
    scores = reader_scores([("a|b",), ("b|a",), ("b",), ("b",), ("b",)])
    assert scores[0, 0] > scores[1, 0] == scores[2, 0] > 0


def test_twelve_ambiguous_codes_are_affordable():
    """Four labels each are 16.7 million drawings: nothing runs once for each of them."""
    distinct = tuple("|".join(f"{code}.{side}" for side in range(4)) for code in range(12))
    alike = ("|".join(f"side{side}" for side in range(12)),) * 12
    appearance = [distinct, alike, ()] * 20
    assert lines_run(lambda: reader_scores(appearance), ceiling) < 100_000
    scores = reader_scores(appearance)
    np.testing.assert_allclose(scores, np.tile(np.eye(3), (20, 20)) / 20)


def test_a_perfect_reader_attains_what_bayes_says():
    """Draw the image of every report anew: the reader's R@1 on average is what it expects of itself."""
    generator = np.random.default_rng(0)
    reports = [["ab", "cd"], ["a", "cd"], ["ab", "c"], ["a", "c"], ["bd", "c"], ["abcd"], ["abcd"]]
    reached, believed = [], []
    for _ in range(1500):
        appearance = []
        for report in reports:
            first = [generator.permutation(list(labels)) for labels in report]
            appearance.append(tuple("|".join(labels) for labels in first))
        scores = reader_scores(appearance)
        reached.append(expected_recall_at(scores, np.eye(7, dtype=bool), 1))
        believed.append(100 * scores.max(1).mean())
    gap = np.array(reached) - believed
    assert abs(gap.mean()) < 4 * gap.std() / len(gap) ** 0.5
    assert np.mean(reached) < 90
