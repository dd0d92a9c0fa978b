"""An answered query as a page of HTML: picture, verdict, ranked answers, promise."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path

import numpy as np
from matplotlib import cbook
from PIL import Image

from medprobclip.data.privacy import WITHHELD
from medprobclip.data.radiographs import read_image
from medprobclip.workbench import style
from medprobclip.workbench.lessons.desk import Desk, Reply

FILM, THUMB = 200, 56  # pixels
COLOURS = {"own": "#cfe8d9", "worded alike": "#cfe8d9", "coded alike": "#fdf0c4"}  # behind a row
_CELL = "text-align:left;vertical-align:top;white-space:normal;padding:3px 10px 3px 0"
_WORD = re.compile(r"[^\W\d_][\w'-]*")


def card_of_study(desk: Desk, study: str) -> str:
    """A study's film asks for reports; words that its own report does not have are marked."""
    own = desk.row(study)
    reply = desk.ask_study(study)
    report = f"“{html.escape(desk.report(own))}”"
    if not desk.shows_text:
        report = f"{WITHHELD} ({_without_text(desk, own)})"
    said = f"<b>Asked by the film of {html.escape(study)}.</b> Its report: {report}"
    return _page(desk, reply, said, desk.film(study), own, words_of(desk.report(own)))


def card_of_file(desk: Desk, film: Path) -> str:
    """A file (PNG, JPEG, DICOM) asks for reports. Raises ImageError for one that cannot be read."""
    pixels = read_image(film)
    reply = desk.ask([pixels])[0]
    said = f"<b>Asked by the file {html.escape(Path(film).name)}.</b> Nothing is known of its report."
    return _page(desk, reply, said, pixels)


def card_of_words(desk: Desk, words: str) -> str:
    """A phrase or a whole report asks for films; words that were asked for are marked in their reports.

    Raises GalleryError for a text that says nothing.
    """
    reply = desk.ask([words])[0]
    kind = "phrase" if reply.answers.kind.name == "phrase" else "report"
    said = f"<b>Asked by the {kind} “{html.escape(words)}”.</b>"
    return _page(desk, reply, said, asked=words_of(words))


def photograph() -> Path:
    """A file that is no radiograph: Matplotlib's portrait of Grace Hopper, computer scientist."""
    return Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


def words_of(text: str) -> set[str]:
    """The words of a text in lower case, without numbers and the XXXX of masked names."""
    return {word for word in map(str.lower, _WORD.findall(text)) if set(word) != {"x"}}


def marked(text: str, words: set[str], those: bool) -> str:
    """Text as HTML with <mark> around the words that are (`those`) or are not among `words`."""
    parts, start = [], 0
    for found in _WORD.finditer(text):
        word = found[0].lower()
        parts.append(html.escape(text[start : found.start()]))
        hit = set(word) != {"x"} and (word in words) == those
        parts.append(f"<mark>{html.escape(found[0])}</mark>" if hit else html.escape(found[0]))
        start = found.end()
    return "".join([*parts, html.escape(text[start:])])


def verdict(reply: Reply) -> str:
    """Answered or not, and why, in a sentence."""
    return f"Better not answered: {reply.answers.reason}." if reply.answers.abstain else "Answered."


def standing(desk: Desk, reply: Reply, own: int) -> str:
    """Where the study that asks stands among its answers, and the best of those that are coded alike."""
    said = f"Its own report stands at rank {reply.rank(own)} of {len(reply.scores)}"
    if not desk.coded:
        return f"{said}."
    alike = np.flatnonzero(desk.coding == desk.coding[own])
    alike = alike[alike != own]
    if not len(alike):
        return f"{said}; no other study is coded alike."
    others = "another study is" if len(alike) == 1 else f"{len(alike)} others are"
    best = min(reply.rank(row) for row in alike)
    return f"{said}; {others} coded alike, the best at rank {best}."


def _page(
    desk: Desk,
    reply: Reply,
    said: str,
    film: np.ndarray | None = None,
    own: int | None = None,
    known: set[str] | None = None,
    asked: set[str] | None = None,
) -> str:
    """`known` words are those of the own report, `asked` those of the query."""
    answers = reply.answers
    told = [said] + ([standing(desk, reply, own)] if own is not None else [])
    colour = style.REPORT if answers.abstain else style.ACCENT
    told.append(f'<b style="color:{colour}">{html.escape(verdict(reply))}</b>')
    head = "".join(f'<p style="margin:4px 0">{one}</p>' for one in told)
    if film is not None:
        picture = _picture(film, FILM, "the film that asks")
        head = f'<table><tr><td style="{_CELL}">{picture}</td><td style="{_CELL}">{head}</td></tr></table>'
    which = "not in the film's own" if known is not None else "asked for" if asked else ""
    note = f"report (marked: {which})" if which else "report"
    if not desk.shows_text:
        note = "report (text withheld)"
    films = answers.kind.finds == "image"
    columns = ["rank", "film"] if films else ["rank"]
    columns += ["study", "probability of a match", f"in the set of {answers.set_size}"]
    columns += ["which it is"] if own is not None else []
    rows = []
    for row, answer in zip(map(desk.row, answers.table["study_id"]), answers.table.itertuples(), strict=True):
        is_a = desk.relation(row, own)
        cells = [f"{answer.rank}"]
        if films:
            cells.append(_picture(desk.film(answer.study_id), THUMB, f"film of {answer.study_id}"))
        cells += [html.escape(answer.study_id), _chance(answer.probability), "yes" if answer.in_set else "no"]
        if own is not None:
            cells.append(f"<b>{'own report' if is_a == 'own' else is_a}</b>")
        words, those = (known, False) if known is not None else (asked or set(), True)
        text = marked(desk.report(row), words, those)
        if not desk.shows_text:
            text = _without_text(desk, row) + (f", {text.count('<mark>')} {which}" if which else "")
        tint = f' style="background:{COLOURS[is_a]}"' if is_a else ""
        body = "".join(f'<td style="{_CELL}">{cell}</td>' for cell in [*cells, text])
        rows.append(f"<tr{tint}>{body}</tr>")
    heads = "".join(f'<th style="{_CELL}">{name}</th>' for name in [*columns, note])
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    foot = f'<p style="margin:4px 0">{html.escape(answers.doubts)}.<br>{html.escape(answers.promise)}</p>'
    return f'<div style="max-width:1000px;line-height:1.35">{head}{table}{foot}</div>'


def _without_text(desk: Desk, row: int) -> str:
    """What may be said of a report whose text is withheld: codes, if anybody coded them, and length."""
    codes = f"{html.escape(desk.said_codes(row))}; " if desk.coded else ""
    return f"{codes}{len(desk.report(row).split())} words"


def _chance(probability: float) -> str:
    return "unknown" if np.isnan(probability) else f"{probability:.1%}"


def _picture(film: np.ndarray, width: int, alt: str) -> str:
    """A film as it stands in the page."""
    image = Image.fromarray(film)
    image.thumbnail((2 * width, 2 * width))  # sharp on a fine screen, and no larger
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" width="{width}" alt="{html.escape(alt)}">'
