"""The idea in one picture."""

import matplotlib.pyplot as plt
import pytest

from medprobclip.paper.figures.idea import two_gaussians
from medprobclip.workbench.lessons.overlap import idea_table

pytestmark = pytest.mark.filterwarnings("error")


def test_reports_are_told_with_their_rank_on_either_side():
    table = idea_table()
    points, clouds = two_gaussians(table).axes
    assert (len(points.patches), len(clouds.patches)) == (0, 2 * len(table))
    for ax, column, ascending in ((points, "distance", True), (clouds, "score", False)):
        order = table.iloc[1:].sort_values(column, ascending=ascending)["name"].tolist()
        told = {text.get_text().split("\n")[0]: text.get_text() for text in ax.texts}
        assert told["film"] == "film"
        for rank, name in enumerate(order, start=1):
            assert f"\n{rank}. by {column}" in told[name]
    plt.close("all")
