"""Strangeness keeps float32 where a model is run in half precision, as on processors that have bfloat16."""

import numpy as np
import torch
from scipy.spatial.distance import mahalanobis

from medprobclip.strangeness import SHRINKAGE, FeatureDensity


def test_strangeness_inside_autocast_is_as_exact_as_outside():
    torch.manual_seed(0)
    features = torch.randn(400, 6) @ torch.randn(6, 6) + 3
    density = FeatureDensity.fit([features])
    with torch.autocast("cpu", torch.bfloat16):
        told = density.strangeness(features[:20])
    assert told.dtype == torch.float32
    x = features.double().numpy()
    covariance = np.cov(x.T)
    covariance = covariance + SHRINKAGE * np.trace(covariance) / 6 * np.eye(6)
    inverse = np.linalg.inv(covariance)
    direct = [mahalanobis(row, x.mean(0), inverse) / 6**0.5 for row in x[:20]]
    np.testing.assert_allclose(told.numpy(), direct, rtol=1e-4)
