"""What the notebooks teach with: pictures, toy trainings, tables, and a model to be asked.

Each imports only from those above it:

    film.py            a film to look at without a corpus
    overlap.py         two Gaussians, their product, closed form and Monte Carlo
    scores.py          nine scores of one pair, and where the variance is pulled to
    ten_pairs.py       ten pairs in the plane, between contrast and bottleneck
    hidden_parts.py    what a variance learns from hidden parts, and when
    dimensions.py      hubs as dimensions are added
    drawn.py           notebook 01: what the simulator drew, and how well it shows
    alike.py           notebook 01: what was written about, and who says the same
    first_batch.py     notebook 02: one batch through an untrained model
    search_costs.py    notebook 07: what a score costs, and the answers of a search
    training_run.py    notebook 03: settings, chance and history of a training, in words
    before_after.py    notebook 03: a model before and after its training
    desk.py            notebook 06: a trained model and its gallery, study by study
    cards.py           notebook 06: an answered query as a page
    neighbours.py      notebook 06: a query and its answers as ellipses in a plane
    faults.py          notebook 06: one film under one fault, severity by severity
    edited_patient.py  notebook 06: a patient with and without a finding
    deciding.py        notebook 06: who is answered, who is not, and why
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
