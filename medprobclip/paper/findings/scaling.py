"""What the figure of notebook 07 shows: time and memory of scoring a gallery."""

from __future__ import annotations

from math import log

import pandas as pd

SLOWER, FASTER = 0.8, 1.25  # exponents of growth between which a cost keeps step with the gallery
CLOCK, LITTLE = 0.01, 5.0  # s and MB below which calls are measured, and not scores
COMPARED = ("broadcast", "tiles")


def growth_of(numbers: pd.DataFrame, method: str, column: str) -> float:
    """The exponent p of cost ~ galleryᵖ over the last step to a larger gallery; NaN without two sizes."""
    rows = numbers[numbers["method"] == method].dropna(subset=[column]).sort_values("gallery")
    if len(rows) < 2 or (rows[column].iloc[-2:] <= 0).any():
        return float("nan")
    before, last = rows.iloc[-2], rows.iloc[-1]
    return log(last[column] / before[column]) / log(last["gallery"] / before["gallery"])


def _grows(numbers: pd.DataFrame, column: str, small: bool) -> str:
    """How a cost of the search grows, in words: 0 stays as it is, 1 keeps step, 2 is the square."""
    exponent = growth_of(numbers, "search", column)
    if small or exponent != exponent:
        return "is too small to tell how it grows"
    if exponent < 0.2:
        return "does not grow"
    if exponent < SLOWER:
        return "grows more slowly than the gallery"
    return "grows faster than the gallery" if exponent > FASTER else "grows in step with the gallery"


def _times(ratio: float) -> str:
    return (
        f"{ratio:.0f} times"
        if ratio >= 10
        else f"{ratio:.1f} times"
        if ratio >= 1
        else f"only {100 * ratio:.0f} % of"
    )


def _scaling(numbers: pd.DataFrame) -> str:
    search = numbers[numbers["method"] == "search"].set_index("gallery")
    last = search.loc[search.index.max()]
    known = last["memory_mb"] == last["memory_mb"]  # NaN: not on this system
    memory = ""
    if known:
        grows = _grows(numbers, "memory_mb", last["memory_mb"] < LITTLE)
        memory = f", and the memory that it holds {grows} ({last['memory_mb']:.3g} MB)"
    said = (
        f"At the last step, to {search.index.max():,} reports, the time of the exact search "
        f"{_grows(numbers, 'seconds', last['seconds'] < CLOCK)} ({last['seconds']:.2g} s for "
        f"{last['queries']:,.0f} queries){memory}."
    )
    costs = numbers.set_index("gallery")[["method", "seconds", "memory_mb"]]
    published, tiles = (costs[costs["method"] == name].drop(columns="method") for name in COMPARED)
    both = (published / tiles).dropna(subset=["seconds"]).sort_index()
    if both.empty:
        return said
    ratio = both.iloc[-1]
    held = f" and {_times(ratio['memory_mb'])} their memory" if ratio["memory_mb"] > 0 else ""
    return (
        f"{said} With {both.index[-1]:,} reports the published broadcast takes "
        f"{_times(ratio['seconds'])} the time of the tiles{held}."
    )


HEADLINES = {"scaling": _scaling}
DETAILS = {}
