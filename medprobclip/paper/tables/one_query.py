"""One query by eye: which study to look at, and what the model finds first for its radiograph."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medprobclip.data.coding import NORMAL, codes_of
from medprobclip.data.privacy import WITHHELD
from medprobclip.data.reports import sentences
from medprobclip.data.views import reference_view
from medprobclip.paper.tables.scored_runs import Result
from medprobclip.workbench.corpus import EXPERTS, LABELS

ANSWERS = 5
CODED_BY = {EXPERTS: "expert codes", LABELS: "labels"}  # names of a column


def telling_query(run: Result) -> int:
    """The first study that is not normal and whose own report comes second to fifth; 0 where there is none.

    Of studies that nobody coded any may be it, unless others are coded.
    """
    codes = codes_of(run.truth.studies)
    abnormal = np.array([bool(study) and study != (NORMAL,) for study in codes]) | (not any(codes))
    ranks = run.ranks["i2t"]
    found = np.flatnonzero(abnormal & (ranks > 1) & (ranks <= ANSWERS))
    return int(found[0]) if len(found) else 0


def film_of(run: Result, study: int) -> str:
    """The path of the radiograph that stands for a study."""
    row = run.truth.studies.iloc[study]
    return row["image_paths"][reference_view(row["view_names"])]


def name_of(run: Result, study: int) -> str:
    """What stands above a study's radiograph: its codes, a line each, or its id where it has none."""
    row = run.truth.studies.iloc[study]
    return "\n".join(codes_of(run.truth.studies)[study]) or f"study {row['study_id']}"


def first_answers(run: Result, query: int, coding: str | None, shows_text: bool) -> pd.DataFrame:
    """The reports that the run finds closest to a radiograph, by rank from 1.

    Columns: "score", "own or worded alike" and, where the studies are coded (`Corpus.coding`), "coded alike"
    and their codes, named by who coded. Without a coding the study's id, the words of its findings and the
    first sentence of them, which is withheld where text may not be shown.
    """
    studies, best = run.truth.studies, np.argsort(-run.scores[query], kind="stable")[:ANSWERS]
    answers = pd.DataFrame({"score": run.scores[query, best].astype(float).round(2)})
    answers["own or worded alike"] = np.where(run.truth.matches[query, best], "yes", "no")
    if coding:
        codes = codes_of(studies)
        answers["coded alike"] = np.where(run.truth.relevant[query, best], "yes", "no")
        answers[CODED_BY[coding]] = ["; ".join(codes[j]) or "not coded" for j in best]
    else:
        texts = studies["findings"].iloc[best].tolist()
        answers["study"] = studies["study_id"].iloc[best].tolist()
        answers["words"] = [len(text.split()) for text in texts]
        answers["findings"] = [next(iter(sentences(text)), "") if shows_text else WITHHELD for text in texts]
    answers.index += 1
    return answers.rename_axis("rank")
