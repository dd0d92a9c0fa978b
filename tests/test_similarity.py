"""The expected likelihood against its closed form in torch.distributions and against Monte Carlo."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.distributions import Independent, Normal, kl_divergence

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


def independent(g: Gaussian) -> Independent:
    return Independent(Normal(g.mean, (0.5 * g.log_var).exp()), 1)


def pairwise(function, x: Gaussian, y: Gaussian) -> torch.Tensor:
    """`function` of single Gaussians, pair by pair."""
    return torch.stack([torch.stack([function(a, b) for b in y]) for a in x])


def integral(x: Gaussian, y: Gaussian, integrand) -> float:
    """∫ Π over dimensions, of densities on a fine grid: exact to many digits for smooth functions."""
    z = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    total = 1.0
    for d in range(x.dim):
        p, q = (Normal(g.mean[d], (0.5 * g.log_var[d]).exp()).log_prob(z).exp() for g in (x, y))
        total *= float(torch.trapezoid(integrand(p, q), z))
    return total


def test_csd_is_the_expected_squared_distance_of_samples(make_gaussian):
    x, y = make_gaussian(3, 4, seed=1), make_gaussian(2, 4, seed=2)
    generator = torch.Generator().manual_seed(0)
    draws = [g.sample(200_000, generator) for g in (x, y)]
    squared = (draws[0][:, :, None] - draws[1][:, None]).square().sum(-1)
    error = squared.std(0) / len(squared) ** 0.5
    assert ((squared.mean(0) + similarity.csd(x, y)).abs() < 5 * error).all()


def test_csd_by_hand():
    x = Gaussian(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(2.0)]]))
    y = Gaussian(torch.tensor([[0.0, 2.0]]), torch.tensor([[math.log(3.0), 0.0]]))
    torch.testing.assert_close(similarity.csd(x, y), torch.tensor([[-(1.0 + 4.0 + 1.0 + 2.0 + 3.0 + 1.0)]]))


def test_wasserstein_is_the_cost_of_the_best_transport(make_gaussian):
    """In one dimension the best plan is monotone: W² = ∫ (F⁻¹(u) − G⁻¹(u))² du; dimensions add up."""
    x, y = make_gaussian(2, 3, seed=1), make_gaussian(3, 3, seed=2)
    u = (torch.arange(2_000_000, dtype=torch.float64) + 0.5) / 2_000_000

    def cost(a: Gaussian, b: Gaussian) -> torch.Tensor:
        plans = [Normal(g.mean[:, None], (0.5 * g.log_var[:, None]).exp()).icdf(u) for g in (a, b)]
        return -(plans[0] - plans[1]).square().mean(-1).sum()

    torch.testing.assert_close(similarity.wasserstein(x, y), pairwise(cost, x, y), rtol=1e-4, atol=1e-4)


def test_bhattacharyya_and_hellinger_agree_with_the_integral(make_gaussian):
    x, y = make_gaussian(3, 2, seed=1), make_gaussian(2, 2, seed=2)
    coefficient = torch.tensor(
        [[integral(a, b, lambda p, q: (p * q).sqrt()) for b in y] for a in x], dtype=torch.float64
    )
    torch.testing.assert_close(similarity.bhattacharyya(x, y).exp(), coefficient, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(similarity.hellinger(x, y), coefficient - 1, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "symmetric_kl"])
def test_divergences_agree_with_torch_distributions(make_gaussian, name):
    x, y = make_gaussian(4, 5, seed=1), make_gaussian(3, 5, seed=2)

    def divergence(a: Gaussian, b: Gaussian) -> torch.Tensor:
        forward = kl_divergence(independent(a), independent(b))
        backward = kl_divergence(independent(b), independent(a))
        return -{"kl": forward, "reverse_kl": backward, "symmetric_kl": (forward + backward) / 2}[name]

    torch.testing.assert_close(similarity.SCORES[name](x, y), pairwise(divergence, x, y))


def test_cosine_by_hand():
    x = Gaussian(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    y = Gaussian(torch.tensor([[1.0, 0.0], [-6.0, -8.0]]), torch.ones(2, 2))
    torch.testing.assert_close(similarity.cosine(x, y), torch.tensor([[0.6, -1.0]]))


@pytest.mark.parametrize(
    "name", ["wasserstein", "bhattacharyya", "hellinger", "kl", "reverse_kl", "symmetric_kl"]
)
def test_distances_are_zero_for_identical_gaussians_and_below_elsewhere(make_gaussian, name):
    x = make_gaussian(6, 16, seed=1)
    x = Gaussian(x.mean + 100, x.log_var).float()  # far from the origin: what cancels must cancel
    scores = similarity.SCORES[name](x, x)
    assert float(scores.diagonal().abs().max()) < 1e-5
    off = ~torch.eye(6, dtype=torch.bool)
    assert float(scores[off].max()) < -0.5


@pytest.mark.parametrize("name", similarity.SCORES)
@given(n=st.integers(1, 6), m=st.integers(1, 6), d=st.integers(1, 5), seed=st.integers(0, 999))
@settings(max_examples=12, deadline=None)
def test_every_score_is_pairwise(name, n, m, d, seed):
    """Row i, column j depends on x_i and y_j alone, and both sides learn from it."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (Gaussian(*torch.randn(2, k, d, generator=generator, dtype=torch.float64)) for k in (n, m))
    for g in (x, y):
        g.mean.requires_grad_()
        g.log_var.requires_grad_()
    score = similarity.SCORES[name]
    whole = score(x, y)
    assert whole.shape == (n, m)
    singles = torch.cat(
        [torch.cat([score(x[i : i + 1], y[j : j + 1]) for j in range(m)], 1) for i in range(n)]
    )
    torch.testing.assert_close(whole, singles, rtol=1e-9, atol=1e-9)
    whole.sum().backward()
    learning = [x.mean, y.mean] if name == "cosine" else [x.mean, x.log_var, y.mean, y.log_var]
    assert all(t.grad is not None and t.grad.isfinite().all() for t in learning)


