"""One command trains the methods, runs every notebook from top to bottom, and writes figures and report."""

import json
import re
import shutil

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from in_process import InProcess
from lab import CHROMIUM, browser, jupyter_lab, looks_at, move_everything
from PIL import Image

import medprobclip.paper.reproduce
from medprobclip.commands import figures as command
from medprobclip.paper.figures import catalogue as figures
from medprobclip.paper.figures.gallery import gallery
from medprobclip.paper.findings.readme import BEGIN, END, FOUND, what_was_found
from medprobclip.paper.pages import CHAPTERS, MAP, SLIDES, pages
from medprobclip.paper.reproduce import reproduce, trainable
from medprobclip.paper.tables.experiments import DEGRADED_SHARE, METHODS, comparison, group_of
from medprobclip.training.calibrating import load_calibration
from medprobclip.training.claims import is_finished
from medprobclip.training.profiles import get_profile
from medprobclip.workbench.checks import RIGHT
from medprobclip.workbench.corpus import Corpus
from medprobclip.workbench.workspace import ROOT, NotebookParameters

FOLDED = re.compile(r"<details>.*?```python\n(.*?)```", re.DOTALL)


def answered(path):
    """The notebook with every folded answer as a cell behind it, as a reader pastes it."""
    notebook = nbformat.read(path, 4)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            cells += [
                nbformat.v4.new_code_cell(code, metadata={"tags": ["answer"]})
                for code in FOLDED.findall(cell.source)
            ]
    return nbformat.from_dict(notebook | {"cells": cells})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A root of its own, so that the user's data, runs and figures stay as they are."""
    root = tmp_path_factory.mktemp("root")
    (root / "notebooks").mkdir()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        nbformat.write(answered(path), root / "notebooks" / path.name)
    shutil.copy(ROOT / "notebooks" / "glossary.md", root / "notebooks")
    (root / "figures").mkdir()
    (root / "figures" / "readability.csv").write_text((ROOT / "figures" / "readability.csv").read_text())
    for name, parts in {"README.md": (FOUND, CHAPTERS), "notebooks/README.md": (MAP, SLIDES)}.items():
        marks = "".join(f"{BEGIN.format(part)}\n{END.format(part)}\n" for part in parts)
        (root / name).write_text(f"before\n{marks}after\n", encoding="utf-8")
    # Kernels take their time to start: 01 to 03 share one, and 00 and 06 have theirs in the browser below.
    # A name that one leaves to the next hides nothing: test_own_archives.py runs each by itself.
    runner = InProcess(root / "ipython", kernel=("01", "02", "03"), dpi=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("papermill.execute_notebook", runner)
        try:
            found = reproduce(NotebookParameters("smoke", root=str(root), publish=True))
        finally:
            runner.end()
    assert runner.red == []
    return found


def test_every_notebook_ran_and_shows_a_picture(workspace):
    names = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.name for path in workspace.notebooks.glob("*.ipynb")} == names
    assert len(names) == 9
    for name in names:
        cells = [c for c in nbformat.read(workspace.notebooks / name, 4).cells if c.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs), name


def test_no_notebook_holds_anything_red(workspace):
    """What came on stderr: bars and the logs of libraries. Nor the remains of a widget."""
    widget = "application/vnd.jupyter.widget-view+json"
    red = [
        (path.stem, cell.source.splitlines()[0], output.get("text", "a widget"))
        for path in sorted(workspace.notebooks.glob("*.ipynb"))
        for cell in nbformat.read(path, 4).cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr" or widget in output.get("data", {})
    ]
    assert red == []


def test_the_folded_answers_are_right(workspace):
    for path in sorted(workspace.notebooks.glob("*.ipynb")):
        cells = [c for c in nbformat.read(path, 4).cells if "answer" in c.metadata.get("tags", [])]
        assert len(cells) >= 2, path.name
        for cell in cells:
            printed = "".join(out.text for out in cell.outputs if out.get("name") == "stdout")
            assert printed.strip().splitlines()[-1] == RIGHT, cell.source


def test_every_figure_was_written(workspace):
    assert workspace.figures == workspace.root / "figures"
    for name in (name for name, entry in figures.FIGURES.items() if entry.maker[0].isdigit()):
        assert (workspace.figures / f"{name}.png").stat().st_size > 5000
        assert (workspace.figures / f"{name}.csv").stat().st_size > 20


def test_the_run_holds_what_the_design_promises(workspace):
    written = {path.name for path in workspace.run.iterdir()}
    assert {"checkpoint", "metrics.json", "embeddings.safetensors", "history.csv", "tensorboard"} <= written
    assert load_calibration(workspace.run)["gallery"] == 7  # notebook 03 calibrates
    record = json.loads((workspace.run / "metrics.json").read_text())
    assert {row["queries"] for row in record["retrieval"] if row["metric"] == "R@10"} == {20}


def test_all_methods_were_trained_alike_and_compared(workspace):
    runs = comparison(get_profile("smoke"))
    assert all(is_finished(workspace.runs / run.folder) for run in runs)
    settings = [json.loads((workspace.runs / run.folder / "settings.json").read_text()) for run in runs]
    assert len({json.dumps(s.pop("objective")) for s in settings}) == len(METHODS)
    shares = [s["augmentation"].pop("degraded_share") for s in settings]
    assert shares == [DEGRADED_SHARE if group_of(run) == "degraded" else 0.0 for run in runs]
    assert all(s == settings[0] for s in settings)  # data, encoders, steps, seed
    table = pd.read_csv(workspace.figures / "table_1.csv")
    assert set(table["method"]) == {*METHODS, "random", "ceiling"}


