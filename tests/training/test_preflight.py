"""Before the first epoch: every problem of tables, pictures, settings and folder, in one list."""

import csv
import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from medprobclip.data.studies import read_studies, write_studies
from medprobclip.support.locks import HOLDER
from medprobclip.training.errors import TrainingError
from medprobclip.training.preflight import NotReadyError, preflight
from medprobclip.training.runs import evaluate_run, train_run

PARTS = {"training": "train", "validation": "validate", "test": "test"}


@pytest.fixture
def tables(study_tables, tmp_path):
    """Copies that a test may spoil."""
    folder = tmp_path / "tables"
    shutil.copytree(study_tables["train"].parent, folder)
    return {name: folder / study_tables[split].name for name, split in PARTS.items()}


def spoil(csv_path, old, new):
    text = csv_path.read_text()
    assert old in text
    csv_path.write_text(text.replace(old, new, 1))


def test_what_is_right_is_let_pass_and_described(tables, tiny_profile, tmp_path, capsys):
    assert preflight(tables, tiny_profile, tmp_path / "out") == tables
    printed = capsys.readouterr().out
    assert printed.count("no column names patients") == 1  # of the test table; training says the others
    assert not (tmp_path / "out" / HOLDER).exists()


def test_every_problem_of_every_table_is_in_one_list(tables, tiny_profile, tmp_path):
    spoil(tables["training"], "train-3-pa.png", "gone.png")
    spoil(tables["validation"], "validate-2,", "validate-1,")
    (tables["test"].parent / "test-4-pa.png").write_text("no picture")
    big = replace(tiny_profile, training=replace(tiny_profile.training, batch_size=64))
    with pytest.raises(NotReadyError) as error:
        preflight(tables, big, tmp_path / "out")
    message = str(error.value)
    for part in ("gone.png", "validate-1): first on line 3", "test-4-pa.png: not readable"):
        assert part in message
    assert not (tmp_path / "out" / "checkpoint").exists()


def test_too_few_studies_and_missing_codes_are_told_of_their_table(tables, tiny_profile, tmp_path):
    big = replace(
        tiny_profile,
        training=replace(tiny_profile.training, batch_size=64),
        objective=replace(tiny_profile.objective, equal_coding="positive"),
    )
    rows = tables["test"].read_text().splitlines(keepends=True)
    tables["test"].write_text("".join(rows[:2]))
    with pytest.raises(NotReadyError) as error:
        preflight(tables, big, tmp_path / "out")
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "train.csv: 40 of 40 studies have findings and impression, fewer than one batch of 64" in lines[0]
    assert "needs expert codes" in lines[1]
    assert "test.csv: 1 of 1 studies have findings, fewer than the 2" in lines[2]


def test_encoders_that_are_not_there_are_told_with_the_rest(tables, tiny_profile, tmp_path):
    spoil(tables["training"], "train-3-pa.png", "gone.png")
    for vision, text, reason in (
        ("tiny-resnet", "some-bert", "take both small"),
        (str(tmp_path / "vit"), str(tmp_path / "bert"), "vit"),
    ):
        other = replace(tiny_profile, encoders=replace(tiny_profile.encoders, vision=vision, text=text))
        with pytest.raises(NotReadyError, match=rf"(?s){reason}.*gone\.png"):
            preflight(tables, other, tmp_path / "out")


def test_what_tables_share_is_refused(tables, tiny_profile, tmp_path):
    spoil(tables["test"], "test-4-pa.png", "train-4-pa.png")
    with pytest.raises(NotReadyError, match="1 image files stand in both the training and the test table"):
        preflight(tables, tiny_profile, tmp_path / "out")


def test_bad_rows_go_to_quarantine_and_training_goes_on(tables, tiny_profile, tmp_path, capsys):
    spoil(tables["training"], "train-3-pa.png", "gone.png")
    spoil(tables["training"], "train-5,", ",")
    (tables["test"].parent / "test-4-pa.png").write_text("no picture")
    out, quarantine = tmp_path / "out", tmp_path / "bad.csv"
    clean = preflight(tables, tiny_profile, out, quarantine)
    assert "training: 2 rows set aside" in capsys.readouterr().out
    left = read_studies(clean["training"])["study_id"].tolist()
    assert left == [f"train-{i}" for i in range(40) if i not in (3, 5)]
    assert "test-4" not in read_studies(clean["test"])["study_id"].tolist()
    with quarantine.open(newline="") as file:
        written = {
            (row["table"].rsplit("/", 1)[1], row["study_id"]): row["reason"] for row in csv.DictReader(file)
        }
    assert written == {
        ("train.csv", "train-3"): "column image_paths: file not found",
        ("train.csv", ""): "column study_id: empty",
        ("test.csv", "test-4"): "an image cannot be used",
    }
    history = train_run(clean["training"], clean["validation"], out, tiny_profile)
    assert len(history) == tiny_profile.training.epochs
    assert preflight(tables, tiny_profile, out, quarantine) == clean  # and the run goes on from there
    assert len(train_run(clean["training"], clean["validation"], out, tiny_profile)) == len(history)


