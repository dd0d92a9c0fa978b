"""What of a model learns: every parameter, frozen backbones, gradients of layers that run a second time."""

import pytest
import torch
from tiny import RESNET, TEXT, VIT, build, drawn_inputs
from transformers import AutoModel, BertConfig


@pytest.fixture(params=[RESNET, VIT], ids=["resnet", "vit"])
def model(request):
    return build(request.param)


@pytest.fixture
def inputs():
    return drawn_inputs()


def test_every_parameter_gets_a_gradient(model, inputs):
    image, report = model.train()(*inputs)
    scores = model.similarity(image[:3], report)
    (scores.diagonal().sum() + image.kl_to_standard_normal().sum()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def learning(model):
    return {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("which", "still"),
    [("none", ()), ("vision", ("vision",)), ("text", ("text",)), ("both", ("vision", "text"))],
)
def test_a_frozen_backbone_keeps_its_weights_and_its_statistics(inputs, which, still):
    """One step of a resnet (batch norm) and a BERT (dropout) that are frozen or not."""
    model = build(RESNET)
    model.freeze("both")  # the last word counts
    model.freeze(which)
    model.eval().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for part in ("vision", "text"):
        tower = getattr(model, f"{part}_model")
        assert all(module.training is (part not in still) for module in tower.modules())
    image, report = model(*inputs)
    (model.similarity(image[:3], report).diagonal().sum() + image.mean.sum()).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1).step()
    changed = {
        n.partition(".")[0] for n, value in model.state_dict().items() if not torch.equal(value, before[n])
    }
    heads = {"vision_norm", "vision_head", "text_head", "similarity"}
    expected = heads | {f"{part}_model" for part in ("vision", "text") if part not in still}
    assert changed == expected
    assert learning(model) == expected


def test_a_frozen_backbone_stores_no_graph(model, inputs):
    model.freeze("both")
    pooled = []
    model.vision_norm.register_forward_pre_hook(lambda module, args: pooled.append(args[0]))
    model.text_head.register_forward_pre_hook(lambda module, args: pooled.append(args[0]))
    image, report = model.train()(*inputs)
    assert [features.requires_grad for features in pooled] == [False, False]
    assert image.mean.requires_grad
    assert report.mean.requires_grad


def test_a_loaded_model_learns_everywhere(model, tmp_path):
    model.freeze("both")
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert all(module.training for module in loaded.train().modules())


def test_an_unknown_part_to_freeze_is_refused(model):
    with pytest.raises(ValueError, match="vision, text, none, both"):
        model.freeze("heads")


def test_gradient_checkpointing_changes_no_gradient(inputs):
    """Equal gradients; and the layers of both towers really run a second time."""
    text = BertConfig(**TEXT.to_diff_dict())
    text.hidden_dropout_prob = text.attention_probs_dropout_prob = 0.0
    model = build(VIT, text).train()
    runs = {"vision_model": 0, "text_model": 0}

    def count(tower):
        def hook(module, args):
            runs[tower] += 1

        return hook

    model.vision_model.layers[0].layernorm_before.register_forward_pre_hook(count("vision_model"))
    model.text_model.encoder.layer[0].attention.self.query.register_forward_pre_hook(count("text_model"))

    def gradients():
        model.zero_grad()
        image, report = model(*inputs)
        model.similarity(image[:3], report).diagonal().sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    plain = gradients()
    assert runs == {"vision_model": 1, "text_model": 1}
    model.activation_checkpointing_enable()
    checkpointed = gradients()
    assert runs == {"vision_model": 3, "text_model": 3}
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient)
