"""The model: shapes, padding, clamps, what the heads compute, fixed variances, a round trip through disk."""

import json
import math

import pytest
import torch
from tiny import RESNET, TEXT, VIT, build, drawn_inputs
from transformers import AutoConfig, AutoModel, BertModel, ViTModel

from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.similarity import expected_likelihood


@pytest.fixture(params=[RESNET, VIT], ids=["resnet", "vit"])
def model(request):
    return build(request.param)


@pytest.fixture
def inputs():
    return drawn_inputs()


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
@pytest.mark.parametrize("hidden", [0, 64])
@pytest.mark.parametrize("start", [-5.0, 0.0, 2.0])
def test_fresh_log_variances_are_near_their_start(start, hidden):
    """Moved as a whole: their spread, and the means, are those of a model that starts at 0."""
    features = torch.randn(500, 24, generator=torch.Generator().manual_seed(0))
    models = build(VIT, head_hidden=hidden, log_var_start=start), build(VIT, head_hidden=hidden)
    for side in ("vision_head", "text_head"):
        weights = [getattr(model, side).linear.weight for model in models]
        assert torch.equal(*weights)
        assert getattr(models[0], side).linear.bias.tolist() == [0] * 12 + [start] * 12
    head, plain = (model.vision_head(features) for model in models)
    assert abs(float(head.log_var.mean()) - start) < 0.1
    assert 0.2 < float(head.log_var.std()) < 0.4
    torch.testing.assert_close(head.log_var, (plain.log_var + start).clamp(-6, 6))
    assert torch.equal(head.mean, plain.mean)


@torch.no_grad()
def test_where_the_variance_is_fixed_nothing_starts_elsewhere():
    for head in (build(VIT, learned_variance=False, log_var_start=-5.0).vision_head, build(VIT).text_head):
        assert (head.linear.bias == 0).all()


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
    model = build(VIT)
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
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    torch.testing.assert_close(loaded.similarity(*loaded(*inputs)), model.similarity(*model(*inputs)))


@torch.no_grad()
@pytest.mark.parametrize("start", [-5.0, 0.0])
def test_a_loaded_head_has_what_it_learned_and_not_its_start(start, tmp_path):
    model = build(VIT, head_hidden=10, log_var_start=start)
    for head in (model.vision_head, model.text_head):
        head.linear.bias.copy_(torch.linspace(-1, 1, 24))
        head.hidden[0].bias.fill_(0.3)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert loaded.config.log_var_start == start
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


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


@torch.no_grad()
def test_a_hidden_layer_in_the_heads(inputs):
    """By hand: GELU between two linear layers; fresh values keep a spread near 0.3."""
    head = build(VIT, head_hidden=64).vision_head
    features = torch.randn(500, 24, generator=torch.Generator().manual_seed(0))
    inner = features @ head.hidden[0].weight.T + head.hidden[0].bias
    inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
    by_hand = inner @ head.linear.weight.T + head.linear.bias
    assert inner.shape == (500, 64)
    torch.testing.assert_close(head(features).mean, by_hand[:, :12])
    assert 0.2 < float(by_hand.std()) < 0.4


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
    return build(VIT, head_hidden=request.param, learned_variance=False)


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
    torch.testing.assert_close(loaded.similarity(image, report), fixed.similarity(*fixed(*inputs)))


def test_models_of_before_learn_their_variance(model, tmp_path):
    """A stored configuration that does not say so."""
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("learned_variance", None)
    config.pop("log_var_start")
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = AutoModel.from_pretrained(tmp_path)
    assert loaded.vision_head.learned_variance
    assert loaded.config.log_var_start == 0
    assert loaded.text_head.linear.out_features == 24
