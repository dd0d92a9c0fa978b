"""Settings of the objectives: the numbers of their authors, what reaches the model, what is refused."""

from dataclasses import asdict, replace

import pytest

from medprobclip.model import MedProbCLIPConfig
from medprobclip.settings import OBJECTIVES, ObjectiveConfig

PUBLISHED = {
    "medprobclip": {
        "loss": "softmax", "score": "expected_likelihood", "scale": 1.0, "shift": 0.0, "max_scale": None,
        "unit_mean": False, "views": 2, "sections": 2, "image_text_weight": 1.0, "image_image_weight": 1.0,
        "text_text_weight": 0.1, "kl_weight": 1e-4, "kl_over_dims": "sum", "pseudo_positive_weight": 0.0,
        "mixed_share": 0.0, "soft": "none", "log_var_start": 0.0,
    },
    "clip": {
        "loss": "softmax", "score": "cosine", "scale": 1 / 0.07, "max_scale": 100.0, "views": 1,
        "sections": 1, "image_text_weight": 1.0, "image_image_weight": 0.0, "text_text_weight": 0.0,
        "kl_weight": 0.0, "pseudo_positive_weight": 0.0, "mixed_share": 0.0, "soft": "none",
    },
    "cxr-clip": {
        "loss": "softmax", "score": "cosine", "scale": 1 / 0.07, "max_scale": None, "views": 2,
        "sections": 2, "image_text_weight": 1.0, "image_image_weight": 1.0, "text_text_weight": 0.5,
        "kl_weight": 0.0, "pseudo_positive_weight": 0.0, "mixed_share": 0.0, "soft": "none",
    },
    "pcme++": {
        "loss": "sigmoid", "score": "csd", "scale": 5.0, "shift": 5.0, "max_scale": None,
        "unit_mean": True, "views": 1, "sections": 1, "image_text_weight": 2.0, "image_image_weight": 0.0,
        "text_text_weight": 0.0, "kl_weight": 1e-4, "kl_over_dims": "mean", "pseudo_positive_weight": 0.1,
        "mixed_share": 0.25, "soft": "none", "log_var_start": -10.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_have_the_published_numbers(name):
    values = asdict(OBJECTIVES[name])
    assert {key: values[key] for key in PUBLISHED[name]} == PUBLISHED[name]
    assert (values["duplicates"], values["equal_coding"]) == ("positive", "negative")
    assert values["learned_variance"]


def test_ours_differs_from_the_published_one_by_its_targets_only():
    assert OBJECTIVES["medprobclip-soft"] == replace(OBJECTIVES["medprobclip"], soft="tfidf")
    coded = replace(OBJECTIVES["medprobclip"], equal_coding="positive")
    assert OBJECTIVES["medprobclip-coded"] == coded


def test_inclusion_adds_its_term_and_changes_nothing_else():
    inclusion = replace(OBJECTIVES["medprobclip"], inclusion_weight=1.0)
    assert OBJECTIVES["medprobclip-inclusion"] == inclusion
    others = [config for name, config in OBJECTIVES.items() if name != "medprobclip-inclusion"]
    assert {config.inclusion_weight for config in others} == {0.0}


def test_model_settings_are_fields_of_the_models_configuration():
    for config in OBJECTIVES.values():
        model = MedProbCLIPConfig(**config.model_settings())
        assert (model.score, model.similarity_scale, model.similarity_shift, model.unit_mean) == (
            config.score, config.scale, config.shift, config.unit_mean,
        )  # fmt: skip
        assert model.learned_variance
    fixed = ObjectiveConfig(learned_variance=False).model_settings()
    for name, config in OBJECTIVES.items():
        start = MedProbCLIPConfig(**config.model_settings()).log_var_start
        assert start == (-10 if name == "pcme++" else 0)
    assert fixed == {**ObjectiveConfig().model_settings(), "learned_variance": False}
    assert MedProbCLIPConfig(**OBJECTIVES["clip"].model_settings()).similarity_max_scale == 100
    assert ObjectiveConfig().model_settings() == {
        "score": "expected_likelihood", "similarity_scale": 1.0, "similarity_shift": 0.0,
        "similarity_max_scale": None, "unit_mean": False, "learned_variance": True,
        "log_var_start": 0.0, "log_var_min": -6.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "no loss 'hinge'; choose one of softmax, sigmoid"),
        ({"score": "dot"}, "no score 'dot'; choose one of expected_likelihood, csd"),
        ({"views": 3}, "no views '3'; choose one of 1, 2"),
        ({"soft": "bleu"}, "no soft 'bleu'; choose one of none, tfidf, encoder"),
        ({"duplicates": "drop"}, "no duplicates 'drop'; choose one of positive, ignored, negative"),
        ({"equal_coding": "yes"}, "no equal_coding 'yes'; choose one of positive, ignored, negative"),
        ({"soft_threshold": 1.0}, "soft_threshold = 1.0 is out of range"),
        ({"soft_threshold": -0.1}, "soft_threshold = -0.1 is out of range"),
        ({"soft_power": 0}, "soft_power = 0 is out of range"),
        ({"scale": 0.0}, "scale = 0.0 is out of range"),
        ({"max_scale": 0.5}, "max_scale = 0.5 is out of range"),
        ({"image_text_weight": 0.0}, "image_text_weight = 0.0 is out of range"),
        ({"kl_weight": -1.0}, "kl_weight = -1.0 is out of range"),
        ({"views": 1}, "image_image_weight contrasts two views: set it to 0 or views to 2"),
        ({"sections": 1}, "text_text_weight contrasts two sections"),
        ({"mixed_share": 0.25}, "mixed_share needs views = 1"),
        ({"mixed_share": 1.5}, "mixed_share = 1.5 is out of range"),
        ({"inclusion_weight": -1.0}, "inclusion_weight = -1.0 is out of range"),
        ({"inclusion_scale": 0.0}, "inclusion_scale = 0.0 is out of range"),
        ({"inclusion_weight": 1.0, "learned_variance": False}, "inclusion_weight needs learned_variance"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ObjectiveConfig(**changes)
