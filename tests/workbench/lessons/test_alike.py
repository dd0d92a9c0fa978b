"""Who says the same, counted by hand and by naive loops; the words turn with the numbers."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medprobclip.data.lookalikes import CODED, IMPRESSIONS, LABELLED, NEARLY, WORDED, Lookalikes
from medprobclip.data.privacy import WITHHELD
from medprobclip.workbench.lessons.alike import (
    ANY,
    agreement_table,
    example_study,
    films_of,
    heading_table,
    said_of_agreement,
    said_of_groups,
    said_of_normal,
    said_of_sharing,
    sharing_table_of,
    view_table,
)

STUDIES = pd.DataFrame({
    "codes": [
        ("normal",), ("normal",), ("normal",), ("Mass/left", "Mass/right"), ("Mass/left", "Scoliosis"),
        ("No Indexing",), (), ("Scoliosis",),
    ],
    "findings": ["Clear lungs.", "clear  lungs.", "Lungs clear.", "A mass.", "A mass and a curve.",
                 "Clear lungs.", "Nothing.", "A mild curve of the thoracic spine is seen."],
    "impression": ["No disease.", "No disease.", "No disease.", "Mass.", "Mass.", "No disease.", "Odd.",
                   "Curve."],
})  # fmt: skip


def test_a_heading_has_two_shares():
    table = heading_table(STUDIES)
    assert list(table.index) == ["normal", "Mass", "Scoliosis", "No Indexing"]
    assert table["codings"].tolist() == [3, 3, 2, 1]
    assert table["studies with it"].tolist() == [3, 2, 2, 1]
    assert table["% of all codings"].tolist() == [33.3, 33.3, 22.2, 11.1]
    assert table["% of all studies"].tolist() == [37.5, 25, 25, 12.5]
    assert heading_table(STUDIES, rows=1).index.tolist() == ["normal"]


def test_normal_is_counted_by_studies_and_by_codings():
    assert said_of_normal(STUDIES) == (
        "3 of 8 studies (38 %) are coded normal and nothing else; of the 9 codings that is 33 %. It is less "
        "because a study with findings has 1.7 codings on average. Nobody coded 2."
    )
    one_each = said_of_normal(STUDIES.iloc[[0, 1, 7]])
    assert (
        one_each == "2 of 3 studies (67 %) are coded normal and nothing else; of the 3 codings that is 67 %."
    )


def test_shares_of_normal_and_abnormal_studies():
    sizes = {NEARLY: np.array([2, 2, 1, 1, 2, 1, 1, 1])}
    table = sharing_table_of(STUDIES, sizes)
    assert table.loc[NEARLY].tolist() == [38, 40, 33]  # of 8, of 5 normal or uncoded, of 3


@pytest.mark.parametrize(
    ("near", "other", "said"),
    [
        ((90, 28), 27, "have a near double, but only 28 % of the abnormal ones. These are not spared: 27 %"),
        ((20, 28), 27, "have a near double, and 28 % of the abnormal ones. These are not spared: 27 %"),
        ((90, 0), 0, "have a near double, but only 0 % of the abnormal ones. These are spared: 0 %"),
    ],
)
def test_what_is_said_of_sharing(near, other, said):
    rows = {NEARLY: near, CODED: (93, other), IMPRESSIONS: (91, other), WORDED: (1, 1)}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["normal", "abnormal"])
    assert said in said_of_sharing(table)


def naive(section: str) -> tuple[int, float]:
    coded = STUDIES[STUDIES["codes"].map(lambda codes: bool(set(codes) - {"No Indexing"}))]
    texts = [" ".join(text.lower().split()) for text in coded[section]]
    pairs = [(i, j) for i, j in itertools.combinations(range(len(coded)), 2) if texts[i] == texts[j]]
    alike = [set(coded["codes"].iloc[i]) == set(coded["codes"].iloc[j]) for i, j in pairs]
    return len(pairs), 100 * np.mean(alike)


@pytest.mark.parametrize("block", [2, 512])
def test_agreement_is_that_of_a_naive_loop(block):
    table = agreement_table(STUDIES, block)
    assert table.loc[ANY].tolist() == [15, 20]  # six coded studies, three of them normal
    for name, section in ((WORDED, "findings"), (IMPRESSIONS, "impression")):
        assert table.loc[name].tolist() == pytest.approx(naive(section))
    # the third report has the words of the first two in another order; one mass has a curve beside it
    assert table.loc[NEARLY].tolist() == [3, 66.7]


@pytest.mark.parametrize(
    ("near", "every", "said"),
    [
        (62, 13, "evidence of the same content, but no proof"),
        (10, 13, "no evidence of the same content"),
        (100, 13, "always meant the same content"),
    ],
)
def test_what_is_said_of_agreement(near, every, said):
    table = pd.DataFrame({"pairs": [9, 9], "coded alike, %": [near, every]}, index=[NEARLY, ANY])
    assert said in said_of_agreement(table)
    assert f"{near} % have the same coding, of any two {every} %" in said_of_agreement(table)
    nobody = table.drop(index=NEARLY)
    assert said_of_agreement(nobody) == "No two coded reports are nearly, but not exactly, alike here."


def test_without_codes_or_with_one_kind_of_study_all_are_counted_together():
    sizes = {IMPRESSIONS: np.array([2, 2, 1, 1]), NEARLY: np.array([1, 1, 1, 2])}
    for studies in (STUDIES.iloc[:4].drop(columns="codes"), STUDIES.iloc[[0, 1, 2, 5]]):
        table = sharing_table_of(studies, sizes)
        assert table.to_dict("index") == {IMPRESSIONS: {"all": 50}, NEARLY: {"all": 25}}
    said = "25 % of the studies have a near double, 50 % share their impression, word for word"
    assert said_of_sharing(table) == f"{said}."
    table.loc[LABELLED] = 75
    assert said_of_sharing(table) == f"{said}, 75 % their labels."


def test_what_no_two_studies_are_has_no_row():
    table = agreement_table(STUDIES.iloc[[3, 7]].assign(impression=""))
    assert list(table.index) == [ANY]
    assert said_of_agreement(table).startswith("No two coded reports are nearly")


def test_the_example_has_three_codes_and_both_sections():
    studies = STUDIES.assign(study_id=list("abcdefgh"), view_names=[("PA", "")] * 8)
    three = studies.assign(
        codes=[*STUDIES["codes"][:5], ("A", "B", "C"), ("A", "B", "C"), ("A", "B", "C", "D")]
    )
    three.loc[5, "findings"] = ""
    told = example_study(three, show_text=True)
    assert told == {"study_id": "g", "view_names": "PA; not named", "codes": "A; B; C",
                    "findings": "Nothing.", "impression": "Odd."}  # fmt: skip
    assert example_study(studies, show_text=True)["study_id"] == "d"  # nobody has three: the most
    withheld = example_study(studies.drop(columns="codes"), show_text=False)
    texts = dict.fromkeys(("findings", "impression"), f"{WITHHELD} (2 words)")
    assert withheld == {"study_id": "a", "view_names": "PA; not named"} | texts


def test_views_are_counted_by_study():
    studies = pd.DataFrame({"view_names": [("PA", "LATERAL"), ("",), ("PA", "LATERAL")]})
    assert view_table(studies).to_dict("list") == {"PA + LATERAL": [2], "not named": [1]}


def test_what_the_rows_leave_out_is_said():
    group = Lookalikes(WORDED, "", (0,), (Path("a.png"),), ("Clear.",), 3, "studies")
    assert said_of_groups([group]) == ""
    assert "withheld" in said_of_groups([replace(group, quotes=(), measured=("a: 2 words",))])
    assert "curves only" in said_of_groups([])


def test_films_of_any_size_become_squares(tmp_path):
    paths = []
    for size in ((10, 20), (30, 16)):
        paths.append(tmp_path / f"{size[0]}.png")
        Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)).save(paths[-1])
    (films,) = films_of([Lookalikes(WORDED, "", (0, 1), tuple(paths), (), 2, "")], 8)
    assert [film.shape for film in films] == [(8, 8), (8, 8)]
