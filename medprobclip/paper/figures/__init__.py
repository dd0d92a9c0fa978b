"""Tables -> pictures -> figures/README.md.

Each imports only from those above it:

    plots.py         arrays in, Axes out
    methods.py       several methods beside each other
    idea.py          a film and its reports as points and as Gaussians
    corpus.py        figures of the corpus
    model.py         figures of one model
    retrieval.py     Table 1, many-to-many, hubs
    zeroshot.py      Table 2
    ablation.py      MedProbCLIP with one thing changed
    reliability.py   figures of doubt
    faults.py        figures of faults, and who notices
    doubt.py         what the variance goes with, what is sure, and what makes it so
    patients.py      the same patient with and without a finding
    guarantees.py    promises: kept, what they cost, where they break
    catalogue.py     every figure, one maker each
    gallery.py       figures/README.md: what the figures show, in words
"""
