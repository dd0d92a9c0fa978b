"""Films and texts as they come: one picture gives one answer in every form, and faults are named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medprobclip.data.grey import ImageError
from medprobclip.retriever import queries as module
from medprobclip.retriever.gallery import GalleryError
from medprobclip.retriever.promises import FILM, PHRASE, REPORT, Kind
from medprobclip.retriever.queries import embed_queries, is_film
from medprobclip.retriever.retriever import Retriever


@pytest.fixture(scope="module")
def retriever(calibrated_run):
    return Retriever.from_run(calibrated_run)


@pytest.fixture
def ask(retriever, float32):
    def ask(*queries):
        return embed_queries(
            retriever.model, retriever.processor, retriever.strangeness, retriever.promises, queries
        )

    return ask


@pytest.fixture
def film(study_tables):
    return study_tables["test"].parent / "test-3-pa.png"


def write_dicom(path, grey):
    """Its stored values are 0 to 4080 of 16 bits; the darkest and brightest 0.5 % are ends of the range."""
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.Rows, dataset.Columns = grey.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = (grey.astype("<u2") * 16).tobytes()
    dataset.save_as(path, enforce_file_format=True)


def test_one_picture_is_one_query_in_every_form(ask, film, tmp_path, monkeypatch):
    grey = np.asarray(Image.open(film)).copy()
    grey[0, :8], grey[1, :8] = 0, 255  # what a stretch of 16 bits leaves as it is
    picture = Image.fromarray(grey)
    picture.save(tmp_path / "x.png")
    picture.save(tmp_path / "no ending", format="PNG")
    picture.convert("RGB").save(tmp_path / "colour.PNG", format="PNG")
    Image.fromarray(grey.astype(np.uint16) * 16).save(tmp_path / "sixteen.png")
    write_dicom(tmp_path / "x.dcm", grey)
    write_dicom(tmp_path / "IM0001", grey)
    monkeypatch.chdir(tmp_path)
    forms = [
        picture, picture.convert("RGB"), picture.convert("RGBA"), Image.open("x.png"), grey,
        np.repeat(grey[..., None], 3, 2), grey.astype(np.uint16) * 16, str(tmp_path / "x.png"),
        tmp_path / "x.png", "x.png", Path("x.png"), "no ending", Path("no ending"), "colour.PNG",
        "sixteen.png", "x.dcm", Path("x.dcm"), "IM0001",
    ]  # fmt: skip
    asked = ask(*forms)
    assert asked.kinds == [Kind(FILM)] * len(forms)
    for row in range(len(forms)):
        torch.testing.assert_close(asked.gaussian.mean[row], asked.gaussian.mean[0], rtol=1e-4, atol=1e-5)
        assert asked.strangeness[row] == pytest.approx(asked.strangeness[0], rel=1e-3)
    other = ask(Image.fromarray(255 - grey))
    assert (other.gaussian.mean[0] - asked.gaussian.mean[0]).abs().max() > 1e-3


def test_a_jpeg_is_what_a_reader_sees(ask, film, tmp_path):
    Image.open(film).save(tmp_path / "x.jpg", quality=90)
    seen = np.asarray(Image.open(tmp_path / "x.jpg"))
    asked = ask(str(tmp_path / "x.jpg"), seen)
    torch.testing.assert_close(asked.gaussian.mean[0], asked.gaussian.mean[1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_many_are_as_one_by_one_in_the_order_asked(ask, study_tables, monkeypatch, retriever):
    """Films and texts mixed, more films than a batch holds, long and short texts."""
    monkeypatch.setattr(module, "default_batch", lambda model: 3)
    films = [study_tables["test"].parent / f"test-{i}-pa.png" for i in range(7)]
    texts = [
        "opacity",
        "A small opacity 4 in the left apex.",
        "right base",
        "Large left apex disease, seen again.",
    ]
    queries = [films[0], texts[0], films[1], films[2], texts[1], texts[2], *films[3:], texts[3]]
    asked = ask(*queries)
    kinds = {texts[0]: Kind(PHRASE, 1), texts[2]: Kind(PHRASE, 2)}
    assert asked.kinds == [
        Kind(FILM) if isinstance(query, Path) else kinds.get(query, Kind(REPORT)) for query in queries
    ]
    for row, query in enumerate(queries):
        alone = ask(query)
        torch.testing.assert_close(alone.gaussian.mean[0], asked.gaussian.mean[row], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            alone.gaussian.log_var[0], asked.gaussian.log_var[row], rtol=1e-4, atol=1e-5
        )
        assert alone.strangeness[0] == pytest.approx(asked.strangeness[row], rel=1e-3)
        processed = retriever.processor(**({"images": query} if isinstance(query, Path) else {"text": query}))
        encode = retriever.model.encode_image if isinstance(query, Path) else retriever.model.encode_text
        torch.testing.assert_close(
            encode(**processed).mean[0], asked.gaussian.mean[row], rtol=1e-4, atol=1e-5
        )
    assert len({round(float(x), 6) for x in asked.gaussian.mean[:, 0]}) == len(queries)


def test_what_is_a_film(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "effusion").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    films = [
        "x.png",
        "a/B.JPG",
        "x.jpeg",
        "x.dcm",
        "X.DICOM",
        "x.dic",
        "x.ima",
        "x.tiff",  # cannot be read, but is no words
        "effusion",
        Path("any"),
        Path(""),
    ]
    texts = ["pleural effusion", "folder", "", "png", "x.png is a film", "a" * 5000, "nul\0byte", "\ud800"]
    assert [is_film(query) for query in films] == [True] * len(films)
    assert [is_film(query) for query in texts] == [False] * len(texts)


@pytest.mark.parametrize("query", [None, 7, 2.5, b"film.png", torch.zeros(3, 3), {"a": 1}, ["x"]])
def test_what_is_neither_film_nor_text(ask, query):
    with pytest.raises(GalleryError) as refused:
        ask("effusion", query)
    assert str(refused.value) == (
        f"query 1: {type(query).__name__}? Give a film (path, picture, array) or text"
    )


@pytest.mark.parametrize("query", ["", "  \n", "XXXX", "nan", "n/a", "...", "None."])
def test_text_that_says_nothing(ask, query):
    with pytest.raises(GalleryError) as refused:
        ask("effusion", query)
    assert str(refused.value) == f"query 1 says nothing: '{query}'. Give some words of a report"


def test_a_text_that_is_cut_is_told(ask, retriever):
    limit = retriever.processor.tokenizer.model_max_length
    with pytest.warns(UserWarning, match=f"1 of 2 texts are cut at {limit} tokens"):
        asked = ask("opacity " * 2 * limit, "opacity")
    assert len(asked.gaussian) == 2


def test_bytes_that_are_no_characters(ask):
    """As a command line gives them on a machine of another encoding."""
    with pytest.raises(GalleryError, match="^query 0 is no text: it has bytes that are no characters$"):
        ask("left \udcff effusion")
    assert len(ask("épanchement pleural à gauche 胸水").kinds) == 1


@pytest.mark.parametrize("form", [str, Path])
def test_films_that_cannot_be_used(ask, form, tmp_path, film):
    with pytest.raises(ImageError, match=r"nowhere\.png: no such file$"):
        ask(form(tmp_path / "nowhere.png"))
    (tmp_path / "half.png").write_bytes(film.read_bytes()[:200])
    (tmp_path / "text.png").write_text("No effusion.")
    (tmp_path / "empty.dcm").write_bytes(b"")
    Image.new("L", (20, 20), 7).save(tmp_path / "blank.png")
    for name in ("half.png", "text.png", "empty.dcm", "blank.png"):
        with pytest.raises(ImageError) as refused:
            ask(form(tmp_path / name))
        assert str(refused.value).startswith(str(tmp_path / name))
        assert "study table" not in str(refused.value)
    with pytest.raises(ImageError, match=r": array float64 \(3, 3\) is no picture"):
        ask(np.zeros((3, 3)))


def test_a_folder_is_no_film(ask, tmp_path):
    with pytest.raises(ImageError, match=": a folder; give its films as a list$"):
        ask(tmp_path)


def test_an_embedding_that_is_no_number(ask, retriever, film, monkeypatch):
    real = type(retriever.model).encode_text_and_inner

    def broken(self, *arguments):
        gaussian, inner = real(self, *arguments)
        return gaussian.map(lambda t: t.masked_fill(torch.arange(len(t))[:, None] == 0, torch.nan)), inner

    monkeypatch.setattr(type(retriever.model), "encode_text_and_inner", broken)
    with pytest.raises(GalleryError) as refused:
        ask(film, "an effusion that is much longer than the other", "effusion", film)
    assert str(refused.value) == "query 2 has an embedding of NaN or infinity: is the model whole?"


def test_a_model_that_cannot_tell_strange_ones(retriever, film, float32):
    known = embed_queries(retriever.model, retriever.processor, None, retriever.promises, ["effusion", film])
    assert known.strangeness == [None, None]
    told = embed_queries(
        retriever.model, retriever.processor, retriever.strangeness, retriever.promises, ["effusion", film]
    )
    torch.testing.assert_close(known.gaussian.mean, told.gaussian.mean, rtol=1e-4, atol=1e-5)
    assert all(isinstance(value, float) for value in told.strangeness)
