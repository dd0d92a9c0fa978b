"""Figures of the corpus show every film, and name what they mark. Figure 1 has a file of its own."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import assert_readable, labels_of, titles

from medprobclip.paper.figures.corpus import contact_sheet, rendered_truth

pytestmark = pytest.mark.filterwarnings("error")


def test_contact_sheet_shows_every_film_and_its_corners():
    pictures = np.zeros((3, 2, 2, 16, 16), np.uint8)
    pictures[2, 1, 1] = 7  # third finding, lateral, with
    boxes = np.tile([3, 4, 9, 11], (3, 2, 1))
    figure = contact_sheet(pictures, boxes, ["a", "b", "c"], ["x.", "y.", "z."])
    axes = figure.axes
    assert len(axes) == 12
    assert titles(axes[:4]) == ["PA, without", "PA, with", "lateral, without", "lateral, with"]
    assert axes[11].images[0].get_array().max() == 7
    assert not axes[10].lines
    x = np.concatenate([line.get_xdata() for line in axes[11].lines])
    y = np.concatenate([line.get_ydata() for line in axes[11].lines])
    assert (x.min(), x.max(), y.min(), y.max()) == (0, 12, 1, 14)


def test_long_codes_and_sentences_are_cut_to_fit():
    code = (
        "Thoracic Vertebrae/degenerative/moderate; Aorta/tortuous; Calcified Granuloma/lung/upper lobe/left"
    )
    sentence = (
        "There is a very long sentence about a finding that goes on beyond what fits below the films of it."
    )
    figure = contact_sheet(
        np.zeros((2, 2, 2, 16, 16), np.uint8), np.ones((2, 2, 4)), [code] * 2, [sentence * 2] * 2
    )
    assert_readable(figure)
    quotes = [card.get_supxlabel() for card in figure.subfigs]
    assert all(quote.startswith("“There is") and quote.endswith(" …”") for quote in quotes)
    assert all(card.get_suptitle().startswith("Thoracic Vertebrae") for card in figure.subfigs)


def test_rendered_truth_names_what_it_marks():
    edges = {f"{view}_{e}": [2, 5] for view in ("pa", "lateral") for e in ("left", "top", "right", "bottom")}
    found = pd.DataFrame({"kind": ["nodule", "effusion"], **edges})
    table = pd.DataFrame({"group": ["nodule"], "studies": [9], "low": [1.0], "median": [2.0], "high": [4.0]})
    image = np.zeros((16, 16), np.uint8)
    figure = rendered_truth(image, image, found, table)
    legend = figure.subfigs[0].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["nodule", "effusion"]
    marked = {line.get_color() for line in figure.subfigs[0].axes[0].get_lines()}
    assert marked == {line.get_color() for line in legend.get_lines()}
    ranges = figure.subfigs[1].axes[0]
    assert labels_of(ranges) == ["nodule  (9)"]
    segment = ranges.containers[0].lines[2][0].get_segments()[0]
    assert segment[:, 0].tolist() == [1.0, 4.0]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
