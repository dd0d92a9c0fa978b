"""Notebook 08."""

from __future__ import annotations

import math

import numpy as np

from medprobclip.evaluation.abstention import AMBIGUOUS, ANSWERED, STRANGE, abstain

_CALL = "Give the function itself, without calling it."


def chance_of_more_doubt(answer: object) -> str:
    """A function (good, faulty) -> AUROC of doubts `[N]` and `[M]`: how often the faulty film has more."""
    if not callable(answer):
        return _CALL
    generator = np.random.default_rng(0)
    for good, faulty, tied in (
        (generator.normal(0, 1, 30), generator.normal(0.5, 1, 20), False),
        (generator.integers(0, 4, 30), generator.integers(1, 5, 20), True),
    ):
        more, same = (faulty[:, None] > good).mean(), (faulty[:, None] == good).mean()
        got, right = float(answer(good.copy(), faulty.copy())), more + same / 2
        if math.isclose(got, right, abs_tol=1e-9):
            continue
        if math.isclose(got, 1 - right, abs_tol=1e-9):
            return "Turned round: above one half it has to say that the faulty films have more doubt."
        if tied and (math.isclose(got, more, abs_tol=1e-9) or math.isclose(got, more + same, abs_tol=1e-9)):
            return "Right without ties. What is an equal pair worth, if a coin is to get one half?"
        if math.isclose(got, 100 * right, abs_tol=1e-6):
            return "As a share of 1, not in percent."
        if math.isclose(got, (faulty > good.mean()).mean(), abs_tol=1e-9):
            return "Against the mean of the good films? Compare each faulty film with each good one."
        return (
            "Of all pairs of a faulty and a good film: in which share is the doubt of the faulty one larger?"
        )
    return ""


def decision(answer: object) -> str:
    """A function (risk, p) -> "answered", "strange" or "ambiguous", at most risk ½ and rate 5 %."""
    if not callable(answer):
        return _CALL
    hints = {
        (0.2, 0.5): "it looks usual, and the risk is small. Is there any reason to be silent?",
        (0.9, 0.5): "half of the good films are as strange as this one, so what is wrong with it?",
        (0.2, 0.01): "few good films are as strange. Is the small risk to be believed?",
        (0.9, 0.01): "two reasons. The risk was learnt from films; from such films?",
        (0.5, 0.5): "is one half above one half?",
        (0.2, 0.05): "is 5 % at most 5 %?",
    }
    for (risk, p), hint in hints.items():
        right = abstain(np.array([risk]), np.array([p]), 0.5, 0.05)[0]
        got = str(answer(risk, p)).strip().lower()
        if got not in (ANSWERED, STRANGE, AMBIGUOUS):
            return f'"{got}" is none of the three words answered, strange, ambiguous.'
        if got != right:
            return f"Risk {risk:g}, p-value {p:g}: {hint}."
    return ""


def variance_under_a_strong_bottleneck(answer: object) -> str:
    """Towards which total variance does a very large β pull an embedding of 128 dimensions?"""
    value = float(answer)
    if math.isclose(value, 128, abs_tol=0.5):
        return ""
    if math.isclose(value, 0, abs_tol=0.5):
        return "No variance at all would be infinitely far from N(0, I)."
    if math.isclose(value, 1, abs_tol=0.01):
        return "That is one dimension. The total variance is a sum."
    if math.isclose(value, math.sqrt(128), abs_tol=0.1):
        return "That is the length of a typical draw. The question is for Σσ²."
    return "What is Σσ² of the Gaussian that the bottleneck pulls towards, N(0, I)?"


EXERCISES = {
    "08.1": chance_of_more_doubt,
    "08.2": decision,
    "08.3": variance_under_a_strong_bottleneck,
}
