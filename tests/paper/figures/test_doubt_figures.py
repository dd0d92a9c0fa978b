"""What variance knows, cards and influences: marks and texts are those of the tables, and can be read."""

from functools import cache, partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import assert_readable, labels_of, legend_of, titles, written
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from medprobclip.data.privacy import WITHHELD
from medprobclip.paper.figures import plots
from medprobclip.paper.figures.doubt import (
    CHANGES,
    influence_on_variance,
    surest_and_least_sure,
    what_variance_knows,
)
from medprobclip.paper.figures.methods import METHOD_COLOURS
from medprobclip.paper.tables.experiments import METHODS
from medprobclip.paper.tables.variance_knowledge import PROPERTIES, knows_variance

pytestmark = pytest.mark.filterwarnings("error")
ALL = tuple(name for name in METHODS if knows_variance(name))
SIDES = {
    "image": [name for name in PROPERTIES if name != "length"],
    "report": [name for name in PROPERTIES if name not in ("conspicuity", "severity")],
}


def knowledge_rows(methods: tuple[str, ...]) -> pd.DataFrame:
    """As `tables.variance_knowledge.knowledge_table`; the last method has no faults measured."""
    rows = []
    for i, method in enumerate(methods):
        for side, names in SIDES.items():
            for k, name in enumerate(names):
                if name == "severity" and 0 < i == len(methods) - 1:
                    continue
                rho = 0.9 - 0.2 * k + 0.03 * i
                row = {"method": method, "side": side, "property": name, "n": 684 - k, "rho": rho}
                row |= {"rho_low": rho - 0.06, "rho_high": rho + 0.05, "partial": rho / 2 - 0.1}
                row |= {"partial_low": rho / 2 - 0.2, "partial_high": rho / 2 - 0.02}
                if name == "severity":
                    row |= dict.fromkeys(("partial", "partial_low", "partial_high"), np.nan)
                rows.append(row)
    return pd.DataFrame(rows)


drawn_knowledge = cache(lambda methods: what_variance_knows(knowledge_rows(methods)))


@pytest.mark.parametrize("methods", [ALL, ALL[:1]])
def test_every_correlation_is_drawn(methods):
    table = knowledge_rows(methods)
    figure = drawn_knowledge(methods)
    for ax, (side, names) in zip(figure.axes, SIDES.items(), strict=True):
        rows = table[table["side"] == side]
        hollow, filled, bars = [], [], []
        for line in ax.get_lines():
            x, y = (np.asarray(values, dtype=float) for values in line.get_data())
            if line.get_marker() == "o":
                (hollow if line.get_mfc() == "white" else filled).append((line.get_color(), x[0], y[0]))
            elif len(set(y)) == 1 and set(x) != {0, 1}:
                bars.append((line.get_color(), *x, y[0]))
        named = {(METHOD_COLOURS[m], name): row for m, name, row in zip(
            rows["method"], rows["property"], rows.to_dict("records"), strict=True)}  # fmt: skip
        keys = [(colour, names[round(y)]) for colour, _, y in hollow]
        assert sorted(keys) == sorted(named)
        assert [x for _, x, _ in hollow] == [named[key]["rho"] for key in keys]
        dotted = [(colour, names[round(y)]) for colour, _, y in filled]
        assert [x for _, x, _ in filled] == [named[key]["partial"] for key in dotted]
        assert set(dotted) == {key for key in named if key[1] != "severity"}
        assert len(bars) == len(named)
        for colour, low, high, y in bars:
            row = named[colour, names[round(y)]]
            kind = "rho" if names[round(y)] == "severity" else "partial"
            assert (low, high) == (row[f"{kind}_low"], row[f"{kind}_high"])
        counts = rows.groupby("property")["n"].first()
        assert labels_of(ax) == [f"{PROPERTIES[name]}  ({counts[name]})" for name in names]
    assert legend_of(figure)[:-2] == [METHODS[name] for name in methods]


def test_marks_of_methods_lie_apart():
    """Less than half a line above or below, in the order of the legend."""
    for ax in drawn_knowledge(ALL).axes:
        heights = {c: [] for c in (METHOD_COLOURS[m] for m in ALL)}
        for line in ax.get_lines():
            if line.get_marker() == "o":
                heights[line.get_color()].append(float(line.get_ydata()[0]) % 1)
        offsets = [(np.round(np.array(h) + 0.5, 9) % 1 - 0.5).round(6) for h in heights.values()]
        assert all(len(set(own)) == 1 for own in offsets)
        assert sorted(own[0] for own in offsets) == [own[0] for own in offsets]


