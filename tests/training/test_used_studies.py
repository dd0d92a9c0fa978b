"""A run knows which studies made it: those can neither test nor calibrate it, whatever table holds them."""

import json
import os
import shutil
from dataclasses import replace

import pandas as pd
import pytest

import medprobclip.training.runs
from medprobclip.data.studies import read_studies, write_studies
from medprobclip.training.calibrating import calibrate_run
from medprobclip.training.errors import TrainingError
from medprobclip.training.runs import embed_run, evaluate_run, train_run
from medprobclip.training.used_studies import FILE

PARTS = {"training": "train", "validation": "validate"}


@pytest.fixture(scope="module")
def once(tiny_profile):
    return replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))


@pytest.fixture(scope="module")
def tables(study_tables, tmp_path_factory):
    """The small tables, two studies a patient, named by subject_id and a hospital's number."""
    folder = tmp_path_factory.mktemp("named") / "tables"
    shutil.copytree(study_tables["train"].parent, folder)
    for split, path in study_tables.items():
        studies = read_studies(folder / path.name)
        studies["subject_id"] = [f"{split}{i // 2}" for i in range(len(studies))]
        studies["MRN"] = [f"{len(split)}00{i // 2}" for i in range(len(studies))]
        write_studies(studies, folder / path.name)
    return {split: folder / path.name for split, path in study_tables.items()}


@pytest.fixture(scope="module")
def trained(tables, once, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    train_run(tables["train"], tables["validate"], out, once)
    return out


@pytest.fixture
def run(trained, tmp_path):
    """A copy to break."""
    return shutil.copytree(trained, tmp_path / "run")


def test_ids_patients_and_files_are_kept_and_no_text(trained, tables):
    used = json.loads((trained / FILE).read_text())
    assert set(used) == set(PARTS)
    for part, split in PARTS.items():
        studies = read_studies(tables[split])
        assert set(used[part]) == {"study_id", "subject_id", "MRN", "image_paths"}
        for column in ("study_id", "subject_id", "MRN"):
            assert used[part][column] == studies[column].tolist()
        assert used[part]["image_paths"] == [list(paths) for paths in studies["image_paths"]]
        assert all(os.path.isabs(path) for paths in used[part]["image_paths"] for path in paths)
        assert not any(text in (trained / FILE).read_text() for text in studies["findings"])


def one_of(tables, split: str, kind: str) -> pd.DataFrame:
    """The calibration studies, the third of which has one thing of the third study of another table."""
    studies, other = read_studies(tables["calibrate"]), read_studies(tables[split])
    if kind == "a link":
        link = tables["calibrate"].parent / f"link-to-{split}.png"
        if not link.exists():
            link.symlink_to(other.at[2, "image_paths"][0])
        studies.at[2, "image_paths"] = (str(link), studies.at[2, "image_paths"][1])
    elif kind == "image_paths":
        studies.at[2, kind] = (other.at[2, kind][0], studies.at[2, kind][1])
    else:
        studies.at[2, kind] = f" {other.at[2, kind]}.0 " if kind == "MRN" else other.at[2, kind].upper()
    return studies


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("study_id", "study_id"),
        ("subject_id", "patient_id"),
        ("MRN", "patient_id"),
        ("image_paths", "image files"),
        ("a link", "image files"),
    ],
)
def test_one_study_patient_or_file_is_enough(trained, tables, part, kind, named):
    csv = tables["calibrate"].parent / "other.csv"
    write_studies(one_of(tables, PARTS[part], kind), csv)
    message = f"1 {named} stand in both the {part} and the %s table, first "
    with pytest.raises(
        TrainingError, match=message % "calibration" + ".*voids every guarantee.*calibrate_share"
    ):
        calibrate_run(trained, csv)
    assert not (trained / "calibration.json").exists()
    with pytest.raises(TrainingError, match=message % "test" + ".*What made a run cannot test it"):
        evaluate_run(trained, csv)
    assert not (trained / "metrics.json").exists()
    embed_run(trained, csv, "embeddings-other")  # to look at them is no harm


def test_studies_that_did_nothing_calibrate_and_test(run, tables, capsys):
    assert calibrate_run(run, tables["calibrate"])["gallery"] == 12
    evaluate_run(run, tables["test"])
    assert FILE not in capsys.readouterr().out


def test_patients_by_other_numbers_are_said_not_to_be_compared(run, tables, tmp_path, capsys):
    studies = read_studies(tables["calibrate"]).drop(columns="subject_id")
    used = json.loads((run / FILE).read_text())
    (run / FILE).write_text(
        json.dumps({p: {k: v for k, v in t.items() if k != "MRN"} for p, t in used.items()})
    )
    write_studies(studies, tmp_path / "mrn.csv")
    calibrate_run(run, tmp_path / "mrn.csv")
    assert (
        "patients are subject_id in the training table and MRN in the calibration" in capsys.readouterr().out
    )


def test_a_run_of_before_refuses_its_own_tables_and_is_completed(run, tables, once, monkeypatch, capsys):
    (run / FILE).unlink()
    for part, split in PARTS.items():
        with pytest.raises(TrainingError, match=f"is the {part} table of .*voids every guarantee"):
            calibrate_run(run, tables[split])
    csv = tables["calibrate"].parent / "half-known.csv"
    write_studies(one_of(tables, "train", "study_id"), csv)
    capsys.readouterr()
    calibrate_run(run, csv)
    assert "no used.json), so" in (printed := capsys.readouterr().out)
    assert "Train it once more: a finished run is only completed" in printed
    monkeypatch.setattr(medprobclip.training.runs, "train", lambda *_, **__: pytest.fail("trained again"))
    train_run(tables["train"], tables["validate"], run, once)
    with pytest.raises(TrainingError, match="1 study_id stand in both the training"):
        calibrate_run(run, csv)


def test_an_interrupted_training_is_known_from_its_start(tables, once, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(medprobclip.training.runs, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        train_run(tables["train"], tables["validate"], tmp_path / "run", once)
    assert len(json.loads((tmp_path / "run" / FILE).read_text())["training"]["study_id"]) == 40
