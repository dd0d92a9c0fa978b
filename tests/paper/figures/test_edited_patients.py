"""The picture of patients with and without a finding has the numbers of its table."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from medprobclip.paper.figures.patients import with_and_without


def test_dots_and_bars_are_those_of_the_table():
    rows = [
        ("a", "gain", 3.0, 2.0, 4.0),
        ("a", "variance", -1.0, -3.0, 1.0),
        ("b", "variance", 2.0, 1.0, 3.0),
    ]
    table = pd.DataFrame(rows, columns=["finding", "what", "value", "low", "high"])
    films = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    figure = with_and_without(table, films, np.array([[1, 2, 5, 6]]), "a")
    without, having, gains, changes = figure.axes
    np.testing.assert_array_equal(having.images[0].get_array(), films[1])
    assert len(having.lines) > len(without.lines)  # the corners around the finding
    for ax, what in ((gains, "gain"), (changes, "variance")):
        of = table[table["what"] == what]
        dots, _, (bars,) = ax.containers[0]
        np.testing.assert_array_equal(dots.get_xdata(), of["value"])
        np.testing.assert_array_equal(dots.get_ydata(), [["a", "b"].index(name) for name in of["finding"]])
        np.testing.assert_allclose([line[:, 0] for line in bars.get_segments()], of[["low", "high"]])
    plt.close(figure)
