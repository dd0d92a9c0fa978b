"""The thirteen findings of CheXpert, read off OpenI's expert codes or from the labels themselves.

`CHEXPERT` is meant to be read and extended by clinicians. It follows the phrases that CheXpert's labeller
searches reports for (Irvin et al. 2019; stanfordmlgroup/chexpert-labeler, phrases/mention): a code belongs
to a finding where the words of its heading would be a mention of it, and so a finding of the lung may be two
(a nodular opacity is a lesion and an opacity). What the labeller lists under no finding stays without one:
granulomas and other calcifications, blunt angles, volume loss, deformity, prominent markings other than
interstitial ones. Departures, where the phrase names no organ: fibrosis is of the lung, not of the pleura;
opacities, nodules and scars outside the lungs are not of the lung; calcified pleura is a pleural finding.
Clips, wires, sutures and stents are counted as devices.

CheXpert's hierarchy (Cardiomegaly below Enlarged Cardiomediastinum; Edema, Consolidation, Pneumonia,
Atelectasis and Lung Lesion below Lung Opacity) is not propagated: the labels of CheXpert and MIMIC-CXR are
per mention, too, and a parent that holds its children would be scored by prompts that do not name them.
An expert's code has no doubt: a borderline finding is present. A label may have one (`labels.UNCERTAIN`): a
study is then not judged in that finding, the policy that Irvin et al. 2019 call U-Ignore. A finding that is
not coded is absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from medprobclip.data.coding import NO_FINDING, UNCODED, parse_code
from medprobclip.data.labels import LABELS, NO_FINDING_LABEL, UNCERTAIN

FINDINGS = (  # as named and ordered in Table 2 of arXiv 2602.16019
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Airspace Opacity",  # CheXpert's Lung Opacity
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
# A label as the official files call it -> the finding.
LABELLED = {name: name for name in LABELS if name != NO_FINDING_LABEL} | {"Lung Opacity": "Airspace Opacity"}


@dataclass(frozen=True)
class Entry:
    """One row: codes of one of these headings that count as a finding."""

    finding: str
    headings: tuple[str, ...]
    words: tuple[str, ...]  # at least one of these must stand in the code; empty: any code of the heading
    without: tuple[str, ...]  # none of these may

    def covers(self, code: str) -> bool:
        """Whether a code, such as `Opacity/lung/base/left`, is one of this row."""
        coding = parse_code(code)
        fits = not self.words or bool(coding.words & set(self.words))
        return coding.heading in self.headings and fits and not coding.words & set(self.without)

    def __str__(self) -> str:
        limits = [" or ".join(self.words), "not " + " or ".join(self.without) if self.without else ""]
        shown = ", ".join(limit for limit in limits if limit)
        return " | ".join(self.headings) + (f" ({shown})" if shown else "")


def _row(finding: str, headings: str, words: str = "", without: str = "") -> Entry:
    parts = (tuple(p.strip() for p in text.split("|") if p.strip()) for text in (headings, words, without))
    return Entry(finding, *parts)


_OUTSIDE = (  # no code names the lung and one of these
    "pleura | mediastinum | paratracheal | heart | supracardiac | cardiophrenic angle | thorax | ribs | "
    "clavicle | sternum | breast | adipose tissue"
)
# fmt: off
CHEXPERT: tuple[Entry, ...] = (
    # finding, heading(s), needed words ('|' = or), words that rule it out
    _row("Enlarged Cardiomediastinum", "Mediastinum", "prominent | enlarged", "lymph nodes"),
    _row("Cardiomegaly", "Cardiomegaly"),
    _row("Cardiomegaly", "Cardiac Shadow | Heart", "enlarged | prominent | borderline"),
    _row("Lung Lesion", "Nodule | Mass", without="breast | mediastinum"),
    _row("Lung Lesion", "Opacity | Density", "round", _OUTSIDE),  # "nodular opacity", "nodular density"
    _row("Lung Lesion", "Cavitation", "lung"),
    _row("Airspace Opacity", "Opacity | Density", without=_OUTSIDE),
    _row("Airspace Opacity", "Airspace Disease | Infiltrate"),
    _row("Airspace Opacity", "Markings | Lung", "interstitial | reticular"),
    _row("Airspace Opacity", "Lung Diseases, Interstitial | Pulmonary Fibrosis | Fibrosis"),
    _row("Airspace Opacity", "Cicatrix", without=_OUTSIDE),  # "parenchymal scarring"
    _row("Airspace Opacity", "Thickening", "bronchi | bronchovascular | interstitial"),
    _row("Edema", "Pulmonary Edema | Pulmonary Congestion | Heart Failure"),
    _row("Edema", "Blood Vessels", "prominent"),
    _row("Consolidation", "Consolidation"),
    _row("Pneumonia", "Pneumonia"),
    _row("Atelectasis", "Pulmonary Atelectasis"),
    _row("Pneumothorax", "Pneumothorax | Hydropneumothorax | Hemopneumothorax"),
    _row("Pleural Effusion", "Pleural Effusion | Hemothorax | Hydropneumothorax | Hemopneumothorax"),
    _row("Pleural Other", "Thickening | Cicatrix | Calcinosis | Opacity | Density | Deformity | Sclerosis",
         "pleura"),
    _row("Pleural Other", "Pleura", "abnormal"),
    _row("Fracture", "Fractures, Bone"),
    _row("Support Devices", "Catheters, Indwelling | Tube, Inserted | Stents | Medical Device | "
         "Implanted Medical Device | Spinal Fusion | Surgical Instruments | Sutures"),
)
# fmt: on


@cache
def findings_of(code: str) -> frozenset[str]:
    """The findings that a code, an expert's or a label's, stands for: none, one or several."""
    coding = parse_code(code)
    if UNCERTAIN in coding.words:
        return frozenset()
    labelled = {LABELLED[coding.heading]} if coding.heading in LABELLED else set()
    return frozenset(labelled | {entry.finding for entry in CHEXPERT if entry.covers(code)})


def label_findings(codes: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """Which findings each study's codes name: N tuples of codes -> bool `[N, 13]`, columns `FINDINGS`.

    The row of a study that nobody coded holds no finding because nobody looked: drop it by `coded` before
    anything is counted or scored.
    """
    found = [frozenset().union(*map(findings_of, study)) for study in codes]
    rows = [[finding in study for finding in FINDINGS] for study in found]
    return pd.DataFrame(np.array(rows, dtype=bool).reshape(-1, len(FINDINGS)), columns=list(FINDINGS))


def unsure_findings(codes: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """Which findings each study may have, by an uncertain label: bool `[N, 13]`, columns `FINDINGS`."""
    end = f"/{UNCERTAIN}"
    return label_findings([
        tuple(code.removesuffix(end) for code in study if code.endswith(end)) for study in codes
    ])  # fmt: skip


def judged_findings(codes: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """`label_findings`, but missing (`<NA>`) where a label is uncertain: nullable boolean `[N, 13]`."""
    codes = list(codes)
    return label_findings(codes).astype("boolean").mask(unsure_findings(codes))


def coded(codes: Iterable[tuple[str, ...]]) -> np.ndarray:
    """Which studies can be judged: bool `[N]`, False without codes and for OpenI's "No Indexing"."""
    return np.array([bool(set(study) - {UNCODED}) for study in codes], dtype=bool)


