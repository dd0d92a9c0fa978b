"""Weights & Biases and MLflow, by accelerate's own trackers: numbers and settings, nothing of a study."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from accelerate.tracking import GeneralTracker, MLflowTracker, WandBTracker
from accelerate.utils import is_mlflow_available, is_wandb_available

from medprobclip.support.files import write_json

TRACKERS = {"wandb": WandBTracker, "mlflow": MLflowTracker}
INSTALLED = {"wandb": is_wandb_available, "mlflow": is_mlflow_available}
FILE = "tracker.json"  # tracker -> id of the run there, so that a resumed training goes on in the same
# What the terminal shows may name studies, and the command line their tables: neither is sent.
_WANDB_SENDS = {
    "console": "off", "disable_code": True, "disable_git": True, "save_code": False, "x_disable_meta": True,
}  # fmt: skip


def require_tracker(report_to: str) -> None:
    """Raise ValueError when a tracker's package is not installed."""
    if report_to != "none" and not INSTALLED[report_to]():
        raise ValueError(f"report_to {report_to}: {report_to} is not installed; pip install {report_to}")


class Tracker:
    """A run of wandb or MLflow that numbers are sent to.

    A tracker that fails later is told once and left alone: training is worth more than its curves there.
    """

    def __init__(self, report_to: str, out: Path, settings: dict) -> None:
        """Start the run, or go on in that of the same folder. Raises ValueError where that cannot be done."""
        require_tracker(report_to)
        self.name, ids = report_to, _ids(out)
        self.new = report_to not in ids
        known = ids.get(report_to)
        if report_to == "wandb":
            known = known or uuid.uuid4().hex
            self.tracker: GeneralTracker | None = TRACKERS[report_to](
                os.environ.get("WANDB_PROJECT", "medprobclip"), name=out.name, id=known, resume="allow",
                dir=str(out), settings=_WANDB_SENDS,
            )  # fmt: skip
        else:
            self.tracker = TRACKERS[report_to]("medprobclip", run_id=known, run_name=out.name)
        try:
            self.tracker.start()
            known = known or self.tracker.tracker.info.run_id
            write_json(out / FILE, ids | {report_to: known})
            if self.new:  # MLflow refuses parameters that change, such as epochs that are raised
                self.tracker.store_init_configuration(dict(_flat(settings)))
        except Exception as error:  # of no common kind: nobody logged in, no server, no such run
            remedy = " (WANDB_MODE=offline needs no account)" if report_to == "wandb" else ""
            raise ValueError(f"report_to {report_to}: {type(error).__name__}: {error}{remedy}") from error

    def log(self, values: dict[str, float], step: int) -> None:
        """Send named numbers of a step."""
        # MLflow has no @ in names.
        self._do("log", {name.replace("@", "_at_"): value for name, value in values.items()}, step=step)

    def finish(self) -> None:
        """Send what is left, and end the run there."""
        self._do("finish")
        self.tracker = None

    def _do(self, what: str, *arguments: object, **named: object) -> None:
        if self.tracker is None:
            return
        try:
            getattr(self.tracker, what)(*arguments, **named)
        except Exception as error:
            self.tracker = None
            print(f"{self.name}: {type(error).__name__}: {error}. Training goes on without it.", flush=True)


def _ids(out: Path) -> dict[str, str]:
    return json.loads((out / FILE).read_text()) if (out / FILE).exists() else {}


def _flat(settings: dict, before: str = "") -> Iterator[tuple[str, object]]:
    """{"training": {"epochs": 20}} -> "training.epochs", 20: MLflow knows no dictionaries."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
