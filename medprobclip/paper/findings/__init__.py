"""What the figures show, in sentences that their numbers make: opposite numbers, opposite words.

Each imports only from those above it:

    words.py         words for intervals, shares and lists
    promises.py      promises: kept, what they cost, where they break
    doubt.py         variance against entropy, ambiguity, faults noticed
    gaussians.py     notebook 00
    corpus.py        notebook 01
    training.py      notebooks 02 and 03, and the chest encoder
    retrieval.py     notebook 04
    uncertainty.py   notebook 05
    questions.py     notebook 06
    scaling.py       notebook 07
    faults.py        notebook 08
    headlines.py     every figure's finding in one or two sentences; a notebook's conclusion
    readme.py        what was found, in four numbers: README, end of a run
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
