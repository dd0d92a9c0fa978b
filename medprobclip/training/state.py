"""What a training goes on from: model, optimizer, schedule, random states, and the epochs so far."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from accelerate import Accelerator

from medprobclip.support.files import recovered_folder, replaced_file, to_json
from medprobclip.training.processes import Team


def save_state(accelerator: Accelerator, team: Team, out: Path, history: list[dict]) -> None:
    """Model, optimizer, schedule, every process's random states and history, whole or not at all."""
    with team.replaced_folder(out / "last") as folder:
        accelerator.save_state(str(folder))
        if team.leads:
            (folder / "history.json").write_text(to_json(history))
    if team.leads:
        write_history(out, history)


def write_history(out: Path, history: list[dict]) -> None:
    """`history.csv`, for people; what counts is the copy inside the saved state."""
    with replaced_file(out / "history.csv") as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


def read_history(out: Path) -> pd.DataFrame:
    """The finished epochs of the run in `out`, one row each, empty before the first."""
    folder = recovered_folder(Path(out) / "last")
    return pd.DataFrame(json.loads((folder / "history.json").read_text()) if folder else [])


def load_state(accelerator: Accelerator, team: Team, out: Path) -> list[dict]:
    """Inverse of `save_state`: restores the state in place and returns the history, empty when fresh."""
    with team.first_alone():
        folder = recovered_folder(out / "last")
    if folder is None:
        return []
    accelerator.load_state(str(folder))
    return json.loads((folder / "history.json").read_text())
