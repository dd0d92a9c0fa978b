"""Tables as comparisons make them, and what of a drawn figure can be read."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from medprobclip.experiments import METHODS


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


def by_method(start: float, step: float, methods: tuple[str, ...] = tuple(METHODS)) -> dict[str, float]:
    """Values that grow by `step` from method to method."""
    return {name: start + step * i for i, name in enumerate(methods)}


def shown(figure: Figure) -> list[Text]:
    """Every text that is drawn; the labels of ticks beyond the ends of their axis are not."""
    FigureCanvasAgg(figure).draw()
    hidden = set()
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
    """No text lies on another, on a picture, or runs out of what `figures.save` keeps of the figure."""
    boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in shown(figure)]
    assert boxes
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), (one, other)
    kept = figure.get_tightbbox().padded(0.1)  # inches
    dpi = figure.dpi
    for name, box in boxes:
        assert kept.x0 * dpi <= box.x0 < box.x1 <= kept.x1 * dpi, name
        assert kept.y0 * dpi <= box.y0 < box.y1 <= kept.y1 * dpi, name


def legend_of(figure: Figure) -> list[str]:
    """The entries of the one legend of a figure."""
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def noisy(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """A little off, always by the same."""
    return values * np.random.default_rng(seed).uniform(0.9, 1.1, np.shape(values))
