"""Every family of backbones, tiny and random: weights kept, features as by hand, grey stem, round trip."""

import io
import json
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    ConvNextConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    DistilBertConfig,
    PreTrainedTokenizerFast,
    ResNetConfig,
    RobertaConfig,
    SiglipConfig,
    SiglipTextConfig,
    SiglipVisionConfig,
    SwinConfig,
    ViTConfig,
)

from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.support.backbones import fit_channels, load_backbone, load_tokenizer

SIZES = dict(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
PATCHES = dict(image_size=32, patch_size=8, **SIZES)
VISION = {
    "vit": ViTConfig(**PATCHES),
    "swin": SwinConfig(
        image_size=32, patch_size=4, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4
    ),
    "convnext": ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    "dinov2": Dinov2Config(
        image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=1, num_attention_heads=2
    ),
    "registers": Dinov2WithRegistersConfig(
        image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_register_tokens=3,
    ),
    "clip": CLIPVisionConfig(**PATCHES),
    "siglip": SiglipVisionConfig(**PATCHES),
}  # fmt: skip
PREFIX = {"vit": 1, "swin": 0, "dinov2": 1, "registers": 4, "clip": 1, "siglip": 0}
# Where the last norm stands for pooled features, it is applied after our pooling instead.
MOVED = {"vit": "layernorm", "convnext": "layernorm", "clip": "post_layernorm"}
WORDS = dict(vocab_size=60, **SIZES)
TEXT = {
    "bert": BertConfig(**WORDS),
    "roberta": RobertaConfig(**WORDS, max_position_embeddings=40),
    "clip": CLIPTextConfig(**WORDS, eos_token_id=59, bos_token_id=58, pad_token_id=59),
    "siglip": SiglipTextConfig(**WORDS, projection_size=20),
}
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


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A folder with each backbone, every weight away from its usual start: norms and biases count too."""
    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(0)
    clip = CLIPConfig(text_config=TEXT["clip"].to_dict(), vision_config=VISION["clip"].to_dict())
    siglip = SiglipConfig(text_config=TEXT["siglip"].to_dict(), vision_config=VISION["siglip"].to_dict())
    both = {"clip": clip, "siglip": siglip}
    for side, configs in {"vision": VISION, "text": TEXT, "both": both}.items():
        for name, config in configs.items():
            model = AutoModel.from_config(config)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            model.save_pretrained(folder / side / name)
    return SimpleNamespace(
        vision=lambda name: str(folder / "vision" / name),
        text=lambda name: str(folder / "text" / name),
        both=lambda name: str(folder / "both" / name),
    )


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
    """Three texts of 7, 4 and 2 pieces: start 58, end 59, padding 1 (RoBERTa's) and the mask that says so."""
    ids = torch.tensor([[58, 5, 9, 30, 7, 8, 59], [58, 20, 21, 59, 1, 1, 1], [58, 59, 1, 1, 1, 1, 1]])
    return ids, (ids != 1).long()


def features_of(head, act):
    """What the head gets to see while act runs."""
    seen = []
    handle = head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    act()
    handle.remove()
    return seen[0]


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
def test_a_saved_model_answers_bit_by_bit(combine, pixels, tokens, tmp_path, name, pooling):
    text = list(TEXT)[list(VISION).index(name) % len(TEXT)]
    model = combine(name, text, vision_pooling=pooling, text_pooling=pooling, head_hidden=10)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for ours, theirs in zip(model(pixels, *tokens), loaded(pixels, *tokens), strict=True):
        assert torch.equal(ours.mean, theirs.mean)
        assert torch.equal(ours.log_var, theirs.log_var)


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


def test_code_in_a_folder_is_never_run(tmp_path, monkeypatch):
    """Not even by a user who answers yes at the terminal."""
    (tmp_path / "conf.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "unheard-of", "auto_map": {"AutoConfig": "conf.C", "AutoModel": "conf.M"}})
    )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    for load in (lambda: load_backbone(str(tmp_path), "text"), lambda: load_tokenizer(str(tmp_path), 9)):
        with pytest.raises((ValueError, OSError)):
            load()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("model_type", "longest"), [("bert", 40), ("roberta", 38)])
def test_texts_are_cut_where_the_model_ends(tmp_path, model_type, longest):
    words = {word: i for i, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "clear"))}
    BertTokenizer(vocab=words).save_pretrained(tmp_path)
    settings = {"model_type": model_type, "max_position_embeddings": 40, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    tokenizer_config = tmp_path / "tokenizer_config.json"
    tokenizer_config.write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    assert load_tokenizer(str(tmp_path), 600).model_max_length == longest
    assert load_tokenizer(str(tmp_path), 12).model_max_length == 12


def test_three_channels_at_a_grey_stem_are_refused(combine, pixels):
    with pytest.raises(ValueError, match=r"1 input channel.* images have 3. Give grey"):
        combine("resnet").encode_image(pixels.repeat(1, 3, 1, 1))
    assert combine("resnet", grey=False).encode_image(pixels.repeat(1, 3, 1, 1)).shape == (3, 6)


def test_one_channel_is_seen_as_three_without_a_copy(pixels):
    view = fit_channels(pixels, SimpleNamespace())  # a configuration without num_channels
    assert view.shape == (3, 3, 32, 32)
    assert view.data_ptr() == pixels.data_ptr()


def test_swapped_sides_are_refused(saved):
    with pytest.raises(ValueError, match="no vision model: it reads input_ids. Are they swapped"):
        MedProbCLIPModel.from_vision_text_pretrained(saved.text("bert"), saved.vision("vit"))


def test_weights_stored_in_half_learn_in_full(saved, tmp_path):
    AutoModel.from_pretrained(saved.both("clip")).half().save_pretrained(tmp_path)
    model = MedProbCLIPModel.from_vision_text_pretrained(
        str(tmp_path), str(tmp_path), text_pooling="own", embed_dim=6
    )
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@torch.no_grad()
def test_cxr_bert_loads_as_bert_without_its_code(saved, tokens, tmp_path):
    """A folder as on the hub: its own model type, code by reference, a prefix and a head that we leave."""
    bert = AutoModel.from_pretrained(saved.text("bert")).eval()
    whole = torch.nn.Module()
    whole.bert, whole.cls_projection_head = bert, torch.nn.Linear(24, 8)
    torch.save(whole.state_dict(), tmp_path / "pytorch_model.bin")
    settings = {
        **TEXT["bert"].to_dict(),
        "model_type": "cxr-bert",
        "architectures": ["CXRBertModel"],
        "auto_map": {"AutoModel": "modeling_cxrbert.CXRBertModel"},
        "projection_size": 8,
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "effusion"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    settings = {
        "tokenizer_class": "CXRBertTokenizer",
        "auto_map": {"AutoTokenizer": ["configuration_cxrbert.CXRBertTokenizer", None]},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    model = MedProbCLIPModel.from_vision_text_pretrained(
        saved.vision("resnet"), str(tmp_path), embed_dim=6, image_size=32
    ).eval()
    assert type(model.text_model) is BertModel
    features = features_of(model.text_head, lambda: model.encode_text(*tokens))
    expected = bert(input_ids=tokens[0], attention_mask=tokens[1]).last_hidden_state[:, 0]
    torch.testing.assert_close(features, expected)
    tokenizer = load_tokenizer(str(tmp_path), 16)
    assert tokenizer("No effusion")["input_ids"] == [2, 5, 6, 3]
    model.save_pretrained(tmp_path / "ours")
    tokenizer.save_pretrained(tmp_path / "ours")
    again = AutoModel.from_pretrained(tmp_path / "ours").eval()
    assert torch.equal(again.encode_text(*tokens).mean, model.encode_text(*tokens).mean)
    assert load_tokenizer(str(tmp_path / "ours"), 16)("No effusion")["input_ids"] == [2, 5, 6, 3]


@pytest.mark.parametrize(("asked", "limit"), [(16, 16), (400, 30)])
def test_a_tokenizer_cuts_where_its_model_ends(saved, tmp_path, asked, limit):
    pieces = Tokenizer(models.WordLevel({"[UNK]": 0, "no": 1}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=30).save_pretrained(tmp_path)
    TEXT["bert"].save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path), asked)
    assert tokenizer.model_max_length == limit
    tokenizer.save_pretrained(tmp_path / "again")
    TEXT["bert"].save_pretrained(tmp_path / "again")
    assert load_tokenizer(str(tmp_path / "again"), 1000).model_max_length == limit