def no_finding(labels: pd.DataFrame) -> pd.Series:
    """Which studies have none of the thirteen findings: bool `[N, 13]` -> nullable boolean `[N]`.

    Of `judged_findings`, a study with no finding present and one uncertain is missing: it is not judged.
    CheXpert's own No Finding differs both ways: a device leaves it standing, other abnormalities such as
    scoliosis do not. Here a study is without finding whatever else is coded; `other_findings` counts those.
    """
    known = labels[list(FINDINGS)].astype("boolean")
    present, unsure = (t.to_numpy(dtype=bool).any(axis=1) for t in (known.fillna(False), known.isna()))
    return pd.Series(~present, index=labels.index, dtype="boolean").mask(~present & unsure)


def other_findings(codes: Iterable[tuple[str, ...]]) -> np.ndarray:
    """Which studies count as No Finding although something outside the thirteen is coded: bool `[N]`.

    One that may have a finding, by an uncertain label, does not count.
    """
    codes = list(codes)
    abnormal = np.array([bool(set(study) - set(NO_FINDING)) for study in codes], dtype=bool)
    return abnormal & no_finding(judged_findings(codes)).fillna(False).to_numpy(dtype=bool)


def mapping_table(codes: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """The table for display: columns `finding`, `headings` and `studies`, how many of `codes` have it.

    Headings ("|" = or) are followed by the words that a code needs or must not have.
    """
    counts = label_findings(codes).sum()
    rows = [
        {
            "finding": finding,
            "headings": "; ".join(str(entry) for entry in CHEXPERT if entry.finding == finding),
            "studies": int(counts[finding]),
        }
        for finding in FINDINGS
    ]
    return pd.DataFrame(rows)


def label_table(codes: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """The same where codes are labels: columns `label`, `finding`, `present`, `uncertain` and `absent`.

    The last three are counts of the studies that are coded. Absent is what is denied or not mentioned;
    uncertain labels are left out of what is judged.
    """
    codes = list(codes)
    judged = judged_findings(codes)[coded(codes)]
    rows = [
        {
            "label": label,
            "finding": finding,
            "present": int(judged[finding].sum()),
            "uncertain": int(judged[finding].isna().sum()),
            "absent": int((~judged[finding]).sum()),
        }
        for finding in FINDINGS
        for label, name in LABELLED.items()
        if name == finding
    ]
    return pd.DataFrame(rows)


def unmapped(codes: Iterable[tuple[str, ...]]) -> pd.DataFrame:
    """Headings with codes that stand for no finding, for review, commonest first.

    Columns: `heading`; `unmapped` and `mapped`, the codings of the heading without and with a finding;
    `example`, the commonest code without. `normal` and "No Indexing" are left out.
    """
    counts = Counter(code for study in codes for code in study if code not in NO_FINDING)
    rows: dict[str, dict] = {}
    for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        heading = parse_code(code).heading
        row = rows.setdefault(heading, {"heading": heading, "unmapped": 0, "mapped": 0, "example": ""})
        row["mapped" if findings_of(code) else "unmapped"] += count
        if not findings_of(code):
            row["example"] = row["example"] or code
    table = pd.DataFrame(rows.values(), columns=["heading", "unmapped", "mapped", "example"])
    table = table[table["unmapped"] > 0]
    return table.sort_values(["unmapped", "heading"], ascending=[False, True], ignore_index=True)
