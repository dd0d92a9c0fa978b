"""A dozen findings to look at: a real report's code and sentence, the normal patient and the edited one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medprobclip.data.coding import parse_code
from medprobclip.data.reports import sentence_about
from medprobclip.simulator.chest.preparation import load_anatomy
from medprobclip.simulator.projection import VIEWS
from medprobclip.simulator.simulate import SimulationConfig, simulate_study
from medprobclip.simulator.truth import RenderedFinding

# heading of a code, a word that the code must have ("": any), how the sentence names it
SHOWN = (
    ("Cardiomegaly", "", "cardiomegaly"),
    ("Pleural Effusion", "", "effusion"),
    ("Pneumothorax", "", "pneumothora"),
    ("Consolidation", "", "consolidation"),
    ("Pulmonary Atelectasis", "", "atelecta"),
    ("Nodule", "lung", "nodul"),
    ("Calcified Granuloma", "lung", "granuloma"),
    ("Emphysema", "", "emphysema"),
    ("Pulmonary Edema", "", "edema"),
    ("Hernia, Hiatal", "", "hernia"),
    ("Scoliosis", "thoracic vertebrae", "scolio"),
    ("Implanted Medical Device", "left", "pacemaker"),
)
EDGES = ("left", "top", "right", "bottom")
LONGEST = 110  # characters of a quoted sentence


@dataclass(frozen=True)
class Example:
    """One finding in one patient."""

    study_id: str
    code: str
    sentence: str  # of the real report
    pictures: np.ndarray  # uint8 [2, 2, S, S]: PA and lateral; without and with the finding
    boxes: np.ndarray  # int [2, 4]: left, top, right, bottom on either film, of both sides together
    conspicuity: tuple[float, float]  # of the plainer side, PA and lateral


def choose_examples(reports: pd.DataFrame, shown: Sequence[tuple[str, str, str]] = SHOWN) -> pd.DataFrame:
    """One study per entry of `shown`, in its order; entries without any are left out.

    Preferred are a short sentence that names the finding, then a finding that is not mild or seen from the
    side only, then few other codes. Columns `study_id, sex, code, sentence`; `reports` needs `study_id,
    sex, codes, findings, impression`.
    """
    rows = []
    for heading, word, name in shown:
        found = []
        for report in reports.itertuples():
            for code in report.codes:
                if code.split("/")[0] != heading or word not in code:
                    continue
                about = f"{name} {code}"  # the sentence may use another word than the heading
                sentence = sentence_about(f"{report.impression} {report.findings}", about)
                masked_or_sized = re.search(r"XXXX|\d", sentence)  # codes hold no sizes
                clear = name in sentence.lower() and len(sentence) <= LONGEST and not masked_or_sized
                slight = parse_code(code).severity < 1 or "posterior" in code
                order = (not clear, slight, len(report.codes), len(found))
                found.append((order, report.study_id, report.sex, code, sentence))
        if found:
            rows.append(min(found)[1:])
    return pd.DataFrame(rows, columns=["study_id", "sex", "code", "sentence"])


def show_examples(chosen: pd.DataFrame, config: SimulationConfig | None = None) -> list[Example]:
    """Simulate each chosen study with its one code and without it: the same patient, the same noise.

    Raises AssetError if the CT cannot be fetched.
    """
    config = config or SimulationConfig(size_px=224)
    anatomy = load_anatomy(config.pixel_mm)
    examples = []
    for row in chosen.itertuples():
        plain, edited = (
            simulate_study(row.study_id, codes, config, anatomy, row.sex) for codes in ((), (row.code,))
        )
        pictures = np.stack([[s.pictures[view] for s in (plain, edited)] for view in VIEWS])
        boxes = np.stack([_around(edited.rendered, view) for view in VIEWS])
        seen = tuple(max(getattr(r, f"{view}_conspicuity") for r in edited.rendered) for view in VIEWS)
        examples.append(Example(row.study_id, row.code, row.sentence, pictures, boxes, seen))
    return examples


def _around(rendered: list[RenderedFinding], view: str) -> np.ndarray:
    """The box [4] around all that was rendered."""
    edges = np.array([[getattr(r, f"{view}_{edge}") for edge in EDGES] for r in rendered])
    return np.concatenate([edges[:, :2].min(0), edges[:, 2:].max(0)])
