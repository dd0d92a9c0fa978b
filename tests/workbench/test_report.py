"""The report: executed notebooks as one HTML page that needs nothing else."""

import base64
import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from lab import CHROMIUM, measured
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from medprobclip.workbench.report import write_report

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "link", "img", "br", "hr", "input", "col", "wbr"}
LONG = "# " + "x" * 300
CASES = r"$$ m_{ij} = \begin{cases} 1 & i = j \\ 0 & i \neq j. \end{cases} $$"
BINOMIAL = r"$$ 1 - \binom{M - m}{K} \Big/ \binom{M}{K}, \qquad \sum_{d=1}^{D} \log s_d, \text{a < b} $$"
ANSWER = """<details><summary>Answer</summary>

```python
cost = "$5"  # not $math$

print(cost)
```
Because *so*.
</details>"""


def png() -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 1500), dtype=np.uint8)).save(buffer, "PNG")
    return base64.encodebytes(buffer.getvalue()).decode()  # in lines, as kernels may send it


def shown(**data: str):
    return new_output("display_data", {name.replace("_", "/"): value for name, value in data.items()})


def cell(source: str, *outputs, count: int | None = 1, **metadata):
    return new_code_cell(source, outputs=list(outputs), execution_count=count, metadata=metadata)


def stream(text: str, name: str = "stdout"):
    return new_output("stream", name=name, text=text)


@pytest.fixture
def write(tmp_path):
    def write(name: str, *cells):
        nbformat.write(new_notebook(cells=[*cells]), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def notebooks(write):
    """Two notebooks with everything that a page can go wrong with."""
    table = pd.DataFrame({"q": ["x", "y"], "R@10": [12.5, -3.0], "code": ["normal", "a & b"]}).set_index("q")
    wide = pd.DataFrame([["a long text in many columns"] * 30])
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}, "text/plain": "  0%|  |"}
    return [
        write(
            "04_first.ipynb",
            new_markdown_cell("# 04 · First\n\nA $\\mu_{x,d}$ and *one* $\\sigma_d^2$.\n\n" + CASES),
            new_markdown_cell(BINOMIAL),
            cell("profile = 'demo'", tags=["parameters"]),
            cell("root = '/home/me'", tags=["injected-parameters"]),
            cell("import torch"),
            new_markdown_cell("## Numbers\n\n[paper](https://arxiv.org/abs/2602.16019), [file](../a.py)"),
            cell("quiet = 1 < 2"),
            cell(
                "loud()",
                stream("first <script>alert(1)</script>\n"),
                stream("SECRET 10%\n", "stderr"),
                new_output("display_data", widget),
                stream("second \x1b[31mred\x1b[0m\n"),
                shown(text_html=table.style.format(precision=1).to_html()),
            ),
        ),
        write(
            "05_second.ipynb",
            new_markdown_cell("# 05 · Second & last\n\n## Picture"),
            cell(
                "plot()\n" + LONG,
                shown(image_png=png(), text_plain="<Figure>"),
                shown(text_html=wide.to_html()),
            ),
            cell("say()", shown(text_markdown="**said** $x$"), shown(text_plain="<plain>")),
            new_markdown_cell(
                f"## Numbers\n\n{ANSWER}\n\n<img src='https://host/x.png' alt='far'><style>p {{}}</style>"
                "<script src='https://host/x.js'></script>"
            ),
        ),
    ]


