"""The learned tokenizer: reproducible, reversible, saved with the model."""

from collections import defaultdict

import pytest
from hypothesis import given, strategies as st
from transformers import AutoTokenizer

from medprobclip.data.tokenizer import train_tokenizer

TEXTS = [
    "No pleural effusion.",
    "Small left pleural effusion, 2.5 cm.",
    "No pneumothorax. The lungs are clear.",
]


def test_frequent_words_are_whole_and_rare_ones_spelled():
    tokenizer = train_tokenizer(TEXTS, vocab_size=75, max_tokens=32)
    assert len(tokenizer) <= 75
    tokens = tokenizer.tokenize("Pleural effusion")
    assert tokens == ["pleural", "effusion"]
    rare = tokenizer.tokenize("lesion")
    assert rare == ["l", "##e", "##s", "##i", "##o", "##n"]


def test_wraps_and_truncates():
    tokenizer = train_tokenizer(TEXTS, vocab_size=100, max_tokens=6)
    ids = tokenizer("No pleural effusion. The lungs are clear.", truncation=True)["input_ids"]
    assert len(ids) == 6
    assert ids[0] == tokenizer.cls_token_id
    assert ids[-1] == tokenizer.sep_token_id


def test_same_texts_same_vocabulary_in_any_order():
    first, second = (train_tokenizer(texts, 90, 32).get_vocab() for texts in (TEXTS, TEXTS[::-1]))
    assert first == second


def test_survives_saving(tmp_path):
    tokenizer = train_tokenizer(TEXTS, 90, 32)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert loaded.pad_token_id == tokenizer.pad_token_id


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no text"):
        train_tokenizer(["", "  "], 100, 32)
    with pytest.raises(ValueError, match="vocab_size 10 cannot hold"):
        train_tokenizer(TEXTS, 10, 32)


NAMES = st.sampled_from(["effusion", "smith", "left", "müller", "7", "13", "no", "王"])


@given(
    st.lists(st.tuples(st.integers(0, 5), st.lists(NAMES, max_size=6)), min_size=1),
    st.integers(1, 4),
)
def test_no_word_of_fewer_patients_is_in_the_vocabulary(reports, least):
    """Counted by a loop over all reports; with room for every word, all the others are in it."""
    patients = [patient for patient, _ in reports]
    texts = [" ".join(["no", *words]) for _, words in reports]
    having = defaultdict(set)
    for patient, text in zip(patients, texts, strict=True):
        for word in text.replace("ü", "u").split():  # accents are folded
            having[word].add(patient)
    vocabulary = train_tokenizer(texts, 200, 32, patients, least).get_vocab()
    whole = {word for word in vocabulary if len(word) > 1 and word[0] not in "[#"}
    assert whole == {word for word, some in having.items() if len(some) >= least and len(word) > 1}
    assert ("王" in vocabulary) == (len(having["王"]) >= least)


def test_a_name_in_many_reports_of_one_patient_is_spelled():
    texts = [*["Smith was seen."] * 50, *["Effusion was seen."] * 2]
    own = train_tokenizer(texts, 100, 32, [1] * 50 + [2, 3], least_patients=2)
    assert own.tokenize("Smith was seen")[:5] == ["s", "##m", "##i", "##t", "##h"]
    assert own.tokenize("Effusion was seen") == ["effusion", "was", "seen"]
    assert "smith" in train_tokenizer(texts, 100, 32, least_patients=2).get_vocab()  # each text another's


def test_every_text_needs_its_patient():
    with pytest.raises(IndexError):
        train_tokenizer(TEXTS, 100, 32, [1, 2], 2)
