"""Who is answered, who is not and why: films as they are and turned, and words of all kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from medprobclip.evaluation.selective import difference_of_shares
from medprobclip.workbench.lessons.desk import AMBIGUOUS, ANSWERED, STRANGE, Desk

TURNS = {
    "as they are": lambda film: film,
    "upside down": np.flipud,
    "grey turned round": lambda film: 255 - film,
}


def decided_table(desk: Desk, studies: Sequence[str], turns: Mapping = TURNS) -> pd.DataFrame:
    """What becomes of films, by how they are turned: rows `films, decision, share, missed, count`.

    `share` of these films, `missed` the share of them without their own report among the answers; NaN where
    there are none.
    """
    rows = []
    for name, turn in turns.items():
        replies = desk.ask([np.ascontiguousarray(turn(desk.film(study))) for study in studies])
        decisions = np.array([reply.decision for reply in replies])
        found = np.array(
            [s in set(r.answers.table["study_id"]) for s, r in zip(studies, replies, strict=True)]
        )
        for kind in (ANSWERED, STRANGE, AMBIGUOUS):
            of = decisions == kind
            missed = float(1 - found[of].mean()) if of.any() else float("nan")
            rows.append((name, kind, float(of.mean()), missed, int(of.sum())))
    return pd.DataFrame(rows, columns=["films", "decision", "share", "missed", "count"])


def one_of_each(desk: Desk, studies: Iterable[str]) -> list[str]:
    """The first of these studies whose film is answered, the first too ambiguous, the first strange: as
    many as there are, at most three."""
    first: dict[str, str] = {}
    for study in studies:
        first.setdefault(desk.ask_study(study).decision, study)
        if len(first) == 3:
            break
    return [first[kind] for kind in (ANSWERED, AMBIGUOUS, STRANGE) if kind in first]


def said_of_decisions(table: pd.DataFrame) -> str:
    """What the rule did with each kind of film, and whether who is answered fares better."""
    rows = table.set_index(["films", "decision"])
    said = []
    for films in table["films"].unique():
        share = rows.loc[films]["share"]
        parts = [f"{share[kind]:.0%} {kind.removeprefix('not: ')}" for kind in share.index]
        said.append(f"{films}: {', '.join(parts)}")
    own = rows.loc["as they are"]
    answered, other = own.loc[ANSWERED], own.drop(ANSWERED)
    sentences = [f"Films {'; '.join(said)}."]
    if answered["count"] and other["count"].sum():
        without = float(np.average(other["missed"].fillna(0), weights=other["count"]))
        low, high = difference_of_shares(answered["missed"], answered["count"], without, other["count"].sum())
        miss = "miss" if high < 0 or low > 0 else "are not shown to miss"
        often = "less often" if high < 0 else "more often" if low > 0 else "more or less often"
        sentences.append(
            f"As they are, the answered ones {miss} their own report {often} than the others: "
            f"{answered['missed']:.0%} of them against {without:.0%}."
        )
    return " ".join(sentences)


def words_table(desk: Desk, asked: Sequence[str]) -> pd.DataFrame:
    """One row a text, indexed by it: best study, set size, strangeness p, and what is decided."""
    rows = [
        {
            "asked": words,
            "best film": reply.answers.table["study_id"][0],
            "films in the set": reply.answers.set_size,
            "strangeness p": reply.answers.p_strange,
            "decision": reply.decision,
        }
        for words, reply in zip(asked, desk.ask(list(asked)), strict=True)
    ]
    return pd.DataFrame(rows).set_index("asked").astype({"strangeness p": float})
