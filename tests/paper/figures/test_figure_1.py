"""Figure 1 says what it is given, and no text lies on another or on a radiograph."""

import itertools
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from medprobclip.data.lookalikes import CODED, LONGEST, NEARLY, WORDED, Lookalikes
from medprobclip.paper.figures.catalogue import figure_1

LONG = ("Cardiomegaly common to many mammoth men " * 3)[: LONGEST - 1].strip() + "."
TABLES = {
    "impressions worded alike": pd.DataFrame({"size": [1, 2, 400, 1200], "studies": [37, 13, 25, 25]}),
    WORDED: pd.DataFrame({"size": [1, 50], "studies": [73, 27]}),
    CODED: pd.DataFrame({"size": [1, 5], "studies": [50, 50]}),
    NEARLY: pd.DataFrame({"size": [1], "studies": [100]}),
}


def group(title: str, quotes: tuple[str, ...], shared: int = 1204) -> Lookalikes:
    counted = "studies have a report at least 0.7 similar to the first (cosine of TF-IDF)"
    code = "Calcified Granuloma/lung/upper lobe/left"
    return Lookalikes(title, code, (0, 1, 2), (Path("a.png"),) * 3, quotes, shared, counted)


GROUPS = [
    group(WORDED, ("Low.", "Low.", "Low."), 51),
    group(WORDED, (LONG, LONG, LONG)),
    group(NEARLY, ("Mild.", LONG, "Minimal."), 9),
    group(CODED, (LONG, "Some.", "Other.")),
]


def draw(groups: list[Lookalikes]) -> tuple[plt.Figure, list[Text]]:
    """The drawn figure and the texts that show in it: labels of ticks beyond an axis do not."""
    pictures = np.arange(len(groups) * 3, dtype=np.uint8)[:, None, None] * np.ones((1, 16, 16), np.uint8)
    figure = figure_1(groups, pictures.reshape(len(groups), 3, 16, 16), TABLES)
    FigureCanvasAgg(figure).draw()
    curves = figure.subfigs[1].axes[1]
    hidden = {
        label
        for axis in (curves.xaxis, curves.yaxis)
        for label, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if not axis.get_view_interval()[0] <= place <= axis.get_view_interval()[1]
    }
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    return figure, [text for text in texts if text not in hidden]


@pytest.fixture(scope="module")
def full() -> tuple[plt.Figure, list[Text]]:
    """All four groups."""
    return draw(GROUPS)


def test_quotes_counts_codes_and_shares_appear(full):
    figure, texts = full
    shown = [" ".join(text.get_text().split()) for text in texts]
    for one in GROUPS:
        for quote in one.quotes:
            assert f"“{quote}”" in shown
        assert f"{one.shared:,}" in shown
        assert any(one.counted in text and f"expert code: {one.coding}" in text for text in shown)
    for name, share in zip(TABLES, ("63 %", "27 %", "50 %", "0 %"), strict=True):
        assert shown.count(name) == 1 + sum(one.title == name for one in GROUPS)
        assert share in shown
    images = [ax.images[0].get_array() for sub in figure.subfigs for ax in sub.axes if ax.images]
    assert [int(image.max()) for image in images] == list(range(12))


def test_rows_have_the_colour_of_their_curve(full):
    figure, texts = full
    curves = {line.get_label(): line.get_color() for line in figure.subfigs[1].axes[1].get_lines()}
    assert list(curves) == list(TABLES)
    assert len(set(curves.values())) == 4
    for text in texts:
        if text.get_text() in curves:
            assert text.get_color() == curves[text.get_text()]


@pytest.mark.parametrize("rows", [4, 1])
def test_nothing_lies_on_a_text(full, rows):
    figure, texts = full if rows == 4 else draw(GROUPS[1:2])
    boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in texts]
    assert len(boxes) >= 6 * rows
    films = [ax.get_window_extent() for sub in figure.subfigs for ax in sub.axes if ax.images]
    assert len(films) == 3 * rows
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), (one, other)
    for (name, box), film in itertools.product(boxes, films):
        assert not box.overlaps(film), name
    for name, box in boxes:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, name
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, name


def test_without_text_and_codes_the_numbers_stand_below_the_films():
    measured = (
        "50000130: 29 words",
        "50000131: 29 words, cosine 0.98",
        "…84.10008.1.2.3456: 9 words, cosine 0.71",
    )
    bare = replace(GROUPS[2], coding="", coder="", quotes=(), measured=measured, whose="studies")
    _, texts = draw([bare, bare])
    shown = [" ".join(text.get_text().split()) for text in texts]
    assert [shown.count(one) for one in measured] == [2, 2, 2]
    assert "a Different studies, the same content" in shown
    assert not any("“" in text or "code" in text.replace(CODED, "") for text in shown)
    for (one, a), (other, b) in itertools.combinations(
        [(t, t.get_window_extent().padded(-1)) for t in texts], 2
    ):
        assert not a.overlaps(b), (one.get_text(), other.get_text())


def test_without_groups_there_are_curves_only():
    figure = figure_1([], [], TABLES)
    FigureCanvasAgg(figure).draw()
    assert not [ax for ax in figure.axes if ax.images]
    assert [line.get_label() for line in figure.axes[1].get_lines()] == list(TABLES)


@pytest.fixture(autouse=True, scope="module")
def _close():
    yield
    plt.close("all")
