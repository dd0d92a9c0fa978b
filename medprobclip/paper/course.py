"""The course in tables: notebooks with question, picture, module and time; figures for slides."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from medprobclip.paper.figures.catalogue import FIGURES

# notebook -> its question, and the files of the package to read with it
CHAPTERS = {
    "00_gaussian_embeddings": (
        "What does a point with a variance say that a point does not?",
        ("gaussian.py", "similarity.py"),
    ),
    "01_data_inspection": (
        "How many reports fit one film?",
        ("data/studies.py", "data/lookalikes.py", "simulator/findings.py"),
    ),
    "02_model_definition": (
        "What happens to one batch on its way to the loss?",
        ("model.py", "targets.py", "objectives.py"),
    ),
    "03_training": (
        "What do the terms of the objective do while it learns?",
        ("training/loop.py", "settings.py"),
    ),
    "04_retrieval_evaluation": (
        "How well does it find, against chance, a ceiling and other methods?",
        ("evaluation/retrieval.py", "evaluation/many_to_many.py", "evaluation/hubs.py"),
    ),
    "05_uncertainty_analysis": (
        "Does its doubt mean anything?",
        ("evaluation/confidence.py", "evaluation/selective.py", "evaluation/calibration.py"),
    ),
    "06_ask_the_model": (
        "What may an answer promise, and when is none better?",
        ("retriever/retriever.py", "evaluation/conformal.py"),
    ),
    "07_scaling": (
        "What does exact search cost as an archive grows?",
        ("search.py", "support/kernels.py"),
    ),
    "08_robustness_and_ablation": (
        "What breaks it, who notices, and what are the parts for?",
        ("data/corruptions.py", "strangeness.py", "evaluation/abstention.py"),
    ),
}
QUOTING = {"contact_sheet", "figure_1", "surest_and_least_sure", "influence_on_variance"}  # report sentences


def chapters(notebooks: Path) -> list[dict[str, str]]:
    """Of every notebook in a folder: `stem`, `title`, opening `picture` and `time`, from its first cell.

    Without a picture there, the first figure that the notebook makes stands for it; without a time, "–".
    """
    found = []
    for path in sorted(Path(notebooks).glob("*.ipynb")):
        opening = nbformat.read(path, 4).cells[0].source
        title = re.search(r"^# (.+?)(?::|$)", opening, re.MULTILINE)
        picture = re.search(r"!\[[^\]]*\]\(\.\./figures/(\w+)\.png\)", opening)
        time = re.search(r"\*\*Time\*\*:? (.+?)\.(?:\s|$)", opening)
        own = [name for name, entry in FIGURES.items() if entry.maker == path.stem]
        found.append(
            {
                "stem": path.stem,
                "title": title[1] if title else path.stem,
                "picture": picture[1] if picture else own[0],
                "time": time[1] if time else "–",
            }
        )
    return found


def with_thumbnails(notebooks: Path) -> list[str]:
    """The notebooks for the README, as lines of Markdown: picture, title, question."""
    lines = ["| | notebook and its question |", "|---|---|"]
    for c in chapters(notebooks):
        link = f"[{c['title']}](notebooks/{c['stem']}.ipynb)"
        lines.append(f"| {_thumbnail(c['picture'], 'figures', 120)} | {link}<br>{CHAPTERS[c['stem']][0]} |")
    return lines


def course_map(notebooks: Path) -> list[str]:
    """The map for the page of notebooks, as lines of Markdown."""
    lines = ["| chapter | question | figure | module | time |", "|---|---|---|---|---|"]
    for c in chapters(notebooks):
        question, modules = CHAPTERS[c["stem"]]
        code = "<br>".join(f"[`{Path(name).name}`](../medprobclip/{name})" for name in modules)
        link = f"[{c['title']}]({c['stem']}.ipynb)"
        picture = _thumbnail(c["picture"], "../figures", 160)
        lines.append(f"| {link} | {question} | {picture}<br>`{c['picture']}` | {code} | {c['time']} |")
    return lines


def slides() -> list[str]:
    """Every figure for a slide, as lines of Markdown: picture, title, caption, who makes it, licence."""
    lines = ["| figure | caption | made by | licence |", "|---|---|---|---|"]
    for name, entry in FIGURES.items():
        title = f"{entry.title} ({entry.paper} of the paper)" if entry.paper else entry.title
        maker = f"notebook {entry.maker[:2]}" if entry.maker[0].isdigit() else f"`{entry.maker}`"
        licence = "MIT; sentences †" if name in QUOTING else "MIT"
        picture = f"{_thumbnail(name, '../figures', 200)}<br>[`{name}.png`](../figures/{name}.png)"
        lines.append(f"| {picture} | **{title}.** {entry.caption}. | {maker} | {licence} |")
    return lines


def _thumbnail(figure: str, folder: str, width: int) -> str:
    """A small picture. Its title stands beside it, so that a screen reader need not say it twice."""
    return f'<img src="{folder}/{figure}.png" width="{width}" alt="">'
