"""What is said of a table before it is used, counted by hand."""

import pandas as pd
import pytest

from medprobclip.data.dataset import StudyDataset
from medprobclip.data.images import cache_images
from medprobclip.data.notices import table_notices, text_notices
from medprobclip.data.privacy import WITHHELD
from medprobclip.data.studies import read_studies
from medprobclip.data.tokenizer import train_tokenizer


def studies(count=40, **columns):
    rows = {
        "study_id": [f"s{i}" for i in range(count)],
        "view_names": [("PA",)] * count,
        "findings": [f"Finding number {i}." for i in range(count)],
        "impression": [f"Impression {i}." for i in range(count)],
        "subject_id": [str(i) for i in range(count)],
    }
    return pd.DataFrame(rows | columns, dtype=object)


def test_an_ordinary_table_needs_no_notice():
    assert table_notices(studies()) == []


def test_unknown_views_are_listed_with_counts():
    views = [("PA", "CHEST"), ("", "LATERAL"), ("CHEST",)] + [("AP Supine",)] * 37
    (notice,) = table_notices(studies(view_names=views))
    assert notice.startswith("view names not known: 'CHEST' 2 times, '' 1 time.")


def test_patients_that_cannot_be_checked_are_told():
    (notice,) = table_notices(studies().drop(columns="subject_id"))
    assert "no column names patients" in notice
    (notice,) = table_notices(studies(subject_id=["nan", ""] + ["1"] * 38))
    assert notice == "2 of 40 studies have no subject_id: their patients are not checked"


def test_a_wording_of_many_studies_is_named_with_its_count():
    same = ["No acute  disease."] * 5 + ["no acute disease. "] + [f"Other {i}" for i in range(34)]
    (notice,) = table_notices(studies(impression=same), show_text=True)
    assert notice.startswith("impression: 6 of 40 studies (15 %) have word for word 'no acute disease.'")
    (notice,) = table_notices(studies(impression=same[::-1]))
    assert notice.startswith(
        f"impression: 6 of 40 studies (15 %) have word for word '{WITHHELD}', first s34:"
    )
    assert table_notices(studies(impression=[""] * 40)) == []


@pytest.fixture
def dataset(study_tables, tmp_path):
    table = read_studies(study_tables["train"])
    images = cache_images([p for paths in table["image_paths"] for p in paths], 32, tmp_path)
    tokenizer = train_tokenizer(table["findings"] + " " + table["impression"], 100, 16)

    def make(**changes):
        changed = table.copy()
        for row, text in changes.pop("findings", {}).items():
            changed.loc[row, "findings"] = text
        return StudyDataset(changed, images, tokenizer)

    return make


def test_cut_texts_are_counted(dataset):
    tokenizer = dataset().tokenizer
    lengths = [len(ids) for ids in tokenizer(dataset().studies["findings"].tolist())["input_ids"]]
    cut = sum(length > 16 for length in lengths)
    more = dataset(findings={0: "opacity " * 14, 1: "opacity " * 15})  # with two marks 16, and one too many
    (notice,) = [n for n in text_notices(more) if n.startswith("findings") and "cut" in n]
    assert notice.startswith(f"findings: {cut + 1} of 40 texts are cut at 16 tokens")


def test_texts_of_unknown_words_are_counted(dataset):
    assert not any("mostly words" in notice for notice in text_notices(dataset()))
    foreign = dataset(findings={3: "Kardiomegalie mit Stauung.", 4: "%%%", 5: "opacity in the qqqq"})
    (notice,) = [n for n in text_notices(foreign) if "mostly words" in n]
    assert notice.startswith("findings: 1 of 39 texts")  # one stands for no text and is left out
    assert f"first '{WITHHELD}' of train-3." in notice
    assert "'Kardiomegalie mit Stauung.' of train-3." in "".join(text_notices(foreign, show_text=True))


def test_words_are_counted_not_letters(dataset):
    """One long unknown word is many letters, and still one word."""
    one = dataset(findings={3: "opacity in the left cardiophrenicolateralangle base"})
    assert not any("mostly words" in notice for notice in text_notices(one))
    three = dataset(findings={3: "cor left mit"})
    assert any("1 of 40 texts are mostly words" in notice for notice in text_notices(three))


def test_texts_that_the_model_sees_as_equal_are_equal_answers(dataset):
    """Cut at the same place, or spelled alike without spaces around a full stop."""
    start = "opacity " * 14
    ids = dataset(
        findings={0: start + "left", 1: start + "right", 2: "A  LARGE opacity .", 3: "a large opacity."}
    )
    ids = ids.text_ids["findings"]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert len(set(ids)) == 38


def test_a_picture_of_several_studies_is_named():
    table = studies(3, image_paths=[("a.png",), ("a.png", "b.png"), ("c.png", "c.png")])
    (notice,) = table_notices(table)
    assert notice == "1 image files stand in more than one study, a.png in 2"
