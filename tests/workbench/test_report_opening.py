"""The first screen of the report, and the pictures that the prose of notebooks shows."""

import base64
import html
import io

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from lab import CHROMIUM, measured
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from medprobclip.workbench.report import Film, write_report

FILM = Film(np.arange(128 * 128, dtype=np.uint32).reshape(128, 128).astype(np.uint8), "It says: “a < b”")
SAID = ["CLIP is *better*, by `RSUM` <script>alert(1)</script>", *("So much is said. " * 12 for _ in "abc")]


@pytest.fixture
def notebook(tmp_path):
    """Executed, as it lies beside the figures of its run; its prose shows four pictures."""
    (tmp_path / "run" / "notebooks").mkdir(parents=True)
    (tmp_path / "run" / "figures").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    shown = ("../figures/there.png", "../figures/gone.png", "../../secret.png", "https://host/far.png")
    prose = "# 04 · First\n\n" + "\n\n".join(f"![picture {i}]({link})" for i, link in enumerate(shown))
    cells = [new_markdown_cell(prose), new_code_cell("1", execution_count=1)]
    path = tmp_path / "run" / "notebooks" / "04_first.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def page_of(notebook, out, **settings) -> BeautifulSoup:
    write_report([notebook], out, "T", "Three sentences.", **settings)
    return BeautifulSoup(out.read_text(encoding="utf-8"), "html.parser")


def content(image) -> bytes:
    kind, _, encoded = image["src"].partition(",")
    assert kind == "data:image/png;base64"
    return base64.b64decode(encoded, validate=True)


def test_pictures_in_prose_are_part_of_the_page(notebook, tmp_path):
    """Those of `../figures`, and no other; a description stands for what is not there."""
    (tmp_path / "run" / "figures" / "there.png").write_bytes(b"of the run")
    images = page_of(notebook, tmp_path / "index.html").main.find_all("img")
    assert [image["alt"] for image in images] == [f"picture {i}" for i in range(4)]
    assert content(images[0]) == b"of the run"
    assert [image.has_attr("src") for image in images] == [True, False, False, False]


def test_they_are_taken_from_the_folder_that_was_written(notebook, tmp_path):
    (tmp_path / "run" / "figures" / "there.png").write_bytes(b"of the run")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "there.png").write_bytes(b"published")
    page = page_of(notebook, tmp_path / "index.html", figures=tmp_path / "figures")
    assert content(page.main.find_all("img")[0]) == b"published"


def test_conclusion_film_and_note_stand_under_the_title_in_this_order(notebook, tmp_path):
    header = page_of(notebook, tmp_path / "index.html", conclusion=SAID, film=FILM, note="A note.").header
    assert [e.name for e in header.find_all(["h1", "p", "ul", "figure"])] == ["h1", "p", "ul", "figure", "p"]
    items = header.find_all("li")
    assert len(items) == len(SAID)
    assert items[0].get_text().strip() == "CLIP is better, by RSUM"
    assert header.figcaption.get_text() == FILM.caption
    assert header.find("script") is None
    picture = np.asarray(Image.open(io.BytesIO(content(header.figure.img))))
    np.testing.assert_array_equal(picture, FILM.picture)
    assert header.find_all("p")[-1].get_text() == "A note."


def test_a_page_may_open_without_them(notebook, tmp_path):
    header = page_of(notebook, tmp_path / "index.html").header
    assert not header.find_all(["ul", "figure", "div"])


MEASURE = """<iframe style="width:1280px; height:800px; border:0" srcdoc="{page}"></iframe>
<script>addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const parts = ["header li", "header img"].map(name => [...page.querySelectorAll(name)].pop());
  document.body.dataset.measured = parts.map(part => Math.ceil(part.getBoundingClientRect().bottom));
}});</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no browser to look with: apt install chromium")
def test_the_first_screen_shows_the_conclusion_and_a_film(notebook, tmp_path):
    page_of(notebook, tmp_path / "index.html", conclusion=SAID, film=FILM, note="A note.")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    said, film = measured(MEASURE.format(page=html.escape(page)), tmp_path)
    assert 0 < film <= 800
    assert 0 < said <= 800
