"""Corruptions do what they say, get worse step by step, and depend on nothing but name, severity and id."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from medprobclip.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt

NAMES = list(CORRUPTIONS)
IDS = [f"CXR{i}" for i in range(12)]


def chest(size: int, tilt: float = 0.0) -> np.ndarray:
    """Body, two lungs, spine, heart to the image's right, ribs: uint8 [S, S], the same film at every size."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    x = x + tilt * (y - 0.5)

    def blob(cx, cy, rx, ry, edge=0.12):
        return 1 / (1 + np.exp((np.hypot((x - cx) / rx, (y - cy) / ry) - 1) / edge))

    grey = 0.65 * blob(0.5, 0.6, 0.46, 0.75, 0.06)
    grey -= 0.42 * (blob(0.3, 0.42, 0.14, 0.3) + blob(0.72, 0.42, 0.13, 0.3))
    grey += 0.25 * blob(0.5, 0.5, 0.05, 0.9) + 0.4 * blob(0.6, 0.58, 0.13, 0.13)
    grey += 0.1 * np.sin(70 * (y - 0.6 * (x - 0.5) ** 2)) * blob(0.5, 0.42, 0.4, 0.35)
    return np.rint(np.clip(grey + 0.03, 0, 1) * 255).astype(np.uint8)


def halved(images: np.ndarray) -> np.ndarray:
    """Mean of every two by two pixels, [B, S, S] -> float [B, S / 2, S / 2]."""
    n, size, _ = images.shape
    return images.reshape(n, size // 2, 2, size // 2, 2).astype(float).mean((2, 4))


def change(after: np.ndarray, before: np.ndarray) -> float:
    """Mean absolute difference, grey values."""
    return float(np.abs(after.astype(float) - before.astype(float)).mean())


def steps(image: np.ndarray, name: str, key: str) -> np.ndarray:
    """One image [S, S] at severities 1 to 5, [5, S, S]."""
    return np.concatenate([corrupt(image[None], name, severity, [key]) for severity in SEVERITIES])


def applied(name: str, severity: int, grey: np.ndarray) -> np.ndarray:
    """The corruption before it is rounded to 256 grey values."""
    corruption = CORRUPTIONS[name]
    values = corruption.apply(grey.astype(np.float32), corruption.values[severity - 1], None)
    return np.asarray(values, dtype=float)


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("name", NAMES)
def test_every_image_gets_worse_with_severity(name, size):
    image = chest(size)
    for key in IDS:
        changes = [change(worse, image) for worse in steps(image, name, key)]
        assert changes[0] > 0.2
        assert (np.diff(changes) > 0).all(), (key, changes)


@pytest.mark.parametrize("name", NAMES)
def test_the_result_depends_on_image_and_id_alone(name):
    images = np.stack([chest(64, tilt) for tilt in np.linspace(0, 0.3, 6)])
    before = images.copy()
    images.flags.writeable = False  # as rows of a read-only memory map
    together = corrupt(images, name, 4, IDS[:6])
    backwards = corrupt(images[::-1], name, 4, IDS[5::-1])
    alone = corrupt(images[5:], name, 4, [IDS[5]])
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(together, backwards[::-1])
    np.testing.assert_array_equal(together[5], alone[0])
    assert together.dtype == np.uint8


@pytest.mark.parametrize("name", ["noise", "rotation", "cropping", "marker", "device"])
def test_random_parts_differ_between_ids(name):
    images = np.repeat(chest(64)[None], 12, axis=0)
    different = {image.tobytes() for image in corrupt(images, name, 5, IDS)}
    assert len(different) == (2 if name == "rotation" else 12)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cropping"])
def test_nothing_is_mirrored_and_the_chest_stays_recognisable(name):
    """Each worst picture looks more like its chest than like that chest's mirror image; cropping: below."""
    image = chest(128)
    for worse in corrupt(np.repeat(image[None], 12, axis=0), name, 5, IDS):
        alike, mirrored = np.corrcoef([worse.ravel(), image.ravel(), image[:, ::-1].ravel()])[0, 1:]
        assert alike > max(0.5, mirrored)


@pytest.mark.parametrize("severity", [3, 5])  # smaller steps drown in the pixels of a small image
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("noise", "jpeg")])
def test_a_severity_means_the_same_at_every_size(name, severity):
    """Halving the film before or after makes little difference, measured by what the corruption does."""
    large = chest(128)[None]
    small = np.rint(halved(large)).astype(np.uint8)
    after = halved(corrupt(large, name, severity, ["CXR1"]))
    assert change(corrupt(small, name, severity, ["CXR1"]), after) < 0.3 * change(after, small)


