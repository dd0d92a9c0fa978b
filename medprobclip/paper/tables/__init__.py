"""Which runs there are, and what is computed from them.

Each imports only from those above it:

    experiments.py   methods, seeds and ablation: which runs there are
    scored_runs.py   these runs, scored on held-out studies
    hubs.py          the same by scores that know about hubs
    reported.py      the paper's numbers
    retrieval.py     recall, many-to-many, hubs by method
    zeroshot.py      AUROC by finding and method
    reliability.py   selective retrieval and calibration by method
    robustness.py    every method on faulty radiographs
    ablation.py      MedProbCLIP with one thing changed
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
