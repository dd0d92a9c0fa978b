"""What a training goes on from: states of several moments, each whole and checked, the newest ones kept.

A state holds model, optimizer, schedule, scaler and every process's random states (accelerate's), how far
the training is, and a list of its files with their hashes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors import SafetensorError

from medprobclip.support.files import file_hash, recovered_folder, replaced_file, to_json
from medprobclip.training.errors import TrainingError
from medprobclip.training.processes import Team

_PROGRESS, _FILES = "progress.json", "files.json"
_NAME = re.compile(r"epoch-(\d+)-step-(\d+)")


@dataclass
class Progress:
    """How far a training is: finished epochs with their rows, and what was done of the next one."""

    history: list[dict] = field(default_factory=list)
    step: int = 0  # done of the epoch after those
    sums: dict[str, float] = field(default_factory=dict)  # of its terms, over these steps
    seconds: float = 0.0  # spent on it
    processes: int = 1  # that saved this

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)

    def place(self, steps: int, epochs: int) -> str:
        """In words, of so many steps an epoch."""
        return (
            f"step {self.step} of {steps} of epoch {self.epoch + 1}/{epochs}"
            if self.step
            else (f"epoch {self.epoch} of {epochs}")
        )

    def count(self, terms: dict[str, float]) -> None:
        """One step more, of these terms."""
        self.step += 1
        for term, value in terms.items():
            self.sums[term] = self.sums.get(term, 0.0) + value

    def finish(self, row: dict) -> None:
        """The epoch is done; the next one is at its start."""
        self.history.append(row)
        self.step, self.sums, self.seconds = 0, {}, 0.0

    @property
    def name(self) -> str:
        """Of the folder of the state."""
        return f"epoch-{self.epoch:04d}-step-{self.step:07d}"


def save_state(accelerator: Accelerator, team: Team, out: Path, progress: Progress, keep: int = 2) -> None:
    """Write `out/states/<epoch and step>`, whole or not at all, and keep the `keep` newest states.

    Raises TrainingError when there is no room or no right to write; the states before it are as they were.
    """
    place = out / "states" / progress.name
    new = place.with_name(place.name + ".new")
    try:
        with team.all_or_none():
            if team.leads:
                for left in place.parent.glob("*.new"):  # by a kill
                    shutil.rmtree(left, ignore_errors=True)
                new.mkdir(parents=True)
        with team.all_or_none():
            accelerator.save_state(str(new))
        with team.all_or_none():
            if team.leads:
                (new / _PROGRESS).write_text(to_json(asdict(progress)))
                files = {file.name: file_hash(file) for file in sorted(new.iterdir())}
                (new / _FILES).write_text(to_json(files))
                shutil.rmtree(place, ignore_errors=True)
                os.replace(new, place)
                for old in states(out)[keep:]:
                    shutil.rmtree(old, ignore_errors=True)
    except (OSError, RuntimeError, SafetensorError) as error:  # of torch and safetensors, too
        if team.leads:
            shutil.rmtree(new, ignore_errors=True)
        last = states(out)
        kept = f"the last one, {last[0]}, is as it was" if last else "there is none yet"
        raise TrainingError(
            f"{place}: the state of the training cannot be saved ({' '.join(str(error).split())}; "
            f"{shutil.disk_usage(out).free / 1e6:,.0f} MB are free there); {kept}. "
            "Make room or give the right to write, and run the same again"
        ) from error
    if team.leads:
        write_history(out, progress.history)


def states(out: Path) -> list[Path]:
    """The folders of whole states, the newest first."""
    found = [(match, path) for path in Path(out, "states").glob("*") if (match := _NAME.fullmatch(path.name))]
    return [
        path for _, path in sorted(found, key=lambda pair: tuple(map(int, pair[0].groups())), reverse=True)
    ]


def write_history(out: Path, history: list[dict]) -> None:
    """`history.csv`, for people; what counts is the copy inside the saved state."""
    with replaced_file(out / "history.csv") as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


def read_progress(out: Path) -> Progress:
    """How far the training in `out` is, by the newest state that tells it."""
    for place in states(out):
        try:
            return Progress(**json.loads((place / _PROGRESS).read_text()))
        except (OSError, ValueError, TypeError):  # `load_state` tells it
            continue
    older = recovered_folder(Path(out) / "last")  # where versions before kept the state after an epoch
    return Progress(json.loads((older / "history.json").read_text()) if older else [])


def read_history(out: Path) -> pd.DataFrame:
    """The finished epochs of the run in `out`, one row each, empty before the first."""
    return pd.DataFrame(read_progress(out).history)


def damage(place: Path) -> str | None:
    """What is wrong with a saved state: a file that is missing, or not as it was written; None: nothing."""
    try:
        files = json.loads((place / _FILES).read_text())
        for name, written in files.items():
            if file_hash(place / name) != written:
                return f"{name} is not as it was written"
        Progress(**json.loads((place / _PROGRESS).read_text()))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def load_state(accelerator: Accelerator, team: Team, out: Path, seed: int = 0) -> Progress:
    """Restore the newest undamaged state in place; returns how far it is, an empty Progress when fresh.

    A damaged one is told and put aside as `<name>.damaged`. Random states are for as many processes as saved
    them; others start from `seed` and the step. Raises TrainingError where no state is whole, or an older
    version saved it.
    """
    found = team.led(lambda: _newest(out))
    if found is None:
        return Progress(processes=team.number)
    accelerator.load_state(str(found))
    progress = Progress(**json.loads((found / _PROGRESS).read_text()))
    if progress.processes != team.number:
        team.say(
            f"saved by {progress.processes} processes, resumed by {team.number}: the same studies in the "
            "same order, other random crops"
        )
        set_seed((seed + team.rank + 7919 * (progress.step + progress.epoch + 1)) % 2**32)
    progress.processes = team.number
    return progress


def _newest(out: Path) -> Path | None:
    there = states(out)
    for place in there:
        why = damage(place)
        if why is None:
            return place
        aside = place.with_name(place.name + ".damaged")
        print(f"Warning: {place} is damaged ({why}); put aside as {aside.name}", flush=True)
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(place, aside)
    if there:
        raise TrainingError(f"{out}: none of its saved states is whole. Delete the folder to train anew")
    if recovered_folder(out / "last"):
        raise TrainingError(
            f"{out}: an older version saved this training, which cannot go on from there. "
            "Choose another folder"
        )
    return None
