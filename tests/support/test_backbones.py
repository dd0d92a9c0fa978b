"""Every family of backbones, tiny and random: weights kept, features as by hand, grey stem, round trip."""

from types import SimpleNamespace

import pytest
import torch
from families import TEXT, VISION, features_of, save_all, three_texts
from transformers import AutoModel, DistilBertConfig

from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.support.backbones import fit_channels

PREFIX = {"vit": 1, "swin": 0, "dinov2": 1, "registers": 4, "clip": 1, "siglip": 0}
# Where the last norm stands for pooled features, it is applied after our pooling instead.
MOVED = {"vit": "layernorm", "convnext": "layernorm", "clip": "post_layernorm"}
TEXT_POOLINGS = [
    (name, pooling)
    for name in TEXT
    for pooling in ("cls", "mean", "own")
    if not (name in ("clip", "siglip") and pooling == "cls")
]
VISION_POOLINGS = [
    (name, pooling)
    for name in VISION
    for pooling in ("mean", "cls", "own")
    if pooling != "cls" or PREFIX.get(name)
]
STEMS = [(*case, True) for case in VISION_POOLINGS] + [(name, "mean", False) for name in ("vit", "resnet")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("backbones"))


@pytest.fixture
def combine(saved):
    def build(vision="resnet", text="bert", **settings):
        settings = {"text_pooling": "mean", "embed_dim": 6, "image_size": 32, **settings}
        torch.manual_seed(1)
        return MedProbCLIPModel.from_vision_text_pretrained(
            saved.vision(vision), saved.text(text), **settings
        ).eval()

    return build


@pytest.fixture
def pixels():
    return torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def tokens():
    return three_texts()


def vision_by_hand(tower, name, pooling, pixels):
    """Pooled features of a backbone called directly, before our norm, and that norm's weight and bias."""
    raw = []
    if name in MOVED and pooling != "own":
        norm = getattr(tower, MOVED[name])
        affine = (norm.weight, norm.bias)
        setattr(tower, MOVED[name], torch.nn.Identity())
    else:
        width = {"convnext": 16, "resnet": 16}.get(name, 24)
        affine = (torch.ones(width), torch.zeros(width))
    raw = tower(pixel_values=pixels.repeat(1, 3, 1, 1))
    if pooling == "own":
        pooled = raw.pooler_output.flatten(1)
    elif pooling == "cls":
        pooled = raw.last_hidden_state[:, 0]
    elif name in PREFIX:
        patches = raw.last_hidden_state[:, PREFIX[name] :]
        assert patches.shape[1] == 16  # 4 × 4: 32 px in patches of 8, or of 4 merged once
        pooled = patches.mean(1)
    else:
        pooled = raw.last_hidden_state.flatten(2).mean(2)
    return pooled, affine


@torch.no_grad()
@pytest.mark.parametrize(("name", "pooling", "grey"), STEMS)
def test_image_features_are_those_of_the_backbone(saved, combine, pixels, name, pooling, grey):
    """Weights and pooling, and that one grey channel counts as three equal ones, with either stem."""
    model = combine(name, vision_pooling=pooling, grey=grey)
    assert model.vision_model.config.num_channels == (1 if grey else 3)
    features = features_of(model.vision_head, lambda: model.encode_image(pixels))
    pooled, (weight, bias) = vision_by_hand(
        AutoModel.from_pretrained(saved.vision(name)).eval(), name, pooling, pixels
    )
    expected = torch.nn.functional.layer_norm(pooled, pooled.shape[1:], weight, bias, 1e-6)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", VISION)
def test_vision_weights_are_kept_and_the_stem_is_summed(saved, combine, name):
    weights = AutoModel.from_pretrained(saved.vision(name)).state_dict()
    kept = combine(name, grey=False).vision_model.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in kept.items())
    grey = combine(name).vision_model.state_dict()
    different = [key for key, value in grey.items() if not torch.equal(value, weights[key])]
    (stem,) = different
    torch.testing.assert_close(grey[stem], weights[stem].sum(1, keepdim=True))
    left = {key for key in weights if key not in kept}
    places = (f"{MOVED.get(name)}.", "pooler.", "head.")
    assert all(key.startswith(places) for key in left)


