"""The pictures and toy trainings of notebook 00, on Gaussians that nobody had to train.

Each imports only from those above it:

    overlap.py       two Gaussians, their product, closed form and Monte Carlo
    scores.py        nine scores of one pair, and where the variance is pulled to
    ten_pairs.py     ten pairs in the plane, between contrast and bottleneck
    hidden_parts.py  what a variance learns from hidden parts, and when
    dimensions.py    hubs as dimensions are added
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
