"""One model before and after its training: what it says of studies that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from accelerate.utils import set_seed
from matplotlib.figure import Figure

from medprobclip.data.dataset import StudyDataset
from medprobclip.evaluation.embedding import EVALUATION_SECTION, Embeddings, embed
from medprobclip.evaluation.resampling import percentiles, resampled_means
from medprobclip.evaluation.retrieval import BootstrapConfig
from medprobclip.training.encoders import build_model
from medprobclip.training.profiles import Profile
from medprobclip.training.runs import embed_run, load_run
from medprobclip.workbench.style import CHANCE, IMAGE, INK, REPORT, use_style

BEFORE, AFTER = STAGES = ("before", "after")
SIDES = {"image": "films", "report": "reports"}
BINS = 30


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """N held-out studies, their embeddings at both `STAGES` and their scores, image × report `[N, N]`."""

    dataset: StudyDataset
    embeddings: dict[str, Embeddings]
    scores: dict[str, np.ndarray]


def before_and_after(
    run: Path, val_csv: Path, profile: Profile, show_text: bool | None = None
) -> BeforeAfter:
    """The run's best model, and the one that it started from: the same seed draws the same weights again.

    Both read with the run's vocabulary: how many weights are drawn depends on it, and text that is asked for
    later (`show_text`) does not change it. Raises TrainingError when the run is not finished.
    """
    after, dataset, _ = embed_run(run, val_csv, "embeddings-validate", show_text=show_text)
    trained, tokenizer = load_run(run)
    set_seed(profile.training.seed)
    untrained = build_model(profile.encoders, tokenizer, **profile.objective.model_settings())
    before = embed(untrained, StudyDataset(dataset.studies, dataset.images, tokenizer, (EVALUATION_SECTION,)))
    scores = {BEFORE: before.scores(untrained), AFTER: after.scores(trained)}
    return BeforeAfter(dataset, {BEFORE: before, AFTER: after}, scores)


def score_table(stages: BeforeAfter, chosen: dict[int, str]) -> pd.DataFrame:
    """Scores of the chosen films with the chosen reports: rows `stage, film, report, coded, score`.

    `film` and `report` are study ids, `coded` is the heading of the film's study.
    """
    rows, ids = list(chosen), stages.dataset.study_ids
    return pd.DataFrame(
        [
            {"stage": stage, "film": ids[i], "report": ids[j], "coded": chosen[i], "score": scores[i, j]}
            for stage, scores in stages.scores.items()
            for i in rows
            for j in rows
        ]
    )


def variance_table(stages: BeforeAfter) -> pd.DataFrame:
    """Total variance Σσ² of every film and report: rows `stage, side, study, variance`, and `dim`, D."""
    parts = []
    for stage, embeddings in stages.embeddings.items():
        for side in SIDES:
            gaussian = getattr(embeddings, side)
            columns = {
                "stage": stage,
                "side": side,
                "study": embeddings.study_ids,
                "dim": gaussian.mean.shape[-1],
            }
            parts.append(pd.DataFrame({**columns, "variance": gaussian.total_variance().numpy()}))
    return pd.concat(parts, ignore_index=True)


def variances(table: pd.DataFrame) -> Figure:
    """How the total variance is distributed at both stages, films and reports; `variance_table`."""
    use_style()
    figure, axes = plt.subplots(2, 1, figsize=(8, 4.6), layout="constrained", sharex=True)
    low, high = table["variance"].min(), table["variance"].max()
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for ax, (side, name), colour in zip(axes, SIDES.items(), (IMAGE, REPORT), strict=True):
        of = table[table["side"] == side]
        outline = {"histtype": "step", "color": INK, "lw": 1.5}
        looks = {BEFORE: outline, AFTER: {"color": colour, "alpha": 0.8}}
        for stage in (AFTER, BEFORE):  # the outline over the filled one
            values = of.loc[of["stage"] == stage, "variance"]
            ax.hist(values, edges, label=f"{stage} training", **looks[stage])
        ax.axvline(table["dim"].iloc[0], **CHANCE, label="N(0, I): as wide as D")
        ax.set(title=name.capitalize(), ylabel="studies")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    axes[-1].set_xlabel("total variance, Σσ²")
    return figure


def said_of_variances(table: pd.DataFrame) -> str:
    """Did training widen or narrow films and reports? A sentence each, from `variance_table`.

    The change is paired by study, its 95 % interval a bootstrap over studies.
    """
    told, medians = [], {}
    for side, name in SIDES.items():
        wide = table[table["side"] == side].pivot(index="study", columns="stage", values="variance")
        change = (wide[AFTER] - wide[BEFORE]).to_numpy(dtype=float)
        low, high = percentiles(resampled_means(change[None]), BootstrapConfig())
        became = "became narrower" if high < 0 else "became wider" if low > 0 else "are not shown to change"
        medians[name] = wide.median()
        told.append(
            f"{name.capitalize()} {became}: the median total variance was {medians[name][BEFORE]:.1f} before "
            f"and is {medians[name][AFTER]:.1f} after, mean change {change.mean():+.1f} "
            f"[{low:+.1f}, {high:+.1f}]."
        )
    dim = table["dim"].iloc[0]
    above = [of[AFTER] > dim for of in medians.values()]
    sides = {
        (True, True): "the medians of both lie above it",
        (True, False): "films lie above it, reports do not",
        (False, True): "reports lie above it, films do not",
        (False, False): "neither median lies above it",
    }
    told.append(f"N(0, I) has {dim}; after training {sides[tuple(above)]}.")
    return " ".join(told)


def said_of_fit(stages: BeforeAfter) -> str:
    """Δ²/s of film and own report, mean over studies and dimensions: do the variances fit the distance?"""
    fit = {}
    for stage, of in stages.embeddings.items():
        s = of.image.var + of.report.var
        fit[stage] = ((of.image.mean - of.report.mean).square() / s).mean().item()
    reads = "wider" if fit[AFTER] < 0.9 else "narrower" if fit[AFTER] > 1.1 else "about as wide"
    than = "as" if reads.startswith("about") else "than"
    return (
        f"Between a film and its own report Δ²/s is {fit[BEFORE]:.2f} before training and {fit[AFTER]:.2f} "
        f"after: together they are {reads} {than} their distance asks for (1)."
    )
