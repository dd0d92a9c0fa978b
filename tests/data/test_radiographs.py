"""One radiograph: PNG and JPEG of any depth and orientation, what is refused, resizing."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from medprobclip.data.grey import ImageError, used_levels
from medprobclip.data.radiographs import read_image, resize_square
from medprobclip.processor import MedProbCLIPImageProcessor

GREY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
COLOURS = {"RGB": 2, "LA": 4, "RGBA": 6}  # PNG colour types


def film(height=48, width=40):
    """A picture that shows every turn and mirror: uint8 `[H, W]`."""
    y, x = np.mgrid[:height, :width]
    grey = (60 + y + 2 * x).astype(np.uint8)
    grey[3:12, 4:14] = 240
    return grey


def stretched(values, share=0.005):
    """The mapping of the docstring, sorted and cut by hand."""
    ordered = np.sort(values.ravel().astype(float))
    cut = max(1, int(share * len(ordered)))
    low, high = ordered[cut], ordered[-1 - cut]
    return np.rint((values - low) * 255 / (high - low)).clip(0, 255).astype(np.uint8)


def write_png16(path, channels, mode):
    """PNG with 16 bits a channel, byte by byte: Pillow writes none in colour."""

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    height, width = channels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
    head = struct.pack(">IIBBBBB", width, height, 16, COLOURS[mode], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_reads_8_bit_grey_unchanged(tmp_path):
    grey = GREY.astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "x.png")
    assert np.array_equal(read_image(tmp_path / "x.png"), grey)
    blocks = np.kron(np.array([[10, 200], [77, 30]], np.uint8), np.ones((8, 8), np.uint8))
    Image.fromarray(blocks).save(tmp_path / "x.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "x.jpg").astype(int) - blocks).max() <= 1


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
    assert np.array_equal(image, stretched(GREY))


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("shape", [(20, 30), (7, 5)])
def test_a_broken_pixel_is_no_range(tmp_path, value, shape):
    values = 1000 + np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    broken = values.copy()
    broken[2, 3] = value
    Image.fromarray(broken).save(tmp_path / "x.png")
    seen, expected = read_image(tmp_path / "x.png"), stretched(values)
    others = np.arange(values.size).reshape(shape) != 2 * shape[1] + 3
    assert np.abs(seen[others].astype(int) - expected[others]).max() <= 255 / values.size * 2 + 1
    assert seen[2, 3] == (0 if value == 0 else 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_pictures_are_turned_as_they_are_shown(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(film()).save(tmp_path / name, exif=exif, quality=98)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / name)))
    assert np.array_equal(read_image(tmp_path / name), shown)
    if orientation > 4:
        assert shown.shape == (40, 48)
    # The processor's opened picture is the same.
    processor = MedProbCLIPImageProcessor(48)
    as_file, opened = (
        processor.preprocess(picture)["pixel_values"]
        for picture in (tmp_path / name, Image.open(tmp_path / name))
    )
    assert (as_file == opened).all()


def test_a_turned_16_bit_picture_and_an_orientation_that_is_none(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    values = 1000 + GREY
    Image.fromarray(values).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "x.png"), np.rot90(stretched(values), -1))
    exif[274] = 77
    Image.fromarray(film()).save(tmp_path / "y.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "y.png"), film())


@pytest.mark.parametrize("mode", COLOURS)
def test_16_bits_in_colour_are_read_in_full_or_refused(tmp_path, mode):
    """Pillow would keep the upper eight bits: of ten bits, two."""
    values = (GREY % 1024).astype(np.uint16)
    opaque = [np.full_like(values, 65535)]
    channels = {"RGB": [values] * 3, "RGBA": [values] * 3 + opaque, "LA": [values, *opaque]}[mode]
    write_png16(tmp_path / "x.png", np.dstack(channels), mode)
    if mode == "LA":
        with pytest.raises(ImageError, match=r"x\.png: PNG with 16 bits and LA channels.*magick"):
            read_image(tmp_path / "x.png")
        return
    assert np.abs(read_image(tmp_path / "x.png").astype(int) - stretched(values)).max() <= 1
    with pytest.raises(ImageError, match="image 0: PNG with 16 bits.*give its path"):
        MedProbCLIPImageProcessor(16).preprocess(Image.open(io.BytesIO((tmp_path / "x.png").read_bytes())))


def test_16_bits_in_colour_weigh_the_channels_as_8_bits_do(tmp_path):
    red, green, blue = (np.roll(GREY, k) for k in (0, 200, 400))
    write_png16(tmp_path / "x.png", np.dstack([red, green, blue]), "RGB")
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    assert np.abs(read_image(tmp_path / "x.png").astype(int) - stretched(luminance)).max() <= 1


BLANK = {
    "8 bit.png": np.full((30, 30), 128, np.uint8),
    "black.png": np.zeros((30, 30), np.uint8),
    "16 bit.png": np.full((30, 30), 900, np.uint16),
    "hot pixel.png": np.where(np.arange(900).reshape(30, 30) == 77, 255, 0).astype(np.uint8),
    "hot pixel 16.png": np.where(np.arange(900).reshape(30, 30) == 77, 65535, 7).astype(np.uint16),
    "flat.jpg": np.full((32, 32), 77, np.uint8),
    "colour.png": np.full((30, 30, 3), 9, np.uint8),
}


@pytest.mark.parametrize("name", BLANK)
def test_a_picture_of_nothing_is_refused_whatever_its_depth(tmp_path, name):
    Image.fromarray(BLANK[name]).save(tmp_path / name)
    with pytest.raises(ImageError, match=f"{name}: blank, "):
        read_image(tmp_path / name)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[3, 3] = value
    with pytest.raises(ImageError, match="no numbers"):
        MedProbCLIPImageProcessor(8).preprocess(Image.fromarray(values))


def test_unreadable_images_are_refused_by_name(tmp_path):
    cut = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "pointer.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (tmp_path / "page.dcm").write_text("<!DOCTYPE html><html><body>Log in</body></html>")
    (tmp_path / "folder.png").mkdir()
    for name, reason in [
        ("none.png", "no such file"),
        ("cut.png", "not readable as PNG, JPEG or DICOM"),
        ("text.png", "not readable as PNG, JPEG or DICOM"),
        ("empty.png", "is empty"),
        ("pointer.png", "Git LFS pointer.*git lfs pull"),
        ("page.dcm", "web page"),
        ("folder.png", "folder"),
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


def test_16_bits_in_colour_are_read_in_full_after_the_picture_was_looked_at(tmp_path):
    values = (GREY % 1024).astype(np.uint16)
    write_png16(tmp_path / "x.png", np.dstack([values] * 3), "RGB")
    image = Image.open(tmp_path / "x.png")
    image.load()  # as showing it in a notebook does
    seen = MedProbCLIPImageProcessor(30).preprocess(image)["pixel_values"]
    assert (seen == MedProbCLIPImageProcessor(30).preprocess(tmp_path / "x.png")["pixel_values"]).all()


def test_damaged_notes_and_truncated_colour_end_in_one_line(tmp_path):
    write_png16(tmp_path / "x.png", np.dstack([GREY] * 3), "RGB")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"x\.png: not readable"):
        read_image(tmp_path / "x.png")
    for name in ("y.png", "y.jpg"):
        Image.fromarray(film()).save(tmp_path / name, exif=b"Exif\0\0damaged", quality=98)
        assert read_image(tmp_path / name).shape == film().shape


def test_a_picture_cut_to_few_levels_over_all_the_range_uses_few(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    cut = noise // 16 * 17
    cut[:1] = noise[:1]  # a marker in all levels
    assert used_levels(cut) <= 17
    assert used_levels(noise) > 200
    assert used_levels((100 + noise % 9).astype(np.uint8)) == 9


@pytest.mark.parametrize("colour", [False, True])
def test_a_damaged_jpeg_is_refused(tmp_path, colour):
    """Pillow fills what is missing with grey, or shows what is garbled, in silence."""
    y, x = np.mgrid[:200, :160]
    noise = np.random.default_rng(0).normal(0, 5, (200, 160))
    grey = (60 + y * 0.4 + 30 * np.sin(x / 9) + noise).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(grey)
    buffer = io.BytesIO()
    (image.convert("RGB") if colour else image).save(buffer, "JPEG", quality=90)
    whole = buffer.getvalue()
    garbled = bytearray(whole)
    garbled[len(whole) // 3 : len(whole) // 3 + 40] = bytes(range(40))
    path = tmp_path / "x.jpg"
    path.write_bytes(whole)
    assert np.abs(read_image(path).astype(int) - grey).mean() < 4
    cut = whole[: len(whole) // 2] + b"\xff\xd9"
    for damaged in (cut,) if colour else (cut, bytes(garbled)):  # not all that is garbled shows
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"x\.jpg: (damaged JPEG|not readable)"):
            read_image(path)
