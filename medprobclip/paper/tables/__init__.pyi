# Names to take from the package itself, each loaded when it is first used.
from .ablation import ablation_table as ablation_table, variant_labels as variant_labels
from .experiments import METHODS as METHODS
from .hubs import less_hubs as less_hubs, strength_table as strength_table
from .reliability import (
    area_table as area_table,
    calibration_table as calibration_table,
    calibrators as calibrators,
    chosen_confidences as chosen_confidences,
    curve_table as curve_table,
    diagram_table as diagram_table,
    match_probabilities as match_probabilities,
    selective_table as selective_table,
)
from .retrieval import (
    hub_table as hub_table,
    many_to_many_table as many_to_many_table,
    recall_table as recall_table,
)
from .robustness import (
    mean_over_corruptions as mean_over_corruptions,
    reference_radiographs as reference_radiographs,
    robustness_table as robustness_table,
)
from .scored_runs import (
    load_ablation as load_ablation,
    load_methods as load_methods,
    reference_of as reference_of,
)
from .zeroshot import finding_table as finding_table

__all__: list[str]