def test_a_quarantine_without_bad_rows_is_an_empty_list(tables, tiny_profile, tmp_path):
    clean = preflight(tables, tiny_profile, tmp_path / "out", tmp_path / "bad.csv")
    for name, table in tables.items():
        assert read_studies(clean[name]).equals(read_studies(table))
    assert (tmp_path / "bad.csv").read_text().splitlines() == ["table,line,study_id,reason,detail"]


def test_a_folder_in_which_another_trains_is_refused(tables, tiny_profile, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / HOLDER).write_text(json.dumps({"host": "node7", "process": 12, "since": "noon"}))
    with pytest.raises(NotReadyError, match="process 12 on node7"):
        preflight(tables, tiny_profile, tmp_path / "out")
    with pytest.raises(TrainingError, match="process 12 on node7"):
        train_run(tables["training"], tables["validation"], tmp_path / "out", tiny_profile)


def test_a_folder_that_cannot_be_one_is_refused(tables, tiny_profile, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotReadyError, match="file.*no folder to write into"):
        preflight(tables, tiny_profile, tmp_path / "file")


def test_pictures_are_read_before_training(tables, tiny_profile, tmp_path):
    """Also those of a test table, which is scored hours later; as pictures, not as names."""
    picture = tables["test"].parent / "test-4-pa.png"
    Image.new("L", (32, 32), 7).save(picture)
    with pytest.raises(NotReadyError, match=r"test-4-pa\.png: blank"):
        preflight(tables, tiny_profile, tmp_path / "out")


