"""Reading radiographs, resizing without cropping, and the cache of resized images."""

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from medprobclip.data import images as module
from medprobclip.data.images import ImageError, cache_images, read_image, resize_square

GREY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)


@pytest.fixture
def files(tmp_path):
    """Five PNG radiographs of different, uniform grey."""
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((12, 8), 10 * i + 5, np.uint8)).save(path)
    return paths


def test_reads_8_bit_grey_unchanged(tmp_path):
    grey = GREY.astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "x.png")
    assert np.array_equal(read_image(tmp_path / "x.png"), grey)
    flat = np.full((16, 16), 77, np.uint8)
    Image.fromarray(flat).save(tmp_path / "x.jpg")
    assert np.array_equal(read_image(tmp_path / "x.jpg"), flat)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_reads_grey_stored_in_colour(tmp_path, mode):
    grey = (GREY % 256).astype(np.uint8)
    image = Image.fromarray(grey)
    (image if mode == "P" else image.convert(mode)).save(tmp_path / "x.png")
    assert np.array_equal(read_image(tmp_path / "x.png"), grey)


def test_reads_16_bit_by_its_range(tmp_path):
    Image.fromarray(1000 + GREY).save(tmp_path / "x.png")  # 600 of 65,536 values: a fixed scale is dark
    image = read_image(tmp_path / "x.png")
    assert image.dtype == np.uint8
    assert np.array_equal(image, np.rint(GREY * (255 / 599)).astype(np.uint8))


def write_dicom(path, values, photometric="MONOCHROME2", **attributes):
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = photometric
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.PixelData = values.astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)


def test_reads_dicom_and_inverts_monochrome1(tmp_path):
    expected = np.rint(GREY * (255 / 599)).astype(np.uint8)
    write_dicom(tmp_path / "x.dcm", 300 + GREY)
    assert np.array_equal(read_image(tmp_path / "x.dcm"), expected)
    write_dicom(tmp_path / "no_suffix", 300 + GREY, "MONOCHROME1")
    assert np.array_equal(read_image(tmp_path / "no_suffix"), 255 - expected)


def test_dicom_window_clips_outliers(tmp_path):
    values = GREY.copy()
    values[0, 0] = 4000  # a marker outside the window would squeeze the patient into a few grey values
    write_dicom(tmp_path / "x.dcm", values, WindowCenter=300, WindowWidth=600)
    image = read_image(tmp_path / "x.dcm")
    assert image[0, 0] == image[-1, -1] == 255
    assert abs(int(image[10, 0]) - 127) <= 1


def test_dicom_of_several_frames_is_refused(tmp_path):
    write_dicom(tmp_path / "x.dcm", np.tile(GREY, (2, 1)), NumberOfFrames=2, Rows=20)
    with pytest.raises(ImageError, match=r"x\.dcm.*not one grey image"):
        read_image(tmp_path / "x.dcm")


