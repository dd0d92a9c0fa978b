"""A share of the validation patients is set aside: whole ones, always the same, at a cost that is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from medprobclip.data.disjoint import check_disjoint
from medprobclip.data.studies import StudyTableError, write_studies
from medprobclip.training.calibration_share import (
    drawn_for_calibration,
    part_problems,
    same_patient,
    shared_validation,
)


def table(patients, **columns) -> pd.DataFrame:
    n = len(patients)
    base = {
        "study_id": [f"s{i}" for i in range(n)],
        "image_paths": [(f"/none/{i}.png",) for i in range(n)],
        "view_names": [("PA",)] * n,
        "findings": ["Clear."] * n,
        "impression": ["Clear."] * n,
        "patient_id": list(patients),
    }
    return pd.DataFrame(base | columns, dtype=object)


PATIENTS = st.lists(st.integers(0, 12).map(lambda i: f"p{i}"), min_size=2, max_size=40).filter(
    lambda ids: len(set(ids)) > 1
)
SHARES = st.floats(0.01, 0.99)


@settings(max_examples=40)
@given(PATIENTS, SHARES, st.randoms(use_true_random=False))
def test_parts_are_disjoint_by_patient_complete_as_asked_and_of_no_order(patients, share, random):
    studies = table(patients)
    parts, _ = shared_validation(studies, share)
    check_disjoint(parts)
    whole = pd.concat(parts.values()).sort_values("study_id", key=lambda ids: ids.str[1:].astype(int))
    pd.testing.assert_frame_equal(whole.reset_index(drop=True), studies)
    for part in parts.values():
        numbers = [int(study[1:]) for study in part["study_id"]]
        assert numbers == sorted(numbers)  # in the table's order
    everyone = len(set(patients))
    found = parts["calibration"]["patient_id"].nunique()
    assert 1 <= found <= everyone - 1
    assert abs(found - share * everyone) <= 0.5 or found in (1, everyone - 1)
    order = list(range(len(studies)))
    random.shuffle(order)
    again, _ = shared_validation(studies.iloc[order].reset_index(drop=True), share)
    assert set(again["calibration"]["study_id"]) == set(parts["calibration"]["study_id"])


@settings(max_examples=40)
@given(PATIENTS, SHARES, SHARES)
def test_a_larger_share_keeps_those_of_a_smaller(patients, one, other):
    smaller, larger = (drawn_for_calibration(table(patients), s) for s in sorted((one, other)))
    assert not (smaller & ~larger).any()


def test_the_draw_never_changes():
    """A run that was interrupted before an update goes on with the same studies after it."""
    studies = table([f"p{i}" for i in range(10)])
    assert studies["patient_id"][drawn_for_calibration(studies, 0.4)].tolist() == ["p1", "p3", "p7", "p9"]
    written = table([f" P{i}" for i in range(10)])  # the same patients, written otherwise
    assert (drawn_for_calibration(studies, 0.4) == drawn_for_calibration(written, 0.4)).all()


def test_patients_who_share_a_number_are_drawn_together_in_any_order():
    studies = table("abcdefghijkl", mrn=[f"{i // 2}" for i in range(12)])
    there, back = studies, studies[::-1].reset_index(drop=True)
    drawn = [set(part["patient_id"][drawn_for_calibration(part, 0.5)]) for part in (there, back)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 6
    assert all((a in drawn[0]) == (b in drawn[0]) for a, b in ("ab", "cd", "ef", "gh", "ij", "kl"))


def naive_groups(marks: list[set]) -> set[frozenset[int]]:
    """Studies joined until nothing changes."""
    groups = [({i}, set(mark)) for i, mark in enumerate(marks)]
    merged = True
    while merged:
        merged = False
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                if not merged and groups[a][1] & groups[b][1]:
                    groups[a] = (groups[a][0] | groups[b][0], groups[a][1] | groups[b][1])
                    del groups[b]
                    merged = True
                    break
            if merged:
                break
    return {frozenset(rows) for rows, _ in groups}


SOME = st.integers(0, 5)


@given(st.lists(st.tuples(SOME, SOME, st.lists(st.integers(0, 20), min_size=1, max_size=3)), max_size=12))
def test_what_shares_any_id_or_picture_stays_together(rows):
    """Two kinds of ids (0: none) and files, of which two that differ by ten show the same."""
    patient, mrn = (["" if row[k] == 0 else f"n{row[k]}" for row in rows] for k in (0, 1))
    paths = [tuple(f"/none/{i}.png" for i in row[2]) for row in rows]
    studies = table(patient, mrn=mrn, image_paths=pd.Series(paths, dtype=object))
    content = lambda path: int(Path(path).stem) % 10  # noqa: E731
    found = same_patient(studies, content)
    assert len(found) == len(rows)
    marks = [
        {mark for mark in (("patient", row[0]), ("mrn", row[1])) if mark[1]} | {i % 10 for i in row[2]}
        for row in rows
    ]
    groups = {frozenset(np.flatnonzero(found == g).tolist()) for g in set(found.tolist())}
    assert groups == naive_groups(marks)


def test_studies_without_patients_are_drawn_and_said_to_void_what_is_promised():
    studies = table(["a"] * 10).drop(columns="patient_id")
    parts, (cost, void) = shared_validation(studies, 0.3)
    assert [len(part) for part in parts.values()] == [7, 3]
    assert cost.startswith("3 of 10 studies are set aside to calibrate on. The other 7 choose the epoch")
    assert "not comparable with those of runs that chose on all 10" in cost
    assert void.startswith("no column names patients: a patient may stand both")
    assert "voids what calibration promises for new patients" in void
    parts, (cost, void) = shared_validation(table(["a", "a", "", "b", "nan", "c"]), 0.5)
    assert void.startswith("2 studies have no patient_id: ")
    assert len(shared_validation(table(["a", "a", "b"]), 0.5)[1]) == 1
    assert "studies (1 of 2 patients) are set aside" in shared_validation(table(["a", "b"]), 0.5)[1][0]


@pytest.mark.parametrize(
    "studies",
    [table(["a"] * 5), table(["a", "b"], mrn=["1", "1"]), table(["a", "b"], image_paths=[("/x.png",)] * 2)],
)
def test_one_patient_cannot_be_parted(studies):
    with pytest.raises(StudyTableError, match=rf"all {len(studies)} studies belong to one patient or share"):
        drawn_for_calibration(studies, 0.5)


def test_files_of_others_are_not_written_over(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").touch()
    studies = table("abcd", image_paths=[(str(tmp_path / f"{i}.png"),) for i in range(4)])
    parts, _ = shared_validation(studies, 0.5)
    assert list(part_problems(parts, tmp_path, 0.5)) == []
    write_studies(parts["validation"], tmp_path / "validate.csv")
    write_studies(parts["calibration"], tmp_path / "calibrate.csv")
    assert list(part_problems(parts, tmp_path, 0.5)) == []
    write_studies(studies, tmp_path / "validate.csv")
    (tmp_path / "calibrate.csv").write_text("a note")
    for problem, name in zip(part_problems(parts, tmp_path, 0.5), ("validat", "calibrat"), strict=True):
        assert problem.startswith(f"{tmp_path}/{name}e.csv: exists, but is not the {name}ion part that")
        assert "--calibrate_share 0.5 gives. Choose another --out" in problem