@pytest.mark.parametrize("grey", [64, 128, 190])
def test_noise_follows_its_formula(grey):
    """Two decades of exposure over the grey range, and noise in the logarithm of photon counts."""
    for severity, std in zip(SEVERITIES[:3], CORRUPTIONS["noise"].values, strict=False):
        flat = np.full((1, 128, 128), grey, dtype=np.uint8)
        noisy = corrupt(flat, "noise", severity, ["CXR1"]).astype(float)
        # photons behind this grey, up to the dose; relative noise of a count; one decade is half the range
        photons, middle = 100.0 ** -(grey / 255), 100.0**-0.5
        expected = 255 * std * np.sqrt(middle / photons)
        assert noisy.std() == pytest.approx(np.hypot(expected, 12**-0.5), rel=0.03)  # 12: rounding
        assert noisy.mean() == pytest.approx(grey, abs=0.2)


def test_grey_values_are_cut_off_at_white():
    white = np.full((1, 64, 64), 255, dtype=np.uint8)
    noisy = corrupt(white, "noise", 1, ["CXR1"])
    assert noisy.min() > 220
    assert 0.4 < (noisy == 255).mean() < 0.65


def test_noise_has_one_field_per_id_and_the_same_dose_per_area():
    flat = np.full((128, 128), 128, dtype=np.uint8)
    seed = int.from_bytes(hashlib.sha256(b"noise/CXR1").digest()[:16], "little")
    field = np.random.default_rng(seed).standard_normal((128, 128), dtype=np.float32)
    for noisy in steps(flat, "noise", "CXR1"):
        assert np.corrcoef(noisy.ravel(), field.ravel())[0, 1] > 0.98
    coarse = corrupt(flat[None, :64, :64], "noise", 5, ["CXR1"]).astype(float)
    fine = halved(corrupt(flat[None], "noise", 5, ["CXR1"]))
    assert coarse.std() == pytest.approx(fine.std(), rel=0.05)


@pytest.mark.parametrize("name", ["motion", "defocus", "low_resolution"])
def test_a_flat_image_has_nothing_to_lose(name):
    flat = np.full((64, 64), 130, dtype=np.uint8)
    assert (steps(flat, name, "CXR1") == 130).all()


def test_motion_smears_a_point_along_its_column():
    point = np.zeros((100, 100))
    point[50, 30] = 1
    smeared = applied("motion", 3, point)  # over 6 px: 5 whole pixels and half a one at either end
    expected = np.zeros((100, 100))
    expected[47:54, 30] = np.array([0.5, 1, 1, 1, 1, 1, 0.5]) / 6
    np.testing.assert_allclose(smeared, expected, atol=1e-6)


def test_defocus_makes_a_point_a_disc():
    point = np.zeros((100, 100))
    point[50, 30] = 1
    blurred = applied("defocus", 5, point)  # radius 4 px
    y, x = (np.mgrid[:1000, :1000] + 0.5) / 10 - 0.5  # 10 x 10 samples per pixel
    inside = np.hypot(y - 50, x - 30) < 4
    covered = inside.reshape(100, 10, 100, 10).mean((1, 3))
    np.testing.assert_allclose(blurred, covered / covered.sum(), atol=0.12 / covered.sum())
    assert blurred.sum() == pytest.approx(1, abs=1e-5)


def test_underexposure_is_a_power_that_keeps_black_and_white():
    image = np.tile(np.array([0, 64, 255], dtype=np.uint8), (3, 1))
    values = CORRUPTIONS["underexposure"].values
    for worse, gamma in zip(steps(image, "underexposure", "a"), values, strict=True):
        assert worse[0].tolist() == [0, round(255 * (64 / 255) ** gamma), 255]
        assert worse[0, 1] > 64


def test_contrast_shrinks_towards_the_mean():
    image = np.tile(np.array([50, 150], dtype=np.uint8), (2, 1))
    for worse, kept in zip(steps(image, "contrast", "a"), CORRUPTIONS["contrast"].values, strict=True):
        np.testing.assert_allclose(worse[0], [100 - 50 * kept, 100 + 50 * kept], atol=0.51)


def test_low_resolution_keeps_coarse_and_loses_fine_stripes():
    x = (np.arange(128) + 0.5) / 128
    for periods, expected in ((2, 1.0), (24, 0.0)):  # 20 pixels cannot show 24 periods
        stripes = 0.5 + 0.4 * np.sin(2 * np.pi * periods * x)
        left = applied("low_resolution", 5, np.tile(stripes, (128, 1)))
        assert left.std() / stripes.std() == pytest.approx(expected, abs=0.15)


