"""Executed notebooks -> one HTML page that needs no other file and no network: a report to send by mail."""

from __future__ import annotations

import base64
import html
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import nh3
import numpy as np
from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader
from latex2mathml.converter import convert
from mistune.toc import add_toc_hook
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image
from pygments.formatters import HtmlFormatter

from medprobclip.support.files import replaced_file

# Browsers draw MathML without the variants of letters, which Unicode has as letters of their own.
SCRIPT_LETTERS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "𝒜ℬ𝒞𝒟ℰℱ𝒢ℋℐ𝒥𝒦ℒℳ𝒩𝒪𝒫𝒬ℛ𝒮𝒯𝒰𝒱𝒲𝒳𝒴𝒵")
# A minus that follows one of  = , ( [  in the converter's spelling: it has no space after it, but browsers
# take only the first operator of a row for a sign.
SIGN = re.compile(r"(<mo[^>]*>(?:&#x0003D;|&#x0002C;|&#x00028;|[(\[])</mo>)<mo>(?=&#x02212;)")
THIN_SPACE = '<mspace width="0.167em"></mspace>'
MATH_TAGS = set(
    "math mfrac mi mn mo mover mpadded mphantom mroot mrow mspace msqrt mstyle msub msubsup msup mtable mtd "
    "mtext mtr munder munderover".split()
)
MATH_ATTRIBUTES = set(
    "accent columnalign display displaystyle fence form linethickness mathvariant maxsize minsize "
    "scriptlevel stretchy width".split()
)
COMMITTED = re.compile(r'src="\.\./figures/([\w-]+\.png)"')  # no other folder is read
BESIDE = re.compile(r'href="([\w-]+\.(?:ipynb|md))(?:#([\w-]+))?"')  # a link to a file beside the notebook
NUMBER = re.compile(r"[-−+]?\d[\d,.]*(e[-+]?\d+)?( ?[%×])?|nan|[–-]|", re.IGNORECASE)


@dataclass(frozen=True)
class Film:
    """A radiograph beside the conclusion: uint8 `[H, W]`, and what is said under it."""

    picture: np.ndarray
    caption: str

    @property
    def png(self) -> str:
        """The picture as PNG, in base64."""
        buffer = io.BytesIO()
        Image.fromarray(self.picture).save(buffer, "PNG")
        return base64.b64encode(buffer.getvalue()).decode()


