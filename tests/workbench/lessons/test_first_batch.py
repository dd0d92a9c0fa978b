"""One batch: tables counted by hand, and words that turn with the numbers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from medprobclip.data.dataset import SECTIONS, Texts
from medprobclip.gaussian import Gaussian
from medprobclip.settings import OBJECTIVES
from medprobclip.workbench.lessons import first_batch as lesson

SOFTMAX, SIGMOID = OBJECTIVES["medprobclip"], OBJECTIVES["pcme++"]


def test_spread_is_of_total_variances():
    image = Gaussian(torch.zeros(2, 4), torch.tensor([[1.0], [3.0]]).log().expand(2, 4))
    table = lesson.spread_table({"radiograph": image})
    assert table.loc["radiograph"].tolist() == [8, 4, 12, 50]


@pytest.mark.parametrize(
    ("means", "spreads", "said"),
    [
        (
            (130, 126),
            (2.0, 0.2),
            "is near D = 128 (+2 %, -2 %). It differs 10 times as much from film to film ",
        ),
        ((130, 126), (0.2, 2.0), "It differs 10 times as much from report to report as from film to film."),
        ((130, 126), (2.0, 1.9), "Radiographs and reports differ among themselves about equally."),
        ((64, 126), (2.0, 1.9), "is not near D = 128 (-50 %, -2 %)."),
    ],
)
def test_what_is_said_of_spread(means, spreads, said):
    table = pd.DataFrame(
        {"mean Σσ²": means, "standard deviation, % of mean": spreads}, index=["film", "report"]
    )
    assert said in lesson.said_of_spread(table, 128)


def terms(**values: float) -> dict[str, torch.Tensor]:
    names = ("loss", "image_text", "image_image", "text_text", "kl_image", "kl_text")
    return {name: torch.tensor(values.get(name, 0.0)) for name in names}


def test_the_contributions_sum_to_the_loss():
    values = terms(loss=7.0, image_text=4.0, image_image=3.0, text_text=2.0, kl_image=5.0)
    table = lesson.term_table(values, SOFTMAX)
    assert table.loc["radiograph with radiograph", "contribution"] == 3 * SOFTMAX.image_image_weight
    assert table.loc["bottleneck, radiographs", "contribution"] == pytest.approx(5 * SOFTMAX.kl_weight)
    assert table.loc["loss", "contribution"] == 7


def test_what_is_said_of_terms_turns_with_the_numbers():
    level = np.log(16)
    values = terms(image_text=level + 0.5, image_image=level - 1.0, text_text=level + 0.01)
    said = lesson.said_of_terms(lesson.term_table(values, SOFTMAX), SOFTMAX, 16)
    assert said.startswith(
        "Equal scores pay log 16 = 2.77. Untrained, radiograph with report pays 0.50 more ("
    )
    assert "radiograph with radiograph pays 1.00 less (right pairs already score above" in said
    assert said.endswith("findings with impression pays about that.")
    assert "no yardstick" in lesson.said_of_terms(pd.DataFrame(), SIGMOID, 16)


@pytest.fixture(scope="module")
def table():
    """Four studies: findings of 0 and 1 are worded alike, impressions of 0, 1 and 2; 2 and 3 coded alike."""
    text_ids = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 0, 1])
    batch = SimpleNamespace(text_ids=text_ids, coding=torch.tensor([0, 1, 2, 2]))
    return lesson.target_table(batch, torch.eye(4))


@pytest.mark.parametrize(
    ("way", "findings", "impression"),
    [
        ("own report only", (0, 100), (0, 100)),
        ("worded alike, too", (0.5, 75), (1.5, 50)),  # own shares 1/2, 1/2, 1, 1 and 1/3, 1/3, 1/3, 1
        ("equal coding, too", (1.0, 50), (2.0, 35.42)),  # 1/2 four times; 1/3, 1/3, 1/4, 1/2
        ("similar reports share", (0.5, 75), (1.5, 50)),  # nobody else is similar
    ],
)
def test_targets_are_counted_by_section(table, way, findings, impression):
    assert table.loc[way, SECTIONS[0]].tolist() == pytest.approx(findings)
    assert table.loc[way, SECTIONS[1]].tolist() == pytest.approx(impression)


def test_without_a_coding_nobody_is_right_by_it(table):
    text_ids = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 0, 1])
    uncoded = lesson.target_table(SimpleNamespace(text_ids=text_ids, coding=None), torch.eye(4))
    pd.testing.assert_frame_equal(uncoded, table.drop(index="equal coding, too"))
    assert lesson.said_of_targets(uncoded) == lesson.said_of_targets(table)


@pytest.mark.parametrize(
    ("worded", "share", "said"),
    [
        ((0.1, 0.9), 62, "weigh more (0.90 of an own report) than findings worded alike (0.10). Where"),
        ((0.9, 0.1), 62, "weigh less (0.10 of an own report) than findings"),
        ((0.1, 0.1), 62, "weigh as much (0.10 of an own report) as findings"),
        ((0.1, 0.9), 62, "62 % of its target, more than all others together."),
        ((0.1, 0.9), 40, "40 % of its target, not more than all others together."),
        ((0.1, 0.9), 99, "almost all of its target, so that sharing changes little here."),
        ((0.1, 0.9), 2, "almost nothing, so that training no longer knows"),
    ],
)
def test_what_is_said_of_targets(table, worded, share, said):
    changed = table.copy()
    for section, weight in zip(SECTIONS, worded, strict=True):
        changed.loc["worded alike, too", (section, lesson.OTHERS)] = weight
    changed.loc["similar reports share", (SECTIONS[0], lesson.OWN)] = share
    assert said in lesson.said_of_targets(changed)


def test_eight_studies_have_different_headings():
    codes = [("Mass", "Scoliosis"), ("normal",), ("Mass/left",), ("No Indexing",), ("Mass/right",), (),
             ("Nodule", "Mass"), ("Scoliosis/mild",)]  # fmt: skip
    rows, headings = lesson.eight_studies(pd.DataFrame({"codes": codes}))
    assert rows.tolist() == [1, 2, 7, 6]
    assert headings == ["normal", "Mass", "Scoliosis", "Nodule"]
    rows, headings = lesson.eight_studies(pd.DataFrame({"codes": codes}), count=2)
    assert headings == ["normal", "Mass"]


def test_what_a_label_is_uncertain_of_names_no_study():
    codes = [("Edema/uncertain",), ("Mass/uncertain", "Edema"), ("normal",)]
    rows, headings = lesson.eight_studies(pd.DataFrame({"codes": codes}))
    assert (rows.tolist(), headings) == ([2, 1], ["normal", "Edema"])
    assert lesson.column_label(headings) == "report of the study coded …"


@pytest.mark.parametrize("columns", [{}, {"codes": [("normal",), (), ("normal",), ("No Indexing",)]}])
def test_without_two_headings_the_findings_differ(columns):
    findings = ["Clear.", "A mass.", "clear. ", "A curve."]
    studies = pd.DataFrame({"study_id": ["1", "2", "3", "1.2.840.113619.2.5.17625"], "findings": findings})
    rows, headings = lesson.eight_studies(studies.assign(**columns))
    assert rows.tolist() == [0, 1, 3]
    assert headings == ["study 1", "study 2", "study …40.113619.2.5.17625"]
    assert lesson.column_label(headings) == "report of"


def test_word_pieces_are_counted_where_they_are_withheld():
    tokenizer = SimpleNamespace(convert_ids_to_tokens=lambda ids: [f"w{i}" for i in ids.tolist()])
    texts = Texts(torch.tensor([[4, 7, 0], [1, 2, 3]]), torch.tensor([[1, 1, 0], [1, 1, 1]]))
    assert lesson.pieces_told(tokenizer, texts, True) == "w4 w7"
    assert lesson.pieces_told(tokenizer, texts, False) == "2 word pieces, withheld"


def test_scores_are_kept_with_their_studies():
    table = lesson.untrained_scores(np.array([[1.0, 2.0], [3.0, 4.0]]), pd.Series(["A", "B"], index=[7, 3]))
    assert table.to_dict("list") == {"A": [1, 3], "B": [2, 4], "image": ["A", "B"]}
