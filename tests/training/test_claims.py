"""Whose run a folder holds: settings that came after it count as their defaults."""

import json
from dataclasses import asdict, replace

import pytest

from medprobclip.training import claims
from medprobclip.training.claims import claim, completed
from medprobclip.training.loop import TrainingError
from medprobclip.training.profiles import get_profile


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run whose first epoch is done, from before two of the settings."""
    monkeypatch.setattr(claims, "read_history", lambda out: claims_history)
    (tmp_path / "settings.json").write_text(json.dumps(before(get_profile("demo"))))
    return tmp_path


class _History:
    empty = False


claims_history = _History()
NEW = ("sentence_ties", "one_section")


def before(profile):
    settings = json.loads(json.dumps(profile.settings()))
    for name in NEW:
        del settings["augmentation"][name]
    return settings


def test_a_run_from_before_a_setting_is_still_its_profiles(folder):
    profile = get_profile("demo")
    old = (folder / "settings.json").read_text()
    claim(folder, profile.settings())
    assert (folder / "settings.json").read_text() == old  # what made it stays written
    assert completed(json.loads(old)) == json.loads(json.dumps(profile.settings()))


@pytest.mark.parametrize("name", NEW)
def test_another_value_of_the_new_setting_is_refused(folder, name):
    profile = get_profile("demo")
    other = replace(profile, augmentation=replace(profile.augmentation, **{name: True}))
    with pytest.raises(TrainingError, match=f"other settings or data .augmentation.*{name}"):
        claim(folder, other.settings())


def test_a_vocabulary_without_rare_words_serves_where_text_may_be_shown_not_the_other_way_round(folder):
    settings = json.loads(json.dumps(get_profile("demo").settings()))
    strict = settings | {"vocabulary": {"least_patients": 5}}
    with pytest.raises(TrainingError, match="vocabulary: null -> "):
        claim(folder, strict)
    (folder / "settings.json").write_text(json.dumps(strict))
    assert claim(folder, settings) == strict
    with pytest.raises(TrainingError, match="vocabulary.* 5.* -> .* 6"):
        claim(folder, settings | {"vocabulary": {"least_patients": 6}})


def test_what_a_run_says_is_never_replaced():
    profile = get_profile("demo", "clip")
    settings = profile.settings()
    assert completed(settings) == settings
    assert completed({"training": {"epochs": 3}})["training"] == asdict(profile.training) | {
        "epochs": 3, "batch_size": 64, "learning_rate": 5e-5, "vision_rate": 1.0, "warmup": 0.0,
        "threads": None,
    }  # fmt: skip
    assert "augmentation" not in completed({"training": {}})
