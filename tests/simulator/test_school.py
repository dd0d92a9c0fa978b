"""Invented patients, their parts, and what is taught of them, against tables made by hand."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from medprobclip.data.coding import parse_code
from medprobclip.data.openi import SPLIT_SEED
from medprobclip.data.studies import split_by_patient
from medprobclip.simulator import openi_sim
from medprobclip.simulator.findings import RULES, find_rule
from medprobclip.simulator.school import (
    KINDS,
    Lessons,
    codes_by_kind,
    invent_patients,
    make_lessons,
    split_patients,
)
from medprobclip.simulator.simulate import SimulationConfig, simulate_study

CORPUS = ("Cardiomegaly/mild", "Cardiomegaly/mild", "Cardiac Shadow/enlarged", "normal", "Nipple Shadow")

# Ten kinds and 20 codes, and by hand the share of each: a half of a tenth, and a half of its codes among 20.
CODES = {"a": ["A1"] * 6 + ["A2"] * 2, "b": ["B"] * 4} | {kind: [kind.upper()] for kind in "cdefghij"}
SHARES = {"a": 0.25, "b": 0.15} | dict.fromkeys("cdefghij", 0.075)


def kinds_of(codes: tuple[str, ...]) -> list[str]:
    return [code[0].lower() for code in codes]


def test_kinds_are_those_of_the_table_of_findings():
    assert len(set(KINDS)) == len(KINDS)
    assert set(KINDS) == {rule.kind for rule in RULES}
    assert KINDS[:3] == ("cardiomegaly", "tortuous aorta", "aortic calcification")


def test_codes_keep_their_frequency_and_cover_every_kind():
    codes = codes_by_kind(CORPUS)
    assert codes["cardiomegaly"] == ["Cardiomegaly/mild"] * 2 + ["Cardiac Shadow/enlarged"]
    assert tuple(codes) == KINDS
    for kind, written in codes.items():
        assert len(written) == (3 if kind == "cardiomegaly" else 1)
        assert {find_rule(parse_code(code)).kind for code in written} == {kind}


def test_a_kind_is_half_as_frequent_as_every_other_and_half_as_in_the_studies():
    patients = invent_patients(2000, CODES)["codes"]
    found = Counter(kind for codes in patients for kind in kinds_of(codes))
    total = sum(found.values())
    assert abs(total - 2 * 2000) < 200  # 0 to 4 each; spread 63
    for kind, share in SHARES.items():
        assert abs(found[kind] - share * total) <= 4, kind
    a = Counter(code for codes in patients for code in codes if code[0] == "A")
    assert abs(a["A1"] / a.total() - 0.75) < 0.06  # spread 0.014


def test_any_run_of_patients_has_every_kind_as_often():
    patients = invent_patients(2000, CODES)["codes"]
    for start in range(0, 1900, 37):
        found = Counter(kind for codes in patients[start : start + 100] for kind in kinds_of(codes))
        for kind, share in SHARES.items():
            assert abs(found[kind] - share * found.total()) <= 4, (start, kind)


def test_a_patient_has_none_to_four_findings_of_different_kinds():
    patients = invent_patients(600, codes_by_kind(CORPUS))
    kinds = [[find_rule(parse_code(code)).kind for code in codes] for codes in patients["codes"]]
    assert all(len(set(row)) == len(row) for row in kinds)
    counts = Counter(map(len, kinds))
    assert sorted(counts) == [0, 1, 2, 3, 4]
    assert all(80 < n < 160 for n in counts.values())  # 120 expected, spread 10
    assert set(KINDS) == {kind for row in kinds for kind in row}


def test_the_first_patients_are_the_same_whatever_the_count():
    patients = invent_patients(300, CODES)
    assert patients["study_id"].tolist() == [f"R000{i:03d}" for i in range(300)]
    pd.testing.assert_frame_equal(patients, invent_patients(300, CODES))
    pd.testing.assert_frame_equal(patients.head(50), invent_patients(50, CODES))


def test_patients_are_in_one_part_each():
    """By hand: a twentieth, then a tenth, then the rest, in a row."""
    for count, validation, held_out in ((20, 1, 2), (100, 5, 10), (16000, 800, 1600)):
        parts = split_patients(count)
        assert list(parts) == ["validation", "held out", "train"]
        assert parts["validation"].tolist() == list(range(validation))
        assert parts["held out"].tolist() == list(range(validation, validation + held_out))
        assert parts["train"].tolist() == list(range(validation + held_out, count))
    with pytest.raises(ValueError, match="9 patients do not fill.*take more"):
        split_patients(9)


def drawn(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["study_id", "kind", "side", "z_mm"])


def named(lessons: Lessons, ids: str) -> dict[str, str]:
    """Who has what: the letters of the patients by name, of what anybody has."""
    rows = zip(lessons.names, lessons.labels.T, strict=True)
    return {name: "".join(np.array([*ids])[column]) for name, column in rows if column.any()}


def test_what_was_drawn_is_named_by_kind_side_and_third_of_the_height():
    """The frame is 320 mm high, counted from its lower edge: thirds end at 106.67 and 213.33."""
    rendered = drawn(
        ("b", "nodule", "left", 0.0),
        ("b", "nodule", "right", 106.6),
        ("c", "nodule", "left", 106.7),
        ("c", "effusion", "left", 213.3),
        ("d", "nodule", "left", 213.4),
        ("d", "cardiomegaly", "midline", 160.0),
        ("e", "nodule", "right", 320.0),
        ("f", "mass", "right", -130.0),  # what moved may reach over the edges
        ("f", "mass", "left", 430.0),
    )
    lessons = make_lessons("abcdef", [()] * 6, rendered, np.arange(6), 1)
    assert lessons.names[: len(KINDS)] == KINDS
    assert lessons.labels.shape == (6, len(lessons.names))
    assert named(lessons, "abcdef") == {
        "nodule": "bcde",
        "nodule, left": "bcd",
        "nodule, left, lower": "b",
        "nodule, left, middle": "c",
        "nodule, left, upper": "d",
        "nodule, right": "be",
        "nodule, right, lower": "b",
        "nodule, right, upper": "e",
        "effusion": "c",
        "effusion, left": "c",
        "effusion, left, middle": "c",
        "cardiomegaly": "d",
        "cardiomegaly, midline": "d",
        "cardiomegaly, midline, middle": "d",
        "mass": "f",
        "mass, right": "f",
        "mass, right, lower": "f",
        "mass, left": "f",
        "mass, left, upper": "f",
    }
    assert (lessons.kinds == lessons.labels[:, : len(KINDS)]).all()
    assert lessons.kinds.sum() == 7


def test_an_appearance_is_the_one_that_the_picture_shows():
    """Not those that the code would have allowed as well."""
    appearances = [("nodule.11|nodule.22", "mass.33"), ("nodule.22|nodule.11",), ("nodule.11",)]
    lessons = make_lessons("abc", appearances, drawn(), np.arange(3), 1)
    assert named(lessons, "abc") == {"nodule.11": "ac", "nodule.22": "b", "mass.33": "a"}


def test_what_few_training_patients_have_is_not_taught():
    """Patients are counted, not findings, and those who are not learned from do not count."""
    rendered = drawn(
        ("a", "nodule", "left", 10.0),
        ("b", "nodule", "left", 20.0),
        ("c", "nodule", "left", 150.0),
        ("b", "effusion", "right", 10.0),
        ("b", "effusion", "right", 20.0),
        ("d", "effusion", "right", 20.0),
        ("d", "effusion", "left", 20.0),
        ("e", "effusion", "left", 20.0),
    )
    appearances = [("x.1",), ("y.2", "y.2"), ("x.1",), ("y.2",), ()]
    lessons = make_lessons("abcde", appearances, rendered, np.array([0, 1, 2]), 2)
    assert named(lessons, "abcde") == {
        "nodule": "abc",
        "nodule, left": "abc",
        "nodule, left, lower": "ab",
        "effusion": "bde",  # a kind always is
        "x.1": "ac",
    }
    assert len(lessons.names) == len(KINDS) + 3


def test_healthy_patients_have_no_label():
    lessons = make_lessons("ab", [(), ()], drawn(), np.arange(2), 1)
    assert lessons.names == KINDS
    assert lessons.labels.sum() == 0


def test_thirds_are_where_the_film_shows_them():
    """Of a rendered patient: the box on the PA film, whose rows count from the top."""
    codes = ("Calcified Granuloma/lung/apex/left", "Calcified Granuloma/lung/base/right")
    rows = simulate_study("CXR7", codes, SimulationConfig(size_px=64)).rendered
    rendered = pd.DataFrame(vars(row) for row in rows)
    lessons = make_lessons(["CXR7"], [()], rendered, np.arange(1), 1)
    fine = [name for name in named(lessons, "x") if re.match(r"calcified granuloma, \w+, \w+", name)]
    by_film = {
        row.side: ("upper", "middle", "lower")[(row.pa_top + row.pa_bottom) * 3 // 128] for row in rows
    }
    assert sorted(fine) == sorted(f"calcified granuloma, {side}, {third}" for side, third in by_film.items())
    assert set(by_film) == {"left", "right"}
    assert len(set(by_film.values())) == 2


def test_codes_are_those_of_training_studies_only(monkeypatch):
    """Each study has a code of its own; all have one in common, which counts as often as it was given."""
    reports = pd.DataFrame(
        {
            "study_id": [f"CXR{i}" for i in range(60)],
            "patient_id": [str(i // 2) for i in range(60)],
            "codes": [(f"Nodule/own{i}", "normal") if i % 5 else () for i in range(60)],
        }
    )
    asked = []
    monkeypatch.setattr(openi_sim, "load_reports", lambda *count: asked.append(count) or reports.copy())
    codes = Counter(openi_sim.training_codes())
    assert asked == [()]  # of the whole corpus, whatever a profile takes
    split = split_by_patient(reports, seed=SPLIT_SEED).set_index("study_id")["split"]
    own = {f"Nodule/own{i}": split[f"CXR{i}"] for i in range(60) if i % 5}
    assert set(own.values()) == {"train", "calibrate", "validate", "test"}
    for code, part in own.items():
        assert codes[code] == (part == "train"), (code, part)
    assert codes["normal"] == sum(part == "train" for part in own.values())
    assert codes.total() == 2 * codes["normal"]
