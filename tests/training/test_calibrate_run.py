"""A part whose patients choose nothing: probabilities are fitted on it, and training never reads it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import medprobclip.training.runs
from medprobclip.data.studies import read_studies, write_studies
from medprobclip.evaluation.conformal import p_values
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.strangeness import FILE as STRANGENESS_FILE
from medprobclip.training.calibrating import (
    FEW,
    calibrate_run,
    calibration_summary,
    few_studies,
    load_calibration,
    smallest_alpha,
)
from medprobclip.training.errors import TrainingError
from medprobclip.training.runs import evaluate_run, load_run, train_run
from medprobclip.training.state import read_history


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
    np.testing.assert_allclose(history["loss"], read_history(run[0])["loss"], rtol=1e-4)


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


@pytest.fixture
def calibrated(run, study_tables, tmp_path):
    """A copy to break."""
    out = shutil.copytree(run[0], tmp_path / "run")
    return out, calibrate_run(out, study_tables["calibrate"])


def test_what_is_kept_is_read_back_and_said(calibrated):
    out, record = calibrated
    assert load_calibration(out) == json.loads(json.dumps(record))
    said = calibration_summary(record)
    assert said.startswith(
        "12 calibration studies: the smallest alpha that they can promise is 1/13 = 0.0769; "
    )
    assert f"slope {record['platt']['slope']:.3g}, intercept {record['platt']['intercept']:.3g} in" in said


def test_a_calibration_of_another_checkpoint_is_refused_and_made_anew(calibrated, study_tables, once):
    out, record = calibrated
    with pytest.raises(TrainingError, match=r"is not calibrated: `medprobclip calibrate --run .* makes it"):
        load_calibration(out / "nowhere")
    (out / "checkpoint" / STRANGENESS_FILE).rename(out / "kept")
    with pytest.raises(TrainingError, match="is of another checkpoint"):
        load_calibration(out)
    (out / "kept").rename(out / "checkpoint" / STRANGENESS_FILE)
    assert load_calibration(out)["platt"] == record["platt"]
    other = replace(once, training=replace(once.training, seed=1))
    for name in ("states", "checkpoint"):
        shutil.rmtree(out / name)
    train_run(study_tables["train"], study_tables["validate"], out, other)
    with pytest.raises(TrainingError, match=r"of another checkpoint than .* holds now: `.*` makes it anew"):
        load_calibration(out)
    again = calibrate_run(out, study_tables["calibrate"])
    assert load_calibration(out)["platt"] == again["platt"] != record["platt"]


def test_other_calibration_studies_are_fitted_anew(calibrated, study_tables):
    out, record = calibrated
    other = calibrate_run(out, study_tables["test"])
    assert other["fitted_on"]["test_data"] != record["fitted_on"]["test_data"]
    assert other["platt"] != record["platt"]
    assert load_calibration(out)["platt"] == other["platt"]


@pytest.mark.parametrize("studies", [2, 19, 99])
def test_the_smallest_promise_is_that_of_a_stranger_than_all(studies):
    """As conformal p-values have it, and so is nothing promised below it."""
    known = np.arange(studies, dtype=float)
    assert smallest_alpha(studies) == p_values(np.array([1e9]), known)[0] == 1 / (studies + 1)


def test_few_studies_are_told():
    assert few_studies(FEW) == []
    (told,) = few_studies(19)
    assert told.startswith(
        "only 19 studies to calibrate on: the smallest alpha that they can promise is 1/20 = 0.05,"
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [(1, "only one study has findings; a comparison needs two"), (0, "none of 12 studies has findings")],
)
def test_fewer_than_two_studies_are_refused(run, study_tables, tmp_path, rows, message):
    studies = read_studies(study_tables["calibrate"])
    studies.loc[rows:, "findings"] = ""
    write_studies(studies, tmp_path / "few.csv")
    with pytest.raises(TrainingError, match=rf"few\.csv: {message}"):
        calibrate_run(run[0], tmp_path / "few.csv")
