"""A notebook as a reader meets it: opened in JupyterLab, run from the menu, everything moved by key or mouse.

Notebook 06 needs a trained run: tests/paper/test_reproduce.py moves it. Screenshots stay in pytest's folder;
MEDPROBCLIP_SCREENSHOTS=runs/screenshots keeps them there instead.
"""

import shutil

import nbformat
import pytest
from lab import CHROMIUM, looks_at, move_everything, moved_names

from medprobclip.workbench.workspace import ROOT

NOTEBOOK = "00_gaussian_embeddings.ipynb"  # others need what a training left


def test_the_names_of_what_moves_are_read_from_the_code():
    cells = [
        "x = 1\nexplore(draw, states, True, far=[1, 2], study=Choice(a))",
        "explore(f, s, False, 1, b=c)",
    ]
    assert moved_names(cells) == ["far", "study", "b"]


@pytest.mark.skipif(CHROMIUM is None, reason="no browser to look with: apt install chromium")
def test_every_slider_moves_its_picture(tmp_path):
    root = tmp_path / "root"
    for folder in ("notebooks", "figures"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "figures" / "two_gaussians.png", root / "figures")
    notebook = nbformat.read(ROOT / "notebooks" / NOTEBOOK, 4)
    moving = [i for i, cell in enumerate(notebook.cells) if "explore(" in cell.source]
    notebook.cells = notebook.cells[: moving[-1] + 1]  # what follows stands still
    nbformat.write(notebook, root / "notebooks" / NOTEBOOK)
    kinds = move_everything(root, NOTEBOOK, tmp_path / "scratch", looks_at(tmp_path, "00"))
    assert set(kinds) == {"slider"}
