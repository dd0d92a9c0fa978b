"""Examples: a clear sentence for every finding, the same patient without and with it."""

import numpy as np
import pandas as pd
import pytest

from medprobclip.data.openi import load_reports
from medprobclip.simulator.showcase import LONGEST, SHOWN, choose_examples, show_examples
from medprobclip.simulator.simulate import SimulationConfig


def report(study_id, codes, findings):
    return {"study_id": study_id, "sex": "", "codes": codes, "findings": findings, "impression": "Stable."}


def test_prefers_a_plain_sentence_then_a_plain_finding_then_few_codes():
    effusion = [("Pleural Effusion", "", "effusion")]
    reports = [
        report("CXR1", ("Pleural Effusion/small", "Cardiomegaly"), "Small effusion."),
        report("CXR2", ("Pleural Effusion",), "XXXX effusion of 3 cm."),
        report("CXR3", ("Pleural Effusion", "Cardiomegaly"), "Large effusion."),
        report("CXR4", ("Pleural Effusion",), "Heart normal. There is an effusion."),
        report("CXR5", ("Cardiomegaly",), "No effusion."),
    ]
    for expected in ("CXR4", "CXR3", "CXR1", "CXR2"):
        chosen = choose_examples(pd.DataFrame(reports), effusion)
        assert chosen["study_id"].tolist() == [expected]
        reports = [r for r in reports if r["study_id"] != expected]
    assert choose_examples(pd.DataFrame(reports), effusion).empty


def test_every_finding_has_an_example_among_the_real_reports():
    chosen = choose_examples(load_reports())
    assert len(chosen) == len(SHOWN) == 12
    for (heading, word, name), row in zip(SHOWN, chosen.itertuples(), strict=True):
        assert row.code.split("/")[0] == heading
        assert word in row.code
        assert name in row.sentence.lower()
        assert len(row.sentence) <= LONGEST


def test_shows_one_patient_twice():
    chosen = pd.DataFrame(
        [("CXR7", "female", "Emphysema", "a"), ("CXR8", "", "Nodule/lung/left", "b")],
        columns=["study_id", "sex", "code", "sentence"],
    )
    both, single = show_examples(chosen, SimulationConfig(size_px=64))
    assert both.pictures.shape == single.pictures.shape == (2, 2, 64, 64)
    for view in (0, 1):
        left, top, right, bottom = single.boxes[view]
        change = np.abs(np.diff(single.pictures[view].astype(int), axis=0)[0])
        row, column = np.unravel_index(change.argmax(), change.shape)
        assert top - 1 <= row <= bottom + 1
        assert left - 1 <= column <= right + 1
    assert both.boxes[0][0] < 28 < 36 < both.boxes[0][2]  # around both lungs
    assert min(both.conspicuity) > 0
    with pytest.raises(ValueError, match="sex"):
        show_examples(chosen.assign(sex="x"), SimulationConfig(size_px=64))
