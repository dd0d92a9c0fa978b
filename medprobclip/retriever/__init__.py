"""Ask a trained run: ranked answers, probabilities, sets that keep a promise, and when not to answer.

Each imports only from those above it:

    settings.py        the defaults of an answer
    gallery.py         studies that can be found, in memory or in a folder that grows by appending
    scoring.py         queries against a gallery, block by block: the best, set sizes, the entropy
    indexing.py        study tables and embeddings -> the gallery, piece by piece
    promises.py        what calibration studies allow to promise, for films, reports and phrases
    usual.py           how sure the calibration queries are in this gallery
    queries.py         films and texts as they come -> Gaussians, and how strange they are
    doubt.py           when not to answer, and what may be promised, in words
    answers.py         what one gets: a ranked table and its doubts
    card.py            the README of a saved one
    retriever.py       all of it in one object, saved and loaded as one folder
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
