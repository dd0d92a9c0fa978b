"""Sentences and duplicates of report text."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st

from medprobclip.data.reports import (
    normalise,
    piece_of,
    same_text,
    sentence_about,
    sentences,
    varied,
    wording_keys,
)


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


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), max_size=30))
def test_wording_keys_are_equal_where_the_tokens_are(tokens):
    """Whatever stands beside them; 63 bits, so that an int64 holds them."""
    keys = wording_keys(tokens)
    assert keys == [wording_keys([one])[0] for one in tokens]
    assert len(set(keys)) == len(set(map(tuple, tokens)))
    assert all(0 <= key < 2**63 for key in keys)
    assert np.array(keys, dtype=np.int64).tolist() == keys


def test_wording_keys_are_those_of_every_process():
    """No seed of Python's own hash, no count of what came before; tokens as lists or arrays."""
    code = "from medprobclip.data.reports import wording_keys; print(wording_keys([[2, 17, 3], [2, 1, 73]]))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(wording_keys(iter([(2, 17, 3), np.array([2, 1, 73])])))
    many = wording_keys([i, i + 1] for i in range(20_000))
    assert len(set(many)) == 20_000
    assert abs(np.mean(np.array(many) / 2**63) - 0.5) < 0.02  # all bits are used


@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 9))
def test_a_piece_is_words_in_a_row(count, length, seed):
    words = [f"w{i}" for i in range(count)]
    piece = piece_of(words, length, (length, seed))
    assert piece == piece_of(tuple(words), length, (length, seed))
    if count < length:
        assert piece == []
    else:
        start = words.index(piece[0])
        assert piece == words[start : start + length]
        assert len(piece) == length


def test_pieces_come_from_every_place_alike():
    starts = [piece_of(range(10), 4, (4, seed))[0] for seed in range(1400)]
    counts = np.bincount(starts, minlength=7)
    assert len(counts) == 7
    assert (np.abs(counts - 200) < 60).all()
