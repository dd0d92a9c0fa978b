"""DICOM as a viewer shows it: padding, windows, inversion, every compression; what is refused."""

from pathlib import Path

import numpy as np
import pytest

from medprobclip.data.grey import ImageError
from medprobclip.data.radiographs import read_image

pydicom = pytest.importorskip("pydicom")
GREY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)


def expected(values):
    """Mapped over its range but for three pixels (0.5 % of 600) at either end."""
    ordered = np.sort(values.ravel().astype(float))
    low, high = ordered[3], ordered[-4]
    return np.rint((values - low) * 255 / (high - low)).clip(0, 255).astype(np.uint8)


def write_dicom(path, values, photometric="MONOCHROME2", signed=False, **attributes):
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, int(signed)
    dataset.PhotometricInterpretation = photometric
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.PixelData = values.astype("<i2" if signed else "<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.dcm"


def test_reads_dicom_and_inverts_monochrome1(tmp_path, path):
    assert np.array_equal(read_image(write_dicom(path, 300 + GREY)), expected(GREY))
    inverted = read_image(write_dicom(tmp_path / "no_suffix", 300 + GREY, "MONOCHROME1"))
    assert np.array_equal(inverted, 255 - expected(GREY))


def test_window_clips_outliers(path):
    values = GREY.copy()
    values[0, :9] = 4000  # a marker outside the window would squeeze the patient into a few grey values
    image = read_image(write_dicom(path, values, WindowCenter=300, WindowWidth=500))
    assert image[0, 0] == image[-1, -1] == 255
    assert abs(int(image[10, 0]) - 127) <= 1


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 300, "WindowWidth": 0},
        {"WindowCenter": 300, "WindowWidth": -5},
        {"WindowCenter": 60000, "WindowWidth": 10},  # nothing is in it
        {"WindowCenter": 300, "WindowWidth": 1},  # a silhouette of two levels
        {"WindowCenter": 300, "WindowWidth": 2},
        {"WindowCenter": 300, "WindowWidth": 300, "VOILUTFunction": "CUBIC"},
        {"WindowCenter": 300},
        {"WindowWidth": 100},
    ],
)
def test_a_window_that_shows_nothing_is_ignored(path, window):
    assert np.array_equal(read_image(write_dicom(path, GREY, **window)), expected(GREY))


def test_the_first_window_that_shows_something_counts(path):
    image = read_image(write_dicom(path, GREY, WindowCenter=[9, 300], WindowWidth=[0, 200]))
    assert image[:6].max() == 0  # below 200
    assert image[-6:].min() == 255


def test_a_table_of_grey_values_is_used(path):
    """VOI LUT Sequence: here one that turns light into dark."""
    table = pydicom.Dataset()
    table.LUTDescriptor = [600, 0, 16]
    table.add_new("LUTData", "US", [3 * (599 - i) for i in range(600)])
    image = read_image(write_dicom(path, GREY, VOILUTSequence=[table], WindowCenter=300, WindowWidth=100))
    assert np.array_equal(image, expected(599 - GREY))


@pytest.mark.parametrize("value", [0, 65535])
def test_a_broken_pixel_is_no_range(path, value):
    values = 1000 + GREY
    values[5, 5] = value
    image = read_image(write_dicom(path, values)).astype(int)
    image[5, 5] = expected(GREY)[5, 5]
    assert np.abs(image - expected(GREY)).max() <= 1


PADDINGS = {
    "value": (0, {"PixelPaddingValue": 0}),
    "high value": (65535, {"PixelPaddingValue": 65535}),
    "range": (np.arange(8) + 3, {"PixelPaddingValue": 10, "PixelPaddingRangeLimit": 3}),
    "range upwards": (np.arange(8) + 3, {"PixelPaddingValue": 3, "PixelPaddingRangeLimit": 10}),
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("name", PADDINGS)
def test_padding_is_black_and_out_of_the_range(path, name, photometric):
    fill, attributes = PADDINGS[name]
    framed = np.zeros((40, 50), np.uint16)
    framed[...] = np.resize(fill, framed.shape)
    framed[10:30, 10:40] = 3000 + GREY
    image = read_image(write_dicom(path, framed, photometric, **attributes))
    inside = image[10:30, 10:40]
    assert np.array_equal(inside, expected(GREY) if photometric == "MONOCHROME2" else 255 - expected(GREY))
    image[10:30, 10:40] = 0
    assert not image.any()


def test_padding_of_signed_pixels_however_its_sign_is_written(tmp_path):
    framed = np.full((30, 40), -2000)
    framed[5:25, 5:35] = GREY.astype(int) - 300
    for value in (-2000, 65536 - 2000):
        path = write_dicom(tmp_path / f"{value}.dcm", framed, signed=True)
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
        dataset.save_as(path)
        image = read_image(path)
        assert np.array_equal(image[5:25, 5:35], expected(GREY)), value
        assert not image[:5].any()


def test_padding_alone_is_a_picture_of_nothing(path):
    with pytest.raises(ImageError, match=r"x\.dcm: blank, every pixel is padding"):
        read_image(write_dicom(path, np.zeros((9, 9), np.uint16), PixelPaddingValue=0))


def test_a_slope_of_0_is_none_and_a_negative_one_inverts(tmp_path, path):
    slope = {"RescaleSlope": 0, "RescaleIntercept": 5}
    assert np.array_equal(read_image(write_dicom(path, GREY, **slope)), expected(GREY))
    for name, intercept in (("y.dcm", {"RescaleIntercept": 1000}), ("z.dcm", {})):
        turned = write_dicom(tmp_path / name, GREY, RescaleSlope=-1, **intercept)
        assert np.array_equal(read_image(turned), expected(599 - GREY))


@pytest.mark.parametrize("name", ["x.dcm", "no_suffix"])
@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian"])
def test_a_file_without_preamble_is_read(tmp_path, name, syntax):
    dataset = pydicom.dcmread(write_dicom(tmp_path / "whole.dcm", GREY))
    del dataset.file_meta
    dataset.preamble = None
    implicit = syntax.startswith("Implicit")
    dataset.save_as(tmp_path / name, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert (tmp_path / name).read_bytes()[128:132] != b"DICM"
    assert np.array_equal(read_image(tmp_path / name), expected(GREY))


def shipped(name):
    return Path(pydicom.data.get_testdata_file(name))


@pytest.mark.parametrize(
    ("compressed", "plain"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
    ],
)
def test_lossless_compression_changes_nothing(compressed, plain):
    assert np.array_equal(read_image(shipped(compressed)), read_image(shipped(plain)))


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "JPEGLSNearLossless_16.dcm", "693_J2KI.dcm"])
def test_lossy_compression_is_read(name):
    image = read_image(shipped(name))
    assert (image.min(), image.max()) == (0, 255)


