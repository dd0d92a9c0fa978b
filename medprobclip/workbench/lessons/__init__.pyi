# Names to take from the package itself, each loaded when it is first used.
from .dimensions import (
    centre_correlation as centre_correlation,
    crowding as crowding,
    hubs_by_dimension as hubs_by_dimension,
    said_of_hubs as said_of_hubs,
)
from .hidden_parts import (
    Toy as Toy,
    occlude as occlude,
    occlusion as occlusion,
    occlusion_table as occlusion_table,
    said_of_occlusion as said_of_occlusion,
    train_toy as train_toy,
)
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
from .ten_pairs import plane as plane, train_plane as train_plane

__all__: list[str]
