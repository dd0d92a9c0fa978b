"""The density of features against numpy's covariance and scipy's Mahalanobis distance and log density."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.stats import multivariate_normal, spearmanr

from medprobclip.strangeness import FILE, SHRINKAGE, FeatureDensity, Strangeness


def drawn(n: int, dims: int, seed: int = 0) -> torch.Tensor:
    """Correlated features of unequal spread, float64 `[n, dims]`."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dims, dims)) * np.linspace(0.2, 2, dims)
    return torch.from_numpy(rng.normal(size=(n, dims)) @ mixing + rng.normal(size=dims))


def shrunk_covariance(features: torch.Tensor) -> np.ndarray:
    covariance = np.cov(features.double().numpy(), rowvar=False)
    return covariance + SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def test_the_density_is_numpys_mean_and_shrunk_covariance():
    features = drawn(200, 6)
    density = FeatureDensity.fit([features])
    np.testing.assert_allclose(density.mean, features.mean(0), rtol=1e-5, atol=1e-6)
    precision = (density.whitening @ density.whitening.T).double().numpy()
    expected = np.linalg.inv(shrunk_covariance(features))
    np.testing.assert_allclose(precision, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_strangeness_is_scipys_mahalanobis_distance_over_the_root_of_the_dimensions():
    features, others = drawn(200, 6), drawn(20, 6, seed=1)
    precision = np.linalg.inv(shrunk_covariance(features))
    mean = features.mean(0).numpy()
    expected = [mahalanobis(x, mean, precision) / 6**0.5 for x in others.numpy()]
    density = FeatureDensity.fit([features])
    found = density.strangeness(others)
    assert (found.dtype, found.shape) == (torch.float32, (20,))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    grid = density.strangeness(others.view(4, 5, 6))
    torch.testing.assert_close(grid, found.view(4, 5))
    assert float(density.strangeness(others[3])) == pytest.approx(float(found[3]), rel=1e-5)


def test_the_order_is_that_of_improbability():
    features, others = drawn(200, 6), drawn(300, 6, seed=1) * 1.5
    normal = multivariate_normal(features.mean(0).numpy(), shrunk_covariance(features))
    log_density = normal.logpdf(others.numpy())
    assert spearmanr(FeatureDensity.fit([features]).strangeness(others), -log_density)[0] > 0.99999


@pytest.mark.parametrize("n", [50, 400])
def test_it_is_about_one_for_what_is_like_the_training_inputs(n):
    """Its mean square over them is (n − 1) / n, but for the shrinkage."""
    features = torch.randn(n, 8, generator=torch.Generator().manual_seed(0))
    square = float(FeatureDensity.fit([features]).strangeness(features).square().mean())
    assert square == pytest.approx((n - 1) / n / (1 + SHRINKAGE), rel=1e-3)


@pytest.mark.parametrize("sizes", [[1] * 60, [59, 1], [1, 0, 59], [0, 7, 20, 33]], ids=str)
def test_parts_of_any_size_give_the_same(sizes):
    features = drawn(60, 5)
    whole, parts = FeatureDensity.fit([features]), FeatureDensity.fit(iter(features.split(sizes)))
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.whitening, whole.whitening, rtol=1e-4, atol=1e-5)


def test_features_far_from_the_origin_keep_their_digits():
    """Sums of their squares would not: 1e18 leaves float64 no digit below 100."""
    features = drawn(200, 6)
    near, far = (FeatureDensity.fit((features + offset).split(50)) for offset in (0.0, 1e9))
    scale = float(near.whitening.abs().max())
    torch.testing.assert_close(far.whitening, near.whitening, rtol=1e-3, atol=1e-4 * scale)


def test_fewer_features_than_dimensions_still_give_a_distance():
    features = drawn(5, 30)
    density = FeatureDensity.fit([features])
    other = drawn(20, 30, seed=2)
    assert torch.isfinite(density.strangeness(other)).all()
    assert density.strangeness(other).min() > density.strangeness(features).max()


def test_half_precision_and_gradients_stay_outside():
    features = drawn(40, 4).bfloat16().requires_grad_()
    density = FeatureDensity.fit([features])
    assert density.mean.dtype == density.whitening.dtype == torch.float32
    exact = FeatureDensity.fit([features.detach().double()])
    torch.testing.assert_close(density.whitening, exact.whitening)
    found = density.strangeness(features)
    assert (found.dtype, found.requires_grad, density.mean.requires_grad) == (torch.float32, False, False)


def test_half_precision_around_it_costs_no_digit():
    """As where an encoder runs in bfloat16 on a processor: else three digits are left, and many ties."""
    features = drawn(200, 6).float()
    exact = FeatureDensity.fit([features])
    with torch.autocast("cpu", torch.bfloat16):
        assert (features @ features.T).dtype == torch.bfloat16
        density = FeatureDensity.fit([features])
        found = density.strangeness(features)
    assert torch.equal(density.whitening, exact.whitening)
    assert found.dtype == torch.float32
    assert torch.equal(found, exact.strangeness(features))


@pytest.mark.parametrize("parts", [[], [torch.zeros(0, 4)], [torch.ones(1, 4)]], ids=["none", "empty", "one"])
def test_one_input_has_no_density(parts):
    with pytest.raises(ValueError, match="at least two inputs"):
        FeatureDensity.fit(parts)


@pytest.mark.parametrize("value", [0.1, torch.nan, torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_that_are_all_alike_or_not_finite_have_no_density(value, dtype):
    with pytest.raises(ValueError, match="not finite, or the same for every input"):
        FeatureDensity.fit([torch.full((3, 4), value, dtype=dtype), torch.full((4, 4), value, dtype=dtype)])


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="features of 5 dimensions, the density knows 4"):
        FeatureDensity.fit([drawn(20, 4)]).strangeness(torch.zeros(2, 5))


def test_round_trip_through_a_folder(tmp_path):
    """Image and report do not change places, and nothing else is left behind."""
    strangeness = Strangeness(FeatureDensity.fit([drawn(30, 4)]), FeatureDensity.fit([drawn(30, 3, seed=1)]))
    strangeness.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    loaded = Strangeness.load(tmp_path)
    for side in ("image", "report"):
        ours, theirs = getattr(loaded, side), getattr(strangeness, side)
        assert torch.equal(ours.mean, theirs.mean)
        assert torch.equal(ours.whitening, theirs.whitening)
    with pytest.raises(FileNotFoundError):
        Strangeness.load(tmp_path / "elsewhere")
