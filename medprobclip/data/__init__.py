"""Tables, radiographs and reports, real or simulated alike -> batches.

Each imports only from those above it:

    assets.py              fetch, verify and cache the default corpus's raw material
    missing.py             what stands in a cell where there is nothing
    privacy.py             what of a report may leave its study table
    reports.py             sentences, and which texts are the same
    variations.py          fewer sentences, another order, the same meaning
    tokenizer.py           word pieces learned from training reports
    views.py               frontal or lateral, and which radiograph stands for a study
    patients.py            ids of studies and patients, and when two are the same
    cells.py               several entries in a cell, and where a path leads
    csv_files.py           a CSV file -> header, rows, lines
    coding.py              what an expert code says
    labels.py              CheXpert's and NegBio's labels -> codes
    studies.py             the study table: read, check, write
    disjoint.py            whether two tables share a study, a patient or a film
    grey.py                pixel values of any depth -> eight-bit grey
    dicom.py               DICOM -> what a viewer shows
    radiographs.py         read PNG, JPEG and DICOM, resize
    images.py              radiographs, resized, in a cache
    degraded.py            six ways to spoil a training view
    augment.py             training views and plain evaluation input
    corruptions.py         eleven faults of a film at five severities
    odd_texts.py           texts that no chest report is like
    chexpert.py            codes -> the 13 CheXpert findings
    openi.py               the archive of OpenI reports -> a table
    correspondence.py      which studies say the same
    drawing.py             two radiographs of a study, and studies of similar length
    dataset.py             two views and two sections -> a batch
    reading.py             batches from any step of an epoch on, read ahead by other processes
    notices.py             what a person should know of a table before it is used
    report_similarity.py   how much two training reports say the same, without labels
    lookalikes.py          studies that say the same, to look at
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
