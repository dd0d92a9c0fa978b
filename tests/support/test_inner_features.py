"""What a backbone shows half-way: its middle layer's output, averaged by hand, beside the same Gaussian."""

import pytest
import torch
from families import TEXT, VISION, save_all, three_texts
from torch import Tensor, nn
from transformers import AutoModel, BertConfig, DistilBertConfig, PretrainedConfig, ResNetConfig, ViTConfig

from medprobclip.model import MedProbCLIPModel
from medprobclip.support.backbones import pool_image_and_inner, pool_text_and_inner

PREFIX = {"vit": 1, "swin": 0, "dinov2": 1, "registers": 4, "clip": 1, "siglip": 0}
TEXT_POOLINGS = [(name, pooling) for name in TEXT for pooling in ("mean", "own")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("backbones"))


@pytest.fixture
def combine(saved):
    def build(vision="resnet", text="bert", **settings) -> MedProbCLIPModel:
        settings = {"text_pooling": "mean", "embed_dim": 6, "image_size": 32, **settings}
        torch.manual_seed(1)
        return MedProbCLIPModel.from_vision_text_pretrained(
            saved.vision(vision), saved.text(text), **settings
        ).eval()

    return build


@pytest.fixture
def pixels():
    return torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(2))


def middle(output) -> Tensor:
    return output.hidden_states[len(output.hidden_states) // 2]


def mean_of_places(hidden: Tensor, prefix: int) -> Tensor:
    """One image and place after another: `[B, G, H, W]` or `[B, prefix + places, G]` -> `[B, G]`."""
    if hidden.ndim == 4:
        hidden = hidden.flatten(2).transpose(1, 2)
    return torch.stack([sum(image[prefix:]) / len(image[prefix:]) for image in hidden])


def assert_same(ours, theirs) -> None:
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.log_var, theirs.log_var)


@torch.no_grad()
@pytest.mark.parametrize("name", VISION)
@pytest.mark.parametrize("pooling", ["mean", "own"])
def test_inner_features_of_images_are_those_of_the_backbone(saved, combine, pixels, name, pooling):
    model = combine(name, vision_pooling=pooling)
    gaussian, inner = model.encode_image_and_inner(pixels)
    assert_same(gaussian, model.encode_image(pixels))
    tower = AutoModel.from_pretrained(saved.vision(name)).eval()
    output = tower(pixel_values=pixels.repeat(1, 3, 1, 1), output_hidden_states=True)
    expected = mean_of_places(middle(output), PREFIX.get(name, 0))
    assert torch.isfinite(inner).all()
    assert float(inner.std(0).max()) > 1e-3  # not the same for every image
    torch.testing.assert_close(inner, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("name", "pooling"), TEXT_POOLINGS)
def test_inner_features_of_texts_are_those_of_the_backbone(saved, combine, name, pooling):
    """Each text alone and unpadded, but for SigLIP's own pooling, which reads padded texts."""
    ids, mask = three_texts()
    model = combine(text=name, text_pooling=pooling)
    gaussian, inner = model.encode_text_and_inner(ids, mask)
    assert_same(gaussian, model.encode_text(ids, mask))
    tower = AutoModel.from_pretrained(saved.text(name)).eval()
    for row, length in enumerate((7, 4, 2)):
        text = ids[row : row + 1, :length]
        if (name, pooling) == ("siglip", "own"):
            missing = tower.config.max_position_embeddings - length
            text = nn.functional.pad(text, (0, missing), value=tower.config.pad_token_id)
        tokens = middle(tower(input_ids=text, output_hidden_states=True))[0, :length]
        torch.testing.assert_close(inner[row], sum(tokens) / length, atol=1e-5, rtol=1e-5)


def seen_by(layer: nn.Module, act) -> Tensor:
    """What a layer gives while act runs."""
    seen = []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(output))
    act()
    handle.remove()
    return seen[0][0] if isinstance(seen[0], tuple) else seen[0]


def built(config: PretrainedConfig):
    torch.manual_seed(0)
    return AutoModel.from_config(config).eval()


@torch.no_grad()
def test_half_way_is_the_second_of_four(pixels):
    """Stages of a ResNet, layers of a ViT and of a BERT: the outputs of the very layers."""
    small = dict(hidden_size=24, num_hidden_layers=4, num_attention_heads=2, intermediate_size=48)
    resnet = built(
        ResNetConfig(
            num_channels=1, embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1] * 4, layer_type="basic"
        )
    )
    vit = built(ViTConfig(image_size=32, patch_size=8, num_channels=1, **small))
    bert = built(BertConfig(vocab_size=60, **small))
    ids, mask = three_texts()
    asked = lambda tower: pool_image_and_inner(tower, pixels, "mean")[1]  # noqa: E731
    hidden = seen_by(resnet.encoder.stages[1], lambda: asked(resnet))
    torch.testing.assert_close(asked(resnet), hidden.mean((2, 3)))
    assert asked(resnet).shape == (3, 12)
    layers = vit.layers if hasattr(vit, "layers") else vit.encoder.layer
    torch.testing.assert_close(asked(vit), seen_by(layers[1], lambda: asked(vit))[:, 1:].mean(1))
    read = lambda: pool_text_and_inner(bert, ids, mask, "mean")[1]  # noqa: E731
    hidden = seen_by(bert.encoder.layer[1], read)
    expected = torch.stack([hidden[row, :length].mean(0) for row, length in enumerate((7, 4, 2))])
    torch.testing.assert_close(read(), expected)


@torch.no_grad()
def test_padding_changes_no_inner_feature(combine):
    ids, mask = three_texts()
    model = combine()
    _, inner = model.encode_text_and_inner(ids, mask)
    _, short = model.encode_text_and_inner(ids[1:, :4], mask[1:, :4])
    torch.testing.assert_close(short, inner[1:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_inner_features_in_half_precision_are_float32(combine, pixels):
    model = combine("vit").bfloat16()
    ids, mask = three_texts()
    assert model.encode_image_and_inner(pixels.bfloat16())[1].dtype == torch.float32
    assert model.encode_text_and_inner(ids, mask)[1].dtype == torch.float32


@torch.no_grad()
def test_inner_features_of_images_of_another_size(combine):
    drawn = torch.randn(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    for name in ("vit", "resnet"):
        model = combine(name)
        gaussian, inner = model.encode_image_and_inner(drawn)
        assert_same(gaussian, model.encode_image(drawn))
        assert torch.isfinite(inner).all()


def test_a_backbone_that_shows_nothing_inside_is_named():
    ids, mask = three_texts()
    tower = built(DistilBertConfig(vocab_size=60, dim=24, n_layers=2, n_heads=2, hidden_dim=48))
    forward = tower.forward

    def closed(**inputs):
        output = forward(**inputs)
        output.hidden_states = None
        return output

    tower.forward = closed
    with pytest.raises(ValueError, match="'distilbert' does not show its hidden states"):
        pool_text_and_inner(tower, ids, mask, "mean")
