"""Every profile and objective has folders of its own; committed figures are written when asked for."""

import pytest

from medprobclip.settings import OBJECTIVES
from medprobclip.workbench.workspace import NotebookParameters


def test_folders_of_the_default(tmp_path):
    workspace = NotebookParameters(root=str(tmp_path)).workspace()
    assert workspace.data == tmp_path / "data"
    assert workspace.run == tmp_path / "runs/demo/medprobclip"
    assert workspace.notebooks == tmp_path / "runs/demo/medprobclip/notebooks"
    assert workspace.figures == tmp_path / "runs/demo/medprobclip/figures"
    assert workspace.report == tmp_path / "runs/demo/report/index.html"


def test_figures_are_published_when_asked_for(tmp_path):
    assert NotebookParameters(root=str(tmp_path), publish=True).workspace().figures == tmp_path / "figures"


def test_no_two_share_a_folder(tmp_path):
    spaces = [
        NotebookParameters(p, o, str(tmp_path)).workspace() for p in ("demo", "smoke") for o in OBJECTIVES
    ]
    for folders in zip(*((s.run, s.notebooks, s.figures) for s in spaces), strict=True):
        assert len(set(folders)) == len(spaces)
    assert all(s.profile.objective == OBJECTIVES[s.objective] for s in spaces)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no objective 'siglip'"):
        NotebookParameters(objective="siglip").workspace()
