"""The exercises of the notebooks: an answer -> a hint, or "" if it is right.

A file a notebook:

    gaussians.py    notebook 00
    data.py         notebook 01
    model.py        notebook 02
    training.py     notebook 03
    retrieval.py    notebook 04
    uncertainty.py  notebook 05
    questions.py    notebook 06
    scaling.py      notebook 07
    robustness.py   notebook 08
"""
