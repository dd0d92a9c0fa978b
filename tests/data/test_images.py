"""The cache of resized images: read once, again when a file or the reader changed, nothing lost."""

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from medprobclip.data import images as module
from medprobclip.data.grey import ImageError
from medprobclip.data.images import cache_images
from medprobclip.data.radiographs import read_image, read_square, resize_square


def picture(grey):
    """Two levels: one alone would be a picture of nothing."""
    pixels = np.full((12, 8), grey, np.uint8)
    pixels[:3] = 200
    return Image.fromarray(pixels)


@pytest.fixture
def files(tmp_path):
    """Five PNG radiographs, each of its own grey under a light band."""
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        picture(10 * i + 5).save(path)
    return paths


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

    def counted(path, size_px):
        read.append(os.path.basename(path))
        return read_square(path, size_px)

    monkeypatch.setattr(module, "read_square", counted)
    return read


def test_cache_reads_each_image_once_and_notices_changes(files, tmp_path, monkeypatch):
    read = count_reads(monkeypatch)
    cache_images(files[:3], 16, tmp_path / "cache")
    cache_images(files, 16, tmp_path / "cache")
    assert sorted(read) == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    picture(99).save(files[1])
    os.utime(files[1], ns=(1, 1))
    read.clear()
    for _ in range(2):
        assert cache_images(files, 16, tmp_path / "cache")[files[1]][8, 8] == 99
    assert read == ["1.png"]
    assert cache_images(files, 8, tmp_path / "cache")[files[1]].shape == (8, 8)


def test_interrupted_cache_resumes(files, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SHARD_ROWS", 2)

    def interrupt(path, size_px):
        if path == str(files[3]):
            raise KeyboardInterrupt
        return read_square(path, size_px)

    monkeypatch.setattr(module, "read_square", interrupt)
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


def test_a_file_replaced_with_the_same_size_and_time_is_noticed(files, tmp_path):
    files[1].write_bytes(files[1].read_bytes() + b"\0" * 40)  # room for what replaces it
    cache_images(files, 16, tmp_path / "cache")
    before = os.stat(files[1])
    for grey, in_place in ((120, True), (130, False)):
        new = tmp_path / "new"
        picture(grey).save(new, format="PNG")
        content = new.read_bytes().ljust(before.st_size, b"\0")
        if in_place:
            files[1].write_bytes(content)
        else:
            new.write_bytes(content)
            os.replace(new, files[1])
        os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
        after = os.stat(files[1])
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        assert cache_images(files, 16, tmp_path / "cache")[files[1]][8, 8] == grey


def test_another_reader_reads_anew_and_leaves_nothing_behind(files, tmp_path, monkeypatch):
    cache_images(files, 16, tmp_path / "cache")
    cache_images(files, 8, tmp_path / "cache")
    monkeypatch.setattr(module, "READER", module.READER + 1)
    read = count_reads(monkeypatch)
    cache_images(files, 16, tmp_path / "cache")
    assert sorted(read) == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "cache").iterdir())
    assert names == [f"16px-reader{module.READER}"] * 2 + [f"8px-reader{module.READER - 1}"] * 2


def test_refused_images_are_put_aside_where_asked(files, tmp_path):
    (tmp_path / "broken.png").write_text("no")
    refused = {}
    cache = cache_images(
        [*files, tmp_path / "broken.png", tmp_path / "none.png"], 16, tmp_path / "c", refused
    )
    assert len(cache) == 5
    assert list(refused) == [str(tmp_path / "none.png"), str(tmp_path / "broken.png")]
    assert "not readable" in refused[str(tmp_path / "broken.png")]


def test_pictures_that_use_a_sliver_of_the_range_are_reported_each_time(tmp_path):
    generator, files = np.random.default_rng(0), [tmp_path / f"{i}.png" for i in range(5)]
    for file in files:
        Image.fromarray(generator.integers(0, 256, (20, 30), dtype=np.uint8)).save(file)
    narrow = tmp_path / "narrow.png"
    values = (100 + np.arange(600) % 9).astype(np.uint8).reshape(20, 30)
    values[0, :3] = 255, 0, 255  # a few other pixels do not widen it
    Image.fromarray(values).save(narrow)
    for _ in range(2):  # also when the cache has it
        with pytest.warns(UserWarning, match=rf"1 of 6 images.*fewer than 32 .*{narrow} 9\."):
            cache_images([*files, narrow], 16, tmp_path / "cache")


def test_a_place_that_cannot_be_written_names_the_variable(files, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="MEDPROBCLIP_IMAGES"):
        cache_images(files, 16, tmp_path / "file" / "cache")
