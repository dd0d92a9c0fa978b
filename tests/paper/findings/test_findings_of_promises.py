"""Sentences about promises: opposite numbers say the opposite."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.paper.findings.promises import broken_promises, kept_promises, what_sets_cost

ABSENT = {"error": np.nan, "answered": np.nan, "none": np.nan, "size": np.nan}


def promises(value: float = 0.9, once: float = 0.9, wrong: float = 0.05) -> pd.DataFrame:
    """Coverage for all by both kinds of right answers, of a group, missed answers, and one share of wrong."""
    base = {"method": "medprobclip", "direction": "i2t", "grouped": "all", "group": "all", "level": 0.1,
            "least": 0.85, "most": 0.95, "actual": 0.87, "low": 0.86, "high": 0.94, **ABSENT}  # fmt: skip
    sets = {"what": "coverage", "promise": 0.9, "value": value, "once": once, "error": 0.002, "size": 23.4}
    rows = [
        base | sets | {"right": "wording"},
        base | sets | {"right": "coding", "size": 7.0},
        base | sets | {"right": "wording", "level": 0.05, "promise": 0.0},
        base | sets | {"right": "wording", "grouped": "finding", "group": "normal"},
        base | {"what": "missed", "right": "coding", "promise": 0.1, "value": 1 - value, "once": 1 - once,
                "error": 0.002, "low": 0.06, "high": 0.14},
        base | {"what": "selective", "right": "coding", "level": 0.3, "promise": 0.1, "value": wrong,
                "once": wrong, "low": 0.06, "high": 0.14, "answered": 0.25, "none": 0.4},
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_what_was_promised_and_kept_is_told():
    sets, selective, counted = kept_promises(promises(0.904))
    assert sets == (
        "MedProbCLIP, image to text: sets that promise a right answer to 90 % of the queries hold one for: "
        "worded alike 90 % (85 % to 95 % in 95 % of the splits, 87 % on the real tables), 23 answers in the "
        "median; coded alike 90 % (85 % to 95 % in 95 % of the splits, 87 % on the real tables), 7 answers "
        "in the median."
    )
    assert selective == (
        "MedProbCLIP, image to text: how few wrong answers could be promised with 90 % confidence (wrong: "
        "none of ten coded alike, which asks less than the retriever, whose right answers are worded alike): "
        "at most 30 % in 60 % of the splits (25 % of the queries answered, the promise broken in 5 %)."
    )
    assert counted.startswith("MedProbCLIP: of 5 promises ")


def test_what_is_wrong_without_a_coding():
    table = promises().assign(right="wording").iloc[[0, 5]]
    _, selective, _ = kept_promises(table)
    assert "with 90 % confidence (wrong: none of ten worded alike): at most 30 % in 60 %" in selective


@pytest.mark.parametrize(
    ("value", "once", "wrong", "kept", "inside"),
    [
        (0.9, 0.9, 0.05, 5, 6),
        (0.897, 0.86, 0.14, 5, 6),  # within two standard errors, and at the very end
        (0.895, 0.85, 0.05, 1, 1),
        (0.99, 0.99, 0.2, 5, 5),  # better is no failure, in either sense
        (0.9, 0.85, 0.2, 5, 0),
    ],
)
def test_promises_are_counted(value, once, wrong, kept, inside):
    *_, counted = kept_promises(promises(value, once, wrong))
    assert f"alarms, {kept} were kept on average" in counted
    assert f"of 6 series of independent trials {inside} were inside" in counted


def sizes(readers: bool = True) -> pd.DataFrame:
    rows = []
    for by, least in (("model", 40), ("reader, calibrated", 9), ("reader", 2))[: 3 if readers else 1]:
        for group, step in {"1": 0, "2": 1, "more": 5, "all": 3}.items():
            rows.append({"method": "medprobclip", "direction": "t2i", "by": by, "group": group,
                         "median": least + step, "coverage": 0.5 + least / 100})  # fmt: skip
    return pd.DataFrame(rows)


def test_what_sets_cost():
    (sentence,) = what_sets_cost(sizes())
    assert sentence == (
        "MedProbCLIP, text to image: answers in the median set: 43, 40 where no other study shares the "
        "coding, 45 where more than 20 do (90 % of all hold a right one); a perfect reader needs 5, 2 where "
        "no other study shares the coding, 7 where more than 20 do (52 % of all hold a right one)."
    )
    (alone,) = what_sets_cost(sizes(readers=False))
    assert "reader" not in alone
    assert alone.endswith("(90 % of all hold a right one).")


def broken(coverage: float, answered: float, among: float) -> pd.DataFrame:
    row = {"method": "medprobclip", "corruption": "all", "promise": 0.9, "coverage": coverage,
           "answered": answered, "coverage_answered": among, "failed": 1 - coverage,
           "failed_answered": answered * (1 - among) if answered else 0.0}  # fmt: skip
    rows = [row | {"severity": severity} for severity in (1, 2, 3, 4, 5)]
    return pd.DataFrame([row | {"corruption": "blur", "severity": 5, "coverage": 0.1}, *rows])


@pytest.mark.parametrize(
    ("coverage", "answered", "among", "said"),
    [
        (0.6, 0.3, 0.8, "is broken (60 % of the sets hold a right report), and broken for the 30 % that are "
         "not called strange (80 %). A set without one is given for 40 % of the films, or 6 %"),
        (0.6, 0.3, 0.95, "is broken (60 % of the sets hold a right report), but kept for the 30 % "),
        (0.95, 0.3, 0.95, "is kept (95 % of the sets hold a right report), and kept for the 30 % "),
        (0.95, 0.3, 0.8, "is kept (95 % of the sets hold a right report), but broken for the 30 % "),
        (0.6, 0.0, np.nan, "hold a right report); every film is called strange. A set without one is given "
         "for 40 % of the films, or 0 % when strange ones are not answered."),
    ],
)  # fmt: skip
def test_faults_break_promises_or_do_not(coverage, answered, among, said):
    sentences = list(broken_promises(broken(coverage, answered, among)))
    assert len(sentences) == 3
    for sentence, severity in zip(sentences, (1, 3, 5), strict=True):
        assert sentence.startswith(
            f"MedProbCLIP, films at severity {severity} of all 11 faults: the promise of 90 % is "
        )
        assert said in sentence


def test_a_method_that_was_not_asked_says_nothing():
    assert list(kept_promises(promises(), "clip")) == []
    assert list(what_sets_cost(sizes(), "clip")) == []
    assert list(broken_promises(broken(0.5, 0.5, 0.5), "clip")) == []
