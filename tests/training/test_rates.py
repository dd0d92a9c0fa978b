"""The vision backbone learns at a rate of its own; everything else at the given one."""

from dataclasses import replace

import pytest
import torch
from accelerate.utils import set_seed
from tiny import RESNET, VIT, build

from medprobclip.settings import TrainingConfig
from medprobclip.training.encoders import build_model
from medprobclip.training.loop import parameter_groups
from medprobclip.training.runs import load_run, train_run


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


def test_a_first_step_is_as_long_as_the_rate():
    """AdamW moves each weight by its rate against the sign of the gradient; weight decay shrinks it."""
    model = build(RESNET)
    config = TrainingConfig(learning_rate=1e-2, vision_rate=0.1)
    optimizer = torch.optim.AdamW(parameter_groups(model, config), weight_decay=0.5)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, -2.0)
    optimizer.step()
    for name, parameter in model.named_parameters():
        rate = 1e-3 if name.startswith("vision_model.") else 1e-2
        torch.testing.assert_close(parameter.detach(), (1 - 0.5 * rate) * before[name] + rate, msg=name)


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
