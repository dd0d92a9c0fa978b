# Names to take from the package itself, each loaded when it is first used.
from .calibrating import (
    calibrate_run as calibrate_run,
    calibration_summary as calibration_summary,
    load_calibration as load_calibration,
)
from .encoders import build_model as build_model, build_tokenizer as build_tokenizer
from .loop import TrainingError as TrainingError, answers as answers, encode_views as encode_views
from .runs import (
    evaluate_run as evaluate_run,
    load_run as load_run,
    open_table as open_table,
    train_run as train_run,
)

__all__: list[str]
