"""Sentences and duplicates of report text."""

import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from medprobclip.data.reports import normalise, same_text, sentence_about, sentences, varied


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" . ", []),
        ("Clear lungs", ["Clear lungs"]),
        ("The heart is normal. Lungs are clear.", ["The heart is normal.", "Lungs are clear."]),
        ("1. No effusion. 2. No pneumothorax.", ["No effusion.", "No pneumothorax."]),
        ("1.There is an opacity. 2) Clear. .", ["There is an opacity.", "Clear."]),
        ("1. Mild cardiomegaly 2. Small effusion", ["Mild cardiomegaly", "Small effusion"]),
        ("1. Stable scarring. 2. As above. 2. Clips.", ["Stable scarring.", "As above.", "Clips."]),
        ("A 3.0 cm nodule is present.", ["A 3.0 cm nodule is present."]),
        ("Nodules of 1.9 x 2.1 cm. No effusion.", ["Nodules of 1.9 x 2.1 cm.", "No effusion."]),
        ("Fracture of T 12. The heart is large.", ["Fracture of T 12.", "The heart is large."]),
        ("Discussed with Dr. XXXX today. Clear.", ["Discussed with Dr. XXXX today.", "Clear."]),
        ("Dr. XXXX was told. Clear.", ["Dr. XXXX was told.", "Clear."]),
        ("1. Edema. 2. 17 mm nodule.", ["Edema.", "17 mm nodule."]),
        ("Normal heart.The lungs are clear.", ["Normal heart.", "The lungs are clear."]),
        ("No effusion.\n  Two\nlines.", ["No effusion.", "Two lines."]),
        ("XXXX. XXXX opacity.", ["XXXX.", "XXXX opacity."]),
        ("Is it pneumonia? Perhaps!", ["Is it pneumonia?", "Perhaps!"]),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@given(st.text(alphabet="aB1.?()\n XT", max_size=60))
def test_no_word_is_lost(text):
    def words(parts):
        return re.findall(r"[A-Za-z]+", " ".join(parts))

    assert words(sentences(text)) == words([text])


def test_normalise_folds_case_and_white_space_only():
    assert normalise("  No\n Effusion. ") == "no effusion."
    assert normalise("No effusion") != normalise("No effusion.")


def test_same_text_is_equality_of_normalised_texts():
    ids = same_text(["Clear.", "No effusion.", " clear. ", "Clear", "NO  EFFUSION."])
    assert ids.dtype == np.int64
    assert ids.tolist() == [0, 1, 0, 2, 1]
    assert same_text([]).shape == (0,)


def test_sentence_about_a_code():
    text = "No pleural effusion on the left. Heart size is normal. Small right effusions are seen."
    assert sentence_about(text, "Pleural Effusion/right") == "Small right effusions are seen."
    assert sentence_about(text, "normal") == "No pleural effusion on the left."
    assert sentence_about("", "normal") == ""


FOUR = "Heart is normal. Lungs are clear. No effusion. Old fracture."


def test_sentences_are_left_out_as_often_as_asked_and_never_all():
    generator = np.random.default_rng(0)
    whole = sentences(FOUR)
    left = [sentences(varied(FOUR, 0.4, False, generator)) for _ in range(2000)]
    assert all(part and [s for s in whole if s in part] == part for part in left)  # in their order
    # Each goes with 0.4, but of the 0.4^4 that would lose all four one stays.
    assert np.mean([len(part) for part in left]) == pytest.approx(4 * 0.6 + 0.4**4, abs=0.06)
    assert {len(sentences(varied("Lungs are clear.", 0.9, True, generator))) for _ in range(50)} == {1}


def test_shuffled_sentences_are_all_there_in_any_order():
    generator = np.random.default_rng(0)
    seen = [tuple(sentences(varied(FOUR, 0.0, True, generator))) for _ in range(400)]
    assert all(sorted(order) == sorted(sentences(FOUR)) for order in seen)
    assert len(set(seen)) == 24


def test_nothing_asked_changes_no_sentence():
    generator = np.random.default_rng(0)
    assert varied(FOUR, 0.0, False, generator) == FOUR
    assert varied(" . ", 0.5, True, generator) == " . "
