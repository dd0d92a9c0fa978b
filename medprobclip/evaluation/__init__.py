"""Pure functions of scores and embeddings, and the embedding of a held-out set.

Each imports only from those above it:

    scaling.py          what scoring a gallery costs, measured
    embedding.py        embed a held-out set once, keep it with its study ids
    influence.py        which words and which places make the variance
    ceiling.py          what a perfect reader of the images could know
    retrieval.py        ranks, recall, precision, chance, ceiling, intervals
    reliability.py      risk-coverage, rank correlation, also given others
    discrimination.py   AUROC and its interval
    many_to_many.py     precision, graded overlap, plausible errors, hubs
    hubs.py             scores that know about hubs
    confidence.py       how sure a query is of its answer
    calibration.py      from scores to probabilities, and how right they are
    conformal.py        promises that hold whatever the model
    selective.py        whom to answer so that few answers are wrong
    abstention.py       strange or ambiguous: when not to answer
    resampling.py       methods on the same queries: intervals, paired differences
    zeroshot.py         findings told by sentences for and against
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
