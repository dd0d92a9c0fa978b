"""README, docs and course: short where they must be, and no link that leads nowhere."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from sources import ROOT

from medprobclip.__main__ import COMMANDS
from medprobclip.commands import figures, run
from medprobclip.workbench.workspace import NotebookParameters

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "notebooks/README.md", "figures/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOST_WORDS = 900
ON_GITHUB = "../../actions/"  # of whatever repository this lies in


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them, and those that it names itself."""
    text = without_code(page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head).lower() for head in heads]
    made = {re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in plain}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


def broken(page: Path) -> list[str]:
    """The relative links and pictures of a page that lead to no file, or to no heading of a page."""
    text = without_code(page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    wrong = []
    for link in links:
        if re.match(r"https?://", link) or link.startswith(ON_GITHUB):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_a_link_to_nowhere_would_be_found(tmp_path):
    (tmp_path / "there.md").write_text("# A `code` head, twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "## Here\n[a](there.md) [b](there.md#a-code-head-twice) [c](#here) [d](https://nowhere.example)\n"
        '[e](gone.md) [f](there.md#gone) [g](#there) ![h](gone.png) <img src="gone2.png">\n'
        "```\n[i](in-code.md)\n```\n"
    )
    assert broken(page) == ["gone.md", "there.md#gone", "#there", "gone.png", "gone2.png"]


def test_every_page_of_docs_is_in_its_contents():
    contents = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    names = [path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"]
    assert len(names) > 8
    assert [name for name in names if f"]({name})" not in contents] == []


def test_the_readme_is_short_and_opens_with_the_idea():
    assert len(README.split()) <= MOST_WORDS
    picture = re.search(r"!\[[^\]]{20,}\]\(figures/(\w+)\.png\)", README)
    assert picture[1] == "two_gaussians"
    assert README.index("```console\n") < README.index("## ")


def test_every_command_is_told():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in COMMANDS:
        assert f"medprobclip {name}" in text, name


def test_the_readme_shows_what_commands_print_at_the_end(tmp_path):
    """Apart from the findings, which are below in full."""
    workspace = NotebookParameters(root=str(tmp_path)).workspace()
    assert f"\n{run.last_words(workspace, ['00'], tmp_path)}\n" in README
    published = NotebookParameters(root=str(tmp_path), publish=True).workspace()
    printed = figures.last_words(published, tmp_path)
    assert f"\nDone. {printed.partition('Done. ')[2]}\n" in README


def test_one_citation():
    """The BibTeX of the README says what CITATION.cff says."""
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = cff["preferred-citation"]
    entry = re.search(r"@article\{.*?^\}", README, re.MULTILINE | re.DOTALL)[0]
    authors = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"])
    assert f"author  = {{{authors}}}" in entry
    assert f"title   = {{{paper['title'].replace('MedProbCLIP', '{MedProbCLIP}')}}}" in entry
    assert paper["identifiers"][0]["value"] in entry
    assert f"year    = {{{paper['year']}}}" in entry
    software = README.partition("@software")[2]
    assert f"license = {{{cff['license']}}}" in software
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == cff["license"]
