"""The pool of a made run, for the tests of the tables that are computed from one."""

import pytest
from pooled import MODEL, made_pair

from medprobclip.paper.tables import pooled_studies


@pytest.fixture(scope="module")
def made_model():
    """As long as a module is tested, every run holds the model of the made ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooled_studies, "load_run", lambda folder: (MODEL, None))
        yield


@pytest.fixture(scope="module")
def pair():
    """A made run on calibration and test studies. Do not write into it."""
    return made_pair()