def write_report(
    notebooks: Sequence[Path],
    out: Path,
    title: str,
    introduction: str = "",
    conclusion: Sequence[str] = (),
    film: Film | None = None,
    note: str = "",
    figures: Path | None = None,
) -> Path:
    """Write the executed notebooks, in this order, as the HTML page `out`, whole or not at all.

    A file `*.md` among them is a part, too; links from part to part stay in the page. Under the title stand
    `introduction`, `conclusion`, a sentence an entry, with the `film` beside it, and `note`, all of them
    Markdown. Code is folded; progress bars and stderr are left out. `figures` is the folder that the
    notebooks' prose means by `../figures`, by default the one there. The same notebooks give the same bytes.
    Raises ValueError when a notebook is missing, unreadable, not executed or failed, or when there is none.
    """
    if not notebooks:
        raise ValueError("a report needs at least one executed notebook")
    numbers, names = itertools.count(1), [f"part-{i}" for i, _ in enumerate(notebooks, start=1)]
    beside = {path.name: name for path, name in zip(notebooks, names, strict=True)}
    parts = [
        _Part(name, path, numbers, figures or path.parent.parent / "figures", beside)
        for name, path in zip(names, notebooks, strict=True)
    ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("report.html.jinja").render(
        title=title,
        introduction=_prose(introduction),
        conclusion=_prose("\n".join(f"- {sentence}" for sentence in conclusion)),
        film=film,
        note=_prose(note),
        parts=parts,
        highlighting=HtmlFormatter(style="friendly").get_style_defs(".highlight"),
    )
    with replaced_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def _prose(source: str) -> str:
    return _clean(_markdown("opening").parse(source)[0])


@dataclass
class _Part:
    """A notebook as the template takes it: heading, sections for the table of contents, blocks in order."""

    name: str
    path: Path
    numbers: Iterator[int]  # of pictures
    figures: Path
    beside: dict[str, str]  # file -> the name of its part
    sections: list[tuple[str, str]] = field(default_factory=list)  # anchor, text
    heading: str = ""

    def __post_init__(self) -> None:
        self.markdown = _markdown(self.name)
        self.blocks = list(self._blocks(_read_executed(self.path)))
        self.heading = self.heading or self.path.stem

    def _blocks(self, notebook: nbformat.NotebookNode) -> Iterator[dict[str, str]]:
        waiting: list[str] = []  # code that shows nothing is folded together with the code after it
        for cell in notebook.cells:
            if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])):
                continue  # the first says what was not run, the second where this machine has its files
            if cell.cell_type == "markdown":
                yield from self._code(waiting)
                yield self._prose(cell.source)
            elif cell.cell_type == "code":
                waiting.append(cell.source)
                if outputs := list(self._outputs(cell)):
                    yield from self._code(waiting)
                    yield from outputs
        yield from self._code(waiting)

    def _code(self, waiting: list[str]) -> Iterator[dict[str, str]]:
        source = "\n\n".join(waiting).strip()
        waiting.clear()
        if source:
            yield {"kind": "code", "html": self.markdown.renderer.block_code(source, "python")}

    def _prose(self, source: str) -> dict[str, str]:
        rendered, state = self.markdown.parse(source)
        for level, anchor, text in state.env["toc_items"]:
            if level == 1 and not self.heading:
                self.heading = html.unescape(text)
            else:
                self.sections.append((anchor, html.unescape(text)))
        rendered = BESIDE.sub(self._within, COMMITTED.sub(self._inlined, rendered))
        return {"kind": "html", "html": _clean(rendered)}

    def _within(self, link: re.Match) -> str:
        """A link to another part of the page; to a file that is none, it goes."""
        part, term = self.beside.get(link[1]), f"-{link[2]}" if link[2] else ""
        return f'href="#{part}{term}"' if part else link[0]

    def _inlined(self, source: re.Match) -> str:
        """A picture of `../figures` as part of the page; where it is not there, its description stays."""
        path = self.figures / source[1]
        if not path.is_file():
            return source[0]
        return f'src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"'

    def _outputs(self, cell: nbformat.NotebookNode) -> Iterator[dict[str, str]]:
        cell.outputs = [output for output in cell.outputs if not _is_progress(output)]
        cell, _ = CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)
        for output in cell.outputs:
            data = output.get("data", {})
            if output.output_type == "stream":
                yield {"kind": "text", "text": strip_ansi(output.text).rstrip()}
            elif "image/png" in data:
                where = self.sections[-1][1] if self.sections else self.heading
                alternative = f"Figure {next(self.numbers)}: {where}"
                yield {"kind": "figure", "png": "".join(data["image/png"].split()), "alt": alternative}
            elif "text/html" in data:
                yield {"kind": "html", "html": _clean(data["text/html"])}
            elif "text/markdown" in data:
                yield self._prose(data["text/markdown"])
            elif "text/plain" in data:
                yield {"kind": "text", "text": strip_ansi(data["text/plain"]).rstrip()}


def _is_progress(output: nbformat.NotebookNode) -> bool:
    """Progress bars come on stderr, as do the libraries' logs, or as a widget that needs a kernel."""
    widget = "application/vnd.jupyter.widget-view+json"
    return output.get("name") == "stderr" or widget in output.get("data", {})


def _read_executed(path: Path) -> nbformat.NotebookNode:
    """The notebook; ValueError with the remedy when it did not run from top to bottom."""
    remedy = f"Run it: medprobclip run --only {path.stem} (and its --profile, --objective, --tables)"
    if not path.is_file():
        raise ValueError(f"{path} does not exist. {remedy}")
    if path.suffix == ".md":
        return new_notebook(cells=[new_markdown_cell(path.read_text(encoding="utf-8"))])
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, TypeError, AttributeError, nbformat.ValidationError) as error:
        raise ValueError(f"{path} is not a notebook: {error}. {remedy}") from error
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for error in (output for cell in cells for output in cell.outputs if output.output_type == "error"):
        raise ValueError(f"{path} failed with {error.ename}: {error.evalue}. {remedy}")
    if not all(cell.execution_count for cell in cells):
        raise ValueError(f"{path} was not executed to its end. {remedy}")
    return notebook


