"""One film under one fault, severity by severity: what the model says of it, side by side."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from medprobclip.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from medprobclip.retriever.settings import AnswerConfig
from medprobclip.workbench import style
from medprobclip.workbench.lessons.desk import ANSWERED, STRANGE, Desk, Reply

RATE = AnswerConfig().strange_rate  # p-value up to which a film is called strange
PANELS = {  # column of `path_of_fault`: title, colour
    "variance": ("total variance Σσ²", style.IMAGE),
    "p_strange": ("strangeness p", style.REPORT),
    "entropy": ("entropy, nats", style.VIOLET),
    "rank": ("rank of the own report", style.INK),
    "set_size": ("reports in the set", style.BROWN),
}
FAULTS = {of.label: name for name, of in CORRUPTIONS.items()}


def path_of_fault(desk: Desk, study: str, fault: str) -> pd.DataFrame:
    """Of a study's film: rows of severity 0 (as it is) to 5.

    `variance`, `p_strange` (NaN where the model cannot tell), `entropy` in nats, `rank` of the own report,
    `set_size` and the `decision` of the reply. Raises KeyError or ValueError for an unknown study or fault.
    """
    return desk.once(("path", study, fault), lambda: _path(desk, study, fault))


def _path(desk: Desk, study: str, fault: str) -> pd.DataFrame:
    own, films = desk.row(study), [desk.film(study)]
    films += [corrupt(films[0][None], fault, severity, [study])[0] for severity in SEVERITIES]
    rows = [{"severity": severity} | _numbers(reply, own) for severity, reply in enumerate(desk.ask(films))]
    return pd.DataFrame(rows).astype({"p_strange": float})


def _numbers(reply: Reply, own: int) -> dict[str, object]:
    answers = reply.answers
    return {
        "variance": reply.variance, "p_strange": answers.p_strange, "entropy": reply.entropy,
        "rank": reply.rank(own), "set_size": answers.set_size, "decision": reply.decision,
    }  # fmt: skip


def spoilt(desk: Desk, study: str, fault: str, severity: int) -> Figure:
    """The film at that severity beside five numbers over all severities, the present one ringed."""
    style.use_style()
    path = path_of_fault(desk, study, fault)
    film = desk.film(study)
    film = corrupt(film[None], fault, severity, [study])[0] if severity else film
    figure = plt.figure(figsize=(9.6, 3.6))
    picture = figure.add_axes((0.0, 0.0, 0.3, 0.86))
    picture.imshow(film, vmin=0, vmax=255)
    picture.axis("off")
    for place, (name, (title, colour)) in enumerate(PANELS.items()):
        row, column = divmod(place, 3)
        ax = figure.add_axes((0.36 + 0.22 * column, 0.56 - 0.44 * row, 0.16, 0.26))
        ax.plot(path["severity"], path[name], "-o", color=colour, ms=4, lw=1.5)
        ax.plot([severity], [path[name].iloc[severity]], "o", ms=11, mfc="none", mec=colour, mew=2)
        ax.set_title(title, fontsize=9)
        ax.set(xlim=(-0.4, 5.4), xticks=range(6))
        ax.tick_params(labelsize=8)
        if place >= 2:
            ax.set_xlabel("severity", fontsize=8, labelpad=1)
        if name == "p_strange":
            ax.set(ylim=(-0.03, 1.05))
            ax.axhline(RATE, **style.CHANCE)
        else:
            low, high = path[name].min(), path[name].max()
            gap = 0.15 * (high - low) or 0.5
            ax.set_ylim(low - gap, high + gap)
    level = f"severity {severity}" if severity else "as it is"
    figure.text(0.005, 0.91, f"{study}, {CORRUPTIONS[fault].label}, {level}", weight="bold", size=11)
    decision = path["decision"][severity]
    colour = style.ACCENT if decision == ANSWERED else style.REPORT
    said = decision.replace("not: ", "better not:\n")
    figure.text(0.8, 0.25, said, size=12, weight="bold", va="center", color=colour)
    figure.text(0.8, 0.1, f"dashed: p = {RATE:g}", size=8, color=style.QUIET)
    return figure


def said_of_faults(desk: Desk, study: str) -> str:
    """What eleven faults at the highest severity do to one film, counted."""
    own, film = desk.row(study), desk.film(study)
    films = [corrupt(film[None], fault, SEVERITIES[-1], [study])[0] for fault in CORRUPTIONS]
    good, *bad = (_numbers(reply, own) for reply in desk.ask([film, *films]))
    risen = ("variance", "entropy", "rank", "set_size")
    more = {name: sum(one[name] > good[name] for one in bad) for name in risen}
    strange = sum(one["decision"] == STRANGE for one in bad)
    return (
        f"The film of {study} under {len(films)} faults at severity {SEVERITIES[-1]}: it is called strange "
        f"under {strange} of them, its own report falls back under {more['rank']}, its total variance rises "
        f"under {more['variance']}, its entropy under {more['entropy']}, and its set grows under "
        f"{more['set_size']}. One film is an anecdote; notebook 08 asks them all."
    )
