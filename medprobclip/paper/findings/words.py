"""Words for intervals, shares and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from medprobclip.paper.tables.experiments import METHODS, REFERENCE


def against(low: float, high: float, less: str, more: str, same: str) -> str:
    """`less` where an interval lies below 0, `more` above, `same` where it holds 0 or is none (NaN)."""
    return less if high < 0 else more if low > 0 else same


def interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A difference with its bounds: "+0.171 [+0.126, +0.215]"."""
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def percent(share: float) -> str:
    """A share of 1 as whole percent: 0.9 -> "90 %"."""
    return f"{100 * share:.0f} %"


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def told_method(methods: pd.Series | Sequence[str]) -> str:
    """The method that a headline speaks of: the reference if it is there, otherwise the first known one.

    Raises ValueError without any.
    """
    there = [method for method in METHODS if method in set(methods)]
    if not there:
        raise ValueError(f"none of the methods {', '.join(METHODS)} is in the table")
    return REFERENCE if REFERENCE in there else there[0]


def each_method(said: Callable[[pd.DataFrame, str], Iterator[str]], numbers: pd.DataFrame) -> Iterator[str]:
    """The sentences about every method of a table, below each other, as one text."""
    yield "\n".join(sentence for method in numbers["method"].unique() for sentence in said(numbers, method))
