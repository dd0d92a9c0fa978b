"""Which runs are compared: each differs from the reference in what it says, and in nothing else."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from medprobclip.paper.tables.experiments import (
    ABLATION,
    DEGRADED,
    DEGRADED_SHARE,
    METHODS,
    MORE_SEEDS,
    REFERENCE,
    comparison,
    group_of,
)
from medprobclip.settings import OBJECTIVES
from medprobclip.training.profiles import PROFILES, Profile


def test_the_methods_are_all_objectives_and_the_reference_is_first():
    assert set(METHODS) == set(OBJECTIVES)
    assert next(iter(METHODS)) == REFERENCE == "medprobclip"
    assert len(set(METHODS.values())) == len(METHODS) == 7


def with_vision(vision: str) -> Profile:
    """The demo's profile with another image encoder, which learns at half the rate of the rest."""
    demo = PROFILES["demo"]
    return replace(
        demo,
        encoders=replace(demo.encoders, vision=vision),
        training=replace(demo.training, vision_rate=0.5),
    )


SCHOOLED = with_vision("chest-encoder")
PLACES = ("", "seed-43/", "seed-44/")


@pytest.mark.parametrize("name", PROFILES)
def test_one_run_a_method_and_with_everything_three_seeds_of_all(name):
    profile = PROFILES[name]
    few, every = comparison(profile), comparison(profile, full=True)
    assert [run.folder for run in few] == [*map(Path, METHODS), Path("degraded/medprobclip")]
    assert every[: len(METHODS)] == few[:-1]
    assert few[-1] in every
    variants = set(ABLATION) - (set() if profile.encoders.vision == "chest-encoder" else {"from-scratch"})
    groups = len(METHODS) + len(DEGRADED) + len(variants)
    assert len(every) == 3 * groups == len({run.folder for run in every})
    for run in every:  # data and augmentation are those of the profile, but for a share that is spoilt
        share = DEGRADED_SHARE if "degraded" in run.folder.parts else 0.0
        assert run.profile.augmentation == replace(profile.augmentation, degraded_share=share)
        same = {
            part: getattr(profile, part) for part in ("objective", "training", "encoders", "augmentation")
        }
        assert replace(run.profile, **same) == profile
        assert not run.folder.is_absolute()


def test_whole_seeds_of_the_methods_come_first_then_degraded_views_then_the_ablation():
    folders = [run.folder.as_posix() for run in comparison(SCHOOLED, full=True)]
    groups = (METHODS, DEGRADED, [f"ablation/{name}" for name in ABLATION])
    assert folders == [f"{place}{name}" for names in groups for place in PLACES for name in names]


def test_every_run_is_of_one_group():
    runs = comparison(SCHOOLED, full=True)
    sizes = {"methods": METHODS, "degraded": DEGRADED, "ablation": ABLATION}
    expected = [group for group, names in sizes.items() for _ in PLACES for _ in names]
    assert [group_of(run) for run in runs] == expected


def test_degraded_views_are_the_only_change_of_a_run_with_them():
    assert 0 < DEGRADED_SHARE < 1
    assert {name.removeprefix("degraded/") for name in DEGRADED} <= set(METHODS)
    assert len({*DEGRADED.values(), *METHODS.values()}) == len(DEGRADED) + len(METHODS)
    runs = {run.folder.as_posix(): run.profile for run in comparison(SCHOOLED, full=True)}
    for place in PLACES:
        for name in DEGRADED:
            degraded, own = runs[place + name], runs[place + name.removeprefix("degraded/")]
            assert degraded.augmentation.degraded_share == DEGRADED_SHARE
            assert replace(degraded, augmentation=own.augmentation) == own


@pytest.mark.parametrize("vision", ["small-resnet", "tiny-resnet", "google/vit-base-patch16-224"])
def test_only_the_chest_encoder_is_compared_with_a_start_from_nothing(vision):
    """Others start from nothing anyway, or are no small ResNet."""
    folders = [run.folder.as_posix() for run in comparison(with_vision(vision), full=True)]
    expected = [run.folder.as_posix() for run in comparison(SCHOOLED, full=True)]
    assert folders == [folder for folder in expected if not folder.endswith("/from-scratch")]
    assert len(folders) == len(expected) - 3


def test_methods_have_the_objective_of_their_name_and_the_profiles_own_seed():
    for run in comparison(PROFILES["demo"])[: len(METHODS)]:
        assert run.profile == replace(PROFILES["demo"], objective=OBJECTIVES[run.folder.name])


def test_other_seeds_change_the_seed_only():
    first = {}
    for run in comparison(SCHOOLED, full=True):
        name = group_of(run), run.folder.name
        own = first.setdefault(name, run.profile)
        place = run.folder.parts[0]
        seed = int(place.removeprefix("seed-")) if place.startswith("seed-") else SCHOOLED.training.seed
        assert run.profile.training.seed == seed
        assert replace(run.profile, training=replace(run.profile.training, seed=42)) == own
    assert len(first) == len(METHODS) + len(DEGRADED) + len(ABLATION)
    assert {run.profile.training.seed for run in comparison(SCHOOLED, full=True)} == {42, *MORE_SEEDS}


CHANGES = {
    "from-scratch": {},
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


@pytest.mark.parametrize("place", PLACES)
def test_each_variant_changes_what_it_says_and_nothing_else(place):
    reference = asdict(OBJECTIVES[REFERENCE])
    runs = {run.folder: run.profile for run in comparison(SCHOOLED, full=True)}
    own = runs[Path(place) / REFERENCE]
    assert list(ABLATION) == list(CHANGES)
    for name, changes in CHANGES.items():
        profile = runs[Path(place) / "ablation" / name]
        values = asdict(profile.objective)
        assert {field: values[field] for field in values if values[field] != reference[field]} == changes
        if name != "from-scratch":
            assert replace(profile, objective=own.objective) == own


def test_from_scratch_changes_the_encoder_and_its_rate_only():
    """The same network from nothing, which then must learn as fast as the rest."""
    runs = {run.folder.as_posix(): run.profile for run in comparison(SCHOOLED, full=True)}
    own, scratch = runs["medprobclip"], runs["ablation/from-scratch"]
    assert (own.encoders.vision, own.training.vision_rate) == ("chest-encoder", 0.5)
    assert scratch == replace(
        own,
        encoders=replace(own.encoders, vision="small-resnet"),
        training=replace(own.training, vision_rate=1.0),
    )


def test_variants_have_different_labels():
    labels = [(variant.part, variant.change) for variant in ABLATION.values()]
    assert len(set(labels)) == len(labels)
    assert all(part and change for part, change in labels)
