"""Which notebooks a call runs; that they all do from top to bottom is shown by test_reproduce."""

import json
import sys

import nbformat
import pytest

from medprobclip.commands.run import main, parser
from medprobclip.workbench.headless import NoNotebookError, guarded, run_notebooks
from medprobclip.workbench.workspace import ROOT, WALK, NotebookParameters


def test_the_walk_goes_from_gaussians_to_questions():
    assert parser().parse_args([]).only == list(WALK)
    stems = {path.stem[:2]: path.stem[3:] for path in (ROOT / "notebooks").glob("*.ipynb")}
    words = ("gaussian", "data", "model", "training", "retrieval", "uncertainty", "ask")
    assert all(stems[number].startswith(word) for number, word in zip(WALK, words, strict=True))


def test_the_chosen_notebooks_run_in_order(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    for name in ("02_b", "01_a", "03_c", "10_x"):
        (tmp_path / "notebooks" / f"{name}.ipynb").touch()
    ran = []
    monkeypatch.setattr(
        "papermill.execute_notebook",
        lambda source, target, parameters, **_: ran.append((source.name, target, parameters["publish"])),
    )
    parameters = NotebookParameters("smoke", root=str(tmp_path), publish=True)
    workspace = run_notebooks(parameters, ["03", "01", "10"])
    assert ran == [
        (name, workspace.run / "notebooks" / name, True)
        for name in ("01_a.ipynb", "03_c.ipynb", "10_x.ipynb")
    ]


def test_an_unknown_notebook_is_refused():
    with pytest.raises(NoNotebookError, match="starts with '99'; there are 00, 01, 02"):
        run_notebooks(NotebookParameters("smoke", root=str(ROOT)), only=["01", "99"])
    with pytest.raises(SystemExit, match="starts with '99'"):  # one line, no trace
        main(["--profile", "smoke", "--only", "99"])


def test_without_the_repository_there_are_no_notebooks(tmp_path):
    with pytest.raises(NoNotebookError, match="Install it from a checkout"):
        run_notebooks(NotebookParameters("smoke", root=str(tmp_path)))


def test_a_stopped_command_ends_in_one_line():
    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="The same command goes on from here"):
        guarded(stopped)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"kernelspec": {"name": "my-env", "display_name": "My environment", "language": "python"}},
        {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}, "language_info": {"name": "R"}},
    ],
)
def test_a_notebook_runs_whatever_kernel_it_was_saved_under(tmp_path, metadata):
    """In this very Python."""
    parameters = nbformat.v4.new_code_cell("root = None", metadata={"tags": ["parameters"]})
    cell = nbformat.v4.new_code_cell("import sys\nprint(sys.executable)")
    notebook = nbformat.v4.new_notebook(cells=[parameters, cell], metadata=metadata)
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "01_a.ipynb")
    workspace = run_notebooks(NotebookParameters("smoke", root=str(tmp_path)), ["01"])
    ran = json.loads((workspace.notebooks / "01_a.ipynb").read_text())
    assert ran["cells"][-1]["outputs"][0]["text"] == [f"{sys.executable}\n"]


def test_nobody_is_asked_to_move_a_slider(tmp_path, monkeypatch):
    """Notebooks that have sliders are told; the others know no such parameter."""
    (tmp_path / "notebooks").mkdir()
    for name, line in (("00_a", "interactive = True"), ("01_b", "publish = False")):
        cell = nbformat.v4.new_code_cell(line, metadata={"tags": ["parameters"]})
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / f"{name}.ipynb")
    told = {}
    monkeypatch.setattr(
        "papermill.execute_notebook",
        lambda source, target, parameters, **_: told.update({source.name[:2]: parameters}),
    )
    parameters = NotebookParameters("smoke", root=str(tmp_path))
    run_notebooks(parameters, ["00", "01"])
    assert told == {"00": parameters.as_dict() | {"interactive": False}, "01": parameters.as_dict()}
