"""Variations of report text: what belongs together stays so, a finding stays, nothing is reworded."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st

from medprobclip.data.openi import load_reports
from medprobclip.data.reports import normalise, sentences, varied
from medprobclip.data.variations import (
    leans,
    names_finding,
    two_forms,
    two_variations,
    units,
    variation,
)

HEART, CLEAR, NONE, NODULE = "Heart is normal.", "Lungs are clear.", "No effusion.", "Left upper lobe nodule."
SIDES_AND_NEGATIONS = {
    "left", "right", "bilateral", "bilaterally", "both", "unilateral", "no", "not", "without", "nor",
    "negative", "absent", "never", "neither", "none", "cannot",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (f"{HEART} {NODULE} {NONE}", [[HEART], [NODULE], [NONE]]),
        (f"{NODULE} It is calcified. {NONE}", [[NODULE, "It is calcified."], [NONE]]),
        (f"{HEART} {NODULE} This is new. May represent a scar.",
         [[HEART], [NODULE, "This is new.", "May represent a scar."]]),
        (f"{NODULE} {HEART} Otherwise clear. {NONE}", [[NODULE, HEART, "Otherwise clear."], [NONE]]),
        (f"{NODULE} {HEART} Lungs are otherwise clear.", [[NODULE, HEART, "Lungs are otherwise clear."]]),
        (f"{NODULE} There is also an effusion. {HEART}", [[NODULE, "There is also an effusion."], [HEART]]),
        (f"{HEART} Left shoulder: No fracture. Normal. Left knee: Effusion. Clips.",
         [[HEART], ["Left shoulder: No fracture.", "Normal."], ["Left knee: Effusion.", "Clips."]]),
        ("1. No pneumonia 2. Suture material", [["No pneumonia."], ["Suture material."]]),
        ("Clips. Stable scar. Stable since XXXX.", [["Clips."], ["Stable scar.", "Stable since XXXX."]]),
        ("This is a nodule. Clips.", [["This is a nodule."], ["Clips."]]),
    ],
)  # fmt: skip
def test_sentences_that_mean_something_only_together_are_a_unit(text, expected):
    assert units(text) == expected


@pytest.mark.parametrize(
    ("sentence", "finds"),
    [
        (NODULE, True), (HEART, False), (CLEAR, False), (NONE, False),
        ("Small effusion without pneumothorax.", True), ("Lungs are clear without effusion.", False),
        ("Without change.", False), ("No significant interval change in the left effusion.", True),
        ("No longer seen.", True), ("CT is recommended.", False), ("Mild cardiomegaly.", True),
        ("Normal heart, small effusion.", False),  # says both: counts as none
    ],
)  # fmt: skip
def test_what_names_a_finding(sentence, finds):
    assert names_finding(sentence) == finds


def test_a_finding_stays_however_much_is_left_out():
    text, generator = f"{HEART} {NODULE} It is calcified. {NONE} {CLEAR}", np.random.default_rng(0)
    drawn = [variation(text, 0.9, True, generator) for _ in range(300)]
    assert all(f"{NODULE} It is calcified." in one for one in drawn)
    assert len(set(drawn)) > 4
    normal = {variation(f"{HEART} {NONE}", 0.5, False, generator) for _ in range(100)}
    assert normal == {HEART, NONE, f"{HEART} {NONE}"}


def test_without_ties_it_is_what_varied_draws():
    text = f"{NODULE} Small effusion. Old fracture. Mild scoliosis."
    for drop, shuffle in ((0.5, True), (0.3, False), (0.0, True)):
        old, new = np.random.default_rng(3), np.random.default_rng(3)
        for _ in range(50):
            assert variation(text, drop, shuffle, new) == varied(text, drop, shuffle, old)
    assert variation(" . ", 0.5, True, np.random.default_rng(0)) == " . "


def words(sentence):
    return [word.strip(".,;:()") for word in sentence.lower().split()]


@pytest.fixture(scope="module")
def sections():
    """Both sections of the 3,419 real reports."""
    reports = load_reports()
    assert len(reports) == 3419
    return [text for name in ("findings", "impression") for text in reports[name]]


def statements(text):
    """Sentences without their last mark; a heading on a line of its own is one with what follows."""
    found = []
    for sentence in sentences(text):
        if found and found[-1].endswith(":"):
            found[-1] += f" {sentence.rstrip('.!?')}"
        else:
            found.append(sentence.rstrip(".!?"))
    return found


def neighbours(sentence):
    padded = ["", *words(sentence), ""]
    return [tuple(padded[i - 1 : i + 2]) for i, word in enumerate(padded) if word in SIDES_AND_NEGATIONS]


def test_negations_and_sides_of_the_real_reports_are_never_touched(sections):
    """Every sentence is one of the report's, no more often, and follows what it leans on."""
    generator, seen, fewer, moved, leaning = np.random.default_rng(0), 0, 0, 0, 0
    for text in sections:
        own, found = statements(text), statements(variation(text, 0.4, True, generator))
        more = Counter(found) - Counter(own)
        assert not more
        # Each such word stands between the neighbours that it has in the report.
        after = [three for sentence in found for three in neighbours(sentence)]
        assert set(after) <= {three for sentence in own for three in neighbours(sentence)}
        assert any(map(names_finding, found)) or not any(map(names_finding, own))
        for i, sentence in enumerate(found):
            if leans(sentence) and own.count(sentence) == 1 and (place := own.index(sentence)) > 0:
                assert found[i - 1] == own[place - 1]
                leaning += 1
        seen, fewer = seen + len(after), fewer + (len(found) < len(own))
        moved += found != [sentence for sentence in own if sentence in found]
    assert seen > 5000
    assert min(fewer, moved) > 1000
    assert leaning > 200


def test_two_variations_of_the_real_reports_are_never_the_same(sections):
    generator, several = np.random.default_rng(2), 0
    for i, text in enumerate(sections):
        forms = two_forms(text)
        if forms is None:
            assert len(units(text)) == 1 or len({" ".join(unit).lower() for unit in units(text)}) == 1
            continue
        several += 1
        first, second = two_variations(text, (0.0, 0.9)[i % 2], generator)
        different = normalise(first) != normalise(second)
        assert different
    assert several > 4000


STATEMENTS = st.sampled_from(
    [HEART, CLEAR, NONE, NODULE, "It is new.", "Otherwise clear.", "No", "a", "Knee: Clips."]
)


@given(st.lists(STATEMENTS, max_size=6), st.sampled_from([0.0, 0.5, 0.99]), st.integers(0, 99))
def test_two_variations_differ_or_there_are_none(several, drop, seed):
    text, generator = " ".join(several), np.random.default_rng(seed)
    if two_forms(text) is None:
        with pytest.raises(ValueError, match="one way only"):
            two_variations(text, drop, generator)
        return
    first, second = two_variations(text, drop, generator)
    assert normalise(first) != normalise(second)
    for one in (first, second):
        assert not Counter(statements(one)) - Counter(statements(text))


def test_texts_that_a_model_cannot_tell_apart_are_not_two():
    """`key` sees the first four words only, as a token limit would."""
    text = "Heart and vessels normal. Heart and vessels normal. Heart and vessels normal today."
    assert two_forms(text) is not None
    assert two_forms(text, key=lambda one: tuple(one.split()[:4])) is None
    text = f"{HEART} {NODULE} {NONE}"
    key = lambda one: tuple(one.split()[:3])  # noqa: E731
    for seed in range(50):
        first, second = two_variations(text, 0.0, np.random.default_rng(seed), key)
        assert key(first) != key(second)
