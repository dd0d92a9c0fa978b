"""Odd texts keep what they promise, depend on name, seed and place alone, and are no chest reports."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from medprobclip.data.odd_texts import BODY_PARTS, LANGUAGES, ODD_TEXTS, PHRASES, PROSE, odd_texts
from medprobclip.data.reports import sentences

REPORTS = [
    "The heart is normal in size. The lungs are clear. No pleural effusion or pneumothorax is seen.",
    "Stable cardiomegaly, XXXX. Mild blunting of the right costophrenic angle (2.5 cm).",
    "Degenerative changes of the thoracic spine at T-12.",
    "Low lung volumes with bibasilar atelectasis. There is a calcified granuloma in the left upper lobe.",
    "Normal.",
]
# Function words tell a language; "no" is both Spanish and English.
FUNCTION_WORDS = {
    "English": set("the is are of and a to in with was has have for on".split()),
    "German": set("das der die den ist sind und ein eines kein keine im mit zur auf bei nicht am".split()),
    "Spanish": set("el la los las de del es en y un una con se hay sin al no".split()),
    "French": set("le la les de du des est et un une en d l pas par dont dans sans".split()),
}


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def share(text: str, language: str) -> float:
    found = words(text)
    return sum(word in FUNCTION_WORDS[language] for word in found) / len(found)


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_one_text_for_each_given_one(name):
    made = odd_texts(name, REPORTS)
    assert len(made) == len(REPORTS)
    assert all(type(text) is str and text.strip() for text in made)
    assert odd_texts(name, []) == []


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_the_same_seed_gives_the_same_and_another_seed_others(name):
    texts = REPORTS * 4
    assert odd_texts(name, texts, seed=3) == odd_texts(name, texts, seed=3)
    assert odd_texts(name, texts, seed=3) != odd_texts(name, texts, seed=4)
    assert len(set(odd_texts(name, texts))) > len(REPORTS)  # the same report at another place


@pytest.mark.parametrize("name", [name for name in ODD_TEXTS if name != "random_words"])
def test_a_text_depends_on_its_place_alone(name):
    """Not on the texts beside it; random words come from all of them, so there it does."""
    assert odd_texts(name, REPORTS)[:2] == odd_texts(name, REPORTS[:2])


def test_kinds_draw_from_streams_of_their_own():
    """No two kinds and no two places share a generator."""
    drawn = {}
    for name, kind in ODD_TEXTS.items():
        seen = drawn.setdefault(name, [])
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(ODD_TEXTS, name, replace(kind, make=lambda t, rngs, seen=seen: [seen.append(rngs)]))
            odd_texts(name, REPORTS)
    numbers = {rng.integers(2**62) for rngs in drawn.values() for rng in rngs[0]}
    assert len(numbers) == len(ODD_TEXTS) * len(REPORTS)


def test_scrambling_keeps_letters_places_and_punctuation():
    made = odd_texts("scrambled_letters", REPORTS)
    for text, scrambled in zip(REPORTS, made, strict=True):
        assert re.sub(r"[A-Za-z]", "x", scrambled) == re.sub(r"[A-Za-z]", "x", text)
        for before, after in zip(text.split(), scrambled.split(), strict=True):
            assert Counter(after) == Counter(before)
    pairs = zip(" ".join(REPORTS).split(), " ".join(made).split(), strict=True)
    assert np.mean([before != after for before, after in pairs if len(set(before)) > 4]) > 0.9


def test_shuffling_keeps_the_words_and_moves_them():
    made = odd_texts("shuffled_words", REPORTS)
    assert [sorted(text.split()) for text in made] == [sorted(text.split()) for text in REPORTS]
    assert all(text != before for text, before in zip(made[:4], REPORTS, strict=False))
    assert made[4] == "Normal."


def test_random_words_come_from_the_given_texts_as_often_as_they_stand_there():
    texts = ["heart heart heart lungs", "heart lungs heart heart"] * 500
    made = odd_texts("random_words", texts)
    assert {len(text.split()) for text in made} == {4}
    counted = Counter(word for text in made for word in text.split())
    assert counted.keys() == {"heart", "lungs"}
    # 4000 draws with p = 0.75: five standard deviations of 27 to either side
    assert abs(counted["heart"] - 3000) < 137


def test_the_keyboard_types_as_many_words_of_letters():
    made = odd_texts("keyboard", REPORTS * 40)
    assert [len(text.split()) for text in made] == [len(text.split()) for text in REPORTS * 40]
    assert all(re.fullmatch(r"[a-z]{2,9}", word) for text in made for word in text.split())
    letters = Counter("".join(made).replace(" ", ""))
    assert len(letters) == 26  # thousands of letters, each as likely
    assert max(letters.values()) < 1.5 * min(letters.values())


@pytest.mark.parametrize("name", ["language", "body_part", "prose"])
def test_two_to_four_sentences_of_one_kind_none_twice(name):
    pools = {"language": LANGUAGES.values(), "body_part": BODY_PARTS.values(), "prose": [PROSE]}[name]
    pools = [set(sentences(pool)) for pool in pools]
    seen, lengths = set(), Counter()
    for text in odd_texts(name, REPORTS * 60):
        said = sentences(text)
        assert sum(set(said) <= pool for pool in pools) == 1
        assert len(set(said)) == len(said)
        lengths[len(said)] += 1
        seen.update(said)
    assert lengths.keys() == {2, 3, 4}
    assert seen == set().union(*pools)  # none is never drawn


def test_enough_is_written():
    assert all(len(set(sentences(pool))) >= 15 for pool in LANGUAGES.values())
    assert sum(len(set(sentences(pool))) for pool in BODY_PARTS.values()) >= 24
    assert len(set(sentences(PROSE))) >= 20
    assert len(set(PHRASES)) == len(PHRASES) >= 15
    assert "right pleural effusion" in PHRASES


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_is_what_it_says(language):
    """Its own function words are the most frequent ones; English ones hardly occur."""
    shares = {name: share(LANGUAGES[language], name) for name in FUNCTION_WORDS}
    assert max(shares, key=shares.get) == language
    assert shares[language] > 0.25
    assert shares["English"] < 0.02


@pytest.mark.parametrize("text", [*BODY_PARTS.values(), PROSE], ids=[*BODY_PARTS, "prose"])
def test_the_other_sentences_are_english(text):
    shares = {name: share(text, name) for name in FUNCTION_WORDS}
    assert max(shares, key=shares.get) == "English"


def test_what_is_written_is_not_about_chests_and_what_is_sought_is():
    chest = r"\b(chest|lungs?|pulmon\w+|heart|cardi\w+|pleura\w*|thora\w+|mediastin\w+|pneumo\w+|ribs?)\b"
    assert not any(re.search(chest, text.lower()) for text in (*BODY_PARTS.values(), PROSE))
    assert sum(bool(re.search(chest, phrase)) for phrase in PHRASES) >= len(PHRASES) / 2
    assert max(len(phrase.split()) for phrase in PHRASES) <= 4


def test_two_groups_and_what_they_hold():
    choose = {name for name, kind in ODD_TEXTS.items() if not kind.held_back}
    assert choose == {"scrambled_letters", "random_words", "shuffled_words"}
    assert {name for name, kind in ODD_TEXTS.items() if not kind.detectable} == {"shuffled_words", "phrase"}


def test_texts_without_words():
    for name in ODD_TEXTS:
        made = odd_texts(name, ["", "  "])
        assert len(made) == 2
        if name in ("scrambled_letters", "random_words", "shuffled_words"):
            assert not "".join(made).strip()
        else:
            assert all(made)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"unknown kind of odd text 'latin'.*keyboard"):
        odd_texts("latin", REPORTS)
