"""A model before and after its training: the same first weights, and words that its variances make."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from medprobclip.data.dataset import StudyDataset
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.gaussian import Gaussian
from medprobclip.training.runs import train_run
from medprobclip.workbench.lessons.before_after import (
    BeforeAfter,
    before_and_after,
    said_of_fit,
    said_of_variances,
    score_table,
    variance_table,
    variances,
)


def test_before_is_what_the_training_started_from(study_tables, tiny_profile, tmp_path):
    """A training that learns next to nothing ends where it began, also when text is asked for later."""
    slow = replace(tiny_profile, training=replace(tiny_profile.training, learning_rate=1e-12, epochs=1))
    tables = study_tables["train"], study_tables["validate"]
    train_run(*tables, tmp_path / "run", slow, show_text=False)
    stages = before_and_after(tmp_path / "run", study_tables["validate"], slow, show_text=True)
    assert isinstance(stages.dataset, StudyDataset)
    before, after = stages.embeddings.values()
    assert before.study_ids == after.study_ids == stages.dataset.study_ids
    torch.testing.assert_close(before.report.mean, after.report.mean, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(before.report.log_var, after.report.log_var, atol=1e-3, rtol=1e-3)
    for scores in stages.scores.values():
        assert scores.shape == (len(before), len(before))


def embedded(log_var_image: float, log_var_report: float, n: int = 6) -> Embeddings:
    def spread(start: float) -> Gaussian:
        steps = torch.arange(n)[:, None] * 0.01
        return Gaussian(torch.zeros(n, 4), start + steps.expand(n, 4))

    ids = [f"s{i}" for i in range(n)]
    return Embeddings(ids, spread(log_var_image), spread(log_var_report), torch.arange(n))


def stages_of(image: float, report: float) -> BeforeAfter:
    scores = {"before": np.arange(36.0).reshape(6, 6), "after": -np.arange(36.0).reshape(6, 6)}
    dataset = type("Studies", (), {"study_ids": [f"s{i}" for i in range(6)]})
    return BeforeAfter(dataset, {"before": embedded(0, 0), "after": embedded(image, report)}, scores)


def test_variances_are_the_sums_over_dimensions():
    table = variance_table(stages_of(0.5, -0.5))
    assert len(table) == 2 * 2 * 6
    assert table["dim"].unique().tolist() == [4]
    chosen = table.query("stage == 'after' and side == 'report' and study == 's3'")["variance"].item()
    assert chosen == pytest.approx(4 * np.exp(-0.47))


def test_words_follow_the_variances():
    said = said_of_variances(variance_table(stages_of(0.5, -0.5)))
    assert "Films became wider" in said
    assert "Reports became narrower" in said
    assert said.endswith("N(0, I) has 4; after training films lie above it, reports do not.")
    turned = said_of_variances(variance_table(stages_of(-0.5, 0.5)))
    assert "Films became narrower" in turned
    assert "Reports became wider" in turned
    same = said_of_variances(variance_table(stages_of(0.0, 0.0)))
    assert same.count("are not shown to change") == 2


def test_a_change_that_goes_both_ways_is_none():
    table = variance_table(stages_of(0.0, 0.0))
    half = (table["stage"] == "after") & table["study"].isin(["s0", "s2", "s4"])
    other = (table["stage"] == "after") & table["study"].isin(["s1", "s3", "s5"])
    table.loc[half, "variance"] += 1
    table.loc[other, "variance"] -= 1
    assert said_of_variances(table).count("are not shown to change") == 2


def test_fit_is_the_squared_distance_in_units_of_both_variances():
    stages = stages_of(0.0, 0.0)
    gaussian = stages.embeddings["after"].report
    for far, words in ((1.0, "wider than"), (2**0.5, "about as wide as"), (2.0, "narrower than")):
        stages.embeddings["after"] = replace(
            embedded(0, 0), report=Gaussian(gaussian.mean + far, gaussian.log_var)
        )
        s = 2 * np.exp(0.01 * np.arange(6))
        assert f"is 0.00 before training and {(far**2 / s).mean():.2f} after" in said_of_fit(stages)
        assert words in said_of_fit(stages)


def test_histograms_hold_every_study():
    for stages in (stages_of(0.5, -0.5), stages_of(0.0, 0.0)):
        figure = variances(variance_table(stages))
        for ax in figure.axes:
            assert [text.get_text() for text in ax.get_legend().get_texts()][:2] == [
                "after training", "before training"
            ]  # fmt: skip
            filled = [patch.get_height() for patch in ax.patches if isinstance(patch, plt.Rectangle)]
            assert sum(filled) == 6
        plt.close(figure)
    constant = variance_table(stages_of(0.0, 0.0)).assign(variance=4.0)  # a model without variances
    plt.close(variances(constant))


def test_scores_stand_by_film_and_report():
    table = score_table(stages_of(0.0, 0.0), {1: "normal", 4: "Mass"})
    assert len(table) == 8
    row = table.query("stage == 'before' and film == 's4' and report == 's1'").iloc[0]
    assert (row["score"], row["coded"]) == (25.0, "Mass")
    assert table.query("stage == 'after' and film == 's1' and report == 's4'")["score"].item() == -10
