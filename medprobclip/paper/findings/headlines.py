"""Every figure's finding in one or two sentences, computed from its numbers; and a notebook's conclusion."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from IPython.display import Markdown, display

from medprobclip.paper.findings import (
    corpus,
    faults,
    gaussians,
    questions,
    retrieval,
    scaling,
    training,
    uncertainty,
)

_CHAPTERS = (gaussians, corpus, training, retrieval, uncertainty, questions, scaling, faults)
HEADLINES = {name: said for chapter in _CHAPTERS for name, said in chapter.HEADLINES.items()}
DETAILS = {name: said for chapter in _CHAPTERS for name, said in chapter.DETAILS.items()}


def headline(figure: str, numbers: pd.DataFrame) -> str:
    """What a figure shows, in one or two sentences, from the numbers in its CSV. KeyError if unknown."""
    return HEADLINES[figure](numbers)


def details(figure: str, numbers: pd.DataFrame) -> list[str]:
    """All that is computed of a figure's numbers, as texts of several lines; none for most figures."""
    return [text.rstrip() for text in DETAILS[figure](numbers)] if figure in DETAILS else []


def tell_details(figure: str, numbers: pd.DataFrame) -> None:
    """Show all that is computed of a figure's numbers as a list, one line of text each."""
    lines = [line for text in details(figure, numbers) for line in text.splitlines() if line]
    say(*lines)


def tell(tables: Mapping[str, pd.DataFrame | None]) -> None:
    """Show the findings of these figures as a list: the conclusion of a notebook. None: it stepped aside."""
    say(*(headline(figure, numbers) for figure, numbers in tables.items() if numbers is not None))


def say(*sentences: str) -> None:
    """Show sentences as text, a list if they are several; none are nothing to show.

    JupyterLab breaks printed ones mid-word.
    """
    lines = [line for sentence in sentences for line in sentence.splitlines()]
    if lines:
        display(Markdown("\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0]))
