"""A run on calibration and test studies, made up: what `paper.tables.pooled_studies` makes one pool of."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from medprobclip.evaluation.embedding import Embeddings
from medprobclip.gaussian import Gaussian
from medprobclip.paper.tables.scored_runs import Result, Results, Truth
from medprobclip.similarity import expected_likelihood

MODEL = SimpleNamespace(similarity=expected_likelihood, device=torch.device("cpu"))  # of every made run
CODES = (
    ("normal",),
    ("Pulmonary Atelectasis/base/left", "Cardiomegaly/mild"),
    ("Cardiomegaly/mild",),
    ("Opacity/lung/base/right",),
    ("Scoliosis",),
    ("normal",),
    (),
)


def made_pair(
    calibration: int = 30, test: int = 50, method: str = "medprobclip", seed: int = 0, strange: bool = True
) -> tuple[Results, Results]:
    """A method's run on so many calibration and test studies; some are worded alike, within and across.

    Radiographs lie near their reports, and those near others coded alike.
    """
    rng = np.random.default_rng(seed)
    found = []
    for name, n in (("calibrate", calibration), ("test", test)):
        kind = rng.integers(0, len(CODES), n)
        words = np.where(rng.random(n) < 0.4, kind, 100 + 1000 * (name == "test") + np.arange(n))
        studies = pd.DataFrame({
            "study_id": [f"{name}-{i}" for i in range(n)],
            "findings": [f"Sentence {word}." for word in words],
            "codes": [CODES[k] for k in kind],
            "image_paths": [("pa.png", "lateral.png")[: 1 + (rng.random() < 0.7)] for _ in range(n)],
            "appearance": [() if k in (0, 4, 5, 6) else (f"a{k}|b",) for k in kind],
        })  # fmt: skip
        centres = np.random.default_rng(99).normal(size=(1200, 4))
        report = centres[kind] + 0.3 * centres[words]
        image = report + 0.5 * rng.normal(size=(n, 4))
        _, ids = np.unique(words, return_inverse=True)
        parts = [
            Gaussian(torch.tensor(mean, dtype=torch.float32), torch.full((n, 4), -1.0))
            for mean in (image, report)
        ]
        strangeness = [torch.tensor(rng.exponential(1, n) + 0.1) if strange else None for _ in range(2)]
        embeddings = Embeddings(studies["study_id"].tolist(), *parts, torch.tensor(ids), *strangeness)
        scores = expected_likelihood(*parts).numpy()
        truth = Truth(studies, ids[:, None] == ids)
        found.append({method: [Result(Path(method), 42, embeddings, scores, truth)]})
    return found[0], found[1]


def without(pair: tuple[Results, ...], *columns: str) -> tuple[Results, ...]:
    """The same runs on tables without these columns."""
    found = []
    for results in pair:
        ((method, (run,)),) = results.items()
        truth = replace(run.truth, studies=run.truth.studies.drop(columns=list(columns)))
        found.append({method: [replace(run, truth=truth)]})
    return tuple(found)
