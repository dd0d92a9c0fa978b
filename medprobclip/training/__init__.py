"""Configuration -> a run folder.

Each imports only from those above it:

    errors.py             what a training raises
    mixing.py             two radiographs in one, and the targets alike
    encoders.py           small encoders from scratch, ours, or pretrained ones by name
    processes.py          several processes: whose part is what, and what all made, joined
    engine.py             accelerate: device, processes, loss scaler
    rates.py              how fast each weight learns, and which shrink
    uncertainty.py        mean and spread of σ in a batch
    steps.py              a batch -> the terms of the objective
    chunks.py             the same, a few studies' activations at a time
    memory_need.py        what a step takes of memory, counted without taking it
    sharing_out.py        held-out studies, embedded by all processes
    state.py              what a training goes on from
    stopping.py           signals that ask to stop
    updates.py            one update of the weights
    summary.py            how a training went, and what to type next
    trackers.py           Weights & Biases, MLflow
    telling.py            progress, TensorBoard, metrics.jsonl
    loop.py               epochs, validation, checkpoints
    schooling.py          the chest encoder learns to name what was drawn
    profiles.py           smoke, demo, paper
    run_settings.py       what a run is known by, compared
    foreign_flags.py      flags of the published script and of elsewhere, and what they are here
    run_config.py         what a run can be asked for, from a file and back
    claims.py             whose run a folder holds, and whether it is finished
    used_studies.py       which studies made a run, and may neither test nor calibrate it
    runs.py               a run folder: train, score once, read back
    calibrating.py        what calibration studies give a run
    calibration_share.py  validation patients set aside before training, to calibrate on
    preflight.py          everything that can be wrong, before the first epoch
    command_line.py       flags, a file and the run in the folder -> tables and a profile
    dry_run.py            parameters, memory, steps and time, before anything is begun
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
