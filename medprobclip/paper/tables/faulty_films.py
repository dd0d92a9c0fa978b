"""Every film of a held-out set under every fault: what each method says of it, kept beside its run.

The evaluation's own faults are for test studies only; what is chosen is chosen on validation studies under
the faults that a training may see.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from medprobclip.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from medprobclip.data.degraded import DEGRADATIONS, degraded_copies
from medprobclip.data.views import reference_view
from medprobclip.evaluation.confidence import confidences
from medprobclip.evaluation.conformal import best_right_scores
from medprobclip.evaluation.embedding import Embeddings, embed_images
from medprobclip.model import MedProbCLIPModel
from medprobclip.paper.tables.reliability import calibrators
from medprobclip.paper.tables.scored_runs import Result, Results
from medprobclip.support.files import replaced_file
from medprobclip.support.progress import with_progress
from medprobclip.support.threads import pinned_threads
from medprobclip.training.loop import TrainingError
from medprobclip.training.runs import file_hash, load_run, load_strangeness, open_table, run_threads

K = 10  # of the R@K that a match probability foretells
# What the kept numbers are computed by, besides the model: a change measures them anew.
CODE = (
    "paper/tables/faulty_films.py", "data/corruptions.py", "data/degraded.py", "strangeness.py",
    "evaluation/embedding.py",
    "paper/tables/reliability.py", "evaluation/calibration.py", "evaluation/confidence.py",
    "evaluation/conformal.py",
)  # fmt: skip


@dataclass(frozen=True)
class Faults:
    """A kind of faults: their names and severities, how films get them, and the folder of what is measured.

    `apply(images, name, severity, ids)` takes and gives uint8 `[B, S, S]`.
    """

    folder: str
    names: tuple[str, ...]
    severities: tuple[float, ...]
    apply: Callable[[np.ndarray, str, float, Sequence[str]], np.ndarray]


HELD_BACK = Faults("faulty", tuple(CORRUPTIONS), SEVERITIES, corrupt)
MADE_UP = Faults("spoilt", tuple(DEGRADATIONS), (0.2, 0.4, 0.6, 0.8, 1.0), degraded_copies)


def faulty_films(
    calibration: Results, held_out: Results, csv: Path, faults: Faults = HELD_BACK
) -> pd.DataFrame:
    """The first run of each method on held-out radiographs with every fault, and without (severity 0).

    Reports stay as they are. One row a film: `method`, `corruption` (name of the fault), `severity`, `film`
    (row of the studies), `rank_i2t`, `rank_t2i` of the first match, `best_right` (the film's score of its
    best match), every confidence of `evaluation.confidence.LABELS` of the film as a query at K = 10,
    `log_variance` (Σ log σ²) and `strangeness`.

    What is measured is kept in each run's folder, fault by fault, and read back as long as the run, its
    embeddings and the fault are unchanged. Raises TrainingError for a run without strangeness.
    """
    methods = [Fault(m, calibration[m][0], runs[0], faults.folder) for m, runs in held_out.items()]
    studies, models, images = methods[0].run.truth.studies, {}, None
    parts = []
    for name in with_progress(("none", *faults.names), f"{Path(csv).stem} films", "fault"):
        waiting = [fault for fault in methods if fault.stored(name) is None]
        for fault in waiting:
            if fault.method not in models:
                models[fault.method] = load_run(fault.run.folder)[0]
        measured = {fault.method: [] for fault in waiting}
        for severity in ((0,) if name == "none" else faults.severities) if waiting else ():
            if images is None:
                images = reference_radiographs(studies, csv, models[waiting[0].method].config.image_size)
            ids = studies["study_id"].tolist()
            faulty = images if severity == 0 else faults.apply(images, name, severity, ids)
            for fault in waiting:
                with pinned_threads(fault.threads):
                    films = fault.measure(models[fault.method], torch.from_numpy(faulty))
                measured[fault.method].append(films.assign(severity=severity))
        for fault in waiting:
            fault.keep(name, pd.concat(measured[fault.method], ignore_index=True))
        for fault in methods:
            known = fault.stored(name)
            known.insert(0, "corruption", name)
            known.insert(0, "method", fault.method)
            parts.append(known)
    return pd.concat(parts, ignore_index=True)


def doubts(films: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns of `faulty_films` as doubts, by name in `names.DOUBTS`: larger = more doubt."""
    return {
        "variance": -films["variance"].to_numpy(),
        "log_variance": films["log_variance"].to_numpy(),
        "entropy": -films["entropy"].to_numpy(),
        "strangeness": films["strangeness"].to_numpy(),
    }


