"""A training for readers: what departs from the paper, chance, and the history, in words."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pandas as pd

from medprobclip.data.missing import has_no_text
from medprobclip.data.reports import same_text
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.embedding import EVALUATION_SECTION
from medprobclip.evaluation.retrieval import chance_recall_at
from medprobclip.objectives import term_weights
from medprobclip.settings import ObjectiveConfig
from medprobclip.training.profiles import Profile
from medprobclip.training_settings import TrainingConfig

PAPER = {"training": TrainingConfig(decay_all=True)}  # where it is not as our defaults
PARTS = {"encoders": "encoders", "training": "training", "objective": "objective", "augmentation": "views"}


def changed_settings(profile: Profile) -> pd.DataFrame:
    """Settings of a profile that differ from the paper's, which most defaults are: one row each.

    Columns: `part`, `setting` (the words of its help), `the paper's`, `here`.
    """
    rows = []
    for name, part in PARTS.items():
        config = getattr(profile, name)
        paper = PAPER.get(name, type(config)())
        for setting in fields(config):
            mine, default = getattr(config, setting.name), getattr(paper, setting.name)
            if mine != default:
                said = setting.metadata.get("help", setting.name.replace("_", " "))
                values = {"the paper's": default, "here": mine}
                told = {of: "–" if value is None else str(value) for of, value in values.items()}
                rows.append({"part": part, "setting": said, **told})
    return pd.DataFrame(rows, columns=["part", "setting", "the paper's", "here"]).set_index("part")


def chance_of_ten(csv: Path) -> tuple[float, int]:
    """R@10 of a random order on a study table, percent, with equal wording right; and how many studies.

    Studies without the section that is read are left out, as they are of the evaluation.
    """
    texts = read_studies(csv)[EVALUATION_SECTION]
    ids = same_text(texts[~texts.map(has_no_text)])
    return chance_recall_at(ids[:, None] == ids[None, :], 10), len(ids)


def weighted_terms(history: pd.DataFrame, objective: ObjectiveConfig) -> pd.DataFrame:
    """What each term contributes to the loss, by epoch: `loss`, and a column a term of weight above 0."""
    terms = {name: weight * history[name] for name, weight in term_weights(objective).items()}
    return pd.DataFrame({"loss": history["loss"]} | terms)


def history_table(history: pd.DataFrame) -> pd.DataFrame:
    """The history with the columns and digits that one reads, a line an epoch."""
    columns = {
        "loss": ("loss", "{:.2f}"),
        "learning_rate": ("learning rate at the end", "{:.1e}"),
        "scale_a": ("a of the score", "{:.3f}"),
        "val_rsum": ("RSUM on validation", "{:.0f}"),
    }
    shown = {label: history[name].map(form.format) for name, (label, form) in columns.items()}
    return pd.DataFrame(shown).set_index(history["epoch"])
