"""The tables of notebooks: the demo's, and folders of somebody's own."""

from dataclasses import replace

import pandas as pd
import pytest
from archived import LABELS

from medprobclip.data.studies import SPLITS, StudyTableError, read_studies, write_studies
from medprobclip.workbench import corpus as module
from medprobclip.workbench.corpus import CODING, EXPERTS, SIMULATOR, Corpus, aside, own_corpus

COUNTS = {"train": 6, "validate": 8, "test": 4}
LABELLED = {"Edema": ["1.0", "-1.0", "", ""], "No Finding": ["", "", "1.0", ""]}


def table(split: str, count: int, **columns) -> pd.DataFrame:
    """So many studies, two of each patient."""
    rows = range(count)
    base = {
        "study_id": [f"{split}-{i}" for i in rows],
        "view_names": [("PA",)] * count,
        "findings": [f"Zebraword {i}." for i in rows],
        "impression": [""] * count,
        "patient_id": [f"{split}-{i // 2}" for i in rows],
    }
    return pd.DataFrame(base | columns, dtype=object)


@pytest.fixture
def folder(tmp_path):
    """Three tables, not coded."""
    for split, count in COUNTS.items():
        save(tmp_path / "mine", split, table(split, count))
    return tmp_path / "mine"


def save(folder, split, studies) -> None:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{study}.png" for study in studies["study_id"]]
    for path in paths:
        path.touch()
    write_studies(studies.assign(image_paths=[(str(path),) for path in paths]), folder / f"{split}.csv")


def patients(path) -> set[str]:
    return set(read_studies(path)["patient_id"])


def test_half_of_the_validation_patients_calibrate_the_same_at_every_call(folder, tmp_path):
    first = own_corpus(folder, tmp_path / "derived")
    assert (first.train, first.test) == (folder / "train.csv", folder / "test.csv")
    assert (first.validate.parent, first.calibrate.parent) == (tmp_path / "derived",) * 2
    one, other = patients(first.validate), patients(first.calibrate)
    assert (len(one), len(other), one & other) == (2, 2, set())
    assert one | other == patients(folder / "validate.csv")
    written = {path: path.stat().st_mtime_ns for path in (first.validate, first.calibrate)}
    assert own_corpus(folder, tmp_path / "derived") == first
    assert {path: path.stat().st_mtime_ns for path in written} == written
    again = own_corpus(folder, tmp_path / "elsewhere")
    assert again.calibrate.read_text() == first.calibrate.read_text()


def test_a_table_to_calibrate_on_is_taken_as_it_is(folder, tmp_path):
    save(folder, "calibrate", table("calibrate", 2))
    found = own_corpus(folder, tmp_path / "derived")
    assert [found.part(split) for split in SPLITS] == [folder / f"{split}.csv" for split in SPLITS]
    assert [path.name for path in (tmp_path / "derived").iterdir()] == ["of.json"]
    with pytest.raises(ValueError, match="no part 'dev': there are train, calibrate, validate, test"):
        found.part("dev")


def test_missing_tables_are_named_together(folder, tmp_path):
    (folder / "train.csv").unlink()
    (folder / "test.csv").unlink()
    with pytest.raises(
        StudyTableError, match=r"mine: no train\.csv and no test\.csv\. `medprobclip prepare`"
    ):
        own_corpus(folder, tmp_path / "derived")
    assert not (tmp_path / "derived").exists()


def test_what_was_set_aside_stays_with_its_studies_and_its_folder(folder, tmp_path):
    derived = tmp_path / "runs" / "tables"
    own_corpus(folder, derived)
    other = tmp_path / "others" / "mine"
    other.parent.mkdir()
    folder.rename(other)
    own_corpus(other, derived)  # nothing was trained: a first try claims nothing
    other.rename(folder)
    save(folder, "validate", table("validate", 6))
    assert len(own_corpus(folder, derived).validate.read_text().splitlines()) > 1
    (derived.parent / "medprobclip").mkdir()
    (derived.parent / "medprobclip" / "settings.json").write_text("{}")
    folder.rename(other)
    with pytest.raises(StudyTableError, match=rf"runs holds runs of {folder}, not of {other}"):
        own_corpus(other, derived)
    other.rename(folder)
    save(folder, "validate", table("validate", 10))
    with pytest.raises(StudyTableError, match=r"was set aside from other studies than .*validate\.csv holds"):
        own_corpus(folder, derived)


def test_one_validation_patient_cannot_be_parted(folder, tmp_path):
    save(folder, "validate", table("validate", 2))
    with pytest.raises(StudyTableError, match=r"mine/validate\.csv: all 2 studies belong to one patient"):
        own_corpus(folder, tmp_path / "derived")