def test_unreadable_images_are_refused_by_name(tmp_path, files):
    cut = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "text.dcm").write_text("not an image")
    Image.fromarray(np.full((4, 4), 900, np.uint16)).save(tmp_path / "blank.png")
    for name, reason in [
        ("none.png", "no such file"),
        ("cut.png", "not readable as PNG, JPEG or DICOM"),
        ("text.png", "not readable as PNG, JPEG or DICOM"),
        ("text.dcm", "DICOM"),
        ("blank.png", "blank, every pixel is 900"),
    ]:
        with pytest.raises(ImageError, match=f"{name}.*{reason}"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("shape", [(40, 20), (20, 40), (40, 40), (41, 7), (7, 3), (500, 1)])
def test_resize_keeps_aspect_centres_and_pads_with_black(shape):
    square = resize_square(np.full(shape, 200, np.uint8), 32)
    assert square.shape == (32, 32)
    rows, columns = (np.flatnonzero(square.any(axis=axis)) for axis in (1, 0))
    height, width = (max(1, round(side * 32 / max(shape))) for side in shape)
    assert (len(rows), len(columns)) == (height, width)
    assert np.all(square[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 200)
    assert abs((rows[0] + rows[-1]) - 31) <= 1
    assert abs((columns[0] + columns[-1]) - 31) <= 1


def test_resize_crops_nothing_and_averages():
    image = np.zeros((64, 32), np.uint8)
    image[:8], image[-8:] = 255, 255  # apices and bases
    square = resize_square(image, 16)
    assert (square[:2, 4:12] > 200).all()
    assert (square[-2:, 4:12] > 200).all()
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 200
    inner = resize_square(checks.astype(np.uint8), 16)
    assert np.abs(inner.astype(int) - 100).max() <= 2
    assert resize_square(checks.astype(np.uint8), 64).max() == 200


def test_resize_refuses_other_arrays():
    for wrong in (np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            resize_square(wrong, 8)


def test_cache_gives_rows_in_the_asked_order(files, tmp_path):
    cache = cache_images([*files, files[0]], 16, tmp_path / "cache")
    assert len(cache) == 5
    rows = cache.rows([files[3], str(files[1]), files[3]])
    assert rows.shape == (3, 16, 16)
    assert rows.dtype == np.uint8
    assert rows[:, 8, 8].tolist() == [35, 15, 35]
    assert np.array_equal(cache[files[2]], resize_square(read_image(files[2]), 16))
    with pytest.raises(KeyError):
        cache[tmp_path / "other.png"]


def count_reads(monkeypatch):
    read = []

    def counted(path):
        read.append(os.path.basename(path))
        return read_image(path)

    monkeypatch.setattr(module, "read_image", counted)
    return read


def test_cache_reads_each_image_once_and_notices_changes(files, tmp_path, monkeypatch):
    read = count_reads(monkeypatch)
    cache_images(files[:3], 16, tmp_path / "cache")
    cache_images(files, 16, tmp_path / "cache")
    assert sorted(read) == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    Image.fromarray(np.full((12, 8), 99, np.uint8)).save(files[1])
    os.utime(files[1], ns=(1, 1))
    read.clear()
    for _ in range(2):
        assert cache_images(files, 16, tmp_path / "cache")[files[1]][8, 8] == 99
    assert read == ["1.png"]
    assert cache_images(files, 8, tmp_path / "cache")[files[1]].shape == (8, 8)


def test_interrupted_cache_resumes(files, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHARD_ROWS", 2)

    def interrupt(path):
        if path == str(files[3]):
            raise KeyboardInterrupt
        return read_image(path)

    monkeypatch.setattr(module, "read_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache_images(files, 16, tmp_path / "cache")
    read = count_reads(monkeypatch)
    cache = cache_images(files, 16, tmp_path / "cache")
    assert sorted(read) == ["2.png", "3.png", "4.png"]
    assert cache.rows(files)[:, 8, 8].tolist() == [5, 15, 25, 35, 45]


def test_all_unreadable_images_are_counted_and_none_becomes_black(files, tmp_path, monkeypatch):
    broken = [tmp_path / f"broken{i}.png" for i in range(6)]
    for path in broken:
        path.write_text("no")
    with pytest.raises(ImageError, match="7 of 12 images cannot be used") as error:
        cache_images([*broken, *files, tmp_path / "none.png"], 16, tmp_path / "cache")
    assert "and 2 more" in str(error.value)
    assert "none.png" in str(error.value)
    read = count_reads(monkeypatch)
    cache_images(files, 16, tmp_path / "cache")
    assert read == []


def test_cache_is_small_to_pickle(files, tmp_path):
    cache = cache_images(files, 64, tmp_path / "cache")
    cache.rows(files)
    pickled = pickle.dumps(cache)
    assert len(pickled) < 2000
    assert np.array_equal(pickle.loads(pickled).rows(files), cache.rows(files))
