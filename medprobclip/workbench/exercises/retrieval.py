"""Notebook 04."""

from __future__ import annotations

import math

import numpy as np

CASES = ((684, 1, 10), (684, 5, 10), (20, 3, 5), (20, 18, 5), (100, 1, 100))


def chance_of_a_hit(answer: object) -> str:
    """A function (M, m, K) -> chance that one of m right answers is among the first K at random."""
    if not callable(answer):
        return "Give the function itself, without calling it."
    right = [1 - math.comb(M - m, K) / math.comb(M, K) for M, m, K in CASES]
    got = [float(answer(*case)) for case in CASES]
    if np.allclose(got, right, atol=1e-9):
        return ""
    if np.allclose(got, [100 * share for share in right], atol=1e-6):
        return "That is in percent. A probability is asked for."
    if np.allclose(got, [1 - share for share in right], atol=1e-9):
        return "That is the chance of having none of them."
    if np.allclose(got, [K / M for M, _, K in CASES]):
        return "That is right for one right answer. With m of them it is easier."
    if np.allclose(got, [m * K / M for M, m, K in CASES]):
        return "Where several are among the first K they are counted twice: it may even pass 1."
    if np.allclose(got, [1 - (1 - K / M) ** m for M, m, K in CASES]):
        return "Nearly: the places of the right answers are not independent, no two share one."
    return "Count the ways to fill the first K places without any of the m, out of all ways to fill them."


def best_bet(answer: object) -> str:
    """A function (belief, text_ids) -> index of a report that is most likely worded like the right one."""
    if not callable(answer):
        return "Give the function itself, without calling it."
    cases = (
        ([0.4, 0.25, 0.25, 0.1], [7, 3, 3, 9]),
        ([0.1, 0.2, 0.3, 0.4], [4, 3, 2, 1]),
        ([0.3, 0.28, 0.14, 0.14, 0.14], [8, 6, 0, 0, 0]),
    )
    chosen = [int(answer(np.array(belief), np.array(ids))) for belief, ids in cases]
    sums = [_sums(*case) for case in cases]
    if all(dict(enumerate(of)).get(pick) == max(of) for pick, of in zip(chosen, sums, strict=True)):
        return ""
    if chosen == [int(np.argmax(belief)) for belief, _ in cases]:
        return "That is the most likely report. Two copies of a sentence are right together: add them up."
    if all(pick in ids for pick, (_, ids) in zip(chosen, cases, strict=True)):
        return "Is that the id of a text? The index of a report is asked for, any one of that wording."
    return "For every report, add the beliefs in all that are worded like it. Where is the sum largest?"


def _sums(belief: list[float], ids: list[int]) -> list[float]:
    return [round(sum(b for b, other in zip(belief, ids, strict=True) if other == own), 9) for own in ids]


def whose_order(answer: object) -> str:
    """A number is taken from all scores of each report: whose order can change? "reports" or "films"."""
    word = str(answer).strip().lower()
    if word == "reports":
        return ""
    if word == "films":
        return "Along one report, all films lose the same number. Now look along one film."
    return "One word, reports or films: what is sorted in the list that changes?"


EXERCISES = {"04.1": chance_of_a_hit, "04.2": best_bet, "04.3": whose_order}
