"""Which studies say the same: known groups in a small table, and near neighbours counted one by one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from medprobclip.data.labels import LABELS
from medprobclip.data.lookalikes import (
    CODED,
    IMPRESSIONS,
    LABELLED,
    LONGEST,
    NEAR,
    NEARLY,
    WORDED,
    alike_sizes,
    choose_lookalikes,
    near_identical_sizes,
    report_texts,
)
from medprobclip.data.report_similarity import ReportSimilarity, tfidf

BASES = (
    "Bones are intact and soft tissues unremarkable. Mediastinal contours and hilar structures are stable.",
    "Comparison was made with the previous radiograph of the patient. Vascularity remains ordinary today.",
)
LOW = [f"Lung volumes {verb} low. {BASES[0]}" for verb in ("are", "remain", "appear")]
LARGE = [
    "Mild cardiomegaly.",
    "Heart slightly large.",
    "Some enlargement of the heart.",
    "Mild cardiomegaly.",
]


def table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Studies of (code, findings, impression), each with a lateral and a PA view."""
    return pd.DataFrame({
        "study_id": [f"S{i}" for i in range(len(rows))],
        "image_paths": [(Path(f"{i}_lateral.png"), Path(f"{i}_pa.png")) for i in range(len(rows))],
        "view_names": [("LATERAL", "PA")] * len(rows),
        "codes": [(code,) for code, _, _ in rows],
        "findings": [findings for _, findings, _ in rows],
        "impression": [impression for _, _, impression in rows],
    })  # fmt: skip


def known() -> pd.DataFrame:
    """Four normal and three abnormal studies worded alike, three nearly, four coded alike, one alone."""
    rows = [("normal", "The lungs are clear. Heart normal.", f"Nothing acute {i}.") for i in range(4)]
    rows += [("Spondylosis/spine", "No effusion. Thoracic spondylosis..", f"Stable {i}.") for i in range(3)]
    rows += [("Lung/hypoinflation", text, "Low volumes.") for text in LOW]
    rows += [("Cardiomegaly/mild", text, "") for text in LARGE]
    return table([*rows, ("Emphysema", "Emphysema.", "")])


def test_known_groups_are_found():
    groups = choose_lookalikes(known())
    assert [(g.title, g.coding, g.shared) for g in groups] == [
        (WORDED, "normal", 4),
        (WORDED, "Spondylosis/spine", 3),
        (NEARLY, "Lung/hypoinflation", 3),
        (CODED, "Cardiomegaly/mild", 4),
    ]
    assert [g.rows for g in groups[:3]] == [(0, 1, 2), (4, 5, 6), (7, 8, 9)]
    assert groups[1].quotes == ("Thoracic spondylosis.",) * 3  # not the negated sentence, one full stop
    assert groups[2].quotes == tuple(text.split(".")[0] + "." for text in LOW)
    assert groups[3].quotes == tuple(LARGE[:3])
    assert groups[0].images == tuple(Path(f"{i}_pa.png") for i in range(3))


def test_groups_are_what_their_titles_say():
    studies = known()
    features = tfidf(report_texts(studies)).features
    cosines = (features @ features.T).toarray()
    for group in choose_lookalikes(studies):
        rows = list(group.rows)
        assert len(set(studies.loc[rows, "codes"])) == 1
        others = cosines[rows[0], rows[1:]]
        if group.title == WORDED:
            assert studies.loc[rows, "findings"].nunique() == 1
        elif group.title == NEARLY:
            assert (others >= NEAR).all()
            assert len(set(group.quotes)) == 3
        else:
            assert (others < NEAR).all()


def test_choice_depends_on_the_table_alone():
    assert choose_lookalikes(known()) == choose_lookalikes(known().set_index(pd.Index(range(50, 65))))


def test_missing_groups_are_left_out():
    (only,) = choose_lookalikes(known().iloc[4:7])
    assert (only.title, only.shared, only.rows) == (WORDED, 3, (0, 1, 2))
    few = choose_lookalikes(known().iloc[[0, 1, 10, 11, 12]])
    assert [(g.title, g.coding) for g in few] == [(CODED, "Cardiomegaly/mild")]


def test_every_study_needs_a_pa_view_its_own_patient_and_one_code():
    studies = known().iloc[4:7]
    lateral = studies.assign(view_names=[("PA", "LATERAL"), ("LATERAL", ""), ("LATERAL", "PA")])
    patients = studies.assign(patient_id=["a", "b", "a"])
    codes = studies.assign(codes=[("Spondylosis",), (), ("Spondylosis", "Emphysema")])
    for unfit in (lateral, patients, codes):
        assert choose_lookalikes(unfit) == []


