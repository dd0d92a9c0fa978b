"""Notebook 05."""

from __future__ import annotations

import math

import numpy as np

from medprobclip.evaluation.reliability import excess_aurc, oracle_curve, risk_coverage

FUNCTION = "Give the function itself, without calling it."


def excess_of_an_order(answer: object) -> str:
    """A function (confidence, wrong) -> AURC above the oracle's."""
    if not callable(answer):
        return FUNCTION
    generator = np.random.default_rng(0)
    cases = [(generator.normal(size=n), np.arange(n) % 3 == 0) for n in (6, 60)]
    got = np.array([float(answer(*case)) for case in cases])

    def same(said) -> bool:
        return np.allclose(got, [said(*case) for case in cases])

    if same(excess_aurc):
        return ""
    if same(lambda sure, wrong: risk_coverage(sure, wrong).aurc):
        return "That is AURC. What would it be if every right answer came first?"
    if same(lambda sure, wrong: oracle_curve(wrong).aurc):
        return "That is the oracle's AURC. How far above it is this order?"
    if same(lambda sure, wrong: -excess_aurc(sure, wrong)):
        return "The sign is turned: no order is better than the oracle's."
    if same(lambda sure, wrong: excess_aurc(-sure, wrong)):
        return "The least sure are answered first. Turn the order round."
    if same(lambda sure, wrong: risk_coverage(sure, wrong).aurc - wrong.mean()):
        return "That is the distance from a random order, whose risk is the error rate everywhere."
    if same(lambda sure, wrong: risk_coverage(sure, wrong).augrc - oracle_curve(wrong).augrc):
        return "The errors are divided by all queries. Divide by those that are answered."
    if same(lambda sure, wrong: excess_aurc(-np.arange(len(wrong)), wrong)):
        return "The queries stand in the order in which they came. Sort them by confidence."
    return "Sort from the surest on, count the errors so far, divide by the answers so far, take the mean."


def larger_gallery(answer: object) -> str:
    """A pair's probability is 0.2 in a gallery of 101. What is it in a gallery of 1001?"""
    value = float(answer)
    right = 0.025 / 1.025
    if math.isclose(value, right, abs_tol=5e-5):
        return ""
    if math.isclose(value, 100 * right, abs_tol=0.01):
        return "That is percent. A probability lies between 0 and 1."
    if math.isclose(value, 0.025, abs_tol=5e-5):
        return "Those are the odds. Which probability has them?"
    if math.isclose(value, 0.02, abs_tol=5e-5):
        return "The odds shrink to a tenth, not the probability."
    if math.isclose(value, 0.2, abs_tol=5e-5):
        return "The score is the same, but there are ten times as many wrong items that could have it."
    if math.isclose(value, 2.5 / 3.5, abs_tol=5e-4):
        return "The wrong way round: a larger gallery holds more wrong items."
    if math.isclose(value, 0.25 * 101 / 1001 / (1 + 0.25 * 101 / 1001), abs_tol=5e-5):
        return "Near. Count the *wrong* items of each gallery: one is the match itself."
    if math.isclose(value, right, abs_tol=5e-4):
        return "Near. Give four decimals, so that odds and probability can be told apart."
    return "Odds are p / (1 − p). They are divided by how many times as many wrong items there are."


def permutation_test(answer: object) -> str:
    """A function (doubt, wrong) -> the p-value of "the doubt knows nothing about the errors"."""
    if not callable(answer):
        return FUNCTION
    wrong = np.arange(40) % 2 == 0
    doubt = wrong + np.linspace(0, 0.5, 40)  # every error is doubted more than every right answer
    p, turned, blind = (float(answer(d, wrong)) for d in (doubt, -doubt, np.zeros(40)))
    if not all(0 <= value <= 1 for value in (p, turned, blind)):
        return "A p-value is a share: it lies between 0 and 1."
    if p == 0:
        return "Never 0: the true order is one of the shuffles. Count it, above and below the line."
    if turned < 0.5 < p:
        return "Turned round: count the shuffles whose AURC is at most the true one; sure means little doubt."
    if p > 0.05:
        return "Where doubt and errors fit perfectly, hardly any shuffle does as well. What is shuffled?"
    if blind < 0.95:
        return "A doubt that is the same for all is as good as each of its shuffles: count ties, too."
    if turned < 0.95:
        return (
            "The test is for a doubt that *foretells* errors. One that is the wrong way round foretells none."
        )
    return ""


def chosen_on_test(answer: object) -> str:
    """Can the least of the test AURCs lie above that of the confidence chosen on validation?"""
    said = str(answer).strip().lower()
    if said == "never":
        return ""
    if said == "sometimes":
        return "The chosen one is among the six, too. How does the least of six compare with each?"
    return "One word: never or sometimes."


EXERCISES = {
    "05.1": excess_of_an_order,
    "05.2": larger_gallery,
    "05.3": permutation_test,
    "05.4": chosen_on_test,
}
