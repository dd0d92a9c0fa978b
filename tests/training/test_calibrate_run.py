"""A part whose patients choose nothing: probabilities are fitted on it, and training never reads it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import medprobclip.training.runs
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.training.calibrating import calibrate_run
from medprobclip.training.loop import TrainingError
from medprobclip.training.runs import evaluate_run, load_run, train_run


@pytest.fixture(scope="module")
def once(tiny_profile):
    return replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))


@pytest.fixture(scope="module")
def run(study_tables, once, tmp_path_factory):
    """A finished run, and the tables that were opened for it."""
    out, opened = tmp_path_factory.mktemp("run"), []
    with pytest.MonkeyPatch.context() as patch:
        read = medprobclip.training.runs.read_studies
        patch.setattr(medprobclip.training.runs, "read_studies", lambda csv: opened.append(csv) or read(csv))
        train_run(study_tables["train"], study_tables["validate"], out, once)
        evaluate_run(out, study_tables["test"])
    return out, [path.stem for path in opened]


def test_training_and_scoring_do_not_read_the_calibration_part(run):
    assert sorted(set(run[1])) == ["test", "train", "validate"]


def test_training_is_the_same_without_a_calibration_part(run, study_tables, once, tmp_path):
    shutil.copytree(study_tables["train"].parent, tmp_path / "tables")
    (tmp_path / "tables" / "calibrate.csv").unlink()
    tables = [tmp_path / "tables" / f"{split}.csv" for split in ("train", "validate")]
    history = train_run(*tables, tmp_path / "run", once)
    first = json.loads((run[0] / "last" / "history.json").read_text())
    np.testing.assert_allclose(history["loss"], [row["loss"] for row in first], rtol=1e-4)


def test_the_fit_is_of_all_pairs_of_the_calibration_part(run, study_tables):
    """A logistic curve with a free intercept says on average what Platt's targets say, and orders alike."""
    out, _ = run
    record = calibrate_run(out, study_tables["calibrate"])
    assert json.loads((out / "calibration.json").read_text()) == record
    embeddings = Embeddings.load(out / "embeddings-calibrate.safetensors")
    assert record["gallery"] == len(embeddings) == 12
    assert all(name.startswith("calibrate-") for name in embeddings.study_ids)
    scores, matches = embeddings.scores(load_run(out)[0]), embeddings.matches()
    p = 1 / (1 + np.exp(-(record["platt"]["slope"] * scores + record["platt"]["intercept"])))
    positives, negatives = matches.sum(), (~matches).sum()
    wanted = positives * (positives + 1) / (positives + 2) + negatives / (negatives + 2)
    assert p.sum() == pytest.approx(wanted, rel=1e-3)


def test_pairs_of_one_kind_cannot_be_fitted(run, study_tables, monkeypatch):
    monkeypatch.setattr(Embeddings, "matches", lambda self: np.ones((12, 12), dtype=bool))
    with pytest.raises(TrainingError, match=r"calibrate\.csv: no match probability"):
        calibrate_run(run[0], study_tables["calibrate"])
