"""The processor: the very input of evaluation, texts cut and padded, a round trip beside the model."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor, AutoTokenizer

from medprobclip.data.grey import ImageError
from medprobclip.data.images import cache_images
from medprobclip.data.radiographs import read_image
from medprobclip.evaluation.embedding import prepare_images
from medprobclip.processor import MedProbCLIPImageProcessor, MedProbCLIPProcessor
from medprobclip.settings import EncoderConfig
from medprobclip.training.encoders import build_model, build_tokenizer

TEXTS = ["No effusion.", "The heart is large, and it is large."]


@pytest.fixture(scope="module")
def parts():
    config = EncoderConfig(
        "tiny-resnet", "tiny-bert", embed_dim=8, image_size=32, max_tokens=9, vocab_size=60
    )
    tokenizer = build_tokenizer(config, TEXTS)
    torch.manual_seed(0)
    model = build_model(config, tokenizer).eval()
    model.config.image_mean = 0.4  # not the usual one, so that it must be the model's
    return model, tokenizer, MedProbCLIPProcessor.for_model(model.config, tokenizer)


@pytest.fixture
def films(tmp_path):
    """A wide grey PNG, one in colour, one with 16 bits, and a JPEG."""
    values = np.random.default_rng(0).integers(0, 256, (50, 70), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([values, 255 - values, values // 2], axis=-1)).save(tmp_path / "colour.png")
    Image.fromarray(values.astype(np.uint16) * 9 + 1000).save(tmp_path / "deep.png")
    Image.fromarray(values[:, :40]).save(tmp_path / "film.jpg")
    return [tmp_path / name for name in ("grey.png", "colour.png", "deep.png", "film.jpg")]


def test_pixel_values_are_the_input_of_evaluation_bit_by_bit(parts, films, tmp_path):
    """Paths, open pictures and arrays alike."""
    model, _, processor = parts
    rows = cache_images(films, 32, tmp_path / "cache").rows(films)
    expected = prepare_images(torch.from_numpy(rows), model)
    assert expected.shape == (4, 1, 32, 32)
    assert torch.equal(processor(images=films)["pixel_values"], expected)
    assert torch.equal(processor(images=[str(film) for film in films])["pixel_values"], expected)
    opened = [Image.open(film) for film in films]
    assert torch.equal(processor(images=opened)["pixel_values"], expected)
    arrays = [np.asarray(picture) for picture in opened]
    assert [array.ndim for array in arrays] == [2, 3, 2, 2]
    assert torch.equal(processor(images=arrays)["pixel_values"], expected)
    for single in (films[0], str(films[0]), opened[0], arrays[0]):
        assert torch.equal(processor(images=single)["pixel_values"], expected[:1])


def test_dicom_is_read_as_in_evaluation(parts):
    pydicom = pytest.importorskip("pydicom")
    path = pydicom.data.get_testdata_file("CT_small.dcm")
    grey = read_image(path)
    by_hand = parts[2](images=Image.fromarray(grey))["pixel_values"]
    assert torch.equal(parts[2](images=path)["pixel_values"], by_hand)


def test_texts_are_padded_to_the_longest_and_cut(parts):
    tokens = parts[2](text=["No effusion.", "Large."])
    assert tokens.keys() == {"input_ids", "attention_mask"}
    alone = [parts[1](text)["input_ids"] for text in ("No effusion.", "Large.")]
    lengths = [len(ids) for ids in alone]
    assert lengths[0] > lengths[1]
    assert tokens["attention_mask"].sum(1).tolist() == lengths
    for row, ids in enumerate(alone):
        assert tokens["input_ids"][row, : len(ids)].tolist() == ids
    assert tokens["input_ids"].shape == (2, lengths[0])
    assert parts[2](text=TEXTS[1])["input_ids"].shape == (1, 9)


@torch.no_grad()
def test_three_lines_of_inference(parts, films, tmp_path):
    model, tokenizer, processor = parts
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    folder = tmp_path / "model"

    processor, model = AutoProcessor.from_pretrained(folder), AutoModel.from_pretrained(folder)
    image, report = model(**processor(images=str(films[0]), text="No effusion."))
    scores = model.similarity(image, report)

    assert type(processor) is MedProbCLIPProcessor
    assert scores.shape == (1, 1)
    pixels = parts[2](images=films[0])["pixel_values"]
    tokens = tokenizer(["No effusion."], return_tensors="pt")
    expected = parts[0](pixels, tokens["input_ids"], tokens["attention_mask"])
    torch.testing.assert_close(scores, parts[0].similarity(*expected))
    texts = AutoTokenizer.from_pretrained(folder)
    assert texts(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert texts.model_max_length == 9


def test_a_processor_alone_comes_back(parts, tmp_path):
    """Settings of the images and vocabulary, without a model in the folder."""
    parts[2].save_pretrained(tmp_path)
    for loaded in (AutoProcessor.from_pretrained(tmp_path), MedProbCLIPProcessor.from_pretrained(tmp_path)):
        assert type(loaded.image_processor) is MedProbCLIPImageProcessor
        images = loaded.image_processor
        assert (images.image_size, images.image_mean, images.image_std) == (32, 0.4, 0.25)
        assert torch.equal(loaded(text=TEXTS)["input_ids"], parts[2](text=TEXTS)["input_ids"])


def test_what_cannot_be_used_is_refused_by_name(parts, films, tmp_path):
    processor = parts[2]
    (tmp_path / "broken.png").write_bytes(films[0].read_bytes()[:60])
    Image.fromarray(np.full((9, 9), 700, np.uint16)).save(tmp_path / "blank.png")
    for name, message in {
        "absent.png": "no such file",
        "broken.png": "not readable",
        "blank.png": "blank, every pixel is 700",
    }.items():
        with pytest.raises(ImageError, match=f"{name}: {message}"):
            processor(images=[films[0], tmp_path / name], text="No effusion.")


def test_an_opened_picture_that_ends_early_is_refused(parts, films, tmp_path):
    data = films[0].read_bytes()
    (tmp_path / "short.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="image 0: not readable"):
        parts[2](images=Image.open(tmp_path / "short.png"))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 8, 8), np.uint8), r"image 1: array uint8 \(4, 8, 8\) is no picture. .* as a list"),
        (np.zeros((8, 8), np.float32), r"image 1: array float32 \(8, 8\) is no picture. Give uint8"),
        (np.zeros((0, 8), np.uint8), "no picture"),
        (7, r"image 1: int\? Give a path"),
    ],
)
def test_what_is_no_picture_is_refused(parts, picture, message):
    with pytest.raises(ImageError, match=message):
        parts[2](images=[np.arange(64, dtype=np.uint8).reshape(8, 8), picture])


def test_nothing_is_refused(parts):
    with pytest.raises(ValueError, match="give images, text or both"):
        parts[2]()
    with pytest.raises(ValueError, match="no images"):
        parts[2](images=[])


def test_what_would_be_read_in_silence_is_warned_of(parts):
    processor = parts[2]
    with pytest.warns(UserWarning, match="1 of 2 texts stand for no text, the first at 1: 'nan'"):
        processor(text=["No effusion.", "nan"])
    with pytest.warns(UserWarning, match="1 of 2 texts are cut at 9 tokens"):
        processor(text=TEXTS)
    narrow = (100 + np.arange(64) % 8).astype(np.uint8).reshape(8, 8)
    with pytest.warns(UserWarning, match="1 of 1 images use fewer than 32"):
        processor(images=narrow)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        processor(text=TEXTS[0], images=np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
