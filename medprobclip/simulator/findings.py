"""The table: OpenI expert code -> where in the chest -> what happens to attenuation or shape.

`RULES` is meant to be read and extended by clinicians: the first row whose heading and words fit a code
draws it. A code without a row is not drawn and is reported as uncovered.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medprobclip.data.coding import NO_FINDING, Coding, parse_code
from medprobclip.simulator.drawing import around_lungs as chest, bones as bone, devices, diffuse, focal
from medprobclip.simulator.drawing.edits import Canvas, Mark

SIDE, BOTH, MIDLINE = "one side", "both sides", "midline"  # what a code means that names no side


@dataclass(frozen=True)
class Rule:
    """One row: which codes, what kind of finding, where it goes if the code does not say, and what
    changes."""

    heading: str
    words: frozenset[str]  # at least one of these must stand in the code; empty: any code of the heading
    kind: str
    unsaid_side: str
    effect: str
    draw: Callable


@dataclass(frozen=True)
class Drawn:
    """One finding drawn in the prepared chest: on one side, or in the midline."""

    kind: str
    code: str
    side: str  # "left", "right" or "midline"
    marks: tuple[Mark, ...]  # all that was changed

    @property
    def points(self) -> np.ndarray:
        """[n, 3] mm in the prepared chest: a sample of where attenuation changed, or else of what moved."""
        pointed = [mark for mark in self.marks if mark.points is not None]
        return np.concatenate([m.points for m in pointed if m.attenuation] or [m.points for m in pointed])

    @property
    def attenuation(self) -> float:
        """Largest change (water = 1); 0 for changes of shape only."""
        return max((mark.attenuation for mark in self.marks), key=abs)


def _rows(headings: str, words: str, kind: str, side: str, effect: str, draw: Callable) -> list[Rule]:
    split = frozenset(w.strip() for w in words.split("|") if w.strip())
    return [Rule(h.strip(), split, kind, side, effect, draw) for h in headings.split("|")]


# fmt: off
RULES: tuple[Rule, ...] = tuple(rule for rows in (
    # heading(s), needed words ('|' = or), kind, side if unsaid, effect, drawn by
    # -- heart, aorta, mediastinum
    _rows("Cardiomegaly | Cardiac Shadow", "",
          "cardiomegaly", MIDLINE, "heart 20-70 % wider, to the left", chest.cardiomegaly),
    _rows("Heart", "prominent | enlarged",
          "cardiomegaly", MIDLINE, "heart wider", chest.cardiomegaly),
    _rows("Pericardial Effusion | Heart Failure", "",
          "cardiomegaly", MIDLINE, "heart wider", chest.cardiomegaly),
    _rows("Aorta | Aorta, Thoracic | Aortic Aneurysm", "",
          "tortuous aorta", MIDLINE,
          "knob and descending aorta bulge 23 mm into the lung", chest.tortuous_aorta),
    _rows("Atherosclerosis", "",
          "aortic calcification", MIDLINE,
          "calcium arcs in the wall of the arch", chest.aortic_calcification),
    _rows("Calcinosis", "aorta | aorta, thoracic | blood vessels",
          "aortic calcification", MIDLINE,
          "calcium arcs in the wall of the arch", chest.aortic_calcification),
    _rows("Mediastinum", "",
          "wide mediastinum", MIDLINE, "soft tissue beside the trachea", chest.mediastinum),
    _rows("Shift", "",
          "mediastinal shift", SIDE, "heart and mediastinum 15 mm over", chest.shift),
    _rows("Epicardial Fat", "",
          "fat pad", SIDE, "fat in the cardiophrenic angle", chest.fat_pad),
    _rows("Hernia, Hiatal", "",
          "hiatal hernia", MIDLINE, "round mass with air-fluid level behind the heart", chest.hiatal_hernia),
    # -- lungs
    _rows("Lung", "hypoinflation",
          "hypoinflation", BOTH, "domes 27 mm higher, crowded vessels", diffuse.hypoinflation),
    _rows("Lung", "hyperdistention",
          "hyperinflation", BOTH, "domes 21 mm lower and flat, chest deep", diffuse.hyperinflation),
    _rows("Lung", "hilum | lymph nodes | blood vessels",
          "large hilum", BOTH, "soft tissue at the hilum", focal.hilum),
    _rows("Lung", "interstitial",
          "interstitial opacity", BOTH, "a net of lines", diffuse.interstitial),
    _rows("Pulmonary Artery | Hypertension, Pulmonary | Lymph Nodes | Lymph nodes | Sarcoidosis", "",
          "large hilum", BOTH, "soft tissue at the hilum", focal.hilum),
    _rows("Opacity | Density", "ribs | clavicle | humerus",
          "bone density", SIDE, "dense spot in a rib", bone.rib_density),
    _rows("Opacity | Airspace Disease | Infiltrate | Density", "interstitial | reticular",
          "interstitial opacity", BOTH, "a net of lines", diffuse.interstitial),
    _rows("Opacity | Airspace Disease | Infiltrate | Density", "streaky",
          "streaky opacity", SIDE, "three thin plates", focal.airspace),
    _rows("Opacity | Density", "round",
          "nodule", SIDE, "a ball of 27 mm", focal.airspace),
    _rows("Opacity | Airspace Disease | Infiltrate | Density", "",
          "airspace opacity", SIDE,
          "two thirds of the air replaced in a cloud of 6 cm; several small ones if patchy or multiple",
          focal.airspace),
    _rows("Consolidation | Pneumonia", "",
          "consolidation", SIDE, "most of the air replaced in 8 cm", focal.consolidation),
    _rows("Pulmonary Atelectasis", "",
          "atelectasis", SIDE, "plates 6 mm thick and a patch or segment, diaphragm 7 mm higher",
          focal.atelectasis),
    _rows("Volume Loss | Pneumonectomy", "",
          "volume loss", SIDE, "dome up, mediastinum over", diffuse.volume_loss),
    _rows("Nodule", "",
          "nodule", SIDE, "soft-tissue ball of 21 mm", focal.nodule),
    _rows("Granuloma | Calcified Granuloma", "",
          "calcified granuloma", SIDE, "calcium ball of 11 mm", focal.granuloma),
    _rows("Sclerosis | Calcinosis", "thoracic vertebrae | lumbar vertebrae | spine",
          "bone density", MIDLINE, "one dense vertebral body", bone.dense_vertebra),
    _rows("Calcinosis", "ribs | cartilage",
          "bone density", SIDE, "dense spot in a rib", bone.rib_density),
    _rows("Calcinosis", "mitral valve",
          "valve calcification", MIDLINE, "a dense ring in the heart", devices.valve),
    _rows("Calcinosis", "",
          "calcification", SIDE, "calcified nodes at hilum or trachea, granuloma, or stone in the abdomen",
          focal.calcinosis),
    _rows("Granulomatous Disease | Tuberculosis", "",
          "granulomatous disease", SIDE, "three calcified granulomas and hilar nodes", focal.granulomatous),
    _rows("Mass", "",
          "mass", SIDE, "ragged ball of 46 mm", focal.mass),
    _rows("Cicatrix", "",
          "scar", SIDE, "thin strands from one centre; at the apex a cap", focal.scar),
    _rows("Markings", "interstitial | reticular",
          "interstitial opacity", BOTH, "a net of lines", diffuse.markings),
    _rows("Markings", "",
          "bronchovascular markings", BOTH, "vessels thicker, hila hazy", diffuse.markings),
    _rows("Lung Diseases, Interstitial | Pulmonary Fibrosis | Cystic Fibrosis | Bronchiectasis | Fibrosis",
          "",
          "interstitial opacity", BOTH, "a net of lines", diffuse.interstitial),
    _rows("Thickening", "bronchi | interstitial | bronchovascular",
          "bronchovascular markings", BOTH, "vessels thicker, hila hazy", diffuse.markings),
    _rows("Pulmonary Congestion | Blood Vessels", "",
          "congestion", BOTH, "wide vessels, hazy hila", diffuse.congestion),
    _rows("Pulmonary Edema", "",
          "oedema", BOTH, "congestion, net, clouds around the hila", diffuse.oedema),
    _rows("Emphysema | Pulmonary Emphysema | Pulmonary Disease, Chronic Obstructive | Bullous Emphysema", "",
          "emphysema", BOTH, "lungs less than half as dense, patchy; domes low and flat", diffuse.emphysema),
    _rows("Lung, Hyperlucent", "",
          "hyperlucent lung", SIDE, "lungs less dense", diffuse.hyperlucent),
    _rows("Blister | Cysts | Cavitation | Lucency", "lung | upper lobe | apex",
          "bulla", SIDE, "air in a thin wall", focal.cavity),
    # -- pleura and diaphragm
    _rows("Pleural Effusion | Hemothorax", "",
          "effusion", SIDE, "fluid with a meniscus, from the angle upwards; posterior: behind only",
          chest.effusion),
    _rows("Costophrenic Angle | Sulcus", "",
          "blunted angle", SIDE, "a little fluid in the angle", chest.blunted_angle),
    _rows("Pneumothorax", "",
          "pneumothorax", SIDE,
          "air along the wall, 28 mm at the apex; a thin lung edge", chest.pneumothorax),
    _rows("Thickening | Pleura", "",
          "pleural thickening", SIDE, "soft tissue 9 mm thick along the wall", chest.pleural_thickening),
    _rows("Diaphragm", "flattened",
          "flat diaphragm", BOTH, "dome 21 mm lower", chest.flat_diaphragm),
    _rows("Diaphragm", "elevated",
          "raised diaphragm", SIDE, "dome 30 mm higher", chest.raised_diaphragm),
    _rows("Diaphragmatic Eventration | Hernia, Diaphragmatic", "",
          "eventration", SIDE, "local bulge of 27 mm", chest.eventration),
    # -- bones
    _rows("Thoracic Vertebrae | Spine | Lumbar Vertebrae | Thoracic vertebrae", "degenerative",
          "degenerative spine", MIDLINE, "dense end plates, spurs", bone.degenerative_spine),
    _rows("Spondylosis | Arthritis | Hyperostosis, Diffuse Idiopathic Skeletal", "",
          "degenerative spine", MIDLINE, "dense end plates, spurs", bone.degenerative_spine),
    _rows("Osteophyte", "",
          "osteophytes", MIDLINE, "large spurs on the bodies", bone.osteophytes),
    _rows("Scoliosis", "",
          "scoliosis", SIDE, "spine 18 mm to one side", bone.scoliosis),
    _rows("Kyphosis", "",
          "kyphosis", MIDLINE, "spine 17 mm back, neck forward", bone.kyphosis),
    _rows("Deformity", "thoracic vertebrae | lumbar vertebrae | spine",
          "collapsed vertebra", MIDLINE, "body lower in front, denser", bone.wedge_vertebra),
    _rows("Fractures, Bone", "thoracic vertebrae | lumbar vertebrae",
          "collapsed vertebra", MIDLINE, "body lower in front, denser", bone.wedge_vertebra),
    _rows("Deformity | Fractures, Bone", "ribs | clavicle | thorax | sternum | healed",
          "fracture", SIDE, "callus and step", bone.bone_injury),
    _rows("Bone Diseases, Metabolic | Osteoporosis", "",
          "pale bones", MIDLINE, "the spine loses two thirds of its mineral", bone.pale_bones),
    _rows("Sclerosis", "",
          "bone density", SIDE, "dense spot in a rib", bone.rib_density),
    # -- devices
    _rows("Catheters, Indwelling", "",
          "catheter", SIDE, "line to the vena cava, sometimes a port", devices.catheter),
    _rows("Implanted Medical Device", "",
          "implant", SIDE, "pacemaker, or the joint, valve or plate the code names", devices.pacemaker),
    _rows("Surgical Instruments | Sutures", "",
          "surgical clips", SIDE, "clips where the code says; mediastinum: sternal wires", devices.clips),
    _rows("Spinal Fusion", "",
          "spinal fusion", MIDLINE, "plate, rods, screws", devices.spinal_fusion),
    _rows("Tube, Inserted", "",
          "tube", SIDE, "tracheal, feeding or chest tube", devices.tube),
    _rows("Medical Device", "",
          "monitor leads", MIDLINE, "electrodes and cables on the skin", devices.leads),
    _rows("Foreign Bodies", "",
          "foreign body", SIDE, "dense fragments", devices.foreign_body),
    _rows("Stents", "",
          "stent", MIDLINE, "wire mesh", devices.stent),
    # -- the image itself
    _rows("Technical Quality of Image Unsatisfactory", "",
          "poor technique", MIDLINE, "turned, tilted, underexposed, or cut off", devices.poor_technique),
) for rule in rows)
# fmt: on


def find_rule(coding: Coding) -> Rule | None:
    """The row that draws a code, or None."""
    for rule in RULES:
        if rule.heading == coding.heading and (not rule.words or rule.words & coding.words):
            return rule
    return None


def is_covered(code: str) -> bool:
    """Whether a code is drawn (or says that there is nothing to draw)."""
    return code in NO_FINDING or find_rule(parse_code(code)) is not None


def side_choices(code: str) -> list[tuple[str, ...]]:
    """The sides on which a code may be drawn: each entry is equally likely; empty if it is not covered.

    `Nodule/left` -> [("left",)]; `Nodule` -> [("right",), ("left",)]; multiple ones: [("right", "left")].
    """
    coding = parse_code(code)
    rule = find_rule(coding)
    if rule is None:
        return []
    if rule.unsaid_side == MIDLINE:
        return [("midline",)]
    if coding.side == "both" or coding.side is None and (coding.multiple or rule.unsaid_side == BOTH):
        return [("right", "left")]
    return [(coding.side,)] if coding.side else [("right",), ("left",)]


def draw_finding(
    canvas: Canvas, code: str, rng: np.random.Generator, sides: tuple[str, ...] | None = None
) -> list[Drawn]:
    """Draw one code on the canvas.

    Args:
        sides: one of `side_choices(code)`; drawn at random if not given.

    Returns:
        one entry per side drawn; none if the code is not covered.
    """
    choices = side_choices(code)
    if not choices:
        return []
    first = int(rng.random() >= 0.5)  # drawn in any case: a code that names the side gets the same numbers
    sides = sides or choices[first % len(choices)]
    coding = parse_code(code)
    rule = find_rule(coding)
    drawn = []
    for side in sides:
        start = len(canvas.marks)
        rule.draw(canvas, coding, side, rng)
        if marks := tuple(canvas.marks[start:]):
            drawn.append(Drawn(rule.kind, code, side, marks))
    return drawn


def count_coverage(codes: Iterable[str]) -> pd.DataFrame:
    """How many codings are drawn and how many are not, by heading, commonest first.

    Returns:
        columns heading, codings, drawn, undrawn; `normal` and `No Indexing` count as drawn (there is
        nothing to draw).
    """
    counts: dict[str, list[int]] = {}
    for code in codes:
        counts.setdefault(parse_code(code).heading, [0, 0])[not is_covered(code)] += 1
    rows = [(heading, drawn + undrawn, drawn, undrawn) for heading, (drawn, undrawn) in counts.items()]
    table = pd.DataFrame(rows, columns=["heading", "codings", "drawn", "undrawn"])
    return table.sort_values(["codings", "heading"], ascending=[False, True], ignore_index=True)
