"""Configuration -> a run folder.

Each imports only from those above it:

    mixing.py             two radiographs in one, and the targets alike
    encoders.py           small encoders from scratch, ours, or pretrained ones by name
    processes.py          several processes: whose part is what, and what all made, joined
    steps.py              a batch -> the terms of the objective
    sharing_out.py        held-out studies, embedded by all processes
    state.py              what a training goes on from
    loop.py               epochs, validation, checkpoints
    schooling.py          the chest encoder learns to name what was drawn
    profiles.py           smoke, demo, paper
    claims.py             whose run a folder holds, and whether it is finished
    used_studies.py       which studies made a run, and may neither test nor calibrate it
    runs.py               a run folder: train, score once, read back
    calibrating.py        what calibration studies give a run
    calibration_share.py  validation patients set aside before training, to calibrate on
    preflight.py          everything that can be wrong, before the first epoch
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
