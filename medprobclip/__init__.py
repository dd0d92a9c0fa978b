"""MedProbCLIP: probabilistic vision-language embeddings of chest radiographs and reports.

Read in this order, each package from the ones above it only (a test asserts it):

    ranges.py             settings out of range are refused
    settings.py           the defaults of the method, one frozen dataclass a part
    training_settings.py  the defaults of its training
    school_settings.py    the defaults of the chest encoder's school
    support/              disk, memory, compiler, command line, transformers: plain tensors and names
    gaussian.py           what an image or a report becomes
    similarity.py         how much two of them overlap
    targets.py            which answers in a batch are right
    objectives.py         what is minimised
    strangeness.py        whether anything like it was seen in training
    search.py             the k most likely matches in a gallery of any size
    model.py              two encoders, two Gaussian heads, one similarity: the one screen
    data/                 tables, radiographs and reports -> batches
    archives/             archives and tables as people have them -> study tables that train
    simulator/            expert codes -> a patient, two films, the truth; the default corpus
    processor.py          images and texts as they come -> what the model takes
    evaluation/           pure functions of scores and embeddings
    training/             configuration -> run folder
    retriever/            ask a trained run: ranked answers, promises, when not to answer
    workbench/            the notebooks: where things lie, sliders, lessons, headless runs, one page to send
    paper/                tables and figures of the paper
    medprobclip_train.py  the published command
    commands/             what `medprobclip COMMAND` runs
    __main__.py           finds the command

`chest_encoder/` holds no code: a small vision model that has seen simulated chests, with its card.
The public names are loaded when they are first used: `from medprobclip import MedProbCLIPModel, Gaussian`.
"""

import lazy_loader

from medprobclip.support import auto_classes

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
auto_classes.announce()
