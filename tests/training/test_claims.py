"""Whose run a folder holds: settings that came after it count as their defaults."""

import json
from dataclasses import asdict, replace

import pytest

from medprobclip.settings import OBJECTIVES
from medprobclip.training.claims import claim, is_finished
from medprobclip.training.errors import TrainingError
from medprobclip.training.profiles import PROFILES, get_profile
from medprobclip.training.run_settings import completed, profile_of
from medprobclip.training.state import Progress


@pytest.fixture
def folder(tmp_path):
    """A run two of whose epochs are done, from before two of the settings."""
    save(tmp_path, Progress([{"epoch": 1}, {"epoch": 2}]))
    (tmp_path / "settings.json").write_text(json.dumps(before(get_profile("demo"))))
    return tmp_path


def save(out, progress):
    (out / "states" / progress.name).mkdir(parents=True)
    (out / "states" / progress.name / "progress.json").write_text(json.dumps(asdict(progress)))


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
    with pytest.raises(
        TrainingError, match=rf"data \(augmentation\.{name}: the run has False, asked for True\)"
    ):
        claim(folder, other.settings())


def test_a_vocabulary_without_rare_words_serves_where_text_may_be_shown_not_the_other_way_round(folder):
    settings = json.loads(json.dumps(get_profile("demo").settings()))
    strict = settings | {"vocabulary": {"least_patients": 5}}
    with pytest.raises(TrainingError, match="vocabulary: the run has none, asked for "):
        claim(folder, strict)
    (folder / "settings.json").write_text(json.dumps(strict))
    assert claim(folder, settings) == strict
    with pytest.raises(TrainingError, match="vocabulary.least_patients: the run has 5, asked for 6"):
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


def with_epochs(number):
    profile = get_profile("demo")
    return replace(profile, training=replace(profile.training, epochs=number))


def refusal(folder, profile, **more):
    with pytest.raises(TrainingError) as refused:
        claim(folder, profile.settings() | more)
    return str(refused.value)


def test_each_difference_is_named_by_its_field_and_nothing_else_is(folder):
    profile = get_profile("demo", "clip")
    profile = replace(profile, training=replace(profile.training, learning_rate=1e-4))
    told = refusal(folder, profile)
    assert "training.learning_rate: the run has 0.001, asked for 0.0001)" in told
    assert "objective.score: the run has expected_likelihood, asked for cosine;" in told
    same = {n for n, v in vars(OBJECTIVES["clip"]).items() if v == getattr(OBJECTIVES["medprobclip"], n)}
    assert same
    assert not any(f"objective.{name}:" in told for name in same)
    assert "{" not in told
    assert "profile: the run has demo, asked for laptop" in refusal(folder, get_profile("laptop"))


def test_which_table_changed_is_told(folder):
    tables = {"training": "a", "validation": "b"}
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"tables": tables}))
    told = refusal(folder, get_profile("demo"), tables=tables | {"validation": "c"})
    assert "the validation table or its pictures are not those of the run" in told
    assert "training table" not in told


def test_more_epochs_are_recorded_and_told(folder, capsys):
    (folder / "config.yaml").write_text("profile: demo\ntraining:\n  epochs: 8\n  seed: 42\n")
    before_ = json.loads((folder / "settings.json").read_text())
    claim(folder, with_epochs(12).settings())
    assert "12 epochs instead of 8. From epoch 3 on" in capsys.readouterr().out
    before_["training"]["epochs"] = 12
    assert json.loads((folder / "settings.json").read_text()) == before_  # nothing else was touched
    assert "epochs: 12\n  seed: 42" in (folder / "config.yaml").read_text()
    claim(folder, with_epochs(12).settings())
    assert capsys.readouterr().out == ""


def test_epochs_may_be_lowered_to_those_that_are_done_but_not_below(folder):
    assert "training.epochs: the run has 2 finished, asked for 1" in refusal(folder, with_epochs(1))
    (folder / "checkpoint").mkdir()
    assert not is_finished(folder)
    claim(folder, with_epochs(2).settings())
    assert is_finished(folder)
    claim(folder, with_epochs(3).settings())
    assert not is_finished(folder)


def test_a_run_in_the_middle_of_its_first_epoch_is_not_overwritten(tmp_path):
    claim(tmp_path, get_profile("demo").settings())
    claim(tmp_path, get_profile("laptop").settings())  # no state is saved: nothing is lost
    save(tmp_path, Progress(step=3))
    assert "profile: the run has laptop, asked for demo" in refusal(tmp_path, get_profile("demo"))


def test_settings_that_cannot_be_read_are_one_line(folder):
    (folder / "settings.json").write_text('{"training": ')
    assert "settings.json: cannot be read" in refusal(folder, get_profile("demo"))


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_settings_give_their_profile_back(name, objective):
    profile = get_profile(name, objective)
    assert profile_of(json.loads(json.dumps(profile.settings()))) == profile


def test_a_setting_from_a_later_version_is_named():
    settings = json.loads(json.dumps(get_profile("demo").settings()))
    settings["training"]["momentum"] = 1
    with pytest.raises(ValueError, match=r"does not know: training\.momentum"):
        profile_of(settings)