def _mathml(source: str, display: str) -> str:
    """TeX as MathML, put right where browsers and the converter disagree."""
    markup = convert(source.strip(), display=display)
    markup = re.sub(
        r'<mi mathvariant="script">(\w)</mi>', lambda m: f"<mi>{m[1].translate(SCRIPT_LETTERS)}</mi>", markup
    )
    markup = re.sub(r"<mo>([a-zA-Z]{2,})</mo>", r"<mi>\1</mi>", markup)  # \operatorname is no infix operator
    markup = SIGN.sub(r'\1<mo form="prefix">', markup)
    return re.sub(r"(<mi>[a-z]{2,}</mi>)(?=<m(?!o\b))", rf"\1{THIN_SPACE}", markup)  # log x, but log(x)


class _Renderer(IPythonRenderer):
    """Markdown as notebooks have it, with math as MathML and headings one level down, under the title."""

    def block_math(self, body: str) -> str:
        return f'<span class="math">{_mathml(body, "block")}</span>'

    def inline_math(self, body: str) -> str:
        return _mathml(body, "inline")

    def heading(self, text: str, level: int, **attrs: str) -> str:
        if level == 3:  # as GitHub and JupyterLab name it, behind the part's own name
            term = re.sub(r"[^\w\- ]", "", html.unescape(text).lower()).replace(" ", "-")
            attrs["id"] = f"{self.part}-{term}"
        return super().heading(text, min(level + 1, 6), **attrs)


def _markdown(prefix: str) -> MarkdownWithMath:
    """A parser whose headings have the anchors `<prefix>-1`, `<prefix>-2` …, over all it is given."""
    parser = MarkdownWithMath(_Renderer(escape=False, exclude_anchor_links=True))
    parser.renderer.part = prefix
    numbers = itertools.count(1)
    add_toc_hook(parser, max_level=2, heading_id=lambda token, index: f"{prefix}-{next(numbers)}")
    return parser


_LEADS_TO = {"src": "data:image/", "href": ("https:", "http:", "mailto:", "#")}  # links may leave the page
# What may stand in prose and in HTML outputs: no script, no style, nothing from elsewhere, every tag closed.
_CLEANER = nh3.Cleaner(
    tags=nh3.ALLOWED_TAGS | MATH_TAGS,
    clean_content_tags={"script", "style"},
    attributes={
        **nh3.ALLOWED_ATTRIBUTES,
        **dict.fromkeys(MATH_TAGS, MATH_ATTRIBUTES),
        **dict.fromkeys(("h2", "h3", "h4"), {"id"}),
        **dict.fromkeys(("div", "span"), {"class"}),
    },
    attribute_filter=lambda tag, name, value: value if value.startswith(_LEADS_TO.get(name, "")) else None,
    url_schemes={"https", "http", "mailto", "data"},
    link_rel="noreferrer",
)


def _clean(markup: str) -> str:
    """Safe, well-formed HTML; its tables scroll, with numbers on the right and one row of column names."""
    soup = BeautifulSoup(_CLEANER.clean(markup), "html.parser")
    for table in soup.find_all("table"):
        _tidy(table)
        table.wrap(soup.new_tag("div", attrs={"class": "table", "tabindex": "0"}))
    for empty in soup.find_all("p"):  # left where a paragraph ran into the end of <details>
        if not empty.contents:
            empty.decompose()
    return str(soup)


def _tidy(table) -> None:
    """Align columns by what is in them; pandas gives the index's name a row of its own, which is dropped."""
    head = [row.find_all("th") for row in table.select("thead tr")]
    if len(head) == 2 and len(head[0]) == len(head[1]):
        pairs = list(zip(*head, strict=True))
        if all(not above.text.strip() or not below.text.strip() for above, below in pairs):
            for above, below in pairs:
                above.string = above.text.strip() or below.text.strip()
            head.pop()[0].parent.decompose()
    body = [row.find_all("td") for row in table.select("tbody tr")]
    # Counted from the right: under a cell that spans several rows, a row lacks its leftmost cells.
    for column in range(1, min(map(len, body), default=0) + 1):
        cells = [row[-column] for row in body]
        if all(NUMBER.fullmatch(cell.text.strip()) for cell in cells):
            names = [row[-column] for row in head if len(row) >= len(body[0])]
            for cell in cells + names:
                cell["class"] = "number"
