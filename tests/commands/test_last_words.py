"""What `medprobclip run` and `figures` end with: what was found just now, where it lies, what is next."""

import pandas as pd
import pytest

from medprobclip.commands import figures, run
from medprobclip.workbench.workspace import NotebookParameters


@pytest.fixture
def workspace(tmp_path):
    """With the promises of notebook 06 beside its run, and a figure of notebook 04 in a form of long ago."""
    made = NotebookParameters("smoke", root=str(tmp_path)).workspace()
    made.figures.mkdir(parents=True)
    row = {"method": "medprobclip", "what": "coverage", "direction": "i2t", "right": "wording"}
    row |= {"grouped": "all", "level": 0.1, "promise": 0.9, "value": 0.91, "error": 0.01}
    pd.DataFrame([row | {"calibration": 7, "queries": 20, "size": 7, "actual": 0.9}]).to_csv(
        made.figures / "guarantees.csv"
    )
    (made.figures / "table_1.csv").write_text("old\n1\n")
    return made


def test_a_run_tells_of_its_own_notebooks_only(workspace, tmp_path):
    said = run.last_words(workspace, ["06"], tmp_path)
    assert said.startswith(
        "What was found (smoke: its numbers mean nothing)\n  91 % of the sets that promise"
    )
    assert said.count("of the sets") == 1
    assert "*" not in said
    assert run.last_words(workspace, ["01", "02"], tmp_path).startswith("Done. Look at")


def test_folders_are_told_as_seen_from_here(workspace, tmp_path):
    here = run.last_words(workspace, ["00"], tmp_path).splitlines()
    assert here[1].startswith("  runs/smoke/medprobclip/figures/ ")
    elsewhere = run.last_words(workspace, ["00"], tmp_path / "elsewhere").splitlines()
    assert elsewhere[1].startswith(f"  {tmp_path}/runs/smoke/medprobclip/figures/ ")
    assert here[-1].startswith("Next: make lab")


def test_figures_tell_all_that_was_found(workspace, tmp_path):
    (workspace.figures / "table_1.csv").unlink()
    said = figures.last_words(workspace, tmp_path)
    assert "  91 % of the sets that promise" in said
    assert "  runs/smoke/report/index.html " in said
    assert max(map(len, said.splitlines())) <= 100
