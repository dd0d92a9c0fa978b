"""What users expect of small things: few studies, and embeddings before their table."""

import pytest

from medprobclip.evaluation.embedding import Embeddings
from medprobclip.retriever.gallery import GalleryError
from medprobclip.retriever.retriever import Retriever


@pytest.fixture
def retriever(calibrated_run, float32):
    return Retriever.from_run(calibrated_run)


@pytest.fixture
def embeddings(calibrated_run):
    return Embeddings.load(calibrated_run / "embeddings-calibrate.safetensors")


def test_fewer_studies_than_answers_by_default(retriever, embeddings, study_tables):
    first = retriever.index(study_tables["calibrate"])
    assert 10 < first == len(embeddings)
    assert len(retriever.search("a small opacity")) == retriever.config.k
    small = Retriever(retriever.checkpoint, retriever.promises)
    small.gallery.append(retriever.gallery.parts[0].select([0, 1, 2]))
    assert len(small.search("a small opacity")) == 3
    with pytest.raises(GalleryError, match="k = 10, but the index holds 3 studies"):  # asked for
        small.search("a small opacity", k=10)


def test_a_table_after_its_embeddings_adds_nothing(retriever, embeddings, study_tables):
    """Of embeddings the wording is unknown: no report can be another than theirs."""
    assert retriever.index(embeddings) == len(embeddings)
    assert retriever.index(study_tables["calibrate"]) == 0
    assert (retriever.gallery.wording < 0).all()