@pytest.mark.parametrize("name", similarity.SCORES)
def test_every_score_sums_in_float32_whatever_comes_in(make_gaussian, name):
    x, y = (make_gaussian(4, 32, seed=s).to(torch.bfloat16) for s in (1, 2))
    with torch.autocast("cpu", torch.bfloat16):
        scores = similarity.SCORES[name](x, y)
    assert scores.dtype == torch.float32
    exact = similarity.SCORES[name](x.to(torch.float64), y.to(torch.float64))
    torch.testing.assert_close(scores.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["bhattacharyya", "kl"])
def test_tiles_change_nothing(make_gaussian, monkeypatch, name):
    x, y = make_gaussian(13, 5, seed=5), make_gaussian(6, 5, seed=6)
    whole = similarity.SCORES[name](x, y)
    monkeypatch.setattr(similarity, "TILE_ELEMENTS", 2 * 6 * 5)
    torch.testing.assert_close(similarity.SCORES[name](x, y), whole, rtol=1e-12, atol=1e-12)  # float64


@pytest.mark.parametrize("name", ["bhattacharyya", "kl", "expected_likelihood"])
def test_nothing_of_size_nmd_is_kept_for_the_backward_pass(make_gaussian, name):
    x, y = make_gaussian(13, 5, seed=5), make_gaussian(6, 5, seed=6)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        similarity.SCORES[name](Gaussian(x.mean.requires_grad_(), x.log_var), y)
    assert kept
    assert max(kept) < 13 * 6 * 5


def test_scale_and_shift(make_gaussian):
    x, y = make_gaussian(4, 3, seed=1).float(), make_gaussian(4, 3, seed=2).float()
    module = ScaledSimilarity("csd", a=5.0, b=0.5)
    torch.testing.assert_close(module(x, y), 5.0 * similarity.csd(x, y) + 0.5)
    assert float(module.a.detach()) == pytest.approx(5.0)
    assert "csd, a=5, b=0.5" in str(module)


def test_scale_never_turns_the_order_round(make_gaussian):
    x, y = make_gaussian(4, 3, seed=1).float(), make_gaussian(4, 3, seed=2).float()
    module = ScaledSimilarity()
    module.log_a.data.fill_(-50.0)
    assert torch.equal(module(x, y).argmax(1), expected_likelihood(x, y).argmax(1))


def test_scale_has_a_limit_where_one_is_set():
    module = ScaledSimilarity("cosine", a=1 / 0.07, max_a=100.0)
    assert float(module.a.detach()) == pytest.approx(1 / 0.07)
    module.log_a.data.fill_(math.log(250.0))
    assert float(module.a.detach()) == pytest.approx(100.0)
    module.a.backward()
    assert float(module.log_a.grad) == pytest.approx(100.0)  # it can come down again


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="no score 'euclid'; choose one of expected_likelihood, csd"):
        ScaledSimilarity("euclid")


@pytest.mark.parametrize("name", similarity.SCORES)
def test_unequal_dimensions_are_refused(make_gaussian, name):
    with pytest.raises(ValueError, match="need Gaussians"):
        similarity.SCORES[name](make_gaussian(2, 3), make_gaussian(2, 4))
