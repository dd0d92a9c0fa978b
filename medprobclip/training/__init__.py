"""Configuration -> a run folder.

Each imports only from those above it:

    mixing.py       two radiographs in one, and the targets alike
    encoders.py     small encoders from scratch, ours, or pretrained ones by name
    loop.py         epochs, validation, checkpoints, resuming
    schooling.py    the chest encoder learns to name what was drawn
    profiles.py     smoke, demo, paper
    runs.py         a run folder: train, score once, read back
    calibrating.py  what calibration studies give a run
    preflight.py    everything that can be wrong, before the first epoch
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
