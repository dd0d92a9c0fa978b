"""Tables, radiographs and reports, real or simulated alike -> batches.

Each imports only from those above it:

    assets.py              fetch, verify and cache the default corpus's raw material
    reports.py             sentences, and which texts are the same
    tokenizer.py           word pieces learned from training reports
    studies.py             the study table: read, check, split, write
    images.py              read PNG, JPEG and DICOM, resize, cache
    augment.py             training views and plain evaluation input
    corruptions.py         eleven faults of a film at five severities
    coding.py              what an expert code says
    chexpert.py            expert codes -> the 13 CheXpert findings
    openi.py               the archive of OpenI reports -> a table
    correspondence.py      which studies say the same
    dataset.py             two views and two sections -> a batch
    report_similarity.py   how much two training reports say the same, without labels
    lookalikes.py          studies that say the same, to look at
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
