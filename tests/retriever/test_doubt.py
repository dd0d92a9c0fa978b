"""When not to answer, in words, and what is promised: by the numbers alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from medprobclip.retriever.doubt import Doubt
from medprobclip.retriever.promises import FILM, PHRASE, REPORT, Kind, percent
from medprobclip.retriever.settings import AnswerConfig

SURE = torch.linspace(0, 1, 40, dtype=torch.float64)  # entropies of 40 calibration queries
RIGHT = torch.where(torch.arange(40) < 20, 1, 50)  # the surer half finds its right answer at once


def doubt(kind=FILM, words=0, entropy=0.1, ranks=RIGHT, entropies=SURE, **changes) -> Doubt:
    found = Doubt(Kind(kind, words), 400, 317, -2.0, 0.4)
    if kind != PHRASE:
        found = found.among(entropy, entropies, ranks)
    return replace(found, **changes)


def test_ambiguity_is_the_share_that_is_surer():
    generator = np.random.default_rng(0)
    entropies = torch.from_numpy(generator.integers(0, 9, 40).astype(float))  # with ties
    for entropy in (-1.0, 0.0, 4.0, 4.5, 8.0, 9.0):
        expected = 100 * sum(e < entropy for e in entropies.tolist()) / 40
        assert doubt(entropy=entropy, entropies=entropies).ambiguity == pytest.approx(expected)
    assert doubt(PHRASE, 2).ambiguity is None


@pytest.mark.parametrize("k", [1, 10, 49, 50, 51, 100, 1000])
@pytest.mark.parametrize("risk", [0.1, 0.3, 0.5])
def test_most_entropy_by_naive_binomial_tests(k, risk):
    """As the paper of the method: coverages from the strictest, each tested among those strictly surer."""
    config = AnswerConfig(k=k, risk=risk)
    wrong = [int(rank) > min(k, 100) for rank in RIGHT]
    expected = None
    for coverage in range(10, 101, 5):
        count = -(-coverage * 40 // 100)
        if binom.cdf(0, count, risk) > 0.1:
            continue
        if binom.cdf(sum(wrong[:count]), count, risk) > 0.1:
            break
        expected = count
    found = doubt().most_entropy(config)
    if expected is None:
        assert found is None
    else:
        assert sum(entropy <= found for entropy in SURE.tolist()) == expected
    if k >= 50:
        assert found == np.inf


def test_a_rank_beyond_the_kept_is_wrong_for_every_k():
    beyond = torch.full((40,), 101)
    assert doubt(ranks=beyond).most_entropy(AnswerConfig(k=500)) is None
    assert doubt(ranks=beyond - 1).most_entropy(AnswerConfig(k=500)) == np.inf


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (FILM, "unlike any film it was trained on"),
        (REPORT, "unlike any report it was trained on"),
        (PHRASE, "unlike any words of the reports it was trained on"),
    ],
)
def test_strange_ones_are_not_answered_whatever_else(kind, what):
    strange = doubt(kind, 3 * (kind == PHRASE), p_strange=0.05)
    assert strange.reason(AnswerConfig()) == f"{what} (p = 0.050, at most 0.05 is strange)"
    assert strange.reason(AnswerConfig(strange_rate=0.0499)) == ""
    assert replace(strange, p_strange=None).reason(AnswerConfig(strange_rate=1)) == ""
    assert strange.reason(AnswerConfig(strange_rate=0)) == ""


def test_ambiguous_ones_are_not_answered():
    config = AnswerConfig(k=10)
    most = doubt().most_entropy(config)
    assert 0.5 < most < 1
    assert doubt(entropy=most).reason(config) == ""
    above = np.nextafter(most, 2)
    share = 100 * sum(e < above for e in SURE.tolist()) / 40
    assert doubt(entropy=above).reason(config) == (
        f"317 reports may fit: more ambiguous than {share:.0f} % of the calibration films"
    )
    assert doubt(REPORT, entropy=1.5).reason(config) == (
        "317 films may fit: more ambiguous than 100 % of the calibration reports"
    )
    for size in (0, 1):
        assert doubt(entropy=1.5, set_size=size).reason(config) == (
            "no report stands out: more ambiguous than 100 % of the calibration films"
        )


def test_where_nothing_can_be_promised_nothing_is_answered():
    config, hopeless = AnswerConfig(k=7, risk=0.25), torch.full((40,), 60)
    assert doubt(entropy=-5.0, ranks=hopeless).reason(config) == (
        "317 reports may fit, and however sure it is, the first 7 cannot be promised to hold a "
        "right one for 75% of such queries"
    )
    assert "Of such queries" not in doubt(ranks=hopeless).promise(40, config)


def test_a_phrase_is_never_too_ambiguous():
    assert doubt(PHRASE, 2, entropy=99.0, set_size=400).reason(AnswerConfig()) == ""


@pytest.mark.parametrize(
    ("kind", "words", "right", "asked"),
    [
        (FILM, 0, "the film's own report, or one worded alike,", "the calibration films"),
        (REPORT, 0, "the film of the report, or of one worded alike,", "the calibration reports"),
        (PHRASE, 1, "a film whose report has this word", "pieces of 1 word of the calibration reports"),
        (PHRASE, 3, "a film whose report has these words", "pieces of 3 words of the calibration reports"),
    ],
)
def test_what_is_promised(kind, words, right, asked):
    promise = (
        f"The set holds {right} with a probability of at least 80%, if the index has it and the query is one "
        f"like {asked} (40 studies that chose nothing)."
    )
    answered = (
        " Of such queries that are sure enough to be answered, at most 40% have no right answer among the "
        "first 10 (confidence 90%)."
    )
    config = AnswerConfig(alpha=0.2, risk=0.4)
    assert doubt(kind, words).promise(40, config) == promise + answered * (kind != PHRASE)


def test_too_few_studies_promise_no_set():
    assert doubt(PHRASE, 1, threshold=-np.inf).promise(8, AnswerConfig()) == (
        "8 calibration studies are too few for a set at 90%: it is the whole index."
    )


def test_promises_are_not_rounded_up():
    config = AnswerConfig(alpha=0.001, risk=0.003, delta=0.004)
    certain = doubt(entropies=torch.linspace(0, 1, 4000), ranks=torch.ones(4000))
    promise = certain.promise(4000, config)
    assert "at least 99.9%, if" in promise
    assert "at most 0.3% have no right" in promise
    assert "(confidence 99.6%)" in promise
    assert [percent(p) for p in (0.9, 1 - 0.07, 0.5, 0.29, 0.9995, 1)] == [
        "90%", "93%", "50%", "29%", "99.95%", "100%"
    ]  # fmt: skip
