"""Labels: equal exactly where the same is drawn; a study's entries say what was drawn and what could be."""

import pandas as pd
import pytest

from medprobclip.simulator.appearance import SEPARATOR, appearance_labels, study_appearances
from medprobclip.simulator.corpus import simulate_corpus
from medprobclip.simulator.simulate import SimulationConfig

SAME = [
    ("Opacity/lung/base/right", "Density/lung/base/right/acute"),  # another heading, a word without effect
    ("Pulmonary Atelectasis/left", "Pulmonary Atelectasis/base/left"),  # the base is where it goes anyhow
    ("Emphysema", "Pulmonary Disease, Chronic Obstructive"),
    ("Calcified Granuloma/lung/right", "Granuloma/right"),
    ("Calcinosis/lung/right", "Calcified Granuloma/right"),  # two kinds of the table, one drawing
]
DIFFERENT = [
    ("Opacity/lung/base/right", "Opacity/lung/base/left"),
    ("Cardiomegaly/mild", "Cardiomegaly"),
    ("Opacity/lung/base/right", "Opacity/lung/apex/right"),
    ("Nodule/lung/right", "Nodule/lung/right/multiple"),
    ("Pleural Effusion/right", "Pleural Effusion/right/posterior"),
    ("Technical Quality of Image Unsatisfactory", "normal"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_what_is_drawn_alike_has_one_label(a, b):
    labels = appearance_labels([a, b])
    assert labels[a] == labels[b] != []


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_what_is_drawn_differently_has_two(a, b):
    labels = appearance_labels([a, b])
    assert not set(labels[a]) & set(labels[b])


def test_an_unsaid_side_has_both_labels():
    labels = appearance_labels(["Nodule", "Nodule/right", "Nodule/left", "Nipple Shadow"])
    assert labels["Nodule"] == labels["Nodule/right"] + labels["Nodule/left"]
    assert labels["Nodule"][0].startswith("nodule.")
    assert labels["Nipple Shadow"] == []


def test_entries_name_the_drawn_side_first(tmp_path):
    codes = ("Nodule/lung", "Nipple Shadow", "Cardiomegaly", "Nodule/lung")
    studies = pd.DataFrame(
        {"study_id": [f"CXR{i}" for i in range(12)], "codes": [codes] * 11 + [("normal",)]}
    )
    rendered = simulate_corpus(studies, tmp_path, SimulationConfig(size_px=64), workers=1)
    appearances = study_appearances(studies, rendered)
    labels = appearance_labels(codes)
    right, left = labels["Nodule/lung"]
    assert appearances[-1] == ()
    firsts = set()
    for study_id, entries in zip(studies["study_id"][:-1], appearances[:-1], strict=True):
        assert len(entries) == 3  # the uncovered code shows nothing
        assert entries[1] == labels["Cardiomegaly"][0]
        drawn = rendered[(rendered["study_id"] == study_id) & (rendered["kind"] == "nodule")]["side"]
        for entry, side in zip((entries[0], entries[2]), drawn, strict=True):
            assert entry.split(SEPARATOR) == ([right, left] if side == "right" else [left, right])
            firsts.add(side)
    assert firsts == {"left", "right"}
