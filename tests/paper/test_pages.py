"""The committed pages are those of the committed figures and notebooks; the tables leave out nothing."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image
from sources import PACKAGE, ROOT

from medprobclip.paper import course
from medprobclip.paper.figures.catalogue import FIGURES
from medprobclip.paper.findings.readme import FOUND
from medprobclip.paper.pages import CHAPTERS, COURSE, MAP, README, SLIDES, pages, write_handout
from medprobclip.workbench.corpus import Corpus
from medprobclip.workbench.workspace import NotebookParameters

STEMS = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


@pytest.fixture(scope="module")
def wanted() -> dict[str, str]:
    return pages(ROOT)


@pytest.mark.parametrize("name", [README, COURSE])
def test_the_committed_page_is_that_of_the_committed_figures_and_notebooks(name, wanted):
    """Where it is not: `make figures`, or `write_pages(".")` of `medprobclip.paper.pages`."""
    assert (ROOT / name).read_text(encoding="utf-8") == wanted[name]


def test_every_figure_is_listed_for_slides_with_caption_maker_and_licence():
    rows = course.slides()[2:]
    assert len(rows) == len(FIGURES)
    for row, (name, entry) in zip(rows, FIGURES.items(), strict=True):
        assert f"../figures/{name}.png" in row
        assert entry.caption in row
        assert entry.title in row
        assert (f"notebook {entry.maker[:2]}" if entry.maker[0].isdigit() else entry.maker) in row
        *_, licence, end = row.split("|")
        assert end == ""
        assert licence.strip() == ("MIT; sentences †" if name in course.QUOTING else "MIT")
    assert set(FIGURES) > course.QUOTING


def test_what_quotes_reports_is_told_in_its_caption():
    """So that a new figure with sentences of reports is not forgotten."""
    quoting = {name for name, entry in FIGURES.items() if re.search("sentence of|worded", entry.caption)}
    assert quoting == course.QUOTING


def test_every_notebook_is_on_the_map_and_beside_its_picture():
    rows, thumbnails = (
        course.course_map(ROOT / "notebooks")[2:],
        course.with_thumbnails(ROOT / "notebooks")[2:],
    )
    assert list(course.CHAPTERS) == STEMS
    for stem, row, small in zip(STEMS, rows, thumbnails, strict=True):
        question, modules = course.CHAPTERS[stem]
        assert f"]({stem}.ipynb)" in row
        assert f"](notebooks/{stem}.ipynb)" in small
        for text in (row, small):
            assert question in text
            assert f"[{stem[:2]} · " in text
        assert all((PACKAGE / name).is_file() and f"/{name})" in row for name in modules)


def notebook(folder, stem: str, opening: str) -> None:
    cells = [nbformat.v4.new_markdown_cell(opening)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{stem}.ipynb")


def test_title_picture_and_time_are_those_of_the_first_cell(tmp_path):
    box = "> **You need** nothing. **Time** 12 minutes to read, 1.5 minutes to run. **Reads** nothing.\n"
    notebook(tmp_path, "03_training", f"# 03 · Training: slowly\n\n{box}\n![t](../figures/table_2.png)\n")
    notebook(tmp_path, "07_scaling", "# 07 · Scaling\n\nNo box.")
    assert course.chapters(tmp_path) == [
        {"stem": "03_training", "title": "03 · Training", "picture": "table_2",
         "time": "12 minutes to read, 1.5 minutes to run"},
        {"stem": "07_scaling", "title": "07 · Scaling", "picture": "scaling", "time": "–"},
    ]  # fmt: skip


@pytest.mark.parametrize("part", [FOUND, CHAPTERS, MAP, SLIDES])
def test_a_page_without_its_marks_is_refused(part, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "figures").symlink_to(ROOT / "figures")
    for name in (README, COURSE):
        text = (ROOT / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(f"<!-- {part}: written", "<!-- written"), encoding="utf-8")
    with pytest.raises(ValueError, match=f"no place for '{part}'"):
        pages(tmp_path)


def test_the_page_to_hand_out_has_the_published_pictures_and_the_glossary(tmp_path):
    workspace = NotebookParameters("smoke", root=str(tmp_path), publish=True).workspace()
    for folder in (workspace.notebooks, workspace.figures, tmp_path / "notebooks"):
        folder.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 3)).save(workspace.figures / "hubs.png")
    (tmp_path / "notebooks" / "glossary.md").write_text(
        "# Glossary\n\n### Hub\nFound by all.\n", encoding="utf-8"
    )
    opening = new_markdown_cell("# 04 · Hubs\n\n![many](../figures/hubs.png) A [hub](glossary.md#hub).")
    nbformat.write(new_notebook(cells=[opening]), workspace.notebooks / "04_hubs.ipynb")
    demos = Corpus(*[tmp_path / "test.csv"] * 4, coding="experts", simulated=tmp_path)
    page = BeautifulSoup(write_handout(workspace, demos).read_text(encoding="utf-8"), "html.parser")
    assert "Reports are OpenI's" in page.header.text
    assert page.main.img["src"].startswith("data:image/png")
    assert page.find(id=page.main.a["href"].removeprefix("#")).text == "Hub"
    own = write_handout(workspace, Corpus(*[tmp_path / "test.csv"] * 4, coding=None, shows_text=False))
    head = BeautifulSoup(own.read_text(encoding="utf-8"), "html.parser").header.text
    assert "radiographs and ids, no text of reports: give it to those only" in head
    assert "OpenI" not in head
