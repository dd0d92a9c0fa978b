"""Which runs are compared: each differs from the reference in what it says, and in nothing else."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from medprobclip.paper.tables.experiments import ABLATION, METHODS, MORE_SEEDS, REFERENCE, comparison
from medprobclip.settings import OBJECTIVES
from medprobclip.training.profiles import PROFILES


def test_the_methods_are_all_objectives_and_the_reference_is_first():
    assert set(METHODS) == set(OBJECTIVES)
    assert next(iter(METHODS)) == REFERENCE == "medprobclip"
    assert len(set(METHODS.values())) == 5


@pytest.mark.parametrize("name", PROFILES)
def test_five_runs_and_with_everything_twenty_four(name):
    profile = PROFILES[name]
    few, every = comparison(profile), comparison(profile, full=True)
    assert [run.folder for run in few] == [Path(name) for name in METHODS]
    assert every[:5] == few
    assert len(every) == 24 == 5 + len(ABLATION) + len(MORE_SEEDS) * 5
    assert len({run.folder for run in every}) == 24
    for run in every:  # encoders, data and augmentation are those of the profile
        same = replace(run.profile, objective=profile.objective, training=profile.training)
        assert same == profile
        assert not run.folder.is_absolute()


def test_methods_have_the_objective_of_their_name_and_the_profiles_own_seed():
    for run in comparison(PROFILES["demo"]):
        assert run.profile == replace(PROFILES["demo"], objective=OBJECTIVES[run.folder.name])


def test_other_seeds_change_the_seed_only():
    profile = PROFILES["demo"]
    first = {run.folder.name: run.profile for run in comparison(profile)}
    seeds = [run for run in comparison(profile, full=True) if run.folder.parts[0].startswith("seed-")]
    assert {(run.folder.parts[0], run.folder.name) for run in seeds} == {
        (f"seed-{seed}", name) for seed in (43, 44) for name in METHODS
    }
    for run in seeds:
        seed = int(run.folder.parts[0].removeprefix("seed-"))
        assert run.profile.training.seed == seed != profile.training.seed
        training = replace(run.profile.training, seed=profile.training.seed)
        assert replace(run.profile, training=training) == first[run.folder.name]


CHANGES = {
    "no-intra-modal": {"image_image_weight": 0.0, "text_text_weight": 0.0},
    "beta-0": {"kl_weight": 0.0},
    "beta-1e-3": {"kl_weight": 1e-3},
    "beta-1e-2": {"kl_weight": 1e-2},
    "one-view": {"views": 1, "image_image_weight": 0.0},
    "one-section": {"sections": 1, "text_text_weight": 0.0},
    "csd": {"score": "csd"},
    "cosine": {"score": "cosine", "scale": 1 / 0.07, "max_scale": 100.0},
    "fixed-variance": {"learned_variance": False},
}


def test_each_variant_changes_what_it_says_and_nothing_else():
    reference = asdict(OBJECTIVES[REFERENCE])
    runs = {run.folder: run.profile for run in comparison(PROFILES["demo"], full=True)}
    assert list(ABLATION) == list(CHANGES)
    for name, changes in CHANGES.items():
        profile = runs[Path("ablation") / name]
        values = asdict(profile.objective)
        assert {field: values[field] for field in values if values[field] != reference[field]} == changes
        assert replace(profile, objective=PROFILES["demo"].objective) == PROFILES["demo"]


def test_variants_have_different_labels():
    labels = [(part, change) for part, change, _ in ABLATION.values()]
    assert len(set(labels)) == len(labels)
    assert all(part and change for part, change in labels)
