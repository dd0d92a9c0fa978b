"""Probabilities and outcomes that they are right about, or not."""

import numpy as np
from scipy.special import expit


def drawn(count: int, seed: int, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and outcomes drawn with log odds `slope` times theirs."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=count)
    return expit(logits), generator.random(count) < expit(slope * logits)
