# Names to take from the package itself, each loaded when it is first used.
from . import scaling as scaling
from .embedding import (
    EVALUATION_SECTION as EVALUATION_SECTION,
    Embeddings as Embeddings,
    prepare_images as prepare_images,
)
from .reliability import (
    by_group as by_group,
    partial_rank_correlation as partial_rank_correlation,
    rank_correlation as rank_correlation,
    risk_coverage as risk_coverage,
    severity_correlation as severity_correlation,
)
from .resampling import verdicts as verdicts
from .retrieval import (
    DIRECTIONS as DIRECTIONS,
    chance_recall_at as chance_recall_at,
    expected_recall_at as expected_recall_at,
    retrieval_table as retrieval_table,
)

__all__: list[str]
