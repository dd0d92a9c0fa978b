"""Every profile and objective has folders of its own; committed figures belong to one of them."""

import pytest

from medprobclip.objectives import OBJECTIVES
from medprobclip.workspace import NotebookParameters


def test_folders_of_the_default(tmp_path):
    workspace = NotebookParameters(root=str(tmp_path)).workspace()
    assert workspace.data == tmp_path / "data"
    assert workspace.run == tmp_path / "runs/demo/medprobclip"
    assert workspace.notebooks == tmp_path / "runs/demo/medprobclip/notebooks"
    assert workspace.figures == tmp_path / "figures"


def test_no_two_share_a_folder_and_only_the_default_writes_committed_figures(tmp_path):
    spaces = [
        NotebookParameters(p, o, str(tmp_path)).workspace() for p in ("demo", "smoke") for o in OBJECTIVES
    ]
    for folders in zip(*((s.run, s.notebooks, s.figures) for s in spaces), strict=True):
        assert len(set(folders)) == len(spaces)
    assert [s.objective for s in spaces if s.figures == tmp_path / "figures"] == ["medprobclip"]
    assert all(s.profile.objective == OBJECTIVES[s.objective] for s in spaces)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no objective 'siglip'"):
        NotebookParameters(objective="siglip").workspace()
