"""`medprobclip calibrate`: a finished run and a table; what was found, or one line of what is wrong."""

import json
import os
import shutil
import socket

import pytest

from medprobclip.__main__ import main
from medprobclip.commands import calibrate
from medprobclip.data.studies import read_studies, write_studies
from medprobclip.support.locks import HOLDER
from medprobclip.training.calibrating import load_calibration
from medprobclip.training.runs import train_run


@pytest.fixture(scope="module")
def trained(study_tables, tiny_profile, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    train_run(study_tables["train"], study_tables["validate"], out, tiny_profile)
    return out


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_a_finished_run_is_calibrated_by_one_command(run, study_tables, capsys):
    main(["calibrate", "--run", str(run), "--csv", str(study_tables["calibrate"])])
    printed = capsys.readouterr().out
    record = load_calibration(run)
    assert record == json.loads((run / "calibration.json").read_text())
    assert record["gallery"] == 12
    assert "calibrate: no column names patients" in printed
    assert "only 12 studies to calibrate on" in printed
    assert "12 calibration studies: the smallest alpha that they can promise is 1/13 = 0.0769" in printed
    assert f"slope {record['platt']['slope']:.3g}, intercept" in printed
    assert not (run / HOLDER).exists()


def spoilt(case: str, run, tables, folder):
    """The run and the table of a call that cannot be."""
    csv = folder / "studies.csv"
    studies = read_studies(tables["calibrate"])
    if case == "no training":
        return folder / "nothing", tables["calibrate"]
    if case == "no table":
        return run, folder / "none.csv"
    if case == "chose":
        studies.loc[0, "study_id"] = "validate-3"
    if case == "one":
        studies = studies.head(1)
    if case == "picture":
        broken = folder / "broken.png"
        broken.write_text("no picture")
        studies.at[0, "image_paths"] = (str(broken),)
    if case == "locked":
        (run / HOLDER).write_text(
            json.dumps({"host": f"not {socket.gethostname()}", "process": 1, "since": ""})
        )
    write_studies(studies, csv)
    return run, csv


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no training", "TrainingError: .*nothing holds no finished training"),
        ("no table", r"StudyTableError: .*none\.csv: no such file"),
        ("chose", "TrainingError: .*1 study_id stand in both the validation and the calibration table"),
        ("one", r"TrainingError: .*studies\.csv: only one study has findings"),
        ("picture", r"ImageError: (?s:.)*broken\.png: not readable"),
        ("locked", "LockedError: .*process 1 on not "),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(run, study_tables, tmp_path, case, message):
    out, csv = spoilt(case, run, study_tables, tmp_path)
    before = set(os.listdir(run))
    with pytest.raises(SystemExit, match=message):
        calibrate.main(["--run", str(out), "--csv", str(csv)])
    assert not (run / "calibration.json").exists()
    assert set(os.listdir(run)) <= before | {".lock"}
    assert not (tmp_path / "nothing").exists()


def test_an_interruption_is_one_line(run, study_tables, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("medprobclip.training.calibrating.calibrate_run", stop)
    with pytest.raises(SystemExit, match="Stopped. The same command starts again"):
        calibrate.main(["--run", str(run), "--csv", str(study_tables["calibrate"])])


def test_both_flags_are_needed(capsys):
    with pytest.raises(SystemExit, match="2"):
        calibrate.main(["--run", "somewhere"])
    assert "--csv" in capsys.readouterr().err
