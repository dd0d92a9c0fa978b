"""Sentences and duplicates of report text."""

import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from medprobclip.data.reports import normalise, same_text, sentence_about, sentences


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
