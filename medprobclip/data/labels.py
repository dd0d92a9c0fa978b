"""The 14 labels that CheXpert's and NegBio's programs read off reports, as codes of a study.

Irvin et al. 2019, arXiv:1901.07031 (CheXpert); Peng et al. 2018, arXiv:1712.05898 (NegBio). A program's
reading, no expert's: it errs on some reports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from medprobclip.data.coding import NORMAL
from medprobclip.data.missing import is_missing

NO_FINDING_LABEL = "No Finding"
LABELS = (  # as the official files name their columns
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture",
    "Lung Lesion", "Lung Opacity", NO_FINDING_LABEL, "Pleural Effusion", "Pleural Other", "Pneumonia",
    "Pneumothorax", "Support Devices",
)  # fmt: skip
UNCERTAIN = "uncertain"  # qualifier of the code of a label of -1
_ENDS = {"1": "", "-1": f"/{UNCERTAIN}"}


def as_label(value: str) -> str | None:
    """ "1.0" -> "1", "" for what is not mentioned, None for what is no label."""
    if is_missing(value):
        return ""
    try:
        number = float(value)
    except ValueError:
        return None
    return str(int(number)) if number in (-1, 0, 1) else None


def has_labels(columns: Collection[str]) -> bool:
    """Are all 14 columns there?"""
    return set(LABELS) <= set(columns)


def lacking_labels(columns: Collection[str]) -> tuple[str, ...]:
    """The missing ones of the 14 where any is there, in whatever case it is written; () without any."""
    written = {name.casefold() for name in columns}
    if not any(name.casefold() in written for name in LABELS):
        return ()
    return tuple(name for name in LABELS if name not in columns)


def wrong_labels(columns: Mapping[str, Sequence[str]]) -> dict[int, str]:
    """Row -> the first label column whose value is none of 1, 0, -1 and empty; {} without the columns."""
    wrong: dict[int, str] = {}
    for name in LABELS if has_labels(columns) else ():
        bad = {value for value in set(columns[name]) if as_label(value) is None}
        for row, value in enumerate(columns[name]) if bad else ():
            if value in bad:
                wrong.setdefault(row, name)
    return wrong


def label_codes(columns: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """The codes of N studies by their labels: what is present, `Edema`, or may be, `Edema/uncertain`.

    Neither what is denied (0) nor what is not mentioned is a code. Where nothing is found, No Finding is the
    code `normal`; a study without any of these has none, it counts as not coded.
    """
    names = {name: {value: as_label(value) for value in set(columns[name])} for name in LABELS}
    columns = {name: [names[name][value] for value in columns[name]] for name in LABELS}
    codes = []
    for row in zip(*columns.values(), strict=True):
        label = dict(zip(LABELS, row, strict=True))
        none = label.pop(NO_FINDING_LABEL)
        found = [name + _ENDS[value] for name, value in label.items() if value in _ENDS]
        codes.append(tuple(found) or ((NORMAL,) if none == "1" else ()))
    return codes


def coded_by_labels(studies: pd.DataFrame) -> bool:
    """Are the codes of a study table, its column `codes`, those of its labels?"""
    return has_labels(studies) and "codes" in studies and studies["codes"].tolist() == label_codes(studies)