@torch.no_grad()
@pytest.mark.parametrize(("name", "pooling"), TEXT_POOLINGS)
def test_text_features_are_those_of_the_backbone(saved, combine, tokens, name, pooling):
    """Each text alone and unpadded, its backbone called directly.

    But for SigLIP's own pooling: it was trained on texts padded to the full length, and sees the padding.
    """
    model = combine(text=name, text_pooling=pooling)
    features = features_of(model.text_head, lambda: model.encode_text(*tokens))
    tower = AutoModel.from_pretrained(saved.text(name)).eval()
    assert all(
        torch.equal(value, tower.state_dict()[key]) for key, value in model.text_model.state_dict().items()
    )
    for row, length in enumerate((7, 4, 2)):
        ids = tokens[0][row : row + 1, :length]
        if (name, pooling) == ("siglip", "own"):
            config = tower.config
            ids = torch.nn.functional.pad(
                ids, (0, config.max_position_embeddings - length), value=config.pad_token_id
            )
        output = tower(input_ids=ids)
        hidden = output.last_hidden_state[0]
        by_hand = {"cls": hidden[0], "mean": hidden.mean(0), "own": output.pooler_output[0]}[pooling]
        torch.testing.assert_close(features[row], by_hand, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", VISION)
@pytest.mark.parametrize("pooling", ["mean", "own"])
def test_a_saved_model_comes_back_bit_by_bit(combine, pixels, tokens, tmp_path, name, pooling):
    text = list(TEXT)[list(VISION).index(name) % len(TEXT)]
    model = combine(name, text, vision_pooling=pooling, text_pooling=pooling, head_hidden=10)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    weights = loaded.state_dict()
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    for ours, theirs in zip(model(pixels, *tokens), loaded(pixels, *tokens), strict=True):
        torch.testing.assert_close(ours.mean, theirs.mean, atol=1e-4, rtol=1e-4)  # rounding is 1e-6
        torch.testing.assert_close(ours.log_var, theirs.log_var, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_two_tower_checkpoint_gives_its_towers(saved, pixels, tokens, name):
    """The whole model's folder on either side: its own towers' features."""
    folder = saved.both(name)
    whole = AutoModel.from_pretrained(folder).eval()
    model = MedProbCLIPModel.from_vision_text_pretrained(
        folder, folder, vision_pooling="own", text_pooling="own", embed_dim=6, image_size=32
    ).eval()
    features = features_of(model.vision_norm, lambda: model.encode_image(pixels))
    expected = whole.vision_model(pixel_values=pixels.repeat(1, 3, 1, 1)).pooler_output
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)
    ids, mask = tokens[0][:1], tokens[1][:1]
    features = features_of(model.text_head, lambda: model.encode_text(ids, mask))
    if name == "siglip":
        positions = TEXT["siglip"].max_position_embeddings
        ids = torch.nn.functional.pad(ids, (0, positions - ids.shape[1]), value=TEXT["siglip"].pad_token_id)
    torch.testing.assert_close(features, whole.text_model(input_ids=ids).pooler_output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", VISION)
@pytest.mark.parametrize("pooling", ["mean", "own"])
def test_every_parameter_gets_a_gradient(combine, pixels, tokens, name, pooling):
    text = list(TEXT)[list(VISION).index(name) % len(TEXT)]
    model = combine(name, text, vision_pooling=pooling, text_pooling=pooling).train()
    image, report = model(pixels, *tokens)
    (model.similarity(image, report).sum() + image.kl_to_standard_normal().sum()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(vision="resnet", vision_pooling="cls"), "no class token. Take 'mean' or 'own'"),
        (dict(vision="swin", vision_pooling="cls"), "no class token"),
        (dict(vision="siglip", vision_pooling="cls"), "no class token"),
        (dict(text="clip", text_pooling="cls"), "Take 'own' or 'mean'"),
        (dict(vision_pooling="max"), "no vision_pooling 'max'; choose one of mean, cls, own"),
        (dict(text_pooling="max"), "no text_pooling 'max'; choose one of cls, mean, own"),
    ],
)
def test_pooling_that_a_backbone_has_not_is_refused(combine, settings, message):
    with pytest.raises(ValueError, match=message):
        combine(**settings)


def test_own_pooling_without_a_pooled_output_is_refused(tokens):
    text = DistilBertConfig(vocab_size=60, dim=24, n_layers=1, n_heads=2, hidden_dim=48)
    config = MedProbCLIPConfig(
        vision_config=VISION["resnet"], text_config=text, text_pooling="own", embed_dim=6
    )
    with pytest.raises(ValueError, match="'distilbert' has no pooled output. Take 'mean'"):
        MedProbCLIPModel(config).encode_text(*tokens)


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit", "dinov2", "clip", "siglip", "swin", "resnet"])
def test_images_of_another_size_are_taken(combine, name):
    """Position embeddings are interpolated; at the size of the pretraining nothing changes (above)."""
    image = combine(name).encode_image(torch.randn(2, 1, 48, 48, generator=torch.Generator().manual_seed(0)))
    assert image.mean.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_a_model_in_half_precision(combine, pixels, tokens, tmp_path, name):
    model = combine(name)
    model.save_pretrained(tmp_path)
    half = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    for ours, exact in zip(half(pixels.bfloat16(), *tokens), model(pixels, *tokens), strict=True):
        assert ours.mean.dtype == torch.float32
        torch.testing.assert_close(ours.mean, exact.mean, atol=0.1, rtol=0.05)


def test_three_channels_at_a_grey_stem_are_refused(combine, pixels):
    with pytest.raises(ValueError, match=r"1 input channel.* images have 3. Give grey"):
        combine("resnet").encode_image(pixels.repeat(1, 3, 1, 1))
    assert combine("resnet", grey=False).encode_image(pixels.repeat(1, 3, 1, 1)).shape == (3, 6)


def test_one_channel_is_seen_as_three_without_a_copy(pixels):
    view = fit_channels(pixels, SimpleNamespace())  # a configuration without num_channels
    assert view.shape == (3, 3, 32, 32)
    assert view.data_ptr() == pixels.data_ptr()
