"""Configuration -> a run folder.

Each imports only from those above it:

    mixing.py     two radiographs in one, and the targets alike
    encoders.py   small encoders from scratch, or pretrained ones by name
    loop.py       epochs, validation, checkpoints, resuming
    profiles.py   smoke, demo, paper
    runs.py       a run folder: train, score once, read back
"""
