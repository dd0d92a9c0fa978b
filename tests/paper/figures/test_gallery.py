"""The page of figures says what their numbers say, and nothing else."""

import re
from pathlib import Path

import pandas as pd
import pytest

from medprobclip.paper.figures.catalogue import FIGURES
from medprobclip.paper.figures.gallery import gallery
from medprobclip.paper.findings.headlines import details

FOLDER = Path(__file__).resolve().parents[3] / "figures"


def test_the_committed_page_is_that_of_the_committed_numbers():
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == gallery(FOLDER)


@pytest.fixture
def told(monkeypatch):
    """Findings that can be told from all others on the page."""
    said = {name: lambda numbers, n=name: f"{n} has {len(numbers)} rows." for name in FIGURES}
    monkeypatch.setattr("medprobclip.paper.findings.headlines.HEADLINES", said)
    return said


def sections(page: str) -> dict[str, str]:
    """What stands on the page from the anchor of each figure to the next."""
    _, *parts = re.split(r'^<a id="(\w+)"></a>$', page, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_figure_has_heading_picture_finding_caption_and_numbers_in_this_order(told):
    found = sections(gallery(FOLDER))
    assert list(found) == list(FIGURES)
    for name, entry in FIGURES.items():
        rows = len(pd.read_csv(FOLDER / f"{name}.csv"))
        wanted = [
            f"## {f'{entry.paper}: ' if entry.paper else ''}{entry.title}\n",
            f"![{entry.title}]({name}.png)\n\n> **{name} has {rows} rows.**\n",  # directly under it
            f"{entry.caption}. By ", f"[numbers]({name}.csv)",
        ]  # fmt: skip
        places = [found[name].index(text) for text in wanted]
        assert places == sorted(places)


def test_the_contents_lead_to_every_figure_and_notebook(told):
    page = gallery(FOLDER)
    contents = page[page.index("## Contents") : page.index("<a id=")]
    assert re.findall(r"\(#(\w+)\)", contents) == list(FIGURES)
    links = re.findall(r"\((\.\./notebooks/[^)]+)\)", page)
    assert len(set(links)) == len({e.maker for e in FIGURES.values() if e.maker[0].isdigit()})
    assert all((FOLDER / link).is_file() for link in links)


def test_long_lists_are_folded(told):
    found = sections(gallery(FOLDER))
    for name, section in found.items():
        said = details(name, pd.read_csv(FOLDER / f"{name}.csv"))
        before, *folded = section.split("<details>")
        assert "```" not in before
        assert len(folded) == bool(said)
        assert all(f"```\n{text}\n```" in "".join(folded) for text in said)
        assert section.rstrip().endswith("</details>") == bool(said)


def test_a_figure_without_a_finding_is_not_passed_over(told):
    del told["hubs"]
    with pytest.raises(KeyError, match="hubs"):
        gallery(FOLDER)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="two_gaussians"):
        gallery(tmp_path)
