# Names to take from the package itself, each loaded when it is first used.
from .ablation import ablation_table as ablation_table, variant_labels as variant_labels
from .alone import chosen_strengths as chosen_strengths, one_method as one_method
from .ambiguity import sharing_panels as sharing_panels
from .cards import extremes as extremes, influence_table as influence_table
from .degraded_training import (
    compared_trainings as compared_trainings,
    degraded_table as degraded_table,
)
from .experiments import METHODS as METHODS
from .faulty_films import (
    MADE_UP as MADE_UP,
    faulty_films as faulty_films,
    reference_radiographs as reference_radiographs,
)
from .guarantees import guarantee_table as guarantee_table
from .hubs import less_hubs as less_hubs, strength_table as strength_table
from .mixed_quality import (
    alarm_table as alarm_table,
    decision_shares as decision_shares,
    decision_table as decision_table,
    fitted_risks as fitted_risks,
    in_test_gallery as in_test_gallery,
    mixed_curves as mixed_curves,
    mixed_table as mixed_table,
)
from .one_query import (
    film_of as film_of,
    first_answers as first_answers,
    name_of as name_of,
    telling_query as telling_query,
)
from .readable import (
    areas_of as areas_of,
    calibration_of as calibration_of,
    confidences_of as confidences_of,
    correlations_of as correlations_of,
    less_entropy as less_entropy,
    named_confidences as named_confidences,
    trained_runs as trained_runs,
)
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
    recall_by_fit as recall_by_fit,
    recall_table as recall_table,
)
from .robustness import (
    by_fault as by_fault,
    detection_by_severity as detection_by_severity,
    detection_table as detection_table,
    fault_examples as fault_examples,
    mean_over_corruptions as mean_over_corruptions,
    robustness_table as robustness_table,
)
from .scored_runs import (
    load_ablation as load_ablation,
    load_degraded as load_degraded,
    load_methods as load_methods,
    reference_of as reference_of,
)
from .set_sizes import broken_promise_table as broken_promise_table, size_table as size_table
from .third_kind import third_kind_table as third_kind_table
from .variance_knowledge import (
    knowledge_table as knowledge_table,
    properties as properties,
    under_faults as under_faults,
)
from .zeroshot import (
    CODED_FINDINGS as CODED_FINDINGS,
    finding_table as finding_table,
    lowest_findings as lowest_findings,
)

__all__: list[str]
