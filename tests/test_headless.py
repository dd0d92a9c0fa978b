"""Every notebook runs from top to bottom under the smoke profile."""

import json

import nbformat
import pytest

from medprobclip import figures
from medprobclip.headless import ROOT, run_notebooks
from medprobclip.workspace import NotebookParameters


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A root of its own, so that the user's data, runs and figures stay as they are."""
    root = tmp_path_factory.mktemp("root")
    (root / "notebooks").symlink_to(ROOT / "notebooks")
    return run_notebooks(NotebookParameters("smoke", root=str(root)))


def test_every_notebook_ran_and_ends_in_a_picture(workspace):
    names = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.name for path in workspace.notebooks.glob("*.ipynb")} == names
    assert len(names) == 6
    for name in names:
        cells = [c for c in nbformat.read(workspace.notebooks / name, 4).cells if c.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert any("image/png" in output.get("data", {}) for output in cells[-1].outputs), name


def test_every_figure_was_written(workspace):
    for name in (name for name, entry in figures.FIGURES.items() if entry.maker[0].isdigit()):
        assert (workspace.figures / f"{name}.png").stat().st_size > 5000
        assert (workspace.figures / f"{name}.csv").stat().st_size > 20


def test_the_run_holds_what_the_design_promises(workspace):
    written = {path.name for path in workspace.run.iterdir()}
    assert {"checkpoint", "metrics.json", "embeddings.safetensors", "history.csv", "tensorboard"} <= written
    record = json.loads((workspace.run / "metrics.json").read_text())
    assert {row["queries"] for row in record["retrieval"] if row["metric"] == "R@10"} == {20}


def test_an_unknown_notebook_is_refused():
    with pytest.raises(ValueError, match="starts with '99'"):
        run_notebooks(NotebookParameters("smoke", root=str(ROOT)), only="99")