@pytest.mark.parametrize("process", ["JPEGLossless", "JPEGLosslessSV1"])
def test_jpeg_lossless_as_archives_write_it_is_read(tmp_path, process):
    gdcm = pytest.importorskip("gdcm")
    path = write_dicom(tmp_path / "plain.dcm", 300 + GREY, BitsStored=12, HighBit=11)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    kind = {"JPEGLossless": "JPEGLosslessProcess14", "JPEGLosslessSV1": "JPEGLosslessProcess14_1"}[process]
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kind)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    syntax = pydicom.dcmread(tmp_path / "packed.dcm").file_meta.TransferSyntaxUID
    assert syntax == getattr(pydicom.uid, process)
    assert np.array_equal(read_image(tmp_path / "packed.dcm"), expected(GREY))


def test_jpeg_of_8_bits_is_read(tmp_path):
    """Baseline JPEG inside DICOM, of what Pillow encodes."""
    import io

    from PIL import Image

    grey = np.kron(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10, np.ones((8, 8), np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=98)
    path = write_dicom(tmp_path / "x.dcm", grey.astype(np.uint16))
    dataset = pydicom.dcmread(path)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.save_as(path)
    seen = read_image(path).astype(int)
    assert np.abs(seen - np.rint(grey * (255 / 230.0))).max() <= 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SC_rgb_small_odd.dcm", "RGB with 1 frame.*not one grey image. Convert"),
        ("rtdose.dcm", "15 frame"),
        ("test-SR.dcm", "no pixel data"),
        ("MR_truncated.dcm", "not readable as DICOM"),
        ("JPEG-lossy.dcm", "12-bit precision.*pylibjpeg-libjpeg"),
    ],
)
def test_what_is_no_grey_picture_is_refused_by_name(name, message):
    with pytest.raises(ImageError, match=f"{name}: .*{message}"):
        read_image(shipped(name))


def test_text_under_a_dicom_name_is_refused(tmp_path):
    (tmp_path / "text.dcm").write_text("not an image")
    with pytest.raises(ImageError, match=r"text\.dcm.*DICOM"):
        read_image(tmp_path / "text.dcm")


def test_a_png_under_a_dicom_name_is_a_png(tmp_path):
    from PIL import Image

    Image.fromarray(GREY.astype(np.uint8)).save(tmp_path / "x.dcm", format="PNG")
    assert np.array_equal(read_image(tmp_path / "x.dcm"), GREY.astype(np.uint8))


@pytest.mark.parametrize(
    ("photometric", "attributes", "message"),
    [
        ("MONOCHROME2", {"PresentationLUTShape": "INVERSE"}, "MONOCHROME2 .*INVERSE"),
        ("MONOCHROME2", {"NumberOfFrames": [1, 1]}, "MONOCHROME2 with .* not one grey image"),
    ],
)
def test_what_contradicts_itself_is_refused(path, photometric, attributes, message):
    with pytest.raises(ImageError, match=rf"x\.dcm: {message}"):
        read_image(write_dicom(path, GREY, photometric, **attributes))


def test_bits_that_do_not_begin_at_0_are_refused(path):
    with pytest.raises(ImageError, match=r"x\.dcm: 12 bits stored below bit 15"):
        read_image(write_dicom(path, GREY * 16, BitsStored=12, HighBit=15))


@pytest.mark.parametrize("signed", [False, True])
def test_values_under_the_wrong_sign_are_refused(path, signed):
    y, x = np.mgrid[:60, :60]
    values = (3000 * np.sin(x / 7) * np.cos(y / 9)).astype(int) + (32768 if signed else 0)
    stored = (values.astype(np.int64) % 65536).astype(np.uint16)
    with pytest.raises(ImageError, match="Pixel Representation"):
        read_image(write_dicom(path, stored.view(np.int16) if signed else stored, signed=signed))


def test_pixels_that_are_not_square_are_shown_so(path):
    for spacing in ({"PixelSpacing": [0.4, 0.2]}, {"PixelAspectRatio": [2, 1]}):
        assert read_image(write_dicom(path, GREY, **spacing)).shape == (40, 30)
    assert read_image(write_dicom(path, GREY, PixelSpacing=[0.143, 0.1435])).shape == (20, 30)
