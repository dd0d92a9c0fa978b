"""What a view's name says: frontal or lateral, and which radiograph stands for a study."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from medprobclip.data.missing import visible
from medprobclip.data.privacy import as_name

# In order of preference: which image stands for a study. An unknown name comes before what is known not to be
# frontal, because it may hide a frontal film.
PA, AP, FRONTAL, UNKNOWN, OBLIQUE, LATERAL = "PA", "AP", "FRONTAL", "unknown", "OBLIQUE", "LATERAL"
PREFERENCE = (PA, AP, FRONTAL, UNKNOWN, OBLIQUE, LATERAL)
FRONTAL_KINDS = (PA, AP, FRONTAL)
# As MIMIC-CXR, OpenI, PadChest and DICOM's View Position write them; what is not a letter parts words.
_WORDS = {
    PA: ("PA", "P A", "POSTEROANTERIOR", "POSTERIORANTERIOR", "POSTERO ANTERIOR", "POSTERIOR ANTERIOR"),
    AP: ("AP", "A P", "ANTEROPOSTERIOR", "ANTERIORPOSTERIOR", "ANTERO POSTERIOR", "ANTERIOR POSTERIOR"),
    FRONTAL: ("FRONTAL", "LORDOTIC", "AXIAL"),
    OBLIQUE: ("LAO", "RAO", "LPO", "RPO", "OBLIQUE", "OBL"),
    LATERAL: (
        "LATERAL", "LAT", "LL", "RL", "LLAT", "RLAT", "SWIMMERS", "SWIMMER S", "XTABLE", "X TABLE",
        "CROSS TABLE", "PROFILE",
    ),
}  # fmt: skip
# A patient on the side is taken from the front, though "lateral decubitus" says lateral; on the back or front
# (dorsal, ventral decubitus) from the side.
_DECUBITUS = ("DECUBITUS", "DECUB", "DEC", "LLD", "RLD")
_ALONE = {"L": LATERAL, "R": LATERAL}  # as PadChest writes it; beside other words it names a side


def view_kind(name: str) -> str:
    """One of `PREFERENCE`: "AP Supine" is AP, "PA LLD" PA, "XTABLE LATERAL" LATERAL, "" unknown.

    A name that says both ("PA AND LATERAL", of an examination) or denies it is unknown.
    """
    words = " ".join(re.sub(r"[^A-Z]+", " ", visible(name).upper()).split())
    if words in _ALONE:
        return _ALONE[words]
    spaced = f" {words} "

    def says(*names: str) -> bool:
        return any(f" {known} " in spaced for known in names)

    found = [kind for kind, names in _WORDS.items() if says(*names)]
    if says("NON", "NOT", "NO", "OR"):
        return UNKNOWN
    if says(*_DECUBITUS):
        if says("DORSAL", "VENTRAL"):
            return LATERAL
        return next((kind for kind in found if kind in (PA, AP)), FRONTAL)
    if OBLIQUE in found:
        return OBLIQUE
    frontal = [kind for kind in found if kind in FRONTAL_KINDS]
    if (LATERAL in found and frontal) or {PA, AP} <= set(found):
        return UNKNOWN
    return next(iter(found), UNKNOWN)


def reference_view(view_names: Sequence[str]) -> int:
    """Index of the image that stands for a study: the first of its most frontal kind, PA before AP.

    An image of unknown view comes before an oblique or lateral one: a frontal film under an unusual name is
    not passed over for the lateral. Raises ValueError for a study without images.
    """
    if not view_names:
        raise ValueError("a study without images has no reference view")
    return min(range(len(view_names)), key=lambda i: PREFERENCE.index(view_kind(view_names[i])))


def has_frontal_view(view_names: Iterable[str]) -> bool:
    """Is one of the views frontal?"""
    return any(view_kind(name) in FRONTAL_KINDS for name in view_names)


def unknown_views(studies: Iterable[Sequence[str]]) -> dict[str, int]:
    """View names that `view_kind` does not know -> how many images have them, most frequent first."""
    names = Counter(name for views in studies for name in views)
    return {name: n for name, n in names.most_common() if view_kind(name) == UNKNOWN}


def named_views(counts: dict[str, int], most: int = 8) -> str:
    """What `unknown_views` found, in a line: "'' 12 times, 'CHEST' 3 times"."""
    named = [f"'{as_name(name, 5)}' {n} time{'s' * (n != 1)}" for name, n in list(counts.items())[:most]]
    return ", ".join(named) + (f" and {len(counts) - most} more" if len(counts) > most else "")
