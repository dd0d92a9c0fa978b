"""The runs of a comparison, scored on held-out studies: what every table and figure is computed from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from medprobclip.data.coding import codes_of
from medprobclip.data.correspondence import same_coding
from medprobclip.evaluation.ceiling import reader_scores
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.evaluation.many_to_many import coding_overlap
from medprobclip.evaluation.retrieval import TURNS, first_match_ranks
from medprobclip.paper.tables.experiments import REFERENCE, Experiment, comparison, group_of
from medprobclip.support.progress import with_progress
from medprobclip.training.claims import completed, is_finished
from medprobclip.training.errors import TrainingError
from medprobclip.training.profiles import Profile
from medprobclip.training.runs import embed_run, load_run


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of N held-out studies, whatever the model: `[N, N]` each, radiograph × report.

    `matches`: own or worded alike; `relevant`: coded alike; `overlap`: shared codes, 0 to 1; `reader`: the
    scores of a perfect reader of the simulated radiographs, None of others. Without `codes` nothing is coded
    alike but a study and itself.
    """

    studies: pd.DataFrame
    matches: np.ndarray

    @cached_property
    def relevant(self) -> np.ndarray:
        ids = same_coding(codes_of(self.studies))
        return ids[:, None] == ids

    @cached_property
    def overlap(self) -> np.ndarray:
        return coding_overlap(codes_of(self.studies))

    @cached_property
    def reader(self) -> np.ndarray | None:
        return reader_scores(self.studies["appearance"].tolist()) if "appearance" in self.studies else None

    def __len__(self) -> int:
        return len(self.studies)


@dataclass(frozen=True, eq=False)
class Result:
    """One run on one split: its folder, seed, embeddings, and image × report scores `[N, N]`."""

    folder: Path
    seed: int
    embeddings: Embeddings
    scores: np.ndarray
    truth: Truth

    @cached_property
    def ranks(self) -> dict[str, np.ndarray]:
        """Rank of the first match of each query, int `[N]`, both ways."""
        return {
            d: first_match_ranks(turn(self.scores), turn(self.truth.matches)) for d, turn in TURNS.items()
        }

    @cached_property
    def total_variance(self) -> dict[str, np.ndarray]:
        """Σσ² of each query, `[N]`, both ways."""
        queries = {"i2t": self.embeddings.image, "t2i": self.embeddings.report}
        return {d: query.total_variance().numpy() for d, query in queries.items()}


Results = dict[str, list[Result]]  # of each method or variant, one a seed


def load_methods(runs: Path, profile: Profile, csv: Path, objective: str = REFERENCE) -> Results:
    """Every finished run of the methods on a held-out table, by method, the profile's own seed first.

    `runs` is the profile's folder of runs. Methods without a finished run are left out; while the reference
    has none, there is nothing to compare with and only `objective` is loaded. Raises TrainingError when that
    has none either, or when a run was trained with other settings.
    """
    experiments = [e for e in comparison(profile, full=True) if group_of(e) == "methods"]
    if not is_finished(runs / REFERENCE):
        experiments = [e for e in experiments if e.folder == Path(objective)]
    return _load(runs, experiments, csv)


def load_ablation(runs: Path, profile: Profile, csv: Path) -> Results:
    """The reference and every finished variant of the ablation, the profile's own seed first.

    Raises as `load_methods`, and TrainingError without the reference.
    """
    experiments = [
        e
        for e in comparison(profile, full=True)
        if group_of(e) == "ablation" or (group_of(e) == "methods" and e.folder.name == REFERENCE)
    ]
    if not is_finished(runs / REFERENCE):
        experiments = experiments[:1]  # the reference
    return _load(runs, experiments, csv)


def load_degraded(runs: Path, profile: Profile, csv: Path) -> Results:
    """Every finished run of `DEGRADED`, the profile's own seed first; to have none is no error."""
    experiments = [e for e in comparison(profile, full=True) if group_of(e) == "degraded"]
    found = [e for e in experiments if is_finished(runs / e.folder)]
    return _load(runs, found, csv) if found else {}


def reference_of(results: Results) -> str:
    """The method that the others are compared with; the only one where MedProbCLIP was not trained."""
    return REFERENCE if REFERENCE in results else next(iter(results))


def stacked(parts: dict, *names: str) -> pd.DataFrame:
    """Tables below each other, what their keys stand for in columns of these names before their own."""
    return pd.concat(parts, names=names).reset_index(list(names)).reset_index(drop=True)


def _load(runs: Path, experiments: list[Experiment], csv: Path) -> Results:
    finished = [e for e in experiments if is_finished(runs / e.folder)]
    if not finished:
        missing = runs / (experiments[0].folder if experiments else REFERENCE)
        raise TrainingError(f"{missing} holds no finished training; train it first (notebook 03)")
    results: Results = {}
    truth = None
    for experiment in with_progress(finished, f"scoring {Path(csv).stem}", "run"):
        folder = runs / experiment.folder
        check_settings(folder, experiment.profile)
        name = "embeddings" if Path(csv).stem == "test" else f"embeddings-{Path(csv).stem}"
        embeddings, dataset, _ = embed_run(folder, csv, name)
        truth = truth or Truth(dataset.studies, embeddings.matches())
        if embeddings.study_ids != truth.studies["study_id"].tolist():
            raise TrainingError(f"{folder} was scored on other studies than the runs before it")
        scores = embeddings.scores(load_run(folder)[0])
        result = Result(folder, experiment.profile.training.seed, embeddings, scores, truth)
        group = "degraded/" if group_of(experiment) == "degraded" else ""
        results.setdefault(f"{group}{experiment.folder.name}", []).append(result)
    return results


def check_settings(folder: Path, profile: Profile) -> None:
    """Raises TrainingError when the run in `folder` was trained with other settings than the profile's."""
    found = completed(json.loads((folder / "settings.json").read_text()))
    wanted = json.loads(json.dumps(profile.settings()))
    if other := sorted(key for key in wanted if found.get(key) != wanted[key]):
        raise TrainingError(
            f"{folder} was trained with other settings ({', '.join(other)}) and cannot stand in this "
            "comparison. Delete it to train it anew"
        )