@pytest.mark.parametrize("place", ["the table", "folder", "file/bad.csv"])
def test_a_quarantine_that_would_lose_something_is_refused(tables, tiny_profile, tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    quarantine = tables["training"] if place == "the table" else tmp_path / place
    before = tables["training"].read_text()
    with pytest.raises(NotReadyError, match="--quarantine .*Name another file"):
        preflight(tables, tiny_profile, tmp_path / "out", quarantine)
    assert tables["training"].read_text() == before


def test_a_run_with_other_settings_is_told_before_anything_is_done(tables, tiny_profile, tmp_path):
    train_run(tables["training"], tables["validation"], tmp_path / "out", tiny_profile)
    assert preflight(tables, tiny_profile, tmp_path / "out") == tables
    other = replace(tiny_profile, training=replace(tiny_profile.training, learning_rate=1e-3))
    spoil(tables["test"], "test-4-pa.png", "gone.png")
    with pytest.raises(NotReadyError, match=r"(?s)other settings or data \(training.*gone\.png"):
        preflight(tables, other, tmp_path / "out")


def test_studies_that_cannot_be_told_apart_are_refused(tables, tiny_profile, tmp_path):
    studies = read_studies(tables["test"]).assign(findings="Lungs are clear.")
    write_studies(studies, tables["test"])
    with pytest.raises(NotReadyError, match="every study has the same findings"):
        preflight(tables, tiny_profile, tmp_path / "out")


def test_codes_that_say_nothing_are_none(tables, tiny_profile, tmp_path):
    write_studies(read_studies(tables["training"]).assign(codes="nan"), tables["training"])
    assert read_studies(tables["training"])["codes"].tolist() == [()] * 40
    coded = replace(tiny_profile, objective=replace(tiny_profile.objective, equal_coding="positive"))
    with pytest.raises(NotReadyError, match="needs expert codes"):
        preflight(tables, coded, tmp_path / "out")


def test_what_a_run_was_made_from_cannot_test_it(tables, tiny_profile, tmp_path):
    train_run(tables["training"], tables["validation"], tmp_path / "out", tiny_profile)
    for name in ("training", "validation"):
        with pytest.raises(TrainingError, match=f"is the {name} table of"):
            evaluate_run(tmp_path / "out", tables[name])


def test_a_copied_picture_is_found_under_another_name(tables, tiny_profile, tmp_path):
    folder = tables["training"].parent
    shutil.copy(folder / "train-7-pa.png", folder / "test-4-pa.png")
    with pytest.raises(NotReadyError, match=r"1 pictures of the training .*train-7-pa.* is .*test-4-pa"):
        preflight(tables, tiny_profile, tmp_path / "out")


def test_a_share_of_validation_is_set_aside_with_all_its_columns(tables, tiny_profile, tmp_path, capsys):
    studies = read_studies(tables["validation"])
    studies["patient_id"] = [f"0{i // 2}" for i in range(12)]
    studies["codes"] = [(f"Opacity/{i % 4}", "normal") if i else () for i in range(12)]
    write_studies(studies, tables["validation"])
    studies, out = read_studies(tables["validation"]), tmp_path / "out"
    checked = preflight(tables, tiny_profile, out, calibrate_share=0.5)
    assert checked == {**tables, "validation": out / "validate.csv", "calibration": out / "calibrate.csv"}
    parts = [read_studies(checked[name]) for name in ("validation", "calibration")]
    whole = pd.concat(parts).sort_values("study_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, studies.sort_values("study_id").reset_index(drop=True))
    assert [len(part) for part in parts] == [6, 6]
    assert not set(parts[0]["patient_id"]) & set(parts[1]["patient_id"])
    printed = capsys.readouterr().out
    assert "validation: 6 of 12 studies (3 of 6 patients) are set aside to calibrate on" in printed
    assert "calibration: only 6 studies to calibrate on: " in printed
    assert preflight(tables, tiny_profile, out, calibrate_share=0.5) == checked


def test_copies_of_a_picture_stay_on_one_side(tables, tiny_profile, tmp_path):
    """Under whatever name: else every draw that parts them would be refused."""
    folder = tables["validation"].parent
    shutil.copy(folder / "validate-7-pa.png", folder / "validate-4-pa.png")
    for share in (0.2, 0.3, 0.5, 0.7, 0.8):
        out = tmp_path / str(share)
        preflight(tables, tiny_profile, out, calibrate_share=share)
        ids = set(read_studies(out / "calibrate.csv")["study_id"])
        assert ("validate-4" in ids) == ("validate-7" in ids)


def test_bad_rows_are_set_aside_before_the_share_is(tables, tiny_profile, tmp_path):
    spoil(tables["validation"], "validate-3-pa.png", "gone.png")
    (tables["validation"].parent / "validate-5-pa.png").write_text("no picture")
    checked = preflight(tables, tiny_profile, tmp_path / "out", tmp_path / "bad.csv", 0.5)
    assert checked["validation"] == tmp_path / "out" / "validate.csv"
    ids = [read_studies(checked[name])["study_id"].tolist() for name in ("validation", "calibration")]
    assert sorted(ids[0] + ids[1]) == sorted(f"validate-{i}" for i in range(12) if i not in (3, 5))
    with pytest.raises(NotReadyError, match="--quarantine .*is one of the study tables"):
        preflight(tables, tiny_profile, tmp_path / "out", tmp_path / "out" / "calibrate.csv", 0.5)


def test_what_a_share_cannot_do_is_told_with_the_rest(tables, tiny_profile, tmp_path):
    (tables["test"].parent / "test-4-pa.png").write_text("no picture")
    with pytest.raises(NotReadyError) as error:
        preflight(tables, tiny_profile, tmp_path / "out", calibrate_share=0.01)
    message = str(error.value)
    assert "validate.csv, calibration part: 1 of 1 studies have findings, fewer than the 2" in message
    assert "test-4-pa.png: not readable" in message
    assert not (tmp_path / "out" / "calibrate.csv").exists()
    studies = read_studies(tables["validation"])
    write_studies(studies.assign(patient_id="p1"), tables["validation"])
    with pytest.raises(NotReadyError, match=r"(?s)test-4-pa.*validate\.csv: all 12 studies belong to one"):
        preflight(tables, tiny_profile, tmp_path / "out", calibrate_share=0.5)


def test_a_table_in_the_place_of_a_part_is_not_lost(tables, tiny_profile):
    """With the corpus as output folder, its own validate.csv and calibrate.csv would be written over."""
    folder = tables["validation"].parent
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    with pytest.raises(NotReadyError, match=r"(?s)validate\.csv: exists, but.*calibrate\.csv: exists, but"):
        preflight(tables, tiny_profile, folder, calibrate_share=0.5)
    assert {path.name: path.read_bytes() for path in folder.glob("*.csv")} == before
