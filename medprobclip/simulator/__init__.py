"""Expert codes -> a patient, two films, the truth; many of them -> the default corpus.

Each imports only from those above it:

    chest/          the chest that every patient starts from
    drawing/        how each kind of finding is drawn into it
    patients.py     who is behind a study: sex, age, build
    projection.py   from a volume to a film
    findings.py     the table: heading, where, what happens
    truth.py        what was drawn, where, and how well it can be seen
    simulate.py     a study's codes -> its PA and lateral radiograph, and the truth
    corpus.py       many studies on disk, in parallel, resumable
    appearance.py   which codes look the same in the pictures
    school.py       patients who are nobody, and what the chest encoder is taught of them
    openi_sim.py    these reports, simulated radiographs: the default corpus
    unusual.py      films that are no chest PA of their study
    showcase.py     a dozen findings to look at
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
