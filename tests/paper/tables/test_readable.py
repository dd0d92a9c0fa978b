"""Tables for readers: plain names, the numbers of one method, rounded."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from medprobclip.evaluation.calibration import CALIBRATORS
from medprobclip.evaluation.confidence import LABELS
from medprobclip.evaluation.retrieval import DIRECTIONS
from medprobclip.paper.tables.readable import (
    QUESTIONS,
    areas_of,
    calibration_of,
    confidences_of,
    correlations_of,
    less_entropy,
    named_confidences,
    trained_runs,
)


def test_runs_and_chosen_confidences_have_names():
    run = SimpleNamespace(truth=range(20))
    runs = trained_runs({"medprobclip": [run] * 3, "clip": [run]})
    assert runs["trained runs"].to_dict() == {"MedProbCLIP": 3, "CLIP": 1}
    assert runs["test studies"].tolist() == [20, 20]
    chosen = named_confidences({("clip", "i2t"): "entropy", ("clip", "t2i"): "margin"})
    assert chosen.to_dict("index") == {
        "CLIP": {"image to text": LABELS["entropy"], "text to image": LABELS["margin"]}
    }


def test_areas_of_one_method():
    rows = [
        {"direction": d, "k": k, "method": m, "value": 0.51234, "low": 0.4, "high": 0.6, "oracle": 0.1,
         "random": 0.7 if m == "clip" else 9}
        for d in DIRECTIONS for k in (1, 10) for m in ("medprobclip", "clip")
    ]  # fmt: skip
    table = areas_of(pd.DataFrame(rows), "clip")
    assert table.index[1] == ("image to text", "the first 10")
    assert table.loc[("text to image", "the first 1")].tolist() == [0.1, 0.512, 0.4, 0.6, 0.7]
    assert len(table) == 4


def test_confidences_are_means_over_k_and_entropy_is_compared_with_its_interval():
    rows = []
    for direction in DIRECTIONS:
        for k in (1, 10):
            for i, name in enumerate(LABELS):
                row = {"method": "clip", "direction": direction, "k": k, "confidence": name}
                row |= {"excess": i + k / 10, "augrc": i / 2}
                known = name == "variance" and k == 10
                bounds = (0.1234, 0.1, 0.2) if known else (np.nan,) * 3
                row |= dict(
                    zip(("less_entropy", "less_entropy_low", "less_entropy_high"), bounds, strict=True)
                )
                rows.append(row)
    selective = pd.DataFrame(rows)
    table = confidences_of(selective, "clip")
    assert table.index.tolist() == list(LABELS.values())
    assert table[("text to image", "excess AURC")].tolist() == [0.55, 1.55, 2.55, 3.55, 4.55, 5.55]
    assert table[("image to text", "AUGRC")].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    said = less_entropy(selective)
    assert said.loc["CLIP"].tolist() == ["+0.123 [+0.100, +0.200]"] * 2


def test_calibration_stands_by_question():
    names = ("p", "matches", "ace", "ace_bias", "brier", "brier_constant")
    rows = [
        {"method": "clip", "level": level, "calibrator": fit, **dict.fromkeys(names, i)}
        for fit in CALIBRATORS for i, level in enumerate(QUESTIONS)
    ]  # fmt: skip
    table = calibration_of(pd.DataFrame(rows), "clip")
    assert table.index.tolist() == [(q, f) for q in QUESTIONS.values() for f in CALIBRATORS.values()]
    assert table["Brier score"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_correlations_leave_open_what_was_not_measured():
    row = {"method": "clip", "rho": 0.304, "rho_low": 0.2, "rho_high": 0.4, "partial": -0.1,
           "partial_low": -0.2, "partial_high": 0.0}  # fmt: skip
    unknown = dict.fromkeys(("partial", "partial_low", "partial_high"), np.nan)
    knowledge = pd.DataFrame([
        row | {"side": "image", "property": "severity"} | unknown,
        row | {"side": "image", "property": "sharing"},
        row | {"side": "report", "property": "sharing"},
    ])  # fmt: skip
    table = correlations_of(knowledge, "clip")
    known = ["+0.30 [+0.20, +0.40]", "-0.10 [-0.20, +0.00]"]
    assert table.loc["test studies with the same coding"].tolist() == known * 2
    assert table.loc["severity of a fault, mean of the faults"].tolist() == [known[0], "", "", ""]
