"""A training for readers: settings that differ, weighted terms, chance."""

from dataclasses import replace

import pandas as pd
import pytest

from medprobclip.settings import OBJECTIVES
from medprobclip.training.profiles import PROFILES, Profile
from medprobclip.workbench.lessons.training_run import (
    chance_of_ten,
    changed_settings,
    history_table,
    weighted_terms,
)


def test_only_what_differs_from_the_paper_is_shown():
    ours = changed_settings(PROFILES["paper"])
    assert ours["the paper's"].tolist() == ["True"]  # the published code decays all
    assert ours["setting"].str.startswith("decay biases, norms").tolist() == [True]
    paper = Profile("paper")
    changed = replace(paper.training, epochs=3, decay_all=True, threads=2)
    table = changed_settings(replace(paper, training=changed))
    assert table.index.tolist() == ["training", "training"]
    assert table["setting"].tolist()[0] == "passes over the training studies; may be raised later"
    assert table["the paper's"].tolist() == ["20", "–"]
    assert table["here"].tolist() == ["3", "2"]
    assert not changed_settings(PROFILES["demo"])["setting"].str.contains("_").any()


def test_terms_add_up_to_the_loss():
    values = {
        "image_text": [2.0],
        "image_image": [1.0],
        "text_text": [4.0],
        "kl_image": [10.0],
        "kl_text": [20.0],
    }
    history = pd.DataFrame({"loss": [2 + 1 + 0.4 + 0.003], **values})
    terms = weighted_terms(history, OBJECTIVES["medprobclip"])
    assert terms.drop(columns="loss").sum(axis=1).item() == pytest.approx(terms["loss"].item())
    assert list(weighted_terms(history, OBJECTIVES["clip"])) == ["loss", "image_text"]


def test_chance_counts_equal_wording(study_tables):
    """By drawing nothing: the mean over studies of the hypergeometric chance."""
    from scipy.stats import hypergeom

    studies = pd.read_csv(study_tables["validate"])
    words = studies["findings"].fillna("").str.lower().str.split().str.join(" ")
    same = words.map(words.value_counts())
    n = len(studies)
    expected = 100 * hypergeom.sf(0, n, same, min(10, n)).mean()
    assert chance_of_ten(study_tables["validate"]) == (pytest.approx(expected), n)


def test_chance_is_that_of_the_studies_with_findings(study_tables):
    """As the evaluation, which leaves the others out: an empty section is no wording."""
    studies = pd.read_csv(study_tables["validate"])
    some = studies.assign(findings=studies["findings"].where(studies.index % 2 == 0, ""))
    paths = [study_tables["validate"].with_name(f"{name}-findings.csv") for name in ("some", "only")]
    for path, table in zip(paths, (some, some[some["findings"] != ""]), strict=True):
        table.to_csv(path, index=False)
    assert chance_of_ten(paths[0]) == chance_of_ten(paths[1])
    assert chance_of_ten(paths[0])[1] == -(-len(studies) // 2)


def test_the_history_is_told_by_epoch():
    row = {"epoch": 1, "loss": 1.234, "learning_rate": 5e-4, "scale_a": 1.0, "val_rsum": 99.7}
    table = history_table(pd.DataFrame([row]))
    assert table.index.tolist() == [1]
    assert table.iloc[0].tolist() == ["1.23", "5.0e-04", "1.000", "100"]
