# The public names: `__init__.py` loads each of them when it is first used, and reads here where it lives.
from .evaluation.embedding import Embeddings as Embeddings
from .gaussian import Gaussian as Gaussian
from .model import MedProbCLIPConfig as MedProbCLIPConfig
from .model import MedProbCLIPModel as MedProbCLIPModel
from .objectives import Views as Views
from .objectives import objective_terms as objective_terms
from .processor import MedProbCLIPImageProcessor as MedProbCLIPImageProcessor
from .processor import MedProbCLIPProcessor as MedProbCLIPProcessor
from .search import Hits as Hits
from .search import top_k as top_k
from .settings import OBJECTIVES as OBJECTIVES
from .settings import ObjectiveConfig as ObjectiveConfig
from .similarity import SCORES as SCORES
from .similarity import bhattacharyya as bhattacharyya
from .similarity import cosine as cosine
from .similarity import csd as csd
from .similarity import expected_likelihood as expected_likelihood
from .similarity import hellinger as hellinger
from .similarity import kl as kl
from .similarity import reverse_kl as reverse_kl
from .similarity import symmetric_kl as symmetric_kl
from .similarity import wasserstein as wasserstein
from .targets import BatchTargets as BatchTargets
from .targets import Targets as Targets
from .training.profiles import PROFILES as PROFILES
from .training.profiles import get_profile as get_profile
from .training.runs import evaluate_run as evaluate_run
from .training.runs import load_run as load_run
from .training.runs import train_run as train_run

__version__: str
__all__: list[str]
