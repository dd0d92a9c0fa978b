"""One command trains the methods, runs every notebook from top to bottom, and writes figures and report."""

import json
import re

import nbformat
import pandas as pd
import pytest

import medprobclip.paper.reproduce
from medprobclip.commands import figures as command
from medprobclip.paper.figures import catalogue as figures
from medprobclip.paper.figures.gallery import gallery
from medprobclip.paper.reproduce import reproduce
from medprobclip.paper.tables.experiments import DEGRADED_SHARE, METHODS, comparison, group_of
from medprobclip.paper.verdicts import BEGIN, END, all_verdicts
from medprobclip.training.calibrating import load_calibration
from medprobclip.training.claims import is_finished
from medprobclip.training.profiles import get_profile
from medprobclip.workbench.workspace import ROOT, NotebookParameters


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A root of its own, so that the user's data, runs and figures stay as they are."""
    root = tmp_path_factory.mktemp("root")
    (root / "notebooks").symlink_to(ROOT / "notebooks")
    (root / "figures").mkdir()
    (root / "figures" / "readability.csv").write_text((ROOT / "figures" / "readability.csv").read_text())
    (root / "README.md").write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    return reproduce(NotebookParameters("smoke", root=str(root), publish=True))


def test_every_notebook_ran_and_shows_a_picture(workspace):
    names = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.name for path in workspace.notebooks.glob("*.ipynb")} == names
    assert len(names) == 9
    for name in names:
        cells = [c for c in nbformat.read(workspace.notebooks / name, 4).cells if c.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs), name


def test_a_notebook_takes_what_it_needs_from_few_places():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        first = next(source for source in cells if "import" in source)
        assert len(re.findall(r"^(?:from|import) medprobclip", first, re.MULTILINE)) <= 6, path.name
        assert not re.search(r"^from medprobclip\S* import \($", first, re.MULTILINE), path.name
        assert not any("import medprobclip" in c or "from medprobclip" in c for c in cells if c != first)


def test_every_notebook_is_short():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [c.source.splitlines() for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        assert 6 <= len(cells) <= 20, path.name  # short cells are many
        own = [[line for line in lines if " import " not in f" {line}"] for lines in cells]
        assert max(map(len, own)) <= (10 if path.name.startswith("00") else 24), path.name


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


def test_report_and_gallery_are_there(workspace):
    page = workspace.report.read_text(encoding="utf-8")
    assert workspace.report == workspace.root / "runs/smoke/report/index.html"
    assert page.count("data:image/png;base64") >= 10
    text = (workspace.figures / "README.md").read_text(encoding="utf-8")
    assert text == gallery(workspace.figures)


def test_the_readme_says_what_the_figures_say_of_doubt(workspace):
    head, *said, tail = (workspace.root / "README.md").read_text(encoding="utf-8").splitlines()
    assert (head, said[0], said[-1], tail) == ("before", BEGIN, END, "after")
    assert said[1:-1] == [f"- {sentence}" for sentence in all_verdicts(workspace.figures)]
    assert len(said) > 8


def test_a_second_call_trains_nothing(workspace, monkeypatch):
    monkeypatch.setattr(medprobclip.paper.reproduce, "run_notebooks", lambda parameters, only: workspace)
    monkeypatch.setattr("medprobclip.training.runs.train", lambda *_, **__: pytest.fail("trained again"))
    reproduce(NotebookParameters("smoke", root=str(workspace.root)))


def test_only_the_demo_publishes(monkeypatch):
    asked = []
    monkeypatch.setattr(
        medprobclip.paper.reproduce, "reproduce", lambda p, full: asked.append((p, full)) or p.workspace()
    )
    for arguments in ([], ["--profile", "smoke", "--full"]):
        command.main(arguments)
    assert [(p.profile, p.publish, full) for p, full in asked] == [
        ("demo", True, False),
        ("smoke", False, True),
    ]
    assert command.parser().parse_args([]).profile == NotebookParameters.profile
