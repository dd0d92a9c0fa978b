"""Marks stand where the numbers say. Those of methods have a file of their own."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from medprobclip.paper.figures import plots

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def ax():
    return plt.figure().subplots()


def test_square_roots_spread_small_percentages(ax):
    plots.square_root(ax)
    ax.set_xlim(0, 100)
    across = ax.transData.transform([[x, 0] for x in (0, 1, 4, 25, 100)])[:, 0]
    np.testing.assert_allclose((across - across[0]) / (across[-1] - across[0]), [0, 0.1, 0.2, 0.5, 1])
    ax.set_xlim(-1, 1)
    np.testing.assert_allclose(
        ax.transData.inverted().transform(ax.transData.transform((-0.25, 0)))[0], -0.25
    )


def test_shares_are_of_groups_at_least_so_large(ax):
    """Two studies alone, three in one group: all share with ≥ 1, 60 % with ≥ 3."""
    plots.share_counts(ax, np.array([1, 3]), np.array([2, 3]), "x", "black")
    assert ax.get_lines()[0].get_ydata().tolist() == [100, 60, 0]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