def reference_radiographs(studies: pd.DataFrame, csv: Path, size: int) -> np.ndarray:
    """The one radiograph of each study that stands for it in every evaluation: uint8 `[N, S, S]`."""
    paths = [
        paths[reference_view(views)]
        for paths, views in zip(studies["image_paths"], studies["view_names"], strict=True)
    ]
    return open_table(csv, size).images.rows(paths)


@dataclass(frozen=True, eq=False)
class Fault:
    """One method under every fault: its run on calibration and on the held-out studies."""

    method: str
    fitted: Result
    run: Result
    folder: str = HELD_BACK.folder

    @property
    def threads(self) -> int | None:
        """With how many the run was trained, so that its embeddings repeat themselves."""
        return run_threads(self.run.folder)

    def path(self, name: str) -> Path:
        """Where the films of a fault are kept."""
        return self.run.folder / self.folder / f"{name}.npz"

    def source(self, name: str) -> dict[str, str]:
        """What they depend on: run, densities, both tables, and how the fault is made and measured."""
        code = " ".join(file_hash(Path(__file__).parents[2] / name) for name in CODE)
        weights = file_hash(self.run.folder / "checkpoint" / "model.safetensors")
        tables = " ".join(_digest(result.embeddings) for result in (self.fitted, self.run))
        return {"fault": name, "code": code, "weights": weights, "tables": tables}

    def stored(self, name: str) -> pd.DataFrame | None:
        """The films as they were kept; None where there are none or something has changed since."""
        if not self.path(name).exists():
            return None
        with np.load(self.path(name)) as kept:
            if str(kept["source"]) != json.dumps(self.source(name)):
                return None
            return pd.DataFrame({column: kept[column] for column in kept.files if column != "source"})

    def keep(self, name: str, films: pd.DataFrame) -> None:
        """Inverse of `stored`, whole or not at all."""
        columns = {column: films[column].to_numpy() for column in films}
        with replaced_file(self.path(name)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, source=json.dumps(self.source(name)), **columns)

    def measure(self, model: MedProbCLIPModel, images: torch.Tensor) -> pd.DataFrame:
        """What the run says of these radiographs, uint8 `[N, S, S]`, in the place of its own."""
        known = load_strangeness(self.run.folder)
        if known is None:
            raise TrainingError(
                f"{self.run.folder} cannot tell strange films: train it once more (a finished run is only "
                "completed). A backbone that does not show its hidden states never can"
            )
        own = self.run.embeddings
        image, strange = embed_images(model, images, known)
        embeddings = Embeddings(own.study_ids, image, own.report, own.text_ids, strange)
        faulty = replace(self.run, embeddings=embeddings, scores=embeddings.scores(model))
        platt = calibrators(self.fitted, len(own))["platt"]
        return pd.DataFrame({
            "film": np.arange(len(own)),
            "rank_i2t": faulty.ranks["i2t"],
            "rank_t2i": faulty.ranks["t2i"],
            "best_right": best_right_scores(faulty.scores, faulty.truth.matches),
            **confidences(faulty.scores, faulty.total_variance["i2t"], platt, K),
            "log_variance": image.log_var.sum(1).numpy(),
            "strangeness": strange.numpy(),
        })  # fmt: skip


def _digest(embeddings: Embeddings) -> str:
    """Of studies and what the model says of them, hence of tables, pictures and densities."""
    digest = hashlib.sha256(" ".join(embeddings.study_ids).encode())
    for values in (embeddings.image.mean, embeddings.report.mean, embeddings.image_strangeness):
        digest.update(b"" if values is None else values.numpy().tobytes())
    return digest.hexdigest()
