"""Studies with one section train, too, where that is asked: counted in the check, the run and its words."""

import shutil
from dataclasses import replace

import pytest

from medprobclip.data.studies import read_studies, write_studies
from medprobclip.training import runs
from medprobclip.training.preflight import NotReadyError, preflight
from medprobclip.training.runs import load_strangeness, train_run


@pytest.fixture
def tables(study_tables, tmp_path):
    """Of 40 training studies 3 have both sections, 35 one with two statements, 2 one with a single one."""
    folder = shutil.copytree(study_tables["train"].parent, tmp_path / "tables")
    tables = {"training": folder / "train.csv", "validation": folder / "validate.csv"}
    studies = read_studies(tables["training"])
    studies.loc[3:, "findings"] = ""
    studies.loc[3:37, "impression"] += " Old clips. No edema."
    write_studies(studies, tables["training"])
    studies = read_studies(tables["validation"])
    studies.loc[0, "impression"] = ""
    write_studies(studies, tables["validation"])
    return tables


def test_they_train_only_where_that_is_asked(tables, tiny_profile, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    fitted, fit = [], runs.fit_strangeness
    monkeypatch.setattr(
        runs,
        "fit_strangeness",
        lambda model, dataset, *how: fitted.append(len(dataset)) or fit(model, dataset, *how),
    )
    once = replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))
    asked = replace(once, augmentation=replace(once.augmentation, one_section=True))
    with pytest.raises(NotReadyError, match="3 of 40 studies have findings and impression, fewer than"):
        preflight(tables, once, out)
    checked = preflight(tables, asked, out)
    history = train_run(checked["training"], checked["validation"], out, asked)
    assert len(history) == 1
    said = capsys.readouterr().out
    assert "training: 38 studies (35 with one section, in two variations; 2 left out" in said
    assert "validation: 11 studies (1 without both sections left out)" in said
    assert load_strangeness(out) is not None
    assert fitted == [38]