class Page(HTMLParser):
    """Every element with its ancestors, attributes and text."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        assert self.open == []  # every tag was closed

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "in": [e["tag"] for e in self.open], "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, *tags: str) -> list[dict]:
        return [element for element in self.elements if element["tag"] in tags]


@pytest.fixture
def text(notebooks, tmp_path):
    out = write_report(notebooks, tmp_path / "report" / "index.html", "A <title>", "See *this* $D$.")
    assert [path.name for path in out.parent.iterdir()] == ["index.html"]
    return out.read_text(encoding="utf-8")


@pytest.fixture
def page(text):
    return Page(text)


def test_the_page_asks_nobody_for_anything(page, text):
    assert not page.all("script", "iframe", "object", "embed")
    assert all(e["href"] == "data:," for e in page.all("link"))
    assert all(e["src"].startswith("data:image/png;base64,") for e in page.elements if "src" in e)
    assert not re.search(r"url\(|@import|srcset|https?://(?!arxiv|www\.w3\.org/1998/Math)", text)
    (policy,) = [e["content"] for e in page.all("meta") if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    links = [e["href"] for e in page.all("a") if e.get("href", "#")[0] != "#"]
    assert links == ["https://arxiv.org/abs/2602.16019"]  # and the relative one leads nowhere


def test_the_picture_is_the_notebooks_picture(page):
    (image,) = [e for e in page.all("img") if "src" in e]
    kind, _, content = image["src"].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content, validate=True) == base64.b64decode(png())
    assert image["alt"] == "Figure 1: Picture"


def test_contents_lead_to_headings(page):
    anchors = [e["id"] for e in page.elements if "id" in e]
    assert len(anchors) == len(set(anchors))
    links = [e for e in page.all("a") if "nav" in e["in"]]
    names = ["04 · First", "Numbers", "05 · Second & last", "Picture", "Numbers"]
    assert [e["text"] for e in links] == names
    targets = {e["id"]: e for e in page.elements if "id" in e}
    for link in links:
        assert link["text"] in targets[link["href"].removeprefix("#")]["text"]
    assert [e["text"] for e in page.all("h1")] == ["A <title>"]
    assert [e["text"] for e in page.all("h2")][1:] == ["04 · First", "05 · Second & last"]


def test_links_between_parts_stay_in_the_page(write, tmp_path):
    links = "[term](glossary.md#r-at-k), [all](glossary.md), [next](05_b.ipynb), [none](06_c.ipynb)"
    parts = [
        write("04_a.ipynb", new_markdown_cell(f"# A\n\n{links}")),
        write("05_b.ipynb", new_markdown_cell("# B")),
    ]
    glossary = tmp_path / "glossary.md"
    glossary.write_text("# Glossary\n\n## Words\n\n### R at K\nA share: $\\mu$.\n", encoding="utf-8")
    page = Page(write_report([*parts, glossary], tmp_path / "page.html", "P").read_text(encoding="utf-8"))
    led = {e["text"]: e.get("href") for e in page.all("a") if "main" in e["in"]}
    assert led == {"term": "#part-3-r-at-k", "all": "#part-3", "next": "#part-2", "none": None}
    targets = {e["id"]: e["text"] for e in page.elements if "id" in e}
    assert targets["part-3-r-at-k"] == "R at K"
    assert targets["part-3"].strip().startswith("Glossary")
    assert [e["text"] for e in page.all("a") if "nav" in e["in"]] == ["A", "B", "Glossary", "Words"]


def test_math_becomes_mathml(page):
    formulas = page.all("math")
    assert len(formulas) == 6
    assert sum(e["display"] == "block" for e in formulas) == 2
    assert "mtable" in [e["tag"] for e in page.elements]
    outside = "".join(e["text"] for e in page.all("article"))
    assert "$$" not in outside
    assert "\\" not in outside
    assert "a < b".replace(" ", "\xa0") in outside
    assert "$math$" in outside  # code is not math


def test_code_is_folded_and_the_rest_in_order(page, text):
    code = [e for e in page.all("details") if e.get("class") == "code"]
    assert [e["text"].split("\n", 1)[1].strip() for e in code] == [
        "import torch",
        "quiet = 1 < 2\n\nloud()",
        "plot()\n" + LONG,
        "say()",
    ]
    assert all("details" in e["in"] for e in page.all("pre") if e.get("class") != "output")
    for left_out in ("SECRET", "profile =", "/home/me", "0%|", "&lt;Figure&gt;"):
        assert left_out not in text
    order = "See mtable import loud first red normal plot data:image said &lt;plain&gt;".split()
    body = text[text.index("<body>") :]
    places = [body.index(word) for word in order]
    assert places == sorted(places)


def test_text_is_escaped(page, text):
    (first, plain) = [e["text"] for e in page.all("pre") if e.get("class") == "output"]
    assert first.splitlines() == ["first <script>alert(1)</script>", "second red"]
    assert plain == "<plain>"
    assert "<script" not in text


def test_answers_stay_folded_and_are_rendered(page, text):
    (answer,) = [e for e in page.all("details") if e.get("class") != "code"]
    assert answer["text"].startswith("Answer")
    assert [e["text"] for e in page.all("em") if "details" in e["in"]] == ["so"]
    assert "<p></p>" not in text


def test_tables_are_plain_and_scroll(page):
    assert all(e["in"][-1] == "div" for e in page.all("table"))
    assert not [e for e in page.all("table", "th", "td", "tr") if "style" in e or "id" in e]
    assert len(page.all("style")) == 1
    heads = [e for e in page.all("th") if "thead" in e["in"]][:3]
    assert [(e["text"], e.get("class")) for e in heads] == [("q", None), ("R@10", "number"), ("code", None)]
    assert [e["text"] for e in page.all("td") if e.get("class") == "number"] == ["12.5", "-3.0"]


def test_the_same_notebooks_give_the_same_bytes(notebooks, tmp_path):
    pages = [write_report(notebooks, tmp_path / name, "T").read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_every_formula_of_the_project_is_understood(tmp_path):
    """A command that the converter does not know would stay in the page with its backslash."""
    paths = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        for code in (c for c in notebook.cells if c.cell_type == "code"):
            code.execution_count = 1
        nbformat.write(notebook, tmp_path / path.name)
        paths.append(tmp_path / path.name)
    page = Page(write_report(paths, tmp_path / "index.html", "All").read_text(encoding="utf-8"))
    assert len(page.all("math")) > 50
    for e in page.all("math"):
        assert "\\" not in e["text"], e["text"]
    assert {e["mathvariant"] for e in page.elements if "mathvariant" in e} <= {"normal"}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (cell("1 / 0", new_output("error", ename="ZeroDivisionError", evalue="by 0")), "failed with Zero"),
        (cell("1", count=None), "was not executed to its end"),
        ("{", "is not a notebook"),
        ("{}", "is not a notebook"),
        ("[]", "is not a notebook"),
        (None, "does not exist"),
    ],
)
def test_a_notebook_that_did_not_run_is_refused(notebooks, write, tmp_path, broken, message):
    bad, out = tmp_path / "08_bad.ipynb", tmp_path / "index.html"
    out.write_text("before")
    if isinstance(broken, str):
        bad.write_text(broken)
    elif broken is not None:
        write(bad.name, broken)
    with pytest.raises(ValueError, match=rf"08_bad.ipynb {message}.*--only 08_bad"):
        write_report([*notebooks, bad], out, "T")
    assert out.read_text() == "before"


def test_nothing_to_report_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        write_report([], tmp_path / "index.html", "T")


# The page itself runs no script, so the page around it measures; a frame can be narrower than a window.
MEASURE = """<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{page}"></iframe>
<script>addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  page.querySelectorAll("details").forEach(part => part.open = true);
  const images = [...page.images].filter(image => image.hasAttribute("src"));
  const root = page.scrollingElement;
  document.body.dataset.measured = [root.scrollWidth - root.clientWidth, ...images.map(i => i.naturalWidth)];
}});</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no browser to look with: apt install chromium")
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_every_picture_and_nothing_sticks_out(text, tmp_path, width):
    assert measured(MEASURE.format(width=width, page=html.escape(text)), tmp_path) == [0, 1500]
