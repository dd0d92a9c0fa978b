"""A film to look at without a corpus: a simulated patient with no finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medprobclip.data.radiographs import read_image


def idea_film() -> np.ndarray:
    """The PA film `[128, 128]`, uint8, that stands beside the clouds of `two_gaussians`.

    It is kept as a file, so that notebook 00 needs no CT: `simulate_study("the idea", ["normal"],
    SimulationConfig(), views=("pa",), sex="female").pa`, as a test sees to.
    """
    return read_image(Path(__file__).with_name("film.png"))
