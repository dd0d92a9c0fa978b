"""The model: shapes, padding, clamps, a round trip through disk, and what the heads compute."""

import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel, ResNetConfig, ViTConfig, ViTModel

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
    pixels = inputs[0].expand(-1, 3, -1, -1)
    raw = []
    tower.layernorm.register_forward_pre_hook(lambda module, args: raw.append(args[0]))
    tower(pixel_values=pixels)
    assert raw[0].shape == (5, 17, 24)
    pooled = torch.nn.functional.layer_norm(raw[0][:, 1:].mean(1), (24,), tower.layernorm.weight, None, 1e-6)
    by_hand = model.vision_head.linear(pooled)
    torch.testing.assert_close(model.encode_image(pixels).mean, by_hand[:, :12], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.encode_image(pixels).log_var, by_hand[:, 12:], atol=1e-5, rtol=0)


@torch.no_grad()
def test_log_variance_is_clamped_and_the_mean_is_not(model, inputs):
    model.vision_head.linear.weight.mul_(1e4)
    image = model.encode_image(inputs[0])
    assert float(image.log_var.min()) == -6
    assert float(image.log_var.max()) == 6
    assert float(image.mean.abs().max()) > 100


@torch.no_grad()
def test_save_and_load_give_the_same_scores(model, inputs, tmp_path):
    model.similarity.a.fill_(2.5)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is MedProbCLIPModel
    assert torch.equal(loaded.similarity(*loaded(*inputs)), model.similarity(*model(*inputs)))


@torch.no_grad()
def test_pretrained_backbones_keep_their_weights(model, inputs, tmp_path):
    model.vision_model.save_pretrained(tmp_path / "vision")
    model.text_model.save_pretrained(tmp_path / "text")
    built = MedProbCLIPModel.from_vision_text_pretrained(
        str(tmp_path / "vision"), str(tmp_path / "text"), embed_dim=6, image_size=32
    )
    for part in ("vision_model", "text_model"):
        expected = getattr(model, part).state_dict()
        assert all(
            torch.equal(value, expected[name]) for name, value in getattr(built, part).state_dict().items()
        )
    assert built.eval().encode_image(inputs[0]).shape == (5, 6)


def test_every_parameter_gets_a_gradient(model, inputs):
    image, report = model.train()(*inputs)
    scores = model.similarity(image[:3], report)
    (scores.diagonal().sum() + image.kl_to_standard_normal().sum()).backward()
    # BERT's own pooler is not used: the [CLS] state is.
    missing = [n for n, p in model.named_parameters() if p.grad is None and ".pooler." not in n]
    assert missing == []
