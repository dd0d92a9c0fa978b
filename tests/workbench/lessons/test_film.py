"""The film of the idea's picture is what the simulator draws."""

from dataclasses import replace

import numpy as np

from medprobclip.simulator.simulate import SimulationConfig, simulate_study
from medprobclip.workbench.lessons.film import idea_film


def drawn(seed: int) -> np.ndarray:
    config = replace(SimulationConfig(), seed=seed)
    return simulate_study("the idea", ["normal"], config, views=("pa",), sex="female").pa


def test_the_kept_film_is_the_one_that_its_docstring_tells_of():
    """Of no archive's patient. (Processors may differ in a last grey value.) Another seed is another film."""
    kept = idea_film()
    assert (kept.dtype, kept.shape) == (np.uint8, (128, 128))
    own, other = (np.abs(drawn(seed).astype(int) - kept).max() for seed in (SimulationConfig.seed, 1))
    assert own <= 2
    assert other > 50
