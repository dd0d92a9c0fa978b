"""What the chest encoder is taught: patients who are nobody, and labels that name what was drawn in them.

Codes are those of the corpus's training studies, as frequent as there; no report is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medprobclip.data.coding import parse_code
from medprobclip.simulator.appearance import SEPARATOR
from medprobclip.simulator.chest.deformation import FRAME_MM
from medprobclip.simulator.findings import RULES, find_rule

KINDS = tuple(dict.fromkeys(rule.kind for rule in RULES))  # as they stand in the table of findings
MOST_CODES = 4  # of a patient: 0 to 4, each number equally often, so that a fifth is healthy
EVEN_SHARE = 0.5  # of a kind's frequency that is the same for every kind; the rest is as in the studies
PATIENT_SEED = 42  # of the patients and their codes
PARTS = {"validation": 0.05, "held out": 0.1, "train": 0.85}  # shares of the patients
THIRDS = ("lower", "middle", "upper")  # of the radiograph's height


def codes_by_kind(codes: Iterable[str]) -> dict[str, list[str]]:
    """The given codes sorted into `KINDS`, as often as they occur; codes that are not drawn are left out.

    A kind without any gets a code made from its own row of the table of findings.
    """
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for code in codes:
        if rule := find_rule(parse_code(code)):
            found[rule.kind].append(code)
    for rule in RULES:
        if not found[rule.kind]:
            written = ("/".join([rule.heading, word]) for word in sorted(rule.words) or [""])
            found[rule.kind] += [c for c in written if find_rule(parse_code(c)).kind == rule.kind][:1]
    return found


def invent_patients(count: int, codes: dict[str, list[str]]) -> pd.DataFrame:
    """Patients `R000000` … with the columns `study_id` and `codes` (tuple of 0 to `MOST_CODES`).

    A kind's share is half that of every other and half its frequency in `codes`; each patient takes the
    kinds that are furthest behind their share, no kind twice. So rare kinds are seen often enough to be
    learned, and any run of consecutive patients has every kind as often. Within a kind, codes are as
    frequent as in `codes`. The first patients are the same whatever the count.
    """
    rng = np.random.default_rng(PATIENT_SEED)
    kinds, patients = list(codes), []
    frequency = np.array([len(codes[kind]) for kind in kinds], dtype=float)
    share = EVEN_SHARE / len(kinds) + (1 - EVEN_SHARE) * frequency / frequency.sum()
    used = np.zeros(len(kinds))
    for _ in range(count):
        behind = (used + rng.random(len(kinds))) / share
        chosen = np.argsort(behind)[: rng.integers(0, MOST_CODES + 1)]
        used[chosen] += 1
        patients.append(tuple(str(rng.choice(codes[kinds[i]])) for i in chosen))
    return pd.DataFrame({"study_id": [f"R{i:06d}" for i in range(count)], "codes": patients})


def split_patients(count: int) -> dict[str, np.ndarray]:
    """Rows of each of the `PARTS`: consecutive patients, who are in no order but that of the lot.

    Raises ValueError where a part would be empty.
    """
    edges = np.round(np.cumsum(list(PARTS.values())) * count).astype(int)
    rows = dict(zip(PARTS, np.split(np.arange(count), edges[:-1]), strict=True))
    if not all(map(len, rows.values())):
        raise ValueError(f"{count} patients do not fill training, validation and held-out part; take more")
    return rows


@dataclass(frozen=True)
class Lessons:
    """What is to be named in each of N patients: `labels` bool `[N, K]`, and a name for each column.

    The first columns are `KINDS`, in order.
    """

    labels: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.names[: len(KINDS)] == KINDS
        assert self.labels.shape[1] == len(self.names)

    @property
    def kinds(self) -> np.ndarray:
        """The columns of the kinds: bool `[N, len(KINDS)]`."""
        return self.labels[:, : len(KINDS)]


def make_lessons(
    study_ids: Sequence[str],
    appearances: Iterable[tuple[str, ...]],
    rendered: pd.DataFrame,
    training: np.ndarray,
    least_positives: int,
) -> Lessons:
    """The names of what was drawn, from the coarse to the fine.

    Every kind; its side; side and third of the height ("nodule, left, upper"); and its appearance as the
    code has it, with place and severity ("nodule.3fa2c19e", see `study_appearances`). Beyond the kinds, only
    names of at least `least_positives` of the `training` rows are taught.
    """
    row = {study_id: i for i, study_id in enumerate(study_ids)}
    named: dict[str, set[int]] = {kind: set() for kind in KINDS}
    thirds = np.clip(rendered["z_mm"] * len(THIRDS) / FRAME_MM, 0, len(THIRDS) - 1).astype(int)
    drawn = zip(rendered["study_id"], rendered["kind"], rendered["side"], thirds, strict=True)
    for study_id, kind, side, third in drawn:
        for name in (kind, f"{kind}, {side}", f"{kind}, {side}, {THIRDS[third]}"):
            named.setdefault(name, set()).add(row[study_id])
    for study_id, entries in zip(study_ids, appearances, strict=True):
        for entry in entries:
            named.setdefault(entry.split(SEPARATOR)[0], set()).add(row[study_id])
    schooled = set(training.tolist())
    names = [n for n, rows in named.items() if n in KINDS or len(rows & schooled) >= least_positives]
    labels = np.zeros((len(row), len(names)), dtype=bool)
    for column, name in enumerate(names):
        labels[list(named[name]), column] = True
    return Lessons(labels, tuple(names))
