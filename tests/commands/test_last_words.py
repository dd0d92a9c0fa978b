"""What `medprobclip run` and `figures` end with: what was found just now, where it lies, what is next."""

import pandas as pd
import pytest

from medprobclip.commands import figures, prepare, run
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


@pytest.mark.parametrize("show_text", [False, True])
def test_on_ones_own_tables_they_say_what_may_be_shared_and_go_on_with_them(tmp_path, show_text):
    tables = tmp_path / "my tables"
    parameters = NotebookParameters("laptop", root=str(tmp_path), own_tables=str(tables), show_text=show_text)
    workspace = parameters.workspace()
    held = "radiographs, ids and sentences of reports" if show_text else "radiographs and study ids"
    flag = " --show_text" if show_text else ""
    ran, drew = run.last_words(workspace, ["00"], tmp_path), figures.last_words(workspace, tmp_path)
    assert f"  medprobclip figures --profile laptop --tables '{tables}'{flag} (with" in ran
    for said in (ran, drew):
        assert f"hold {held} of your studies." in said
        assert "docs/privacy.md" in said
        assert "  runs/laptop-my tables/" in said
    assert "send to a colleague" not in drew
    assert drew.startswith("Done. Look at")  # nothing was found


def test_prepare_says_how_to_run_the_notebooks_and_how_to_train(tmp_path):
    counts = {f"{name}.csv": {"studies": 10_000} for name in ("validate", "test")}
    tables = {"train.csv": {"studies": 200_000}, **counts}
    out = tmp_path / "my tables"
    said = prepare.next_steps(out, tables)
    for profile in ("laptop", "paper"):
        assert any(f"medprobclip run --profile {profile} --tables '{out}'" in line for line in said)
    assert said[-1].startswith("  medprobclip train --profile paper --train_csv ")
    tables["test.csv"] = {"studies": 10_001}
    too_large = prepare.next_steps(out, tables)
    assert "at most 10,000 held-out studies a table, here are 10,001" in too_large[0]
    assert not any("medprobclip run" in line for line in too_large)
    assert too_large[-1] == said[-1]
