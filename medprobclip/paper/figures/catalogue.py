"""Every figure and table: its id, what it is in the paper, who makes it, what it shows. `save` writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from medprobclip.paper.figures.ablation import ablation
from medprobclip.paper.figures.corpus import contact_sheet, figure_1, rendered_truth
from medprobclip.paper.figures.doubt import (
    influence_on_variance,
    surest_and_least_sure,
    what_variance_knows,
)
from medprobclip.paper.figures.faults import (
    corruptions,
    degraded_training,
    robustness,
    selective_faulty,
    third_kind,
)
from medprobclip.paper.figures.guarantees import broken_promise, guarantees, set_sizes
from medprobclip.paper.figures.idea import two_gaussians
from medprobclip.paper.figures.model import (
    readability,
    scaling,
    trained_similarity,
    training_curves,
    uncertainty_and_sharing,
    untrained_similarity,
)
from medprobclip.paper.figures.patients import with_and_without
from medprobclip.paper.figures.reliability import (
    calibration,
    confidences,
    figure_2,
    figure_2_areas,
)
from medprobclip.paper.figures.retrieval import hubs, many_to_many, table_1
from medprobclip.paper.figures.zeroshot import table_2
from medprobclip.support.files import replaced_file


@dataclass(frozen=True)
class Entry:
    """One figure with its numbers."""

    draw: Callable[..., Figure]
    maker: str  # a notebook without its ending, or a command
    title: str  # for readers
    caption: str
    paper: str = ""  # what it is in arXiv 2602.16019, if that has it


_ENTRIES = (
    Entry(
        two_gaussians, "00_gaussian_embeddings",
        "The idea: points and Gaussians",
        "A film and three reports as points and as Gaussians, made up so that the two disagree",
    ),
    Entry(
        contact_sheet, "01_data_inspection",
        "Twelve findings, without and with",
        "Twelve findings: the simulated patient without and with it, expert code, a sentence of the report",
    ),
    Entry(
        figure_1, "01_data_inspection",
        "Many reports fit one film",
        "The hidden many-to-many problem: studies that are worded or coded alike, and how many there are",
        "Figure 1",
    ),
    Entry(
        rendered_truth, "01_data_inspection",
        "What was drawn, and how well it shows",
        "What was drawn in one study, and the conspicuity of every kind of finding",
    ),
    Entry(
        untrained_similarity, "02_model_definition",
        "Scores before training",
        "Scores of an untrained model for eight studies",
    ),
    Entry(
        training_curves, "03_training",
        "Training, term by term",
        "The objective term by term, and retrieval on the validation studies",
    ),
    Entry(
        trained_similarity, "03_training",
        "Scores before and after training",
        "Scores of one model for eight validation studies, before its training and after",
    ),
    Entry(
        table_1, "04_retrieval_evaluation",
        "Retrieval by method",
        "Retrieval of the test studies by method, between a random order and the oracle ceiling, over seeds",
        "Table 1",
    ),
    Entry(
        many_to_many, "04_retrieval_evaluation",
        "Retrieval when more than one answer is right",
        "Retrieval when every study with the same expert coding is an answer",
    ),
    Entry(
        hubs, "04_retrieval_evaluation",
        "Hubs: items that are found too often",
        "Hubness: how unevenly the items of the gallery are found, by method, with and without the bank's "
        "term, and by score",
    ),
    Entry(
        table_2, "04_retrieval_evaluation",
        "Findings without a classifier",
        "Zero-shot AUROC of 13 CheXpert findings, of their mean, and of No Finding",
        "Table 2",
    ),
    Entry(
        figure_2, "05_uncertainty_analysis",
        "Answering only when sure",
        "Selective retrieval: risk and coverage at R@1, 5, 10 and 100, by a confidence chosen on validation",
        "Figure 2",
    ),
    Entry(
        figure_2_areas, "05_uncertainty_analysis",
        "Answering only when sure, in one number",
        "The areas under the curves of figure 2, with intervals over studies and seeds",
        "Figure 2 (AURC)",
    ),
    Entry(
        confidences, "05_uncertainty_analysis",
        "What to be sure by",
        "What to be sure by: AURC above the oracle's for six confidences",
    ),
    Entry(
        calibration, "05_uncertainty_analysis",
        "From scores to probabilities",
        "Match probabilities before and after a fit on the calibration studies, who chose nothing",
    ),
    Entry(
        uncertainty_and_sharing, "05_uncertainty_analysis",
        "Variance, shared codings and rank",
        "Total variance against how many studies share the coding, and against the rank of the answer",
    ),
    Entry(
        what_variance_knows, "05_uncertainty_analysis",
        "What the variance goes with",
        "What the variance goes with: rank correlations with ambiguity, conspicuity, rarity, length, faults "
        "and the rank of the answer, alone and given the others",
    ),
    Entry(
        surest_and_least_sure, "05_uncertainty_analysis",
        "The surest and the least sure",
        "The surest and the least sure radiographs and reports, with codes and a sentence of each report",
    ),
    Entry(
        influence_on_variance, "05_uncertainty_analysis",
        "Which places and words make it unsure",
        "Which places of two radiographs, and which words of a sentence of their reports, make them surer or "
        "less sure",
    ),
    Entry(
        with_and_without, "06_ask_the_model",
        "The same patient, with and without",
        "One simulated patient with and without a finding, and what the finding changes in the scores of "
        "reports that name it and in the total variance, over patients",
    ),
    Entry(
        guarantees, "06_ask_the_model",
        "Promises, and whether they are kept",
        "Promises over 200 random splits: sets that hold a right answer, for all and by group, right answers "
        "missed, false alarms, and wrong answers of those that are given",
    ),
    Entry(
        set_sizes, "06_ask_the_model",
        "What a promise costs",
        "How many answers a set holds against how many studies share the coding, and what a perfect reader "
        "would need",
    ),
    Entry(
        scaling, "07_scaling",
        "Time and memory as the gallery grows",
        "Time and memory of scoring a gallery: the published broadcast as far as memory allows, tiles, exact "
        "search, and search by cosine; less than 1 MB stands at 1 MB",
    ),
    Entry(
        corruptions, "08_robustness_and_ablation",
        "Eleven faults of a film",
        "Eleven faults of a radiograph at five severities",
    ),
    Entry(
        robustness, "08_robustness_and_ablation",
        "Faulty films: retrieval, and who notices",
        "Retrieval, AURC, total variance and strangeness on faulty radiographs, one seed: who notices",
    ),
    Entry(
        third_kind, "08_robustness_and_ablation",
        "Films and texts that no study has",
        "Films and texts of a third kind, and which doubt tells them from a study's own",
    ),
    Entry(
        selective_faulty, "08_robustness_and_ablation",
        "One decision out of two doubts",
        "Selective retrieval where half of the films carry a fault: one decision out of two numbers",
    ),
    Entry(
        broken_promise, "08_robustness_and_ablation",
        "Where the promise breaks",
        "Where the promise breaks: sets under eleven faults, before and after abstaining on strange films",
    ),
    Entry(
        degraded_training, "08_robustness_and_ablation",
        "Training on spoilt views",
        "Spoilt training views and the inclusion term: what they do to retrieval, variance and doubt",
    ),
    Entry(
        ablation, "08_robustness_and_ablation",
        "What the parts are for",
        "MedProbCLIP with one thing changed, intervals over test studies and seeds",
    ),
    Entry(
        readability, "medprobclip encoder",
        "What the chest encoder sees",
        "What the chest encoder sees: AUROC on held-out invented patients, by kind of finding and film",
    ),
)  # fmt: skip
FIGURES = {entry.draw.__name__: entry for entry in _ENTRIES}


def save(name: str, figure: Figure, numbers: pd.DataFrame, folder: Path) -> Path:
    """Write `<name>.png` and, beside it, its numbers as `<name>.csv`. Raises KeyError if unlisted."""
    FIGURES[name]
    with replaced_file(Path(folder) / f"{name}.csv") as temporary:
        numbers.to_csv(temporary, index=False, float_format="%.6g")
    path = Path(folder) / f"{name}.png"
    with replaced_file(path) as temporary:
        figure.savefig(
            temporary, format="png", bbox_inches="tight", facecolor="white", metadata={"Software": None}
        )
    return path
