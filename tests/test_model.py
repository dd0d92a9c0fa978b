"""The model: shapes, padding, clamps, what the heads compute, freezing, a round trip through disk."""

import json
import math

import pytest
import torch
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, ResNetConfig, ViTConfig, ViTModel

from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.similarity import expected_likelihood

TEXT = BertConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
)
RESNET = ResNetConfig(
    num_channels=1, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
)
VIT = ViTConfig(
    image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=48,
)  # fmt: skip


@pytest.fixture(params=[RESNET, VIT], ids=["resnet", "vit"])
def model(request):
    torch.manual_seed(0)
    config = MedProbCLIPConfig(vision_config=request.param, text_config=TEXT, embed_dim=12, image_size=32)
    return MedProbCLIPModel(config).eval()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (3, 9), generator=generator)
    return torch.randn(5, 1, 32, 32, generator=generator), tokens, torch.ones_like(tokens)


@torch.no_grad()
def test_shapes_and_scores(model, inputs):
    image, report = model(*inputs)
    assert image.shape == (5, 12)
    assert report.shape == (3, 12)
    scores = model.similarity(image, report)
    torch.testing.assert_close(scores, expected_likelihood(image, report))  # a = 1, b = 0


@torch.no_grad()
def test_fresh_heads_are_near_the_standard_normal(model):
    """Normalised features give means and log variances of spread 0.3, so that σ² is near 1."""
    features = torch.randn(
        500, model.vision_head.linear.in_features, generator=torch.Generator().manual_seed(0)
    )
    head = model.vision_head(features)
    for values in (head.mean, head.log_var):
        assert 0.2 < float(values.std()) < 0.4
        assert abs(float(values.mean())) < 0.1


@torch.no_grad()
def test_padding_changes_nothing(model, inputs):
    _, tokens, mask = inputs
    short = model.encode_text(tokens[:, :6], mask[:, :6])
    padded_mask = mask.clone()
    padded_mask[:, 6:] = 0
    padded = model.encode_text(tokens, padded_mask)
    torch.testing.assert_close(short.mean, padded.mean, atol=1e-5, rtol=0)


@torch.no_grad()
def test_each_image_is_encoded_by_itself(model, inputs):
    pixels = inputs[0]
    torch.testing.assert_close(model.encode_image(pixels)[2:3].mean, model.encode_image(pixels[2:3]).mean)


@torch.no_grad()
def test_grey_counts_as_three_equal_channels(inputs):
    config = MedProbCLIPConfig(vision_config=VIT, text_config=TEXT, embed_dim=12, image_size=32)
    model = MedProbCLIPModel(config).eval()
    pixels = inputs[0]
    torch.testing.assert_close(
        model.encode_image(pixels).mean, model.encode_image(pixels.repeat(1, 3, 1, 1)).mean
    )


@torch.no_grad()
def test_vit_averages_patches_without_the_class_token_before_the_norm(inputs, tmp_path):
    """As published: mean of the raw patch tokens, then LayerNorm, with a pretrained ViT's weights."""
    torch.manual_seed(0)
    tower = ViTModel(VIT, add_pooling_layer=False).eval()
    tower.layernorm.weight.uniform_(0.5, 1.5)
    tower.save_pretrained(tmp_path / "vision")
    BertModel(TEXT).save_pretrained(tmp_path / "text")
    model = MedProbCLIPModel.from_vision_text_pretrained(
        str(tmp_path / "vision"), str(tmp_path / "text"), embed_dim=12, image_size=32
    ).eval()
    raw = []
    tower.layernorm.register_forward_pre_hook(lambda module, args: raw.append(args[0]))
    tower(pixel_values=inputs[0].expand(-1, 3, -1, -1))
    assert raw[0].shape == (5, 17, 24)
    pooled = torch.nn.functional.layer_norm(raw[0][:, 1:].mean(1), (24,), tower.layernorm.weight, None, 1e-6)
    by_hand = model.vision_head.linear(pooled)
    image = model.encode_image(inputs[0])
    torch.testing.assert_close(image.mean, by_hand[:, :12], atol=1e-5, rtol=0)
    torch.testing.assert_close(image.log_var, by_hand[:, 12:], atol=1e-5, rtol=0)


@torch.no_grad()
def test_log_variance_is_clamped_and_the_mean_is_not(model, inputs):
    model.vision_head.linear.weight.mul_(1e4)
    image = model.encode_image(inputs[0])
    assert float(image.log_var.min()) == -6
    assert float(image.log_var.max()) == 6
    assert float(image.mean.abs().max()) > 100


@torch.no_grad()
def test_save_and_load_give_the_same_scores(model, inputs, tmp_path):
    model.similarity.log_a.fill_(math.log(2.5))
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is MedProbCLIPModel
    assert torch.equal(loaded.similarity(*loaded(*inputs)), model.similarity(*model(*inputs)))


@torch.no_grad()
def test_pretrained_backbones_keep_their_weights(model, inputs, tmp_path):
    model.vision_model.save_pretrained(tmp_path / "vision")
    model.text_model.save_pretrained(tmp_path / "text")
    built = MedProbCLIPModel.from_vision_text_pretrained(
        str(tmp_path / "vision"), str(tmp_path / "text"), grey=False, embed_dim=6, image_size=32
    )
    for part in ("vision_model", "text_model"):
        expected, weights = getattr(model, part).state_dict(), getattr(built, part).state_dict()
        assert weights.keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in weights.items())
    assert built.eval().encode_image(inputs[0]).shape == (5, 6)


