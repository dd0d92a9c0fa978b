"""Calibration and test studies in one pool, scored with each other: draws from it are exchangeable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from medprobclip.data.chexpert import coded, label_findings, unsure_findings
from medprobclip.data.coding import codes_of
from medprobclip.data.correspondence import same_coding
from medprobclip.data.patients import owners
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
    UNSURE,
)
from medprobclip.paper.tables.scored_runs import Result
from medprobclip.training.runs import load_run


def finding_groups(studies: pd.DataFrame) -> np.ndarray:
    """One group for each study by its codes, str `[N]`: one of `MAIN_FINDINGS`, or of the others.

    `OTHER_FINDING`: of the thirteen of CheXpert only others; `UNSURE`: none, but some may be there, by an
    uncertain label; `OUTSIDE`: something is coded, but none of the thirteen; `NORMAL`; `NOT_CODED`. A
    partition, so that each answer is held to one threshold.
    """
    codes = studies["codes"]
    labels = label_findings(codes)
    groups = np.full(len(studies), OUTSIDE, dtype=object)
    groups[unsure_findings(codes).to_numpy().any(axis=1)] = UNSURE
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
    alike, and "coding", own, worded or coded alike, unless nobody coded them; `strangeness` `[P]` by
    direction, of the query.
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
        wording = same_text(studies[EVALUATION_SECTION], known)
        right = {"wording": wording[:, None] == wording}
        codes = [of for run in both for of in codes_of(run.truth.studies)]
        if any(codes):
            studies["codes"], coding = codes, same_coding(codes)
            right["coding"] = right["wording"] | (coding[:, None] == coding)
        strange = {
            direction: np.concatenate([getattr(run.embeddings, f"{side}_strangeness") for run in both])
            for direction, side in {"i2t": "image", "t2i": "report"}.items()
            if all(getattr(run.embeddings, f"{side}_strangeness") is not None for run in both)
        }
        return Pool(studies, len(calibration.embeddings), scores, right, strange)

    def __len__(self) -> int:
        return len(self.studies)

    @property
    def widest(self) -> str:
        """Which answers are right, as wide as is known: "coding", or "wording" where nobody coded them."""
        return "coding" if "coding" in self.right else "wording"

    @cached_property
    def reader(self) -> np.ndarray:
        """Image × report scores `[P, P]` of a perfect reader of the simulated radiographs."""
        return reader_scores(self.studies["appearance"].tolist())

    def thinned(self, most: int, seed: int = 0) -> Pool:
        """Of more studies than `most`, those of random patients: as many as fit, of both tables alike."""
        if len(self) <= most:
            return self
        _, patient = np.unique(owners(self.studies), return_inverse=True)
        order = np.random.default_rng(seed).permutation(patient.max() + 1)
        drawn = order[np.cumsum(np.bincount(patient)[order]) <= most]
        rows = np.flatnonzero(np.isin(patient, drawn))
        return Pool(
            self.studies.iloc[rows].reset_index(drop=True),
            int((rows < self.calibration).sum()),
            self.scores[np.ix_(rows, rows)],
            {name: of[np.ix_(rows, rows)] for name, of in self.right.items()},
            {direction: of[rows] for direction, of in self.strangeness.items()},
        )

    def splits(self, draws: int, seed: int = 0) -> np.ndarray:
        """Which studies calibrate in each draw, bool `[draws, P]`: all of as many patients, at random.

        So patients are exchangeable. Where some have several studies, the number of studies varies from draw
        to draw, and queries are exchangeable only if it does not matter how many their patient has.
        """
        _, patient = np.unique(owners(self.studies), return_inverse=True)
        patients, rng = patient.max() + 1, np.random.default_rng(seed)
        calibrating = min(len(np.unique(patient[: self.calibration])), patients - 1)  # one is left to test
        chosen = np.zeros((draws, patients), dtype=bool)
        for row in chosen:
            row[rng.permutation(patients)[:calibrating]] = True
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