def test_jpeg_is_pillows_own_round_trip():
    image = chest(64)
    for worse, quality in zip(steps(image, "jpeg", "a"), (60, 35, 20, 10, 5), strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        np.testing.assert_array_equal(worse, np.asarray(Image.open(file)))


def test_rotation_turns_about_the_centre_to_one_side_per_id():
    image = chest(128)
    y, x = np.mgrid[:128, :128] - 63.5
    inside = np.hypot(y, x) < 60
    sides = set()
    for key in IDS[:6]:
        signs = set()
        for worse, degrees in zip(steps(image, "rotation", key), (3, 6, 10, 16, 25), strict=True):
            turned = [
                ndimage.rotate(image.astype(float), angle, reshape=False, order=1)
                for angle in (degrees, -degrees)
            ]
            errors = [change(worse[inside], other[inside]) for other in turned]
            assert min(errors) < 1 < max(errors) / 3
            signs.add(int(np.argmin(errors)))
        assert len(signs) == 1  # every severity to the same side
        assert worse[[0, 0, -1, -1], [0, -1, 0, -1]].max() == 0  # the last: 25 degrees, black corners
        sides |= signs
    assert sides == {0, 1}


def test_cropping_shows_a_window_at_one_edge():
    """On ramps, grey tells where a pixel was: the windows are nested, of the right size, and not mirrored."""
    place = (np.arange(128) + 0.5) / 128
    ramp = np.tile(place, (128, 1)).astype(np.float32)
    edges = set()
    for key in IDS:
        seed = int.from_bytes(hashlib.sha256(f"cropping/{key}".encode()).digest()[:16], "little")
        before = np.zeros(4)
        for cut in CORRUPTIONS["cropping"].values:
            across, down = (
                np.polyfit(place[8:-8], shown[64, 8:-8], 1)  # slope and start
                for shown in (
                    CORRUPTIONS["cropping"].apply(ramp, cut, np.random.default_rng(seed)),
                    CORRUPTIONS["cropping"].apply(ramp.T, cut, np.random.default_rng(seed)).T,
                )
            )
            np.testing.assert_allclose([across[0], down[0]], 1 - cut, atol=0.002)
            lost = np.array([across[1], down[1], cut - across[1], cut - down[1]])  # left, top, right, bottom
            assert lost.min() == pytest.approx(0, abs=0.002)
            assert (lost > before - 0.002).all()
            before = lost
        edges.add(int(lost.argmin()))
    assert len(edges) > 2


@pytest.mark.parametrize("name", ["marker", "device"])
def test_what_covers_the_chest_grows_in_place(name):
    black = np.zeros((128, 128), dtype=np.uint8)
    for key in IDS:
        covered = steps(black, name, key) > 40
        areas = covered.mean((1, 2))
        assert (np.diff(areas) > 0).all()
        for smaller, larger in zip(covered[:-1], covered[1:], strict=True):
            rim = ndimage.binary_dilation(larger)  # half a pixel of the marker's rounded corners may move
            assert not (smaller & ~rim).any()
    white = np.full((128, 128), 255, dtype=np.uint8)
    assert (steps(white, name, "CXR1") == 255).all()


def test_a_marker_has_its_width_and_names_the_side_it_lies_on():
    """An L leaves the upper right of its plate free, an R does not."""
    sides = set()
    for key in IDS:
        for severity, width in zip(SEVERITIES, CORRUPTIONS["marker"].values, strict=True):
            cover = corrupt(np.zeros((1, 128, 128), dtype=np.uint8), "marker", severity, [key])[0]
            rows, columns = np.nonzero(cover)
            assert np.ptp(rows) + 1 == pytest.approx(width * 128, abs=2)
            assert np.ptp(columns) + 1 == pytest.approx(width * 128, abs=2)
        top, left, edge = rows.min(), columns.min(), np.ptp(columns)
        upper_right = cover[top + edge // 5 : top + edge // 2, left + edge // 2 : left + edge * 4 // 5]
        letter = "R" if (upper_right > 200).mean() > 0.2 else "L"
        assert letter == ("R" if columns.mean() < 63.5 else "L")
        sides.add(letter)
    assert sides == {"R", "L"}


def test_devices_are_as_many_electrodes_as_the_value_says():
    black = np.zeros((256, 256), dtype=np.uint8)
    most = 0
    pad = np.pi * ((0.04 * 256) ** 2 - (0.015 * 256) ** 2)  # disc without its stud; a cable covers some
    for key in IDS:
        covers = steps(black, "device", key)
        studs = [ndimage.label(cover > 250)[1] for cover in covers]
        assert all(n <= value for n, value in zip(studs, (1, 2, 4, 6, 10), strict=True))  # some overlap
        assert studs[0] == 1
        most = max(most, studs[-1])
        first, last = (((cover > 120) & (cover < 140)).sum() / pad for cover in (covers[0], covers[-1]))
        assert 0.6 < first < 1.1
        assert 4 < last < 10
    assert most == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "fog"}, "'fog'.*noise, motion, defocus.*device"),
        ({"severity": 0}, "severity must be one of"),
        ({"severity": 6}, "severity must be one of"),
        ({"severity": 1.5}, "severity must be one of"),
        ({"images": chest(16)[None] / 255}, r"uint8 \[B, S, S\], got float64"),
        ({"images": chest(16)}, r"got uint8 \(16, 16\)"),
        ({"images": chest(16)[None, :, :8]}, r"got uint8 \(1, 16, 8\)"),
        ({"ids": ["a", "b"]}, "2 ids for 1 images"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(change, message):
    usable = {"images": chest(16)[None], "name": "noise", "severity": 1, "ids": ["a"]}
    assert corrupt(**usable).shape == (1, 16, 16)
    with pytest.raises(ValueError, match=message):
        corrupt(**usable | change)
