"""JPEGs much larger than wanted: decoded at reduced scale, the same picture, damage seen, memory flat."""

import io
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from medprobclip.data import images as module
from medprobclip.data.grey import ImageError, used_levels
from medprobclip.data.images import cache_images
from medprobclip.data.radiographs import read_image, read_square, reduction, resize_square


def film(height=763, width=637, seed=0):
    """Smooth lungs, a fine pattern, a marker and noise; 8 divides neither side: uint8 `[H, W]`."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    grey = 170 - 90 * np.exp(-(((x - 0.25) / 0.1) ** 2) - ((y - 0.5) / 0.25) ** 2)
    grey += 9 * np.sin(90 * y) + np.random.default_rng(seed).normal(0, 4, grey.shape)
    grey[40:70, 30:60] = 255
    return grey.clip(0, 255).astype(np.uint8)


def jpeg(grey, colour=False, **settings):
    buffer, image = io.BytesIO(), Image.fromarray(grey)
    (image.convert("RGB") if colour else image).save(buffer, "JPEG", quality=92, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("longer", "wanted", "parts"),
    [
        (3056, 128, 8), (3056, 191, 8), (3056, 192, 4), (3056, 224, 4), (3056, 382, 4),
        (3056, 383, 2), (3056, 764, 2), (3056, 765, 1), (224, 224, 1), (8, 1, 4), (16, 1, 8),
    ],
)  # fmt: skip
def test_the_scale_keeps_twice_the_wanted_edge(longer, wanted, parts):
    assert reduction((longer // 2, longer), wanted) == reduction((longer, 5), wanted) == parts
    if parts > 1:
        assert longer / parts >= 2 * wanted


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("shape", [(763, 637), (761, 763), (700, 535)])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_what_is_left_is_the_same_picture(tmp_path, colour, orientation, shape, size):
    """Nowhere shifted by a pixel, although the reduced sides are rounded up."""
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(film(*shape), colour, exif=exif))
    expected = resize_square(read_image(path), size).astype(int)
    square, levels = read_square(path, size)
    assert (square.shape, square.dtype) == ((size, size), np.uint8)
    assert np.abs(square - expected).mean() < 0.5
    assert np.abs(square - expected).max() <= 8
    assert np.abs(square - np.roll(expected, 1, axis=1)).max() > 30  # so much the marker shows
    assert abs(levels - used_levels(read_image(path))) < 20


def test_a_sliver_of_the_range_shows_at_any_scale(tmp_path):
    (tmp_path / "x.jpg").write_bytes(jpeg(100 + film() // 16))
    assert read_square(tmp_path / "x.jpg", 32)[1] < 20


def test_other_pictures_are_what_they_were(tmp_path):
    """PNG of 8 and 16 bits whatever their size, and JPEGs that are not much larger than wanted."""
    Image.fromarray(film()).save(tmp_path / "x.png")
    Image.fromarray(film().astype(np.uint16) * 9).save(tmp_path / "deep.png")
    (tmp_path / "small.jpg").write_bytes(jpeg(film(127, 90)))
    for name in ("x.png", "deep.png", "small.jpg"):
        grey = read_image(tmp_path / name)
        square, levels = read_square(tmp_path / name, 32)
        assert np.array_equal(square, resize_square(grey, 32))
        assert levels == used_levels(grey)


@pytest.mark.parametrize("wanted", [None, 32, 128])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.98])
def test_damage_is_seen_at_any_scale(tmp_path, wanted, progressive, place):
    read = read_image if wanted is None else lambda path: read_square(path, wanted)[0]
    path, whole = tmp_path / "x.jpg", jpeg(film(), progressive=progressive)
    at = int(place * len(whole))
    garbled = bytearray(whole)
    garbled[at : at + 40] = b"\xff\xd9" * 20  # an end before the end
    for damaged in (whole[:at], whole[:at] + b"\xff\xd9", bytes(garbled)):
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"x\.jpg: (damaged JPEG|not readable)"):
            read(path)
    path.write_bytes(whole)
    assert read(path).max() > 200


def test_a_large_picture_of_nothing_is_refused(tmp_path):
    (tmp_path / "x.jpg").write_bytes(jpeg(np.full((800, 640), 77, np.uint8)))
    with pytest.raises(ImageError, match=r"x\.jpg: blank, every pixel is 77"):
        read_square(tmp_path / "x.jpg", 32)


def test_the_cache_reads_jpegs_anew_where_they_were_reduced_otherwise(tmp_path, monkeypatch):
    """Those of a cache from before JPEGs were reduced, too; other pictures stay."""
    (tmp_path / "x.JPG").write_bytes(jpeg(film()))
    Image.fromarray(film()).save(tmp_path / "x.png")
    files, folder = [tmp_path / "x.JPG", tmp_path / "x.png"], tmp_path / "cache"
    cache = cache_images(files, 32, folder)
    assert np.array_equal(cache[files[0]], read_square(files[0], 32)[0])
    read = []

    def counted(path, size_px):
        read.append(path)
        return read_square(path, size_px)

    monkeypatch.setattr(module, "read_square", counted)
    index = next(folder.glob("*.json"))
    index.write_text(json.dumps([row[:3] for row in json.loads(index.read_text())]))
    for _ in range(2):
        cache_images(files, 32, folder)
    assert read == [str(files[0])]
    monkeypatch.setattr(module, "REDUCED", module.REDUCED + 1)
    for _ in range(2):
        cache_images(files, 32, folder)
    assert read == [str(files[0])] * 2


def test_memory_does_not_grow_with_the_number_of_films(tmp_path, monkeypatch):
    """Beyond one original and the resized images of one cache file, 4 KB each, hold only paths."""
    monkeypatch.setattr(module, "_THREADS", 1)
    monkeypatch.setattr(module, "_SHARD_ROWS", 4)
    files = [tmp_path / f"{i}.jpg" for i in range(44)]
    for i, path in enumerate(files):
        path.write_bytes(jpeg(film(520, 512, seed=i)))
    peaks = []
    cache_images(files[:1], 64, tmp_path / "first")  # what is imported and compiled once
    for few in (files[:4], files[4:]):
        tracemalloc.start()
        cache_images(few, 64, tmp_path / f"{len(few)}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 60_000  # all 40 resized are 164 KB, their originals 10 MB
