"""Which runs there are, and what is computed from them.

Each imports only from those above it:

    experiments.py          methods, seeds and ablation: which runs there are
    names.py                what doubts, orders and trainings are called
    scored_runs.py          these runs, scored on held-out studies
    hubs.py                 the same by scores that know about hubs
    reported.py             the paper's numbers
    retrieval.py            recall, many-to-many, hubs by method
    one_query.py            one query by eye
    zeroshot.py             AUROC by finding and method
    alone.py                one method by itself, as a small table
    reliability.py          selective retrieval and calibration by method
    pooled_studies.py       calibration and test studies in one pool
    guarantees.py           promises put to the proof by random splits
    set_sizes.py            what a promise costs, and where faults break it
    variance_knowledge.py   what the variance goes with: ambiguity, conspicuity, faults
    ambiguity.py            variance, shared codings and rank, with two controls
    readable.py             few columns with plain names, for readers of notebook 05
    cards.py                the surest and the least sure studies
    faulty_films.py         every film under every fault
    robustness.py           what faults cost, and who notices
    mixed_quality.py        selective retrieval where half of the films carry a fault
    third_kind.py           films and texts that no study has
    degraded_training.py    what spoilt views and the inclusion term do
    ablation.py             MedProbCLIP with one thing changed
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
