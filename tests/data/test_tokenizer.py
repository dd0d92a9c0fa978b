"""The learned tokenizer: reproducible, reversible, saved with the model."""

import pytest
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
