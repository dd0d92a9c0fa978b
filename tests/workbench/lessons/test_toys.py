"""Toy trainings: ten pairs in the plane, hidden parts, hubs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

from medprobclip.gaussian import Gaussian
from medprobclip.workbench.lessons import dimensions, hidden_parts, ten_pairs


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_ten_pairs_find_each_other_or_say_nothing():
    free, bound = ten_pairs.train_plane(0.0), ten_pairs.train_plane(1.0)
    assert free.mean.shape == free.sigma.shape == (ten_pairs.STEPS + 1, 2, 10, 2)
    assert free.contrast[0] > np.log(10) / 2 > free.contrast[-1] * 100
    assert bound.contrast[-1] == pytest.approx(np.log(10), abs=0.01)
    np.testing.assert_allclose(bound.sigma[-1], 1, atol=0.02)
    np.testing.assert_allclose(bound.mean[-1], 0, atol=0.02)


def test_terms_are_those_of_the_states():
    """By torch.distributions, for a state in between."""
    training = ten_pairs.train_plane(0.0)
    mean, sigma = (torch.tensor(part[7]) for part in (training.mean, training.sigma))
    prior = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    nats = (
        torch.distributions.kl_divergence(torch.distributions.Normal(mean, sigma), prior)
        .sum(-1)
        .mean(-1)
        .sum()
    )
    assert training.kl[7] == pytest.approx(nats.sum(-1).mean(-1).sum().item(), rel=1e-4)
    spread = (sigma[0][:, None] ** 2 + sigma[1] ** 2).sqrt()
    logits = torch.distributions.Normal(mean[1], spread).log_prob(mean[0][:, None]).sum(-1)
    own = torch.arange(10)
    loss = sum(torch.nn.functional.cross_entropy(turned, own) for turned in (logits, logits.T)) / 2
    assert training.contrast[7] == pytest.approx(loss.item(), rel=1e-4)


def test_the_plane_shows_the_step_that_it_is_asked_for():
    left, right = ten_pairs.plane(0.0, 30).axes
    assert left.get_title(loc="left") == "β = 0, step 30"
    assert len(left.patches) == 2 * 2 * 10
    np.testing.assert_allclose(left.patches[0].center, ten_pairs.train_plane(0.0).mean[30, 0, 0])
    assert right.get_lines()[1].get_xdata()[-1] == 30


def test_as_many_parts_are_hidden_as_asked():
    generator = torch.Generator().manual_seed(0)
    films = hidden_parts.patients(50, generator)
    assert set(films.unique().tolist()) == {-1.0, 1.0}
    hidden = torch.arange(50)[:, None] % 13
    spoilt = hidden_parts.occlude(films, hidden, 2.0, generator)
    assert ((spoilt == 2).sum(1, keepdim=True) == hidden).all()
    assert (spoilt[spoilt != 2] == films[spoilt != 2]).all()


def test_variance_learns_occlusion_only_where_it_is_trained_on():
    """Each of three seeds: it rises manifold, or it does not reach a third more."""
    table = hidden_parts.occlusion_table()
    ends = table.pivot(index=["trained_with", "seed"], columns="hidden", values="variance")
    growth = ends[hidden_parts.PARTS - 1] / ends[0]
    assert (growth[True] > 3).all()
    assert (growth[False] < 1.34).all()
    surprise = table[table["hidden"] == hidden_parts.PARTS - 1].groupby("trained_with")["surprise"]
    assert surprise.min()[False] > 3
    assert surprise.max()[True] < 1
    said = hidden_parts.said_of_occlusion(table)
    assert "falls from" in said
    assert "and rises from" in said
    assert len(hidden_parts.occlusion(table).axes[0].get_lines()) == 6


def test_surprise_is_the_squared_gap_over_the_variance():
    class Constant:
        def __call__(self, films, reports):
            return Gaussian(films * 0 + 2, films * 0 + np.log(3.0)), Gaussian(reports * 0, reports * 0)

    found = hidden_parts.examine(Constant())
    np.testing.assert_allclose(found["variance"], 3 * hidden_parts.PARTS, rtol=1e-5)
    np.testing.assert_allclose(found["surprise"], 4 / (3 + 1), rtol=1e-5)


def test_sentences_follow_the_numbers():
    rows = [(False, 0, 4.0, 0.1), (False, 11, 5.0, 2.0), (True, 0, 3.0, 0.5), (True, 11, 1.0, 0.8)]
    table = pd.DataFrame(rows, columns=["trained_with", "hidden", "variance", "surprise"])
    said = hidden_parts.said_of_occlusion(table)
    assert "rises from 4.0 to 5.0 if training saw whole films only (Δ²/s 2.0)" in said
    assert "falls from 3.0 to 1.0 if it saw occluded" in said
    rows = [("equal", 2, 1.0, 20), ("equal", 8, 0.5, 15), ("own", 2, 2.0, 30), ("own", 8, 3.0, 40)]
    said = dimensions.said_of_hubs(pd.DataFrame(rows, columns=["kind", "dim", "skew", "most"]))
    assert "does not grow: 1.0 to 0.5 (largest at 2)" in said
    assert "a skew of 2.0 in 2 and 3.0 in 8 dimensions" in said


def test_equal_variances_order_by_distance():
    queries, items = dimensions.crowd(8, "equal")
    nearest = torch.cdist(queries.mean, items.mean).topk(dimensions.K, largest=False).indices
    counts = np.bincount(nearest.ravel().numpy(), minlength=dimensions.ITEMS)
    table = dimensions.hubs_by_dimension([8], seeds=1).set_index("kind")
    assert table.loc["equal", "most"] == counts.max()
    centred = counts - counts.mean()
    assert table.loc["equal", "skew"] == pytest.approx((centred**3).mean() / (centred**2).mean() ** 1.5)
    with pytest.raises(KeyError):
        dimensions.crowd(8, "none")


def test_hubs_come_with_dimensions_and_are_near_the_centre():
    table = dimensions.hubs_by_dimension([2, 32], seeds=1).set_index(["kind", "dim"])["skew"]
    assert table["equal", 32] > table["equal", 2] + 1
    assert table["own", 2] > table["equal", 2] + 1
    assert dimensions.centre_correlation(32) < -0.7
    assert abs(dimensions.centre_correlation(2)) < 0.3


def test_chance_is_the_binomial_one():
    assert dimensions.chance_skew() == pytest.approx(binom(500, 10 / 500).stats("s"))


def test_the_picture_of_hubs_stands_on_its_table():
    table = dimensions.hubs_by_dimension([2, 16], seeds=1)
    left, right = dimensions.crowding(table, 2, 16).axes
    np.testing.assert_allclose(left.get_lines()[0].get_ydata(), table["skew"][:2])
    assert right.get_lines()[1].get_ydata().sum() == dimensions.K * dimensions.ITEMS
