"""Gaussian against torch.distributions, closed forms and Monte Carlo."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from medprobclip.gaussian import Gaussian


def as_distribution(g: Gaussian) -> Independent:
    return Independent(Normal(g.mean, g.var.sqrt()), 1)


def test_kl_agrees_with_torch_distributions(make_gaussian):
    g = make_gaussian(7, 5)
    standard = Independent(Normal(torch.zeros_like(g.mean), torch.ones_like(g.mean)), 1)
    torch.testing.assert_close(g.kl_to_standard_normal(), kl_divergence(as_distribution(g), standard))


def test_kl_agrees_with_monte_carlo(make_gaussian):
    g = make_gaussian(3, 4)
    z = g.sample(200_000, torch.Generator().manual_seed(1))
    log_ratio = as_distribution(g).log_prob(z) - Normal(0, 1).log_prob(z).sum(-1)
    error = log_ratio.std(0) / len(z) ** 0.5
    assert ((log_ratio.mean(0) - g.kl_to_standard_normal()).abs() < 5 * error).all()


def test_entropy_and_total_variance(make_gaussian):
    g = make_gaussian(6, 3)
    torch.testing.assert_close(g.entropy(), as_distribution(g).entropy())
    torch.testing.assert_close(g.total_variance(), as_distribution(g).variance.sum(-1))


def test_standard_normal_has_no_kl():
    assert Gaussian(torch.zeros(2, 8), torch.zeros(2, 8)).kl_to_standard_normal().eq(0).all()


def test_samples_have_the_moments_and_gradients(make_gaussian):
    g = make_gaussian(2, 3)
    g = Gaussian(g.mean.requires_grad_(), g.log_var.requires_grad_())
    z = g.sample(100_000, torch.Generator().manual_seed(0))
    assert z.shape == (100_000, 2, 3)
    sigma = g.var.sqrt().detach()
    torch.testing.assert_close(z.mean(0).detach(), g.mean.detach(), atol=5 * float(sigma.max()) / 316, rtol=0)
    torch.testing.assert_close(z.std(0).detach(), sigma, rtol=0.02, atol=0)
    z.sum().backward()
    torch.testing.assert_close(g.mean.grad, torch.full_like(g.mean, 100_000))


def test_index_cat_and_chunk_undo_each_other(make_gaussian):
    a, b = make_gaussian(4, 3, seed=1), make_gaussian(4, 3, seed=2)
    both = Gaussian.cat([a, b])
    assert len(both) == 8
    for part, original in zip(both.chunk(2), (a, b), strict=True):
        assert torch.equal(part.mean, original.mean)
        assert torch.equal(part.log_var, original.log_var)
    assert torch.equal(both[5].mean, b.mean[1])
    with pytest.raises(ValueError, match="equal parts"):
        both[:7].chunk(2)


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        Gaussian(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="dtype"):
        Gaussian(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.float64))
