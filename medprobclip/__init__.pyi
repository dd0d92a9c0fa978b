# The public names: `__init__.py` loads each of them when it is first used, and reads here where it lives.
from .evaluation.embedding import Embeddings as Embeddings
from .gaussian import Gaussian as Gaussian
from .model import MedProbCLIPConfig as MedProbCLIPConfig, MedProbCLIPModel as MedProbCLIPModel
from .objectives import (
    Views as Views,
    batch_targets as batch_targets,
    objective_terms as objective_terms,
    term_weights as term_weights,
)
from .processor import (
    MedProbCLIPImageProcessor as MedProbCLIPImageProcessor,
    MedProbCLIPProcessor as MedProbCLIPProcessor,
)
from .retriever.answers import Answers as Answers
from .retriever.retriever import Retriever as Retriever
from .search import Hits as Hits, top_k as top_k
from .settings import OBJECTIVES as OBJECTIVES, ObjectiveConfig as ObjectiveConfig
from .similarity import (
    SCORES as SCORES,
    bhattacharyya as bhattacharyya,
    cosine as cosine,
    csd as csd,
    expected_likelihood as expected_likelihood,
    hellinger as hellinger,
    kl as kl,
    reverse_kl as reverse_kl,
    symmetric_kl as symmetric_kl,
    wasserstein as wasserstein,
)
from .strangeness import FeatureDensity as FeatureDensity, Strangeness as Strangeness
from .targets import BatchTargets as BatchTargets, Targets as Targets
from .training.profiles import PROFILES as PROFILES, get_profile as get_profile
from .training.runs import evaluate_run as evaluate_run, load_run as load_run, train_run as train_run

__version__: str
__all__: list[str]
