"""The defaults of an answer, and what is out of range."""

import math

import pytest

from medprobclip.retriever.settings import AnswerConfig


@pytest.mark.parametrize("name", ["alpha", "risk", "delta"])
def test_shares_lie_between_0_and_1(name):
    for value in (1e-9, 0.5, 1 - 1e-9):
        assert getattr(AnswerConfig(**{name: value}), name) == value
    for value in (0, 1, -0.1, 1.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"^{name} = {value} is out of range: "):
            AnswerConfig(**{name: value})


def test_nothing_may_be_strange_or_everything():
    assert AnswerConfig(strange_rate=0).strange_rate == 0
    assert AnswerConfig(strange_rate=1).strange_rate == 1
    for value in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match=f"^strange_rate = {value} is out of range: "):
            AnswerConfig(strange_rate=value)


def test_all_faults_are_told_at_once():
    with pytest.raises(ValueError, match="^k = 0 is out of range") as refused:
        AnswerConfig(k=0, alpha=2)
    assert [line.split(" =")[0] for line in str(refused.value).splitlines()] == ["k", "alpha"]