def test_more_studies_than_can_be_scored_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_HELD_OUT", 4)
    own_corpus(folder, tmp_path / "derived")  # 4 each, and training may have more
    monkeypatch.setattr(module, "MOST_HELD_OUT", 3)
    with pytest.raises(StudyTableError, match=r"validate\.csv: 4 studies, more than the 3 .*--limit"):
        own_corpus(folder, tmp_path / "derived")


@pytest.mark.parametrize(
    ("columns", "coding", "sentence"),
    [
        ({}, None, "Nobody coded them"),
        ({"codes": [()] * 4}, None, "Nobody coded them"),
        (dict.fromkeys(LABELS, [""] * 4), None, "Nobody coded them"),
        ({"codes": [(), ("Edema",), (), ()]}, module.EXPERTS, "the same entries in the column `codes`"),
        (dict.fromkeys(LABELS, [""] * 4) | LABELLED, module.LABELS, "labels of CheXpert or NegBio"),
        (
            dict.fromkeys(LABELS, [""] * 4) | LABELLED | {"codes": [("Mass",), (), (), ()]},
            module.EXPERTS,
            "the same entries in the column `codes`",
        ),
    ],
)
def test_who_coded_the_studies_is_seen_in_all_held_out_tables(folder, tmp_path, columns, coding, sentence):
    for split in ("validate", "calibrate", "test"):
        save(folder, split, table(split, 4, **columns))
    found = own_corpus(folder, tmp_path / "derived")
    assert (found.coding, found.simulated, found.shows_text) == (coding, None, False)
    assert sentence in found.described()
    assert str(folder) in found.described()
    assert "Text of reports is withheld" in found.described()
    assert "withheld" not in own_corpus(folder, tmp_path / "derived", shows_text=True).described()


def test_a_coding_of_some_tables_only_is_told(folder, tmp_path):
    save(folder, "test", table("test", 4, codes=[("Edema",)] * 4))
    found = own_corpus(folder, tmp_path / "derived")
    assert found.coding is None
    assert "(test.csv would be coded, but validate.csv and calibrate.csv not.)" in found.described()


def test_whom_a_study_belongs_to_is_said(folder, tmp_path):
    nameless = "No column names patients: every study counts as a patient of its own."
    assert nameless not in own_corpus(folder, tmp_path / "derived").described()
    save(folder, "test", table("test", 4).drop(columns="patient_id"))
    assert nameless in own_corpus(folder, tmp_path / "derived").described()


def test_label_columns_that_are_not_all_there_are_named(folder, tmp_path):
    labels = dict.fromkeys([name for name in LABELS if name not in ("Edema", "Fracture")], ["1"] * 4)
    save(folder, "test", table("test", 4, **labels, fracture=["1"] * 4))
    found = own_corpus(folder, tmp_path / "derived")
    assert found.coding is None
    assert "test.csv has label columns, but not all 14: Edema, Fracture missing" in found.described()
    save(folder, "test", table("test", 4, codes=[("Mass",)] * 4, Edema=["1"] * 4))
    assert "label columns" not in own_corpus(folder, tmp_path / "derived").described()
    save(folder, "test", table("test", 4, age=["50"] * 4))
    assert "label columns" not in own_corpus(folder, tmp_path / "derived").described()


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(StudyTableError, match=r"nowhere: no such folder"):
        own_corpus(tmp_path / "nowhere", tmp_path / "derived")


def test_all_studies_or_a_fixed_draw_of_them(folder, tmp_path):
    found = own_corpus(folder, tmp_path / "derived")
    everyone = found.studies()
    assert everyone["split"].value_counts().to_dict() == {
        "train": 6, "calibrate": 4, "validate": 4, "test": 4,
    }  # fmt: skip
    drawn = found.studies(most=7)
    assert len(drawn) == drawn["study_id"].nunique() == 7
    assert drawn.equals(found.studies(most=7))
    order = everyone["study_id"].tolist()
    places = [order.index(study) for study in drawn["study_id"]]
    assert places == sorted(places)


def test_the_demo_reads_one_table(tmp_path):
    save(tmp_path / "demo", "studies", table("x", 3).assign(split="train"))
    paths = {split: tmp_path / f"{split}.csv" for split in SPLITS}
    demo = Corpus(**paths, coding=EXPERTS, simulated=tmp_path / "demo")
    assert demo.shows_text
    assert demo.studies(most=1)["study_id"].tolist() == ["x-0", "x-1", "x-2"]
    assert "simulated radiographs" in demo.described()
    assert "simulated" not in replace(demo, simulated=None).described()


def test_what_steps_aside_says_why():
    assert aside("The ceiling", SIMULATOR) == (
        "The ceiling steps aside: it needs what the simulator drew: only the demo's corpus has that."
    )
    assert "the column `codes` or the 14 columns" in aside("Table 2", CODING)
