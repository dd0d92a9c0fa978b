"""Tables as comparisons make them, and what of a drawn figure can be read."""

import itertools
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from medprobclip.paper.tables.experiments import METHODS, REFERENCE

ALL, ALONE, CONTROL = tuple(METHODS), (REFERENCE,), ("clip",)  # methods that a table may have


def compared(values: dict[str, float], spread: float, seeds: int = 3) -> pd.DataFrame:
    """One row a method as `evaluation.resampling.compare` has it; the first is the reference.

    Intervals reach `spread` below and twice as far above; the interval of the difference reaches `spread` to
    both sides, so that methods within it of the reference cannot be told from it.
    """
    rows, (reference, *_) = [], values
    for name, value in values.items():
        step = spread / 2 * (seeds > 1)
        row = {"method": name, "value": value, "low": value - spread, "high": value + 2 * spread}
        row |= {"seeds": seeds, "least": value - step, "most": value + step}
        if name != reference:
            difference = value - values[reference]
            bounds = {"difference_low": difference - spread, "difference_high": difference + spread}
            row |= {"difference": difference, **bounds, "p": 0.05}
        rows.append(row)
    return pd.DataFrame(rows)


def with_bank(rows: pd.DataFrame, step: float, spread: float) -> pd.DataFrame:
    """The rows of `compared` by their own score, and below them each method's less the bank's term.

    The bank adds 0 to the first method and `step` more to each next; intervals are half as wide as those
    of the own score, that of the difference reaches `spread` to both sides.
    """
    gain = step * np.arange(len(rows))
    bank = rows.assign(
        value=rows["value"] + gain,
        low=rows["value"] + gain - (rows["value"] - rows["low"]) / 2,
        high=rows["value"] + gain + (rows["high"] - rows["value"]) / 2,
        difference=gain, difference_low=gain - spread, difference_high=gain + spread, p=0.05,
    )  # fmt: skip
    return pd.concat([rows.assign(score="own"), bank.assign(score="bank")], ignore_index=True)


def by_method(start: float, step: float, methods: tuple[str, ...] = tuple(METHODS)) -> dict[str, float]:
    """Values that grow by `step` from method to method."""
    return {name: start + step * i for i, name in enumerate(methods)}


@cache
def drawn(
    figure: Callable[[pd.DataFrame], Figure],
    rows: Callable[[tuple[str, ...]], pd.DataFrame],
    methods: tuple[str, ...],
) -> Figure:
    """A figure of the rows of these methods, drawn once for all tests of a module."""
    return figure(rows(methods))


def shown(figure: Figure) -> list[Text]:
    """Every text that is drawn; the labels of ticks beyond the ends of their axis are not."""
    figure.draw_without_rendering()
    hidden = {
        t
        for ax in figure.findobj(Axes)
        if not ax.axison
        for a in (ax.xaxis, ax.yaxis)
        for t in a.findobj(Text)
    }
    for axis in figure.findobj(Axis):
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        for minor in (False, True):
            places = axis.get_ticklocs(minor=minor)
            for label, place in zip(axis.get_ticklabels(minor=minor), places, strict=False):
                if not low - slack <= place <= high + slack:
                    hidden.add(label)
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]


def assert_readable(figure: Figure) -> None:
    """No text lies on another; none is cut off, since `catalogue.save` keeps whatever is drawn."""
    boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in shown(figure)]
    assert boxes
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), (one, other)


def pixels_of_letters(figure: Figure, page: int = 800) -> float:
    """How high the smallest letters are when the saved picture fills the width of a page."""
    texts = shown(figure)
    return min(text.get_fontsize() for text in texts) / 72 * page / figure.get_tightbbox().width


def legend_of(figure: Figure) -> list[str]:
    """The entries of the one legend of a figure."""
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def points(ax: Axes, marker: str = "o") -> list[tuple[float, float, bool]]:
    """The marks of a panel in the order in which they were drawn: x, y, and whether one is hollow."""
    return [
        (float(x), float(y), line.get_mfc() == "white")
        for line in ax.get_lines()
        if line.get_marker() == marker
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def bars(ax: Axes, above: float = 0.0) -> np.ndarray:
    """The lower and upper ends of the horizontal error bars so far above a line of text, `[n, 2]`."""
    segments = [c.lines[2][0].get_segments()[0] for c in ax.containers]
    return np.array([of[:, 0] for of in segments if np.isclose((of[0, 1] + above) % 1, 0)])


def dashes(ax: Axes) -> list[float]:
    """Where upright dashed lines stand, in ascending order."""
    return sorted(float(line.get_xdata()[0]) for line in ax.get_lines() if line.get_linestyle() == "--")


def titles(axes: Iterable[Axes]) -> list[str]:
    """What is written above each panel."""
    return [ax.get_title(loc="left") for ax in axes]


def labels_of(ax: Axes) -> list[str]:
    """What is written beside the rows of a panel."""
    return [label.get_text() for label in ax.get_yticklabels()]


def written(ax: Axes) -> list[str]:
    """What is written in and beside a panel, labels and titles apart."""
    return [text.get_text() for text in ax.texts]
