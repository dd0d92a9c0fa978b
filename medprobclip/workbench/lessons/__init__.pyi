# Names to take from the package itself, each loaded when it is first used.
from .alike import (
    agreement_table as agreement_table,
    example_study as example_study,
    films_of as films_of,
    heading_table as heading_table,
    said_of_agreement as said_of_agreement,
    said_of_groups as said_of_groups,
    said_of_normal as said_of_normal,
    said_of_sharing as said_of_sharing,
    sharing_table_of as sharing_table_of,
    view_table as view_table,
)
from .before_after import (
    before_and_after as before_and_after,
    said_of_fit as said_of_fit,
    said_of_variances as said_of_variances,
    score_table as score_table,
    variance_table as variance_table,
    variances as variances,
)
from .cards import (
    card_of_file as card_of_file,
    card_of_study as card_of_study,
    card_of_words as card_of_words,
    photograph as photograph,
)
from .deciding import (
    decided_table as decided_table,
    one_of_each as one_of_each,
    said_of_decisions as said_of_decisions,
    words_table as words_table,
)
from .desk import Desk as Desk, Reply as Reply
from .dimensions import (
    centre_correlation as centre_correlation,
    crowding as crowding,
    hubs_by_dimension as hubs_by_dimension,
    said_of_hubs as said_of_hubs,
)
from .drawn import drawn_truth as drawn_truth, finding_sheet as finding_sheet
from .edited_patient import (
    FINDINGS as FINDINGS,
    contrast_table as contrast_table,
    normal_patients as normal_patients,
    same_patient as same_patient,
    twins as twins,
)
from .faults import (
    FAULTS as FAULTS,
    path_of_fault as path_of_fault,
    said_of_faults as said_of_faults,
    spoilt as spoilt,
)
from .film import idea_film as idea_film
from .first_batch import (
    column_label as column_label,
    eight_studies as eight_studies,
    parameter_table as parameter_table,
    pieces_told as pieces_told,
    reports_alike as reports_alike,
    said_of_spread as said_of_spread,
    said_of_targets as said_of_targets,
    said_of_terms as said_of_terms,
    shape_table as shape_table,
    spread_table as spread_table,
    target_table as target_table,
    term_table as term_table,
    untrained_scores as untrained_scores,
)
from .hidden_parts import (
    Toy as Toy,
    occlude as occlude,
    occlusion as occlusion,
    occlusion_table as occlusion_table,
    said_of_occlusion as said_of_occlusion,
    train_toy as train_toy,
)
from .neighbours import neighbourhood as neighbourhood
from .overlap import (
    gaussian as gaussian,
    idea_table as idea_table,
    log_overlap as log_overlap,
    monte_carlo as monte_carlo,
    monte_carlo_errors as monte_carlo_errors,
    one_draw_error as one_draw_error,
    overlap_1d as overlap_1d,
    overlap_2d as overlap_2d,
)
from .scores import (
    nine_scores as nine_scores,
    pull_on_log_var as pull_on_log_var,
    score_curves as score_curves,
    sigma_flow as sigma_flow,
    spread_path as spread_path,
)
from .search_costs import (
    answers as answers,
    asked as asked,
    costs_of_a_score as costs_of_a_score,
    product_ranges as product_ranges,
    said_of_costs as said_of_costs,
    said_of_ranges as said_of_ranges,
    said_of_search as said_of_search,
    sizes_in_memory as sizes_in_memory,
    ties as ties,
)
from .ten_pairs import plane as plane, train_plane as train_plane
from .training_run import (
    chance_of_ten as chance_of_ten,
    changed_settings as changed_settings,
    history_table as history_table,
    weighted_terms as weighted_terms,
)

__all__: list[str]
