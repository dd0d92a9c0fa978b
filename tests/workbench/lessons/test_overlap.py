"""The overlap of two Gaussians against integrals, and what the pictures say of it."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from medprobclip.workbench.lessons.overlap import (
    density,
    gaussian,
    idea_table,
    log_overlap,
    monte_carlo,
    monte_carlo_errors,
    one_draw_error,
    overlap_1d,
    overlap_2d,
)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_density_is_the_normal_one():
    z = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(density(z, 0.4, 0.7), norm.pdf(z, 0.4, 0.7))


@pytest.mark.parametrize(("distance", "sigma_x", "sigma_y"), [(0, 0.1, 0.1), (1, 0.5, 2), (3, 0.5, 0.5)])
def test_the_overlap_is_the_area_under_the_product(distance, sigma_x, sigma_y):
    area, _ = quad(
        lambda z: norm.pdf(z, 0, sigma_x) * norm.pdf(z, distance, sigma_y), -8, 8, points=[0, distance]
    )
    found = log_overlap(gaussian([0.0], [sigma_x]), gaussian([float(distance)], [sigma_y]))
    np.testing.assert_allclose(found, [[math.log(area)]], rtol=1e-6)
    left, right = overlap_1d(distance, sigma_x, sigma_y).axes
    _, curve_y = (line.get_ydata() for line in left.get_lines())
    np.testing.assert_allclose(curve_y.max(), norm.pdf(0, 0, sigma_y), rtol=1e-3)
    stem, dot = right.get_lines()[1:]
    assert stem.get_ydata()[1] == dot.get_ydata()[0] == pytest.approx(area)
    assert f"log = {math.log(area):.2f}" in right.texts[0].get_text()


def test_many_means_share_one_spread():
    both = gaussian([[0.0, 1.0], [2.0, 3.0]], [0.5, 2.0])
    np.testing.assert_allclose(both.var, [[0.25, 4.0]] * 2)


def test_two_dimensions_are_told_in_the_title():
    truth = multivariate_normal.logpdf([0, 2.5], [0, 0], np.diag([1.2**2 + 0.25, 0.4**2 + 0.25]))
    assert overlap_2d(2.5, 90, 0.5).axes[0].get_title(loc="left").endswith(f"= {truth:.2f}")


def test_by_distance_and_by_overlap_the_order_is_another():
    """What the picture is for: the nearest report is the worst by overlap."""
    table = idea_table()
    film, reports = table.iloc[0], table.iloc[1:]
    for row in reports.itertuples():
        gap = np.array([row.mean_1, row.mean_2]) - film[["mean_1", "mean_2"]].to_numpy(float)
        s = np.array([row.sigma_1, row.sigma_2]) ** 2 + film[["sigma_1", "sigma_2"]].to_numpy(float) ** 2
        assert row.distance == pytest.approx(math.hypot(*gap))
        assert row.score == pytest.approx(norm.logpdf(0, gap, np.sqrt(s)).sum())
    assert reports["distance"].idxmin() == reports["score"].idxmin()
    assert table.iloc[0][["distance", "score"]].isna().all()


def test_the_error_of_one_draw_is_that_of_the_integral():
    x, y = gaussian([0.0], [1.2]), gaussian([1.5], [0.6])
    mean, square = (
        quad(lambda z, p=p: norm.pdf(z, 0, 1.2) * norm.pdf(z, 1.5, 0.6) ** p, -10, 10)[0] for p in (1, 2)
    )
    assert one_draw_error(x, y) == pytest.approx(math.sqrt(square - mean**2) / mean)


def test_draws_fall_into_the_band():
    """Within a tenth of 1/√n, by 2,000 repetitions: their own standard error is about two in a hundred."""
    x, y = gaussian([0.0, 0.0], [1.0, 0.5]), gaussian([0.5, 0.2], [0.8, 0.6])
    errors = monte_carlo_errors(x, y, [100, 400], repeats=2000)
    root = errors["error"].pow(2).groupby(errors["n"]).mean().pow(0.5)
    assert abs(errors["error"].mean()) < 0.01
    for n in (100, 400):
        assert root[n] == pytest.approx(one_draw_error(x, y) / math.sqrt(n), rel=0.1)


def test_the_band_is_drawn_at_two_standard_errors():
    x, y = gaussian([0.0], [1.0]), gaussian([0.5], [0.8])
    errors = monte_carlo_errors(x, y, [10, 1000], repeats=3)
    left, right = monte_carlo(errors, 0.5).axes
    top = max(path.vertices[:, 1].max() for path in left.collections[0].get_paths())
    assert top == pytest.approx(200 * 0.5 / math.sqrt(10))
    np.testing.assert_allclose(right.get_lines()[1].get_ydata(), [50 / 10**0.5, 50 / 1000**0.5])
