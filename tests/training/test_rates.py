"""The vision backbone learns at a rate of its own; everything else at the given one."""

import re
from dataclasses import replace

import pytest
import torch
from accelerate.utils import set_seed
from families import TEXT, VISION
from tiny import RESNET, VIT, build
from transformers import AutoModel, ViTConfig

from medprobclip.training.encoders import build_model
from medprobclip.training.rates import layers_above, parameter_groups
from medprobclip.training.runs import load_run, train_run
from medprobclip.training_settings import TrainingConfig


@pytest.mark.parametrize("vision", [RESNET, VIT], ids=["resnet", "vit"])
def test_every_parameter_is_in_one_group_with_its_rate(vision):
    """The similarity's, the norm after the pooling and the vision head are not of the backbone."""
    model = build(vision)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, TrainingConfig(learning_rate=4e-3, vision_rate=0.25))
    rates = [(names[id(p)], group["lr"]) for group in groups for p in group["params"]]
    assert sorted(name for name, _ in rates) == sorted(names.values())  # none twice, none left out
    for name, rate in rates:
        assert rate == pytest.approx(1e-3 if name.startswith("vision_model.") else 4e-3), name
    assert {name.split(".")[0] for name, _ in rates} == {
        "vision_model", "text_model", "vision_norm", "vision_head", "text_head", "similarity",
    }  # fmt: skip


def test_by_default_all_learn_alike():
    groups = parameter_groups(build(RESNET), TrainingConfig(learning_rate=4e-3))
    assert {group["lr"] for group in groups} == {4e-3}


@pytest.mark.parametrize("decay_all", [True, False])
def test_a_first_step_is_as_long_as_the_rate(decay_all):
    """AdamW moves each weight by its rate against the sign of the gradient; weight decay shrinks matrices."""
    model = build(RESNET)
    config = TrainingConfig(learning_rate=1e-2, vision_rate=0.1, weight_decay=0.5, decay_all=decay_all)
    optimizer = torch.optim.AdamW(parameter_groups(model, config), weight_decay=0.25)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, -2.0)
    optimizer.step()
    for name, parameter in model.named_parameters():
        rate = 1e-3 if name.startswith("vision_model.") else 1e-2
        shrinks = decay_all or not (name.endswith(".bias") or "norm" in name.lower() or "similarity" in name)
        expected = (1 - 0.5 * rate * shrinks) * before[name] + rate
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


def test_a_rate_of_nothing_leaves_the_backbone_as_it_started(study_tables, tiny_profile, tmp_path):
    """In a whole training; the other parts learn, at the rate that the history tells."""
    training = replace(tiny_profile.training, epochs=2, vision_rate=0.0)
    profile = replace(tiny_profile, training=training)
    history = train_run(study_tables["train"], study_tables["validate"], tmp_path, profile)
    model, tokenizer = load_run(tmp_path)
    set_seed(training.seed)
    fresh = dict(build_model(profile.encoders, tokenizer).named_parameters())
    same = {name for name, parameter in model.named_parameters() if torch.equal(parameter, fresh[name])}
    assert {name for name in fresh if name.startswith("vision_model.")} <= same
    assert not {name for name in same if name.split(".")[0] in ("vision_head", "text_head")}
    assert "text_model.embeddings.word_embeddings.weight" not in same
    assert history["learning_rate"].iloc[0] > 1e-4


def test_each_part_has_its_rate():
    config = TrainingConfig(learning_rate=1e-3, vision_rate=0.5, text_rate=0.1)
    rates = {group["name"]: group["lr"] for group in parameter_groups(build(VIT), config)}
    assert rates == pytest.approx({"heads": 1e-3, "vision": 5e-4, "text": 1e-4})


def test_lower_layers_learn_slower():
    """By hand: three layers of half the rate each, embeddings below them, the norm after them above."""
    vision = ViTConfig(**{**VIT.to_dict(), "num_hidden_layers": 3})
    model = build(vision)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    config = TrainingConfig(learning_rate=1.0, vision_rate=8.0, layer_decay=0.5)
    rates = {names[id(p)]: group["lr"] for group in parameter_groups(model, config) for p in group["params"]}
    assert sorted(rates) == sorted(names.values())
    expected = {"embeddings.": 0.5, "layers.0.": 1.0, "layers.1.": 2.0, "layers.2.": 4.0}
    for name, rate in rates.items():
        if name.startswith("vision_model."):
            assert rate == next((of for part, of in expected.items() if part in name), 8.0), name
        elif not name.startswith("text_model."):
            assert rate == 1.0, name


@pytest.mark.parametrize("side", ["vision", "text"])
@pytest.mark.parametrize("family", [*VISION, *TEXT])
def test_every_familys_layers_are_found(side, family):
    """Its stem has the most layers above it, and every layer fewer than the one before."""
    config = {"vision": VISION, "text": TEXT}[side].get(family)
    if config is None:
        pytest.skip(f"no {side} model {family}")
    above = layers_above(AutoModel.from_config(config))
    layers = {number for name, number in above.items() if re.search(r"(layers?|stages)\.\d", name)}
    assert layers == set(range(1, len(layers) + 1))
    stem = {number for name, number in above.items() if name.startswith("embed")}
    assert stem == {len(layers) + 1}


def test_a_backbone_without_numbered_layers_is_told():
    with pytest.raises(ValueError, match="layer_decay: Linear has no numbered layers; leave it at 1"):
        layers_above(torch.nn.Linear(2, 2))