@pytest.mark.parametrize("methods", [ALL, ALL[:1]])
def test_knowledge_can_be_read(methods):
    figure = drawn_knowledge(methods)
    assert_readable(figure)
    assert titles(figure.axes) == ["Total variance of radiographs", "Total variance of reports"]


def test_a_narrow_axis_is_marked_too():
    """Of small correlations, such as few studies or properties have, more than the zero can be read."""
    table = knowledge_rows(ALL[:1])
    values = [name for name in table if name.startswith(("rho", "partial"))]
    for ax in what_variance_knows(table.assign(**table[values] / 4)).axes:
        low, high = ax.get_xlim()
        assert sum(low <= tick <= high for tick in ax.get_xticks()) >= 2


def card_rows(n: int) -> pd.DataFrame:
    """As `tables.cards.extremes`, with the longest of texts at the surest."""
    rows = []
    for side in ("image", "report"):
        for end, places in (("surest", range(1, n + 1)), ("least sure", range(n, 0, -1))):
            for place in places:
                long = end == "surest" and place < n
                codes = "Opacity/lung/base/bilateral/interstitial; " * 8 if long else "normal"
                rows.append({
                    "side": side, "end": end, "place": place, "study_id": f"{side}{end}{place}",
                    "total_variance": (100 if end == "surest" else 200) + place / 7,
                    "sharing": 1 if long else 246, "codes": codes.strip("; "), "words": 149,
                    "findings": ("Interstitial opacities everywhere " * 4)[:110] if long else "Clear.",
                })  # fmt: skip
    return pd.DataFrame(rows)


@cache
def drawn_cards(n: int = 4) -> tuple[Figure, np.ndarray]:
    pictures = np.arange(2 * n, dtype=np.uint8)[:, None, None].repeat(32, 1).repeat(32, 2)
    return surest_and_least_sure(card_rows(n), pictures), pictures


def test_cards_stand_from_the_farthest_inwards():
    """The surest of all comes first on the left, the least sure of all first on the right."""
    figure, _ = drawn_cards()
    table = card_rows(4)
    shown = [ax.images[0].get_array()[0, 0] for ax in figure.axes if ax.images]
    assert shown == [0, 1, 2, 3, 7, 6, 5, 4]
    headlines = [ax.get_title(loc="left") for ax in figure.axes if ax.images]
    images = table[table["side"] == "image"]["total_variance"].tolist()
    assert headlines == [f"Σσ² = {images[i]:.4g}" for i in shown]
    texts = [written(ax) for ax in figure.axes if not ax.images]
    reports = table[table["side"] == "report"]["total_variance"].tolist()
    assert [text[0].split(",")[0] for text in texts] == [f"Σσ² = {reports[i]:.4g}" for i in shown]
    assert texts[0][0].endswith("149 words\na coding of its own")
    assert texts[4] == [f"Σσ² = {reports[7]:.4g}, 149 words\ncoded as 245 others", "“Clear.”", "normal"]
    said = [sub.get_suptitle() for half in figure.subfigs for sub in half.subfigs]
    assert said == [
        f"The {end} {what}" for end in ("surest", "least sure") for what in ("radiographs", "reports")
    ]


@cache
def drawn_withheld() -> tuple[Figure, np.ndarray]:
    pictures = drawn_cards()[1]
    return surest_and_least_sure(card_rows(4).assign(findings=WITHHELD), pictures), pictures


def test_cards_of_ones_own_reports():
    """What is withheld is no quotation and leaves room for codes; what nobody coded has none."""
    withheld, pictures = drawn_withheld()
    _, quote, codes = written(next(ax for ax in withheld.axes if ax.texts))
    assert quote == WITHHELD
    assert codes.count("\n") == 3
    bare = surest_and_least_sure(card_rows(1).drop(columns=["codes", "sharing"]), pictures[:2])
    assert written(next(ax for ax in bare.axes if ax.texts))[1:] == ["“Clear.”", ""]
    assert {ax.get_xlabel() for ax in bare.axes} == {""}