@pytest.fixture(scope="module")
def lab(workspace, tmp_path_factory):
    """JupyterLab at the workspace."""
    with jupyter_lab(workspace.root, tmp_path_factory.mktemp("scratch")) as lab:
        yield lab


@pytest.mark.skipif(CHROMIUM is None, reason="no browser to look with: apt install chromium")
@pytest.mark.parametrize(
    ("name", "expected"),
    [("00_gaussian_embeddings", {"slider"}), ("06_ask_the_model", {"list", "slider", "line", "file"})],
)
def test_all_that_moves_is_moved_in_a_browser(workspace, lab, tmp_path, name, expected):
    """By itself in a list, slider, line of text and upload; 06 asks the runs that were trained."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    moving = [i for i, cell in enumerate(notebook.cells) if "explore(" in cell.source]
    notebook.cells = notebook.cells[: moving[-1] + 1]  # what follows stands still
    (parameters,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    parameters.source = parameters.source.replace('profile = "demo"', 'profile = "smoke"')
    nbformat.write(notebook, moved := workspace.root / "notebooks" / f"{name}-moved.ipynb")
    film = next((workspace.corpus().simulated / "images").glob("*_lateral.png"))
    try:
        with browser(tmp_path / "chromium") as page:  # of its own: nobody asks whether to leave a notebook
            kinds = move_everything(page, lab, moved, looks_at(tmp_path, name[:2]), "effusion", film)
    finally:
        moved.unlink()
    assert set(kinds) == expected


def test_report_and_gallery_are_there(workspace):
    page = workspace.report.read_text(encoding="utf-8")
    assert workspace.report == workspace.root / "runs/smoke/report/index.html"
    assert page.count("data:image/png;base64") >= 10
    header, main = BeautifulSoup(page, "html.parser").select("header, main")
    assert len(header.find_all("li")) == 4
    assert all(image["src"].startswith("data:") for image in [header.img, *main.find_all("img")])
    text = (workspace.figures / "README.md").read_text(encoding="utf-8")
    assert text == gallery(workspace.figures)


def test_the_pages_say_what_the_figures_say(workspace):
    for name, text in pages(workspace.root).items():
        assert (workspace.root / name).read_text(encoding="utf-8") == text, name
    head, begin, *said = (workspace.root / "README.md").read_text(encoding="utf-8").splitlines()
    assert (head, begin, said[-1]) == ("before", BEGIN.format(FOUND), "after")
    assert said[:4] == [f"- {sentence}" for sentence in what_was_found(workspace.figures)]
    assert said[4] == END.format(FOUND)
    handout = workspace.report.with_name("course.html").read_text(encoding="utf-8")
    assert handout.count("data:image/png;base64") > 20
    assert handout.count("Exercises</h3>") == 9
    page = BeautifulSoup(handout, "html.parser")
    assert all(image.get("src") for image in page.find_all("img"))
    anchors = {e["id"] for e in page.find_all(id=True)}
    led = re.findall(r'href="#([^"]+)"', handout)
    assert [to for to in led if to.endswith("-hub")]
    assert set(led) <= anchors


def test_a_second_call_trains_nothing(workspace, monkeypatch):
    monkeypatch.setattr(medprobclip.paper.reproduce, "run_notebooks", lambda parameters, only: workspace)
    monkeypatch.setattr("medprobclip.training.runs.train", lambda *_, **__: pytest.fail("trained again"))
    reproduce(NotebookParameters("smoke", root=str(workspace.root)))


def test_methods_that_need_a_coding_step_aside_where_there_is_none(tmp_path, capsys):
    """Of the training table: whether others are coded is no help."""
    runs = comparison(get_profile("smoke"), full=True)
    for name, codes in (("coded", "normal"), ("not", "")):
        studies = {"study_id": ["1"], "image_paths": ["1.png"], "view_names": "", "codes": codes}
        Image.new("L", (8, 8)).save(tmp_path / "1.png")
        pd.DataFrame(studies | {"findings": "Clear.", "impression": ""}).to_csv(tmp_path / f"{name}.csv")
    coded, other = (
        Corpus(tmp_path / f"{name}.csv", *[tmp_path / "coded.csv"] * 3, coding="experts")
        for name in ("coded", "not")
    )
    assert trainable(runs, coded) == runs
    assert capsys.readouterr().out == ""
    kept = trainable(runs, other)
    left_out = [run.folder.as_posix() for run in runs if run not in kept]
    assert left_out == ["medprobclip-coded", "seed-43/medprobclip-coded", "seed-44/medprobclip-coded"]
    assert capsys.readouterr().out.count("MedProbCLIP-coded steps aside: it needs a coding") == 1


def test_only_the_demo_publishes(monkeypatch):
    asked = []
    monkeypatch.setattr(
        medprobclip.paper.reproduce, "reproduce", lambda p, full: asked.append((p, full)) or p.workspace()
    )
    monkeypatch.setattr(command, "last_words", lambda workspace, here: "")
    for arguments in ([], ["--profile", "smoke", "--full"]):
        command.main(arguments)
    assert [(p.profile, p.publish, full) for p, full in asked] == [
        ("demo", True, False),
        ("smoke", False, True),
    ]
    assert command.parser().parse_args([]).profile == NotebookParameters.profile
