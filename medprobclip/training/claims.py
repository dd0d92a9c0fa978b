"""Whose run a folder holds: the settings that claim it, and whether its training is finished."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from medprobclip.support.config_files import read_mapping, write_mapping
from medprobclip.support.files import recovered_folder, write_json
from medprobclip.training.errors import TrainingError
from medprobclip.training.run_settings import CONFIG, CONFIG_COMMENT, completed, differences, in_words
from medprobclip.training.state import read_history, read_progress


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


def started_settings(out: Path) -> dict | None:
    """The completed settings of the run in `out`; None where nothing would be lost: no state is saved."""
    path, progress = Path(out) / "settings.json", read_progress(out)
    if not path.exists() or not (progress.epoch or progress.step):
        return None
    try:
        return completed(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise TrainingError(
            f"{path}: cannot be read ({error}). Choose another folder, or delete this one to train anew"
        ) from error


def claim(out: Path, wanted: dict) -> dict:
    """Keep `wanted` as the settings of the run in `out`; returns those that hold.

    More epochs than the run has are recorded, and fewer that are not yet done: it goes on to these. A run
    without rare words in its vocabulary stays as it is when text may be shown later. Raises TrainingError if
    it has other settings, finished more epochs, or a checkpoint without any state.
    """
    path, found = out / "settings.json", started_settings(out)
    if found is None:
        if recovered_folder(out / "checkpoint"):  # no training writes one before its first state
            raise TrainingError(
                f"{out} holds a checkpoint, but no state that its training could go on from. Choose another "
                "folder, or delete this one to train anew"
            )
        write_json(path, wanted)
        return wanted
    wanted = {name: found[name] for name in ("vocabulary",) if name in found} | wanted
    refuse_other_settings(out, wanted, found.keys() | wanted.keys())
    had, asked = found["training"]["epochs"], wanted["training"]["epochs"]
    if had != asked:
        written = json.loads(path.read_text(encoding="utf-8"))
        written["training"]["epochs"] = asked  # all else stays as it was written
        write_json(path, written)
        config = read_mapping(out / CONFIG) if (out / CONFIG).exists() else {}
        if "training" in config:
            config["training"]["epochs"] = asked
            write_mapping(out / CONFIG, config, CONFIG_COMMENT)
        print(
            f"{out}: {asked} epochs instead of {had}. From epoch {len(read_history(out)) + 1} on the rate is "
            f"that of the cosine over all {asked}: not the run that {asked} epochs at once would have been"
        )
    return wanted


def refuse_other_settings(out: Path, wanted: dict, parts: Iterable[str]) -> None:
    """Raise TrainingError when the run in `out` differs in one of the parts of its settings.

    Each difference is named by its field. Epochs may differ, but not be fewer than are finished.
    """
    found = started_settings(out)
    if found is None:
        return
    changed = differences(found, wanted, sorted(parts))
    if "training.epochs" in changed:
        done, asked = len(read_history(out)), changed.pop("training.epochs")[1]
        if asked < done:
            changed["training.epochs"] = (f"{done} finished", asked)
    if changed:
        told = "; ".join(in_words(name, *pair) for name, pair in changed.items())
        raise TrainingError(
            f"{out} holds a run with other settings or data ({told}). Ask for what it has, as `medprobclip "
            f"train --out {out}` alone does, choose another folder, or delete this one to train anew"
        )
