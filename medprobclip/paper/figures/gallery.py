"""`figures/README.md`: every figure with its finding, its caption, and in words what its numbers show."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from medprobclip.paper.figures.catalogue import FIGURES, Entry
from medprobclip.paper.findings.headlines import details, headline

HEAD = """# Every figure and table

Under each picture stands what it shows, in words that are computed from its numbers. `make figures` writes
pictures, numbers and this page: do not edit it. Reports are real (OpenI), radiographs simulated from one
chest CT; encoders are small. Every method starts from the same image encoder, which was taught to name
findings that the simulator drew in invented patients (`medprobclip/chest_encoder`), and from a text encoder
that knows nothing. So no number here says how a method does on real radiographs. Grey numbers
*as reported on MIMIC-CXR* are the paper's.

In the folded lists, the first method has its 95 % bootstrap interval over test studies and seeds; the others
have their paired difference from it, with interval and p-value (not corrected for the number of
comparisons). "No difference shown" means that the interval holds 0. Seeds are few, and what they leave out
is more than chance: the same seed on another processor ends elsewhere, too. Runs repeat themselves on one
machine, whatever its number of free threads, because so many compute while the demo trains; on another
processor they do not.
"""


def gallery(folder: Path) -> str:
    """The page for the figures in `folder`, from their CSV files.

    Raises FileNotFoundError without one, KeyError for a figure without a finding.
    """
    return "\n".join([HEAD, _contents(), *(_section(Path(folder), name) for name in FIGURES)])


def _contents() -> str:
    """Links to the figures, a line for each of their makers."""
    titles: dict[str, list[str]] = {}
    for name, entry in FIGURES.items():
        titles.setdefault(entry.maker, []).append(f"[{_title(entry)}](#{name})")
    lines = [f"- {_link(maker)}: {' · '.join(links)}" for maker, links in titles.items()]
    return "\n".join(["## Contents", "", *lines, ""])


def _section(folder: Path, name: str) -> str:
    entry, numbers = FIGURES[name], pd.read_csv(folder / f"{name}.csv")
    parts = [
        f'<a id="{name}"></a>', f"## {_title(entry)}", f"![{entry.title}]({name}.png)",
        f"> **{headline(name, numbers)}**",
        f"{entry.caption}. By {_link(entry.maker)}; [numbers]({name}.csv).",
    ]  # fmt: skip
    if texts := details(name, numbers):
        inner = [f"```\n{text}\n```" for text in texts]
        parts += ["<details><summary>All of its numbers in words</summary>", *inner, "</details>"]
    return "\n\n".join(parts) + "\n"


def _title(entry: Entry) -> str:
    return f"{entry.paper}: {entry.title}" if entry.paper else entry.title


def _link(maker: str) -> str:
    """Who makes a figure: a link to the notebook, or a command."""
    notebook = maker[0].isdigit()
    return f"[notebook {maker[:2]}](../notebooks/{maker}.ipynb)" if notebook else f"`{maker}`"
