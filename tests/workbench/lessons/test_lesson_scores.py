"""Nine scores of one pair, and the pull on its variance."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from medprobclip.similarity import SCORES
from medprobclip.workbench.lessons.scores import (
    SIGMAS,
    TITLES,
    _pull,
    best_sigma,
    nine_scores,
    pull_on_log_var,
    score_curves,
    score_sweep,
    sigma_flow,
    spread_path,
)

DISTANCES = np.array([0.0, 0.7, 2.0])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_all_nine_are_swept():
    sweep = score_sweep(DISTANCES, SIGMAS[:5])
    assert list(sweep) == list(SCORES) == list(TITLES)
    assert {scores.shape for scores in sweep.values()} == {(5, 3)}


def test_a_place_of_the_sweep_is_the_pair_it_says():
    sweep = score_sweep(DISTANCES, np.array([0.3, 1.5]))
    x = Independent(Normal(torch.tensor([2.0, 0.0]), torch.tensor([0.5, 0.5])), 1)
    y = Independent(Normal(torch.tensor([2.0, 2.0]), torch.tensor([0.5, 1.5])), 1)
    assert sweep["kl"][1, 2] == pytest.approx(-kl_divergence(x, y).item(), rel=1e-5)
    assert sweep["cosine"][1, 2] == pytest.approx(0.5**0.5)
    assert sweep["csd"][1, 2] == pytest.approx(-(4 + 3 * 0.25 + 2.25))


def test_favourites_are_those_that_the_notebook_derives():
    """Each to within a step of the grid, two in a hundred."""
    distance = np.array([0.2, 1.0, 2.0, 4.0])
    best = {name: best_sigma(scores, SIGMAS) for name, scores in score_sweep(distance, SIGMAS).items()}
    exact = np.sqrt(np.maximum(distance**2 - 0.25, SIGMAS[0] ** 2))  # s = Δ², of which the film has 0.25
    np.testing.assert_allclose(best["expected_likelihood"], exact, rtol=0.02)
    np.testing.assert_allclose(best["kl"], np.sqrt(distance**2 + 0.25), rtol=0.02)
    for name in ("wasserstein", "reverse_kl"):
        np.testing.assert_allclose(best[name], 0.5, rtol=1e-6)
    np.testing.assert_allclose(best["csd"], SIGMAS[0])
    assert np.isnan(best["cosine"]).all()
    for name in ("bhattacharyya", "hellinger", "symmetric_kl"):
        assert (np.diff(best[name]) > 0).all()


def test_pull_is_what_is_derived_by_hand():
    generator = np.random.default_rng(0)
    distance, s = generator.uniform(0, 3, 40), generator.uniform(0.05, 9, 40)
    by_hand = 0.25 * (distance**2 / s - 1)
    np.testing.assert_allclose(pull_on_log_var(distance, s), by_hand, rtol=1e-9)
    np.testing.assert_allclose(_pull(distance, s), by_hand)
    assert pull_on_log_var(distance[:, None], s[:3]).shape == (40, 3)


@pytest.mark.parametrize(("distance", "start"), [(2.0, 0.1), (0.5, 8.0), (1.0, 1.0)])
def test_a_variance_ends_at_the_squared_distance(distance, start):
    path = spread_path(distance, start)
    assert path["s"].iloc[0] == start
    assert path["s"].iloc[-1] == pytest.approx(distance**2, rel=0.02)
    assert (np.diff(path["s"]) * np.sign(distance**2 - start) >= 0).all()


def test_pictures_show_the_state_that_they_are_asked_for():
    left, right = sigma_flow(2.0, 0.3).axes
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), spread_path(2.0, 0.3)["s"])
    assert "from s = 0.3" in right.get_title(loc="left")
    curves = score_curves(2.0)
    assert "Δ = 2" in curves.get_suptitle()
    assert [ax.get_title(loc="left").split(" · ")[0] for ax in curves.axes] == list(TITLES.values())
    np.testing.assert_allclose(
        curves.axes[1].get_lines()[0].get_ydata(), score_sweep(np.array([2.0]), SIGMAS)["csd"][:, 0]
    )
    assert len(nine_scores().axes) == 9
