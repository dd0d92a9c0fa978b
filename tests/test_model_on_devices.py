"""The same model on every device: float32 as on the CPU, bfloat16 near it, gradients that arrive."""

from copy import deepcopy

import pytest
import torch

from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.evaluation.embedding import embed_images, embed_texts, evaluating, prepare_images
from medprobclip.settings import EncoderConfig
from medprobclip.support import precision
from medprobclip.support.backbones import pool_image
from medprobclip.training.encoders import build_model

TEXTS = ["The heart is large.", "No pneumothorax.", "There is an opacity in the left base.", "Clear lungs."]
ENCODERS = {
    "tiny": EncoderConfig("tiny-resnet", "tiny-bert", embed_dim=8, image_size=64, max_tokens=32),
    "demo": EncoderConfig(
        "chest-encoder", "small-bert", embed_dim=128, image_size=128, max_tokens=32, text_pooling="mean"
    ),
}


@pytest.fixture(scope="module", params=ENCODERS)
def parts(request):
    """A model on the CPU, its tokenizer, and eight pictures of noise in eight greys."""
    encoders = ENCODERS[request.param]
    tokenizer = train_tokenizer(TEXTS, 100, encoders.max_tokens)
    torch.manual_seed(0)
    model = build_model(encoders, tokenizer).to(memory_format=torch.channels_last).eval()
    size, generator = encoders.image_size, torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 100, (8, size, size), generator=generator, dtype=torch.uint8)
    return model, tokenizer, pictures + (20 * torch.arange(8, dtype=torch.uint8))[:, None, None]


@pytest.fixture
def moved(parts, device, monkeypatch):
    """A copy on the device; convolutions there in whole float32 (NVIDIA's default rounds to 10 bits)."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return deepcopy(parts[0]).to(device)


def embedded(model, tokenizer, pictures):
    """Means and log variances of pictures and texts `[12, D]`, on the CPU."""
    images, _ = embed_images(model, pictures)
    texts, _ = embed_texts(model, tokenizer(TEXTS)["input_ids"], tokenizer.pad_token_id)
    return [torch.cat([getattr(images, part), getattr(texts, part)]) for part in ("mean", "log_var")]


def test_in_float32_as_on_the_cpu(parts, moved, float32):
    model, tokenizer, pictures = parts
    for ours, truth in zip(
        embedded(moved, tokenizer, pictures), embedded(model, tokenizer, pictures), strict=True
    ):
        assert {ours.device.type, ours.dtype} == {"cpu", torch.float32}
        torch.testing.assert_close(ours, truth, rtol=1e-3, atol=1e-3)


def test_in_bfloat16_near_it(parts, moved, device, monkeypatch):
    """Within 3 % of the spread over the inputs (0.5 % on a CPU). The heads themselves stay in float32."""
    model, tokenizer, pictures = parts
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    truths = embedded(model, tokenizer, pictures)
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    with evaluating(moved), torch.no_grad():
        pixels = prepare_images(pictures, moved)
        assert moved.vision_model(pixel_values=pixels).last_hidden_state.dtype == torch.bfloat16
        assert moved.encode_image(pixels).mean.dtype == torch.float32
    for ours, truth in zip(embedded(moved, tokenizer, pictures), truths, strict=True):
        assert not torch.equal(ours, truth)
        assert float((ours - truth).square().mean().sqrt()) < 0.03 * float(truth.std())


@pytest.mark.gpu
def test_a_gpu_has_bfloat16():
    """Of compute capability 8.0 on; what is older trains in float32."""
    capability = torch.cuda.get_device_capability()
    assert precision.has_bfloat16(torch.device("cuda")) == (capability >= (8, 0))


def test_inner_features_as_on_the_cpu(parts, moved, float32):
    """What strangeness is told by, from both encoders."""
    model, tokenizer, pictures = parts
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    found = []
    for each in (moved, model):
        with torch.no_grad():
            images = each.encode_image_and_inner(prepare_images(pictures, each))[1]
            texts = each.encode_text_and_inner(ids.to(each.device), mask.to(each.device))[1]
        found.append((images.cpu(), texts.cpu()))
    for ours, truth in zip(*found, strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-3, atol=1e-3)


def test_gradients_as_on_the_cpu(parts, moved, float32):
    """Of every weight that the pictures' part of the loss reaches, in evaluation mode (no dropout)."""
    model, _, pictures = parts
    found = []
    for each in (moved, deepcopy(model)):
        with evaluating(each):
            images = each.vision_head(
                each.vision_norm(pool_image(each.vision_model, prepare_images(pictures, each), "mean"))
            )
            each.similarity(images, images).logsumexp(1).mean().backward()
        found.append({name: p.grad.cpu() for name, p in each.named_parameters() if p.grad is not None})
    ours, truth = found
    assert ours.keys() == truth.keys()
    assert len(ours) > 10
    whole = torch.cat([t.flatten() for t in truth.values()]).norm()
    for name, gradient in truth.items():
        assert float((ours[name] - gradient).norm()) < 1e-2 * float(gradient.norm()) + 1e-4 * float(whole), (
            name
        )
