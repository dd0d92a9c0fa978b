"""Whose run a folder holds: the settings that claim it, and whether its training is finished."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from medprobclip.settings import AugmentationConfig, EncoderConfig, ObjectiveConfig, TrainingConfig
from medprobclip.support.files import recovered_folder, write_json
from medprobclip.training.loop import TrainingError
from medprobclip.training.state import read_history

_PARTS = {
    "encoders": EncoderConfig(),
    "training": TrainingConfig(),
    "objective": ObjectiveConfig(),
    "augmentation": AugmentationConfig(),
}


def completed(settings: dict) -> dict:
    """The settings of a run with the fields that came after it: their defaults do what was done before them.

    So a new setting's default must change nothing. Parts that are missing as a whole stay so.
    """
    return settings | {part: asdict(new) | settings[part] for part, new in _PARTS.items() if part in settings}


def is_finished(out: Path) -> bool:
    """Did the training in `out` reach its last epoch?"""
    path = Path(out) / "settings.json"
    if not path.exists() or recovered_folder(Path(out) / "checkpoint") is None:
        return False
    return len(read_history(out)) == json.loads(path.read_text())["training"]["epochs"]


def require_finished(out: Path) -> None:
    """Raise TrainingError unless the training in `out` reached its last epoch."""
    if not is_finished(out):
        raise TrainingError(f"{out} holds no finished training; train it first (notebook 03)")


def claim(out: Path, wanted: dict) -> dict:
    """Keep `wanted` as the settings of the run in `out`; returns those that hold.

    A run without rare words in its vocabulary stays as it is when text may be shown later. Raises
    TrainingError if it has other settings.
    """
    path = out / "settings.json"
    if not path.exists() or read_history(out).empty:  # nothing is lost before the first epoch ends
        write_json(path, wanted)
        return wanted
    found = json.loads(path.read_text())
    wanted = {name: found[name] for name in ("vocabulary",) if name in found} | wanted
    refuse_other_settings(out, wanted, found.keys() | wanted.keys())
    return wanted


def refuse_other_settings(out: Path, wanted: dict, parts: Iterable[str]) -> None:
    """Raise TrainingError when the run in `out` differs in one of the parts of its settings."""
    path = out / "settings.json"
    if not path.exists() or read_history(out).empty:
        return
    found = completed(json.loads(path.read_text()))
    changed = [
        f"{key}: {json.dumps(found.get(key))} -> {json.dumps(wanted.get(key))}"
        for key in sorted(parts)
        if found.get(key) != wanted.get(key)
    ]
    if changed:
        raise TrainingError(
            f"{out} holds a run with other settings or data ({'; '.join(changed)}). "
            "Choose another folder, or delete this one to train anew"
        )
