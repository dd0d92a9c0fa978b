"""Archives as people download them -> `prepare` -> `run` and `figures` -> notebooks and tables, end to end.

MIMIC-CXR with labels, through everything; OpenI with expert codes, its text asked for; tables without any
coding. Every section of every report has a word that only text may bring anywhere.
"""

import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from archived import LABELS, SECRET, Mimic, called, openi, tables
from in_process import InProcess

from medprobclip.__main__ import main
from medprobclip.data.studies import SPLITS, read_studies, write_studies
from medprobclip.paper.figures.catalogue import FIGURES
from medprobclip.paper.tables.experiments import comparison
from medprobclip.training.claims import is_finished
from medprobclip.training.profiles import get_profile
from medprobclip.workbench.workspace import ROOT

SIMULATED = {"contact_sheet", "rendered_truth", "with_and_without"}  # they need the simulator
CODED = {"many_to_many", "table_2", "uncertainty_and_sharing"}  # and these a coding


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A repository of its own with the notebooks, and a cache of its own."""
    root = tmp_path_factory.mktemp("own")
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    (root / "figures").mkdir()
    for name in ("readability.csv", "readability.png"):
        shutil.copy(ROOT / "figures" / name, root / "figures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDPROBCLIP_IMAGES", str(root / "cache"))
        patch.setattr("medprobclip.workbench.flags.ROOT", root)
        yield root


@pytest.fixture
def ran(place, monkeypatch, capfd):
    """Runs a command of the notebooks, all but those that need not be read, in this process."""

    def run(*arguments: object, unread: tuple[str, ...] = ()) -> SimpleNamespace:
        runner = InProcess(place / "ipython", unread=unread)
        monkeypatch.setattr("papermill.execute_notebook", runner)
        try:
            main([*map(str, arguments), "--profile", "smoke"])
        except SystemExit as stopped:  # it tells nobody where
            raise runner.failed or AssertionError(stopped.code) from stopped
        printed = "".join(capfd.readouterr())
        runs = place / "runs" / f"smoke-{Path(arguments[arguments.index('--tables') + 1]).name}"
        return SimpleNamespace(
            runs=runs, run=runs / "medprobclip", printed=printed, words=runner.words, red=runner.red
        )

    return run


def holding(folder: Path, word: str = SECRET) -> set[str]:
    """Files below a folder that hold a word in whatever case, as UTF-8 or UTF-16, in ZIP archives, too."""
    forms = [word.lower().encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    found = set()
    for path in (path for path in folder.rglob("*") if path.is_file()):
        contents = [path.read_bytes(), path.name.encode()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += map(archive.read, archive.namelist())
        if any(form in content.lower() for content in contents for form in forms):
            found.add(path.relative_to(folder).as_posix())
    return found


def said_in(notebook: Path) -> str:
    """All that the cells of an executed notebook say: what they print, pages and Markdown."""
    cells = [cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.execution_count for cell in cells), notebook
    outputs = [output for cell in cells for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    texts = [o.get("text", "") for o in outputs]
    texts += [o.data.get(f"text/{kind}", "") for o in outputs if "data" in o for kind in ("html", "markdown")]
    return "\n".join(texts)


def check_figures(folder: Path, expected: set[str]) -> None:
    """These figures are there with their numbers, and no others; no column of numbers is empty."""
    assert {path.stem for path in folder.glob("*.png")} == expected
    assert {path.stem for path in folder.glob("*.csv")} == expected
    for name in expected:
        table = pd.read_csv(folder / f"{name}.csv")
        assert len(table), name
        assert table.columns[table.isna().all()].tolist() == [], name


def made_by(*numbers: str) -> set[str]:
    """The figures that these notebooks make."""
    return {name for name, entry in FIGURES.items() if entry.maker.startswith(numbers)}


def test_mimic_cxr_from_its_archive_to_the_papers_tables(place, ran):
    mimic = Mimic(place / "mimic-cxr", patients=60).speak().write()
    own = place / "tables" / "mimic"
    assert called(*mimic.flags(own)) is None
    found = ran("figures", "--tables", own, unread=("00",))  # it reads no table
    notebooks = sorted((found.run / "notebooks").glob("*.ipynb"))
    assert [path.name for path in notebooks] == sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))
    said = {path.name[:2]: said_in(path) for path in notebooks[1:]}
    assert found.red == []
    for number in ("01", "03", "04", "05", "06", "08"):
        assert "by the labels of CheXpert or NegBio" in said[number], number
        assert "Text of reports is withheld" in said[number], number
    for number in ("01", "04", "05", "06"):
        assert "it needs what the simulator drew" in said[number], number
    assert "a coding of the studies" not in "".join(said.values())
    assert "nan" not in " ".join(said.values()).lower().split()
    check_figures(found.run / "figures", made_by(*said) - SIMULATED)
    check_methods(found.runs, len(comparison(get_profile("smoke"))))
    test = read_studies(own / "test.csv")
    test = test[test["findings"] != ""]  # reports are scored by their findings
    check_labels(test, found.run / "figures" / "table_2.csv")
    many = pd.read_csv(found.run / "figures" / "many_to_many.csv")
    assert set(many["method"]) >= {"medprobclip", "clip", "pcme++"}
    assert "ceiling" not in set(many["method"])
    pages = found.runs / "report" / "index.html", found.runs / "report" / "course.html"
    assert all(page.stat().st_size > 100_000 for page in pages)
    # No text but in study tables: not a byte, nor on the screen, nor in a figure.
    assert holding(found.runs) == {"tables/validate.csv", "tables/calibrate.csv"}
    assert SECRET.lower() not in found.printed.lower()
    assert len(found.words) > 1000
    assert [word for word in found.words if SECRET.lower() in word.lower()] == []
    record = json.loads((found.run / "metrics.json").read_text())
    assert {row["queries"] for row in record["retrieval"] if row["metric"] == "R@10"} == {len(test)}


def check_methods(runs: Path, count: int) -> None:
    """So many trainings are finished, and all but the objective is alike; the table names the methods."""
    finished = [path.parent for path in runs.rglob("settings.json") if is_finished(path.parent)]
    assert len(finished) == count
    settings = [json.loads((run / "settings.json").read_text()) for run in finished]
    for setting in settings:
        setting["augmentation"].pop("degraded_share")
        setting.pop("objective")
    assert all(setting == settings[0] for setting in settings)
    table = pd.read_csv(runs / "medprobclip" / "figures" / "table_1.csv")
    assert "random" in set(table["method"])
    assert "ceiling" not in set(table["method"])


def check_labels(test: pd.DataFrame, table_2: Path) -> None:
    """Counts of table 2 are those of the labels: present 1, uncertain and uncoded studies not judged."""
    table = pd.read_csv(table_2).drop_duplicates("finding").set_index("finding")
    coded = test[test[LABELS].isin(["1", "-1"]).any(axis=1)]
    for finding, column in (("Airspace Opacity", "Lung Opacity"), ("Pleural Effusion", "Pleural Effusion")):
        present, unsure = (coded[column] == "1").sum(), (coded[column] == "-1").sum()
        counts = table.loc[finding, ["positives", "negatives"]].tolist()
        assert counts == [present, len(coded) - present - unsure]
    assert not {"Pneumonia", "Edema"} & set(table.index)  # uncertain or not mentioned: nobody has it for sure


def test_openi_with_expert_codes_and_its_text_asked_for(place, ran):
    own = place / "tables" / "openi"
    flags = openi(place / "openi", studies=80)
    assert called(*flags, "--out", own, "--validate_share", 0.2, "--calibrate_share", 0.1) is None
    found = ran("run", "--tables", own, "--show_text", "--only", "01", "03", "04")
    said = {path.name[:2]: said_in(path) for path in (found.run / "notebooks").glob("*.ipynb")}
    assert found.red == []
    for text in said.values():
        assert "the same entries in the column `codes`" in text
        assert "withheld" not in text
    check_figures(found.run / "figures", made_by(*said) - SIMULATED)
    # What would find text above finds it here.
    assert SECRET in said["01"]
    assert SECRET in " ".join(found.words)
    assert {"notebooks/01_data_inspection.ipynb", "checkpoint/tokenizer.json"} <= holding(found.run)


def test_tables_without_patients_and_coding(place, ran, capfd):
    """As anybody may have them: what asks who is coded alike steps aside, too."""
    own = place / "tables" / "plain"
    own.mkdir(parents=True)
    for split, part in tables(place / "tables" / "openi").items():
        if split != "calibrate":
            write_studies(part.drop(columns=["codes", "patient_id"]), own / f"{split}.csv")
    found = ran("run", "--tables", own, "--only", "01", "03", "04", "05", "08")
    said = {path.name[:2]: said_in(path) for path in (found.run / "notebooks").glob("*.ipynb")}
    assert found.red == []
    for number in said:
        assert "Nobody coded them" in said[number], number
    for number in ("01", "04", "05"):
        assert "it needs a coding of the studies" in said[number], number
    assert "nan" not in " ".join(said.values()).lower().split()
    check_figures(found.run / "figures", made_by(*said) - SIMULATED - CODED)
    assert holding(found.runs) == {"tables/validate.csv", "tables/calibrate.csv"}
    assert [word for word in found.words if SECRET.lower() in word.lower()] == []
    parts = [set(read_studies(found.runs / "tables" / f"{part}.csv")["study_id"]) for part in SPLITS[1:3]]
    assert parts[0] | parts[1] == set(read_studies(own / "validate.csv")["study_id"])
    assert not parts[0] & parts[1]
