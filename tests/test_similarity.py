"""The expected likelihood against its closed form in torch.distributions and against Monte Carlo."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

import medprobclip.similarity as similarity
from medprobclip.gaussian import Gaussian
from medprobclip.similarity import ScaledSimilarity, expected_likelihood


def log_expected_likelihood(x: Gaussian, y: Gaussian) -> torch.Tensor:
    """log ∫ N(z; x) N(z; y) dz = log N(μx; μy, σx² + σy²), from torch.distributions."""
    scale = (x.var[:, None] + y.var[None]).sqrt()
    return Independent(Normal(y.mean[None], scale), 1).log_prob(x.mean[:, None])


def test_agrees_with_torch_distributions(make_gaussian):
    x, y = make_gaussian(5, 7, seed=1), make_gaussian(4, 7, seed=2)
    constant = 7 / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(expected_likelihood(x, y), log_expected_likelihood(x, y) + constant)


def test_agrees_with_monte_carlo(make_gaussian):
    """∫ N(z; x) N(z; y) dz is the mean of N(z; y) over samples z of x."""
    x, y = make_gaussian(3, 2, seed=3), make_gaussian(3, 2, seed=4)
    z = x.sample(400_000, torch.Generator().manual_seed(0))
    for j in range(3):
        density = Independent(Normal(y.mean[j], y.var[j].sqrt()), 1).log_prob(z).exp()
        expected = (expected_likelihood(x, y[j : j + 1])[:, 0] - math.log(2 * math.pi)).exp()
        error = density.std(0) / len(z) ** 0.5
        assert ((density.mean(0) - expected).abs() < 5 * error).all()


@given(n=st.integers(1, 9), m=st.integers(1, 9), d=st.integers(1, 6), seed=st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_properties_over_random_inputs(n, m, d, seed):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda k: Gaussian(*torch.randn(2, k, d, generator=generator, dtype=torch.float64))  # noqa: E731
    x, y = draw(n), draw(m)
    scores = expected_likelihood(x, y)
    assert scores.shape == (n, m)
    torch.testing.assert_close(scores, expected_likelihood(y, x).T)  # symmetric
    shift = torch.randn(d, generator=generator, dtype=torch.float64)
    moved = expected_likelihood(Gaussian(x.mean + shift, x.log_var), Gaussian(y.mean + shift, y.log_var))
    torch.testing.assert_close(scores, moved)  # the origin does not matter


def test_tiles_change_nothing(make_gaussian, monkeypatch):
    x, y = make_gaussian(13, 5, seed=5), make_gaussian(6, 5, seed=6)
    whole = expected_likelihood(x, y)
    monkeypatch.setattr(similarity, "TILE_ELEMENTS", 2 * 6 * 5)
    torch.testing.assert_close(expected_likelihood(x, y), whole, rtol=0, atol=0)


def test_hand_computed():
    x = Gaussian(torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    y = Gaussian(torch.tensor([[3.0], [1.0]]), torch.tensor([[0.0], [math.log(3.0)]]))
    # s = 2: −½(4/2 + log 2);  s = 4: −½(0 + log 4)
    expected = torch.tensor([[-0.5 * (2 + math.log(2)), -0.5 * math.log(4)]])
    torch.testing.assert_close(expected_likelihood(x, y), expected)


def test_bfloat16_inputs_are_summed_in_float32(make_gaussian):
    x, y = (make_gaussian(6, 512, seed=s).to(torch.bfloat16) for s in (1, 2))
    scores = expected_likelihood(x, y)
    assert scores.dtype == torch.float32
    exact = expected_likelihood(x.to(torch.float64), y.to(torch.float64))
    torch.testing.assert_close(scores.double(), exact, rtol=1e-5, atol=0)


def test_scale_never_turns_the_order_round(make_gaussian):
    x, y = make_gaussian(4, 3, seed=1).float(), make_gaussian(4, 3, seed=2).float()
    score = ScaledSimilarity(a=-2.0, b=0.5)
    torch.testing.assert_close(score(x, y), 1e-3 * expected_likelihood(x, y) + 0.5)


def test_unequal_dimensions_are_refused(make_gaussian):
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        expected_likelihood(make_gaussian(2, 3), make_gaussian(2, 4))
