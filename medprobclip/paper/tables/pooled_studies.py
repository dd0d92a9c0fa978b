"""Calibration and test studies in one pool, scored with each other: draws from it are exchangeable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from medprobclip.data.chexpert import coded, label_findings
from medprobclip.data.correspondence import same_coding
from medprobclip.data.patients import patients_of
from medprobclip.data.reports import same_text
from medprobclip.evaluation.ceiling import reader_scores
from medprobclip.evaluation.embedding import EVALUATION_SECTION
from medprobclip.evaluation.retrieval import TURNS
from medprobclip.gaussian import Gaussian
from medprobclip.paper.tables.names import (
    MAIN_FINDINGS,
    NORMAL,
    NOT_CODED,
    ONE_FILM,
    OTHER_FINDING,
    OUTSIDE,
    SEVERAL_FILMS,
)
from medprobclip.paper.tables.scored_runs import Result
from medprobclip.training.runs import load_run


def finding_groups(studies: pd.DataFrame) -> np.ndarray:
    """One group for each study by its expert codes, str `[N]`: one of `MAIN_FINDINGS`, or of the others.

    `OTHER_FINDING`: of the thirteen of CheXpert only others; `OUTSIDE`: something is coded, but none of the
    thirteen; `NORMAL`; `NOT_CODED`. A partition, so that each answer is held to one threshold.
    """
    codes = studies["codes"]
    labels = label_findings(codes)
    groups = np.full(len(studies), OUTSIDE, dtype=object)
    groups[labels.to_numpy().any(axis=1)] = OTHER_FINDING
    for finding in reversed(MAIN_FINDINGS):
        groups[labels[finding].to_numpy()] = finding
    groups[[set(study) == {"normal"} for study in codes]] = NORMAL
    groups[~coded(codes)] = NOT_CODED
    return groups.astype(str)


def film_groups(studies: pd.DataFrame) -> np.ndarray:
    """`ONE_FILM` or `SEVERAL_FILMS`, as each study has radiographs: str `[N]`."""
    return np.where(studies["image_paths"].map(len) > 1, SEVERAL_FILMS, ONE_FILM)


@dataclass(frozen=True, eq=False)
class Pool:
    """P studies, the first `calibration` of them from the calibration table, the others from the test table.

    `scores` `[P, P]`, image × report, of one run; `right` by name, bool `[P, P]`: "wording", own or worded
    alike, and "coding", own or coded alike; `strangeness` `[P]` by direction, of the query.
    """

    studies: pd.DataFrame
    calibration: int
    scores: np.ndarray
    right: dict[str, np.ndarray]
    strangeness: dict[str, np.ndarray]

    @staticmethod
    def of(calibration: Result, test: Result) -> Pool:
        """Of one run on both tables. Raises ValueError where the two are not of one run."""
        if calibration.folder != test.folder:
            raise ValueError(f"{calibration.folder} and {test.folder} are two runs: their scores differ")
        both = calibration, test
        image, report = (
            Gaussian(*(torch.cat([getattr(part, name) for part in sides]) for name in ("mean", "log_var")))
            for sides in zip(*((run.embeddings.image, run.embeddings.report) for run in both), strict=True)
        )
        model = load_run(test.folder)[0]
        with torch.no_grad():
            scores = model.similarity(image.to(model.device), report.to(model.device)).cpu().numpy()
        studies = pd.concat([run.truth.studies for run in both], ignore_index=True)
        # Within a table alike as the model reads it, across tables as it is worded.
        known = [(part, one) for part, run in enumerate(both) for one in run.embeddings.text_ids.tolist()]
        ids = {
            "wording": same_text(studies[EVALUATION_SECTION], known),
            "coding": same_coding(studies["codes"]),
        }
        right = {name: of[:, None] == of for name, of in ids.items()}
        right["coding"] |= right["wording"]
        strange = {
            direction: np.concatenate([getattr(run.embeddings, f"{side}_strangeness") for run in both])
            for direction, side in {"i2t": "image", "t2i": "report"}.items()
            if all(getattr(run.embeddings, f"{side}_strangeness") is not None for run in both)
        }
        return Pool(studies, len(calibration.embeddings), scores, right, strange)

    def __len__(self) -> int:
        return len(self.studies)

    @cached_property
    def reader(self) -> np.ndarray:
        """Image × report scores `[P, P]` of a perfect reader of the simulated radiographs."""
        return reader_scores(self.studies["appearance"].tolist())

    def splits(self, draws: int, seed: int = 0) -> np.ndarray:
        """Which studies calibrate in each draw, bool `[draws, P]`: as many as do, whole patients at random.

        More than as many where a patient has several studies; then patients are exchangeable, and queries
        only if it does not matter how many studies their patient has.
        """
        ids = self.studies["study_id"].tolist()
        patients = [
            patient or own for patient, own in zip(patients_of(self.studies) or ids, ids, strict=True)
        ]
        _, patient = np.unique(patients, return_inverse=True)
        studies, rng = np.bincount(patient), np.random.default_rng(seed)
        chosen = np.zeros((draws, len(studies)), dtype=bool)
        for row in chosen:
            order = rng.permutation(len(studies))
            row[order[: 1 + np.searchsorted(np.cumsum(studies[order]), self.calibration)]] = True
        return chosen[:, patient]

    def beside_test(self, scores: np.ndarray, right: np.ndarray) -> tuple[tuple, tuple]:
        """Each query with the test items as gallery: (scores, right) of calibration and of test queries.

        Of query × answer `[P, P]` each: `[n, M + 1]` of the n calibration queries, whose own item is added
        to the M test items as the first, and `[M, M]`. So calibration queries are asked as a new one is.
        """
        n = self.calibration
        own = np.arange(n)
        asked = tuple(np.column_stack([of[own, own], of[:n, n:]]) for of in (scores, right))
        return asked, tuple(of[n:, n:] for of in (scores, right))


def turned(pool: Pool, direction: str, right: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and right answers, query × answer, `[P, P]` each."""
    turn = TURNS[direction]
    return turn(pool.scores), turn(pool.right[right])
