"""What is said of the corpus: opposite numbers, opposite words."""

import pandas as pd
import pytest

from medprobclip.data.lookalikes import CODED, IMPRESSIONS, LABELLED, NEARLY, WORDED
from medprobclip.paper.findings.headlines import headline


def sheet(*films: tuple[float, float]) -> pd.DataFrame:
    codes = ["Mass/left", "Effusion/right", "Scoliosis", "Nodule", "Hernia"][: len(films)]
    columns = dict(zip(("pa_conspicuity", "lateral_conspicuity"), zip(*films, strict=True), strict=True))
    return pd.DataFrame({"study_id": codes, "code": codes, **columns})


def test_the_contact_sheet_names_best_least_and_subtle():
    assert headline("contact_sheet", sheet((0.2, 0.4), (3.0, 0.1), (0.3, 0.6))) == (
        "Of 3 findings Effusion shows best (conspicuity 3.00 in its better film) and Mass least (0.40); "
        "1 stays below 0.5 in both films (Mass). The PA film is the plainer one for 1."
    )
    said = headline("contact_sheet", sheet((0.6, 0.5), (3.0, 0.1)))
    assert "none stays below 0.5 in both films. The PA film is the plainer one for 2." in said
    assert "5 stay below 0.5 in both films. " in headline("contact_sheet", sheet(*[(0.1, 0.2)] * 5))


def alike(shared: dict[str, int], studies: int = 100) -> pd.DataFrame:
    """So many of the studies are in groups of two."""
    rows = [(1, studies - n, by) for by, n in shared.items() if n < studies]
    rows += [(2, n, by) for by, n in shared.items() if n]
    return pd.DataFrame(rows, columns=["size", "studies", "by"])


@pytest.mark.parametrize(
    ("coded", "said"),
    [
        (40, "so the diagonal, which takes the own report alone for right, is wrong for 40 % by the codes"),
        (100, "is wrong for 100 % by the codes alone."),
        (0, "so by the codes the diagonal, which takes the own report alone for right, is right."),
    ],
)
def test_figure_1_says_for_how_many_the_diagonal_is_wrong(coded, said):
    sentence = headline("figure_1", alike({IMPRESSIONS: 60, WORDED: 20, CODED: coded, NEARLY: 0}))
    assert sentence.startswith("Of 100 studies 60 % have the impression of another one, word for word, 20 %")
    assert f"{coded} % its expert codes, and 0 % a report that is nearly the same" in sentence
    assert said in sentence


def test_figure_1_speaks_of_labels_and_without_either_of_words():
    shared = {IMPRESSIONS: 60, WORDED: 20, NEARLY: 10}
    labelled = headline("figure_1", alike(shared | {LABELLED: 70}))
    assert "70 % its labels, and 10 % a report" in labelled
    assert labelled.endswith("is wrong for 70 % by the labels alone.")
    uncoded = headline("figure_1", alike(shared))
    assert "20 % the findings, and 10 % a report that is nearly the same; so the diagonal" in uncoded
    assert uncoded.endswith("is wrong for 60 % by wording alone.")
    none = headline("figure_1", alike({IMPRESSIONS: 0, WORDED: 0, NEARLY: 10}))
    assert none.endswith("so by wording the diagonal, which takes the own report alone for right, is right.")


@pytest.mark.parametrize(
    ("medians", "said"),
    [
        ([2.0, 0.4, 0.3], "2 are subtle, with a median below 0.5 (net and wire)."),
        ([2.0, 0.6, 0.4], "1 is subtle, with a median below 0.5 (wire)."),
        ([2.0, 0.6, 0.5], "none is subtle, with a median below 0.5."),
    ],
)
def test_rendered_truth_counts_the_subtle(medians, said):
    table = pd.DataFrame({"group": ["metal", "net", "wire"], "median": medians, "studies": 9})
    sentence = headline("rendered_truth", table)
    assert sentence.startswith("Of 3 kinds of finding metal shows best (median conspicuity 2.00) and wire ")
    assert sentence.endswith(said)
