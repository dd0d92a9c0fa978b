# Names to take from the package itself, each loaded when it is first used.
from .calibrating import (
    calibrate_run as calibrate_run,
    calibration_summary as calibration_summary,
    load_calibration as load_calibration,
)
from .encoders import build_model as build_model, training_tokenizer as training_tokenizer
from .loop import TrainingError as TrainingError
from .processes import Team as Team
from .runs import (
    evaluate_run as evaluate_run,
    load_run as load_run,
    open_table as open_table,
    train_run as train_run,
)
from .steps import answers as answers, encode_views as encode_views

__all__: list[str]
