"""The idea in one picture."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Ellipse

from medprobclip.paper.figures.idea import two_gaussians
from medprobclip.workbench.lessons.overlap import idea_table

pytestmark = pytest.mark.filterwarnings("error")
FILM = np.arange(36, dtype=np.uint8).reshape(6, 6)


def test_reports_are_told_with_their_rank_on_either_side():
    table = idea_table()
    points, clouds = two_gaussians(table, FILM).axes
    ellipses = [[patch for patch in ax.patches if isinstance(patch, Ellipse)] for ax in (points, clouds)]
    assert [len(some) for some in ellipses] == [0, 2 * len(table)]
    for ax, column, ascending in ((points, "distance", True), (clouds, "score", False)):
        order = table.iloc[1:].sort_values(column, ascending=ascending)["name"].tolist()
        told = {text.get_text().split("\n")[0]: text for text in ax.texts}
        assert set(told) == set(order)
        for rank, name in enumerate(order, start=1):
            assert f"\n{rank}. by {column}" in told[name].get_text()
            assert (told[name].get_weight() == "bold") == (rank == 1)
    plt.close("all")


def test_the_film_is_beside_its_place_on_either_side():
    table = idea_table().assign(mean_1=lambda t: t["mean_1"] + 0.5)
    for ax in two_gaussians(table, FILM).axes:
        (picture,) = ax.images
        np.testing.assert_array_equal(picture.get_array(), FILM)
        line = ax.lines[0].get_xydata()
        assert line[1].tolist() == [0.5, 0.0]  # the film's mean
        left, right, bottom, top = picture.get_extent()
        assert line[0].tolist() == pytest.approx([right, top])
        assert right - left == pytest.approx(top - bottom)
        assert ax.get_xlim()[0] < left < right < table["mean_1"].iloc[0]
    plt.close("all")
