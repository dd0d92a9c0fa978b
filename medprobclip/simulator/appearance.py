"""Which expert codes look the same: a label per code and side, equal exactly where the same thing is drawn.

From these labels follows what a perfect reader of the pictures could know of a report, see
`evaluation/ceiling.py`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pandas as pd

from medprobclip.data.coding import parse_code
from medprobclip.simulator.chest.deformation import Shape
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.drawing.edits import Canvas
from medprobclip.simulator.findings import draw_finding, find_rule, side_choices
from medprobclip.support.progress import with_progress

VOXEL_MM = 5.0  # labels are made in a coarse chest: quick, and the same for every picture size
SEED = 20240607  # of the one drawing by which codes are compared
SEPARATOR = "|"  # between labels that were equally likely


def appearance_labels(codes: Iterable[str]) -> dict[str, list[str]]:
    """A label for each of `side_choices(code)`, in their order, e.g. "nodule.3fa2c19e".

    Every choice is drawn in the same chest with the same random numbers; the label is a hash of all that
    changed, behind the kind of finding (of several kinds that draw the same, the first by code). So
    `Opacity/lung/base` drawn at the right and `Density/lung/base/right` have one label, and no list has to
    say which words of a code matter. Codes that are not covered have none.

    Raises AssetError if the CT cannot be fetched.
    """
    distinct = sorted(set(codes))
    chest = load_anatomy(VOXEL_MM)
    labels: dict[str, list[str]] = {}
    names: dict[str, str] = {}  # by hash
    for code in with_progress(distinct, "comparing codes", "code"):
        labels[code] = []
        for sides in side_choices(code):
            canvas = Canvas(chest, Shape(), chest.attenuation.copy())
            draw_finding(canvas, code, np.random.default_rng(SEED), sides)
            digest = _digest(canvas)
            kind = find_rule(parse_code(code)).kind.replace(" ", "_")
            labels[code].append(names.setdefault(digest, f"{kind}.{digest}"))
    return labels


def study_appearances(studies: pd.DataFrame, rendered: pd.DataFrame) -> list[tuple[str, ...]]:
    """What each study shows, one entry per drawn code: the label drawn, then the equally likely others.

    A code that names no side was drawn on a random one: its entry is "nodule.3fa2c19e|nodule.77be01d2", the
    first is what the picture shows. `studies` needs `study_id` and `codes`, `rendered` is the simulator's
    truth (`simulate_corpus`).
    """
    labels = appearance_labels(code for codes in studies["codes"] for code in codes)
    sides = defaultdict(list)  # of each study's codes, in the order of drawing
    for row in rendered.itertuples():
        sides[row.study_id, row.code].append(row.side)
    appearances = []
    for study_id, codes in zip(studies["study_id"], studies["codes"], strict=True):
        entries = []
        for code in codes:
            if found := labels[code]:
                shown = 0
                if len(found) > 1:
                    shown = side_choices(code).index((sides[study_id, code].pop(0),))
                entries.append(
                    SEPARATOR.join([found[shown], *(x for i, x in enumerate(found) if i != shown)])
                )
        appearances.append(tuple(entries))
    return appearances


def _digest(canvas: Canvas) -> str:
    digest = hashlib.sha256()
    for mark in canvas.marks:
        digest.update(repr((mark.where, mark.change, mark.film)).encode())
        if mark.delta is not None:
            digest.update(np.round(mark.delta, 4).tobytes())
    return digest.hexdigest()[:8]
