"""Every term once, with a source; what the notebooks link to is there."""

import re

import nbformat

from medprobclip.workbench.workspace import ROOT

TEXT = (ROOT / "notebooks" / "glossary.md").read_text(encoding="utf-8")
TERMS = {head: body.strip() for head, body in re.findall(r"^### (.+)\n([^#]*)", TEXT, re.MULTILINE)}
ASKED_FOR = (
    "AUROC, CheXpert, MIMIC-CXR, CSD, Wasserstein, Skew, Bootstrap, Bottleneck, Conspicuity, Conformal, "
    "Strangeness, Hub, Expected likelihood, Platt, AURC"
).split(", ")


def anchor(heading: str) -> str:
    """As GitHub makes it; JupyterLab keeps capitals, hence a mark of our own above each term."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_term_stands_once_in_order_with_a_source():
    heads = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
    assert len(heads) == len(TERMS) == len({anchor(head) for head in heads}) > 40
    for head, body in TERMS.items():
        assert re.search(r"\]\((https://|\.\./medprobclip/)", body), head
        assert len(re.findall(r"[.?]\s", re.sub(r"\[[^\]]*\]\([^)]*\)", "", body))) <= 3, head
    for part in re.split(r"^## .+$", TEXT, flags=re.MULTILINE)[1:]:
        names = [head.lower() for head in re.findall(r"^### (.+)$", part, re.MULTILINE)]
        assert names == sorted(names)


def test_the_terms_of_the_field_are_there():
    assert [term for term in ASKED_FOR if not any(head.startswith(term) for head in TERMS)] == []


def test_a_term_is_found_in_jupyterlab_too():
    marked = re.findall(r'^<a id="(.+)"></a>\n\n### (.+)$', TEXT, re.MULTILINE)
    assert marked == [(anchor(head), head) for head in TERMS]


def test_links_lead_somewhere():
    anchors = {anchor(head) for head in TERMS}
    for link in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (ROOT / "notebooks" / link).exists(), link
    linked = [
        link
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for cell in nbformat.read(path, 4).cells
        if cell.cell_type == "markdown"
        for link in re.findall(r"glossary\.md#([\w-]+)", cell.source)
    ]
    assert linked
    assert set(linked) <= anchors