@pytest.mark.parametrize("drawn", [drawn_cards, partial(drawn_cards, 3), drawn_withheld])
def test_cards_can_be_read(drawn):
    """No text leaves its card, however long."""
    figure, _ = drawn()
    assert_readable(figure)
    for ax in figure.axes:
        box = ax.get_window_extent()
        for text in ax.texts:
            own = text.get_window_extent()
            assert box.x0 <= own.x0, text
            assert own.x1 <= box.x1, text
            assert box.y0 <= own.y0, text
            assert own.y1 <= box.y1, text


def influence_rows(words: int) -> pd.DataFrame:
    """As `tables.cards.influence_table`: two films of 64 pixels, and sentences of so many words."""
    parts = []
    for i, end in enumerate(("surest", "least sure")):
        y, x = 8 * np.indices((7, 7)) + 7.5
        shared = {
            "end": end,
            "study_id": f"s{i}",
            "codes": "Opacity/lung/base; " * 9,
            "total_variance": 130.0 + i,
        }
        change = np.linspace(-0.03, 0.01, 49) * (1 + i)
        parts.append(
            pd.DataFrame({**shared, "side": "image", "x": x.ravel(), "y": y.ravel(), "change": change})
        )
        change = np.linspace(-0.001, 0.004, words)
        texts = [("interstitial", "of", "opacities,")[j % 3] for j in range(words)]
        parts.append(pd.DataFrame({**shared, "side": "report", "word": texts, "change": change}))
    return pd.concat(parts, ignore_index=True)


@cache
def drawn_influence(words: int) -> Figure:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    return influence_on_variance(influence_rows(words), pictures)


def test_places_lie_over_the_film_in_colours_around_zero():
    figure, table = drawn_influence(12), influence_rows(12)
    overlaid = [ax for ax in figure.axes if len(ax.images) == 2]
    assert len(overlaid) == 2
    for ax, end in zip(overlaid, ("surest", "least sure"), strict=True):
        film, changes = ax.images
        rows = table[(table["end"] == end) & (table["side"] == "image")]
        np.testing.assert_array_equal(changes.get_array().ravel(), rows["change"])
        assert changes.get_extent() == [3.5, 59.5, 59.5, 3.5]
        assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 63.5), (63.5, -0.5))
        assert changes.norm.vcenter == 0
        assert changes.norm.halfrange == pytest.approx(0.06)  # of both films together
        np.testing.assert_allclose(changes.get_alpha().ravel(), 0.85 * np.abs(rows["change"]) / 0.06)
        assert film.get_array().shape == (64, 64)
    bars = [ax.get_xlim() for ax in figure.axes[-2:]]
    np.testing.assert_allclose(bars, [(-0.06, 0.06), (-0.004, 0.004)])


def test_words_have_the_colour_of_their_change():
    figure, table = drawn_influence(12), influence_rows(12)
    panels = [ax for ax in figure.axes if ax.texts]
    for ax, end in zip(panels, ("surest", "least sure"), strict=True):
        rows = table[(table["end"] == end) & (table["side"] == "report")]
        assert written(ax) == rows["word"].tolist()
        for text, change in zip(ax.texts, rows["change"], strict=True):
            colour = CHANGES(0.5 + change / 0.008)
            np.testing.assert_allclose(text.get_bbox_patch().get_facecolor(), colour)
            dark = np.dot(colour[:3], (0.3, 0.59, 0.11)) < 0.5
            assert text.get_color() == ("white" if dark else plots.INK)
    assert {text.get_color() for ax in panels for text in ax.texts} == {"white", plots.INK}
    assert to_rgba(CHANGES(0.0))[2] > to_rgba(CHANGES(0.0))[0]  # blue is surer


@pytest.mark.parametrize("words", [1, 12, 90])
def test_influences_can_be_read(words):
    """No word meets another or leaves its panel, however long the sentence."""
    figure = drawn_influence(words)
    assert_readable(figure)
    for ax in (ax for ax in figure.axes if ax.texts):
        box = ax.get_window_extent().padded(5)
        places = [text.get_bbox_patch().get_window_extent() for text in ax.texts]
        for place in places:
            assert box.x0 <= place.x0 < place.x1 <= box.x1
            assert box.y0 <= place.y0 < place.y1 <= box.y1
        for one, other in zip(places, places[1:], strict=False):
            assert not one.overlaps(other)


@pytest.fixture(autouse=True, scope="module")
def _close():
    yield
    plt.close("all")