def test_masked_sentences_are_passed_over_and_long_ones_end_at_a_word():
    long = "Thoracic spondylosis with " + "many small osteophytes " * 8 + "throughout."
    studies = table([("Spondylosis", f"Spondylosis since XXXX. {long}", f"{i}") for i in range(3)])
    quote = choose_lookalikes(studies)[0].quotes[0]
    assert len(quote) <= LONGEST
    assert quote.endswith(" …")
    assert long.startswith(quote.removesuffix("…"))


def labelled() -> pd.DataFrame:
    """Four studies with a large heart and three that may have an effusion, films taken AP."""
    rows = [("Cardiomegaly", text, "") for text in LARGE]
    rows += [("Pleural Effusion/uncertain", "Perhaps an effusion.", "") for _ in range(3)]
    studies = table(rows).assign(view_names=[("LL", "AP Supine")] * len(rows), subject_id=list("abcdefg"))
    labels = {name: [""] * len(rows) for name in LABELS}
    labels["Cardiomegaly"], labels["Pleural Effusion"] = ["1.0"] * 4 + [""] * 3, ["0"] * 4 + ["-1"] * 3
    return studies.assign(**labels)


def test_labels_are_codes_of_another_kind_and_frontal_films_have_many_names():
    studies = labelled()
    assert alike_sizes(studies)[LABELLED].tolist() == [4, 4, 4, 4, 3, 3, 3]
    assert CODED not in alike_sizes(studies)
    (group,) = choose_lookalikes(studies)  # what a label is uncertain of is not shown
    assert (group.title, group.coding, group.coder, group.shared) == (LABELLED, "Cardiomegaly", "label", 4)
    assert group.images == tuple(Path(f"{i}_pa.png") for i in range(3))
    assert group.quotes == tuple(LARGE[:3])
    others = studies.assign(codes=[("Cardiomegaly",)] * 7)  # not what the labels say: somebody's own codes
    assert CODED in alike_sizes(others)


def test_uncoded_studies_are_alike_by_words_alone():
    studies = known().drop(columns="codes").assign(view_names=[("", "")] * 15)
    assert list(alike_sizes(studies)) == [IMPRESSIONS, WORDED, NEARLY]
    groups = choose_lookalikes(studies)
    assert [(g.title, g.coding, g.coder, g.shared, g.whose) for g in groups] == [
        (WORDED, "", "", 4, "studies"),
        (NEARLY, "", "", 3, "studies"),
    ]
    assert [g.rows for g in groups] == [(0, 1, 2), (7, 8, 9)]
    named = studies.assign(patient_id=[str(i) for i in range(15)])
    assert {g.whose for g in choose_lookalikes(named)} == {"patients"}


def test_withheld_sentences_leave_the_choice_and_the_numbers():
    studies = known().assign(study_id=[*(f"S{i}" for i in range(14)), "1.2.840"])
    groups, withheld = choose_lookalikes(studies), choose_lookalikes(studies, show_text=False)
    assert [g.rows for g in withheld] == [g.rows for g in groups]
    assert all(not g.quotes for g in withheld)
    assert withheld[0].captions[0] == "S0: 9 words"  # six of the findings, three of the impression
    features = tfidf(report_texts(studies)).features
    cosine = (features[7] @ features[8].T).toarray().item()
    assert withheld[2].captions[1] == f"S8: {len(LOW[1].split()) + 2} words, cosine {cosine:.2f}"
    assert groups[0].captions[0] == "“The lungs are clear.”"


def test_a_section_without_text_is_like_none():
    studies = table([("normal", "", "Clear."), ("normal", "", "clear. "), ("normal", "___", "")])
    assert alike_sizes(studies)[WORDED].tolist() == [1, 1, 1]
    assert alike_sizes(studies)[IMPRESSIONS].tolist() == [2, 2, 1]


@pytest.mark.parametrize("sparse", [True, False])
def test_near_neighbours_counted_one_by_one(sparse):
    generator = np.random.default_rng(0)
    reports = [" ".join(generator.choice(list("abcdef"), 4)).replace(" ", "x ") + "x" for _ in range(40)]
    similarity = tfidf([*reports, *reports[:5], "7"])  # five doubles, one without a known word
    if not sparse:
        similarity = ReportSimilarity(normalize(torch.from_numpy(similarity.features.toarray())))
    rows = similarity.features.toarray() if sparse else similarity.features.numpy()
    for threshold in (0.5, 1.0):
        expected = [max(1, sum(float(a @ b) >= threshold - 1e-6 for b in rows)) for a in rows]
        for block in (7, 512):
            assert near_identical_sizes(similarity, threshold, block).tolist() == expected
    assert (near_identical_sizes(similarity, 1.0)[:5] >= 2).all()
    assert expected[-1] == 1