def test_every_parameter_gets_a_gradient(model, inputs):
    image, report = model.train()(*inputs)
    scores = model.similarity(image[:3], report)
    (scores.diagonal().sum() + image.kl_to_standard_normal().sum()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@torch.no_grad()
def test_a_hidden_layer_in_the_heads(inputs):
    """By hand: GELU between two linear layers; fresh values keep a spread near 0.3."""
    torch.manual_seed(0)
    config = MedProbCLIPConfig(vision_config=VIT, text_config=TEXT, embed_dim=12, head_hidden=64)
    head = MedProbCLIPModel(config).vision_head
    features = torch.randn(500, 24, generator=torch.Generator().manual_seed(0))
    inner = features @ head.hidden[0].weight.T + head.hidden[0].bias
    inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
    by_hand = inner @ head.linear.weight.T + head.linear.bias
    assert inner.shape == (500, 64)
    torch.testing.assert_close(head(features).mean, by_hand[:, :12])
    assert 0.2 < float(by_hand.std()) < 0.4


def learning(model):
    return {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("which", "still"),
    [("none", ()), ("vision", ("vision",)), ("text", ("text",)), ("both", ("vision", "text"))],
)
def test_a_frozen_backbone_keeps_its_weights_and_its_statistics(inputs, which, still):
    """One step of a resnet (batch norm) and a BERT (dropout) that are frozen or not."""
    torch.manual_seed(0)
    model = MedProbCLIPModel(MedProbCLIPConfig(vision_config=RESNET, text_config=TEXT, embed_dim=12))
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
    vision, text = ViTConfig(**VIT.to_diff_dict()), BertConfig(**TEXT.to_diff_dict())
    text.hidden_dropout_prob = text.attention_probs_dropout_prob = 0.0
    torch.manual_seed(0)
    model = MedProbCLIPModel(MedProbCLIPConfig(vision_config=vision, text_config=text, embed_dim=12)).train()
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


@torch.no_grad()
def test_segments_that_tokenizers_give_are_ignored(model, inputs):
    pixels, tokens, mask = inputs
    _, report = model(pixels, tokens, mask)
    _, same = model(
        pixel_values=pixels, input_ids=tokens, attention_mask=mask, token_type_ids=torch.ones_like(tokens)
    )
    assert torch.equal(report.mean, same.mean)


def test_the_saved_configuration_says_what_it_is(model, tmp_path):
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "medprobclip"
    assert config["architectures"] == ["MedProbCLIPModel"]
    assert type(AutoConfig.from_pretrained(tmp_path)) is MedProbCLIPConfig
    assert callable(model.push_to_hub)


@pytest.fixture(params=[0, 10], ids=["linear", "hidden"])
def fixed(request):
    """A model whose variances are all 1."""
    torch.manual_seed(0)
    config = MedProbCLIPConfig(
        vision_config=VIT, text_config=TEXT, embed_dim=12, head_hidden=request.param, learned_variance=False
    )
    return MedProbCLIPModel(config).eval()


@torch.no_grad()
def test_a_fixed_variance_is_one_and_has_no_head(fixed, inputs):
    for head, gaussian in zip((fixed.vision_head, fixed.text_head), fixed(*inputs), strict=True):
        assert head.linear.out_features == 12
        assert gaussian.mean.shape == gaussian.log_var.shape
        assert (gaussian.log_var == 0).all()
        assert gaussian.mean.dtype == gaussian.log_var.dtype == torch.float32
        assert gaussian.total_variance().tolist() == [12] * len(gaussian)


@torch.no_grad()
def test_the_mean_is_the_whole_output_where_the_variance_is_fixed(fixed):
    features = torch.randn(7, 24, generator=torch.Generator().manual_seed(0))
    head = fixed.vision_head
    by_hand = head.hidden(features) @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(features).mean, by_hand)


@torch.no_grad()
def test_with_fixed_variances_the_score_is_a_distance_of_the_means(fixed, inputs):
    """−¼ ‖μx − μy‖² − (D/2) log 2."""
    image, report = fixed(*inputs)
    distance = (image.mean[:, None] - report.mean).square().sum(-1)
    torch.testing.assert_close(fixed.similarity(image, report), -distance / 4 - 6 * math.log(2))
    torch.testing.assert_close(image.kl_to_standard_normal(), image.mean.square().sum(-1) / 2)


def test_gradients_flow_where_the_variance_is_fixed(fixed, inputs):
    image, report = fixed.train()(*inputs)
    assert not image.log_var.requires_grad
    loss = fixed.similarity(image[:3], report).diagonal().sum() + image.kl_to_standard_normal().sum()
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in fixed.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    for side in ("vision", "text"):
        assert (gradients[f"{side}_head.linear.weight"].abs().sum(1) > 0).all()


@torch.no_grad()
def test_a_loaded_model_keeps_its_fixed_variance(fixed, inputs, tmp_path):
    fixed.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert loaded.config.learned_variance is False
    image, report = loaded(*inputs)
    assert (image.log_var == 0).all()
    assert torch.equal(loaded.similarity(image, report), fixed.similarity(*fixed(*inputs)))


def test_models_of_before_learn_their_variance(model, tmp_path):
    """A stored configuration that does not say so."""
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("learned_variance", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = AutoModel.from_pretrained(tmp_path)
    assert loaded.vision_head.learned_variance
    assert loaded.text_head.linear.out_features == 24
