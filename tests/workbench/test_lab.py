"""A notebook as a reader meets it: opened in JupyterLab, run from the menu, every slider moved by a key.

Screenshots stay in pytest's folder; MEDPROBCLIP_SCREENSHOTS=runs/screenshots keeps them there instead.
"""

import ast
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from lab import CHROMIUM, browser, jupyter_lab

from medprobclip.workbench.workspace import ROOT

NOTEBOOK = "00_gaussian_embeddings.ipynb"  # others need what a training left
MENU = "[...document.querySelectorAll('.lm-MenuBar-itemLabel')].find(e => e.textContent == 'Run')"
ITEM = "[...document.querySelectorAll('.lm-Menu-itemLabel')].find(e => e.textContent == 'Run All Cells')"
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
LEFT = f"{PROMPTS}.filter(e => !/[0-9]/.test(e.textContent)).length"
LOADED = "[...document.querySelectorAll('.jp-RenderedMarkdown img')].some(e => e.naturalWidth > 500)"
IDLE = "!!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
SLIDERS = "[...document.querySelectorAll('.jp-OutputArea [role=slider]')]"
OUTPUT = ".jp-OutputArea-output[data-mime-type$="
WRONG = f"[...document.querySelectorAll('{OUTPUT}stderr],{OUTPUT}error]')].map(e => e.innerText)"
# The pixels of the picture under a slider: what the reader sees, not what the kernel says.
PIXELS = """(() => {
  const image = SLIDER.closest('.widget-vbox').querySelector('img');
  if (!image.complete || !image.naturalWidth) return '';
  const canvas = Object.assign(document.createElement('canvas'),
    {width: image.naturalWidth, height: image.naturalHeight});
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas.toDataURL();
})()"""
KEYS = {"ArrowLeft": 37, "ArrowRight": 39}


def sliders_of(cells: list[str]) -> list[str]:
    """The sliders that the code of a notebook asks for, in order: the names given to `explore`."""
    calls = [node for code in cells for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [word.arg for call in calls if ast.unparse(call.func) == "explore" for word in call.keywords]


@pytest.mark.skipif(CHROMIUM is None, reason="no browser to look with: apt install chromium")
def test_every_slider_moves_its_picture(tmp_path):
    root, scratch = tmp_path / "root", tmp_path / "scratch"
    for folder, file in (("notebooks", NOTEBOOK), ("figures", "two_gaussians.png")):
        (root / folder).mkdir(parents=True)
        shutil.copy(ROOT / folder / file, root / folder)
    notebook = nbformat.read(root / "notebooks" / NOTEBOOK, 4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    names = sliders_of(cells)
    looks = Path(os.environ.get("MEDPROBCLIP_SCREENSHOTS", tmp_path / "screenshots"))
    with jupyter_lab(root, scratch) as lab, browser(scratch / "chromium") as page:
        page.send("Page.navigate", url=lab.format(f"notebooks/{NOTEBOOK}"))
        page.wait(f"{PROMPTS}.length == {len(cells)}", 60)
        page.wait(LOADED)  # the committed picture, before anything runs
        page.wait(IDLE, 60)
        page.screenshot(looks / "opened.png")
        page.click(MENU)
        page.click(ITEM)
        page.wait(f"{LEFT} == 0 || {WRONG}.length > 0", 180)
        assert page.ask(WRONG) == []
        assert page.ask(f"{SLIDERS}.length") == len(names) > 0
        for i, name in enumerate(names):
            slider = f"{SLIDERS}[{i}]"
            page.ask(f"{slider}.scrollIntoView({{block: 'center'}})")
            pixels = PIXELS.replace("SLIDER", slider)
            before = page.wait(pixels)
            page.ask(f"{slider}.focus()")
            number, top = (page.ask(f"{slider}.getAttribute('aria-value{end}')") for end in ("now", "max"))
            key = "ArrowLeft" if float(number) == float(top) else "ArrowRight"  # no further than its end
            page.press(key, KEYS[key])
            page.wait(f"(now => now && now != {before!r})({pixels})", 15)
            assert page.ask(f"{slider}.getAttribute('aria-valuenow')") != number
            page.screenshot(looks / f"slider-{i:02d}-{name}.png")
        assert page.ask(WRONG) == []
