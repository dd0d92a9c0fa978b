"""Degraded views: each way changes what it says, more with more severity, and none is held back for tests."""

import ast
import functools

import numpy as np
import pytest
import torch
from scipy import ndimage
from sources import MODULES, PACKAGE, imported
from torch import Tensor

from medprobclip.data.corruptions import CORRUPTIONS
from medprobclip.data.degraded import DEGRADATIONS, degrade, degraded_share

NAMES = list(DEGRADATIONS)
WARPED_PX = 0.06  # of the edge


def films(n: int, size: int = 32) -> Tensor:
    """Smooth grey between 0.2 and 0.8, a bright square at the left: `[n, 1, S, S]`, different ones."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, size),) * 2, indexing="ij")
    tilt = torch.linspace(0, 1, n)[:, None, None]
    grey = 0.5 + 0.15 * torch.sin(5 * x + 3 * tilt) + 0.1 * torch.cos(7 * y * (1 + tilt))
    grey[:, size // 3 : size // 2, size // 8 : size // 3] = 0.8
    return grey[:, None]


def spoilt(images: Tensor, name: str, severity: float | Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    amount = severity if isinstance(severity, Tensor) else torch.full((len(images),), severity)
    return degrade(images, amount, torch.full((len(images),), NAMES.index(name)))


def change(after: Tensor, before: Tensor) -> Tensor:
    return (after - before).abs().mean((1, 2, 3))


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("n", [1, 6])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_range_are_kept_and_the_images_stay_as_they_are(name, n, size):
    images = films(n, size)
    images[0, 0, :4, :4], images[0, 0, -4:, -4:] = 0.0, 1.0
    before = images.clone()
    worse = spoilt(images, name, 1.0)
    assert torch.equal(images, before)
    assert worse.shape == images.shape
    assert worse.dtype == images.dtype
    assert 0 <= worse.min() <= worse.max() <= 1
    assert (change(worse, images) > 1e-3).all()


@pytest.mark.parametrize("name", NAMES)
def test_an_image_gets_worse_with_severity(name):
    """On average over 200 draws; half as bad is not nearly as bad, and severity 0 changes nothing."""
    images = films(200)
    assert torch.equal(spoilt(images, name, 0.0), images)
    changes = [float(change(spoilt(images, name, s), images).mean()) for s in (0.1, 0.3, 0.6, 1.0)]
    assert changes[0] > 0
    assert (np.diff(changes) > 0.1 * changes[-1]).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_and_another_another(name):
    images = films(4)
    first = spoilt(images, name, 0.7)
    assert torch.equal(first, spoilt(images, name, 0.7))
    assert (name == "ghost") == torch.equal(first, spoilt(images, name, 0.7, seed=1))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_mirrored(name):
    """Of a pattern that a mirror turns into its negative, nearly all of 300 draws keep a positive share."""
    drawn = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 64)), 3)
    drawn = drawn + drawn[::-1]  # upside down the same, for the double exposure
    pattern = torch.from_numpy(drawn - drawn[:, ::-1]).float()
    pattern = 0.25 * pattern / pattern.abs().max()
    film = (0.5 + pattern)[None, None]
    worse = spoilt(film.repeat(300, 1, 1, 1), name, 1.0)
    left = ((worse - 0.5) * pattern).sum((1, 2, 3)) / pattern.square().sum()
    assert (left > 0).double().mean() > 0.95
    assert left.mean() > 0.4


def test_an_erased_rectangle_has_its_area_and_one_grey():
    images = torch.linspace(0.2, 0.8, 64 * 64).view(1, 1, 64, 64).repeat(50, 1, 1, 1)
    for severity in (0.2, 1.0):
        worse = spoilt(images, "erased", severity)
        for film, own in zip(worse[:, 0], images[:, 0], strict=True):
            gone = film != own
            assert float(gone.double().mean()) == pytest.approx(0.5 * severity, abs=0.03)
            rows, columns = gone.any(1), gone.any(0)
            box = int(rows.sum()) * int(columns.sum())
            assert box - int(gone.sum()) <= 2  # filled; a pixel may have the grey by chance
            assert len(film[gone].unique()) == 1
            assert 0.45 < float(columns.sum() / rows.sum()) < 2.2


def test_stripes_run_one_way_and_are_as_strong_as_they_say():
    images = torch.full((60, 1, 96, 96), 0.5)
    waves = spoilt(images, "stripes", 0.8)[:, 0] - 0.5
    upright = (waves.std(1).amax(1) < 1e-6).tolist()
    across = (waves.std(2).amax(1) < 1e-6).tolist()
    assert [not a for a in across] == upright
    assert 15 < sum(upright) < 45
    assert float(waves.abs().amax()) == pytest.approx(0.35 * 0.8, rel=1e-3)
    for wave, vertical in zip(waves, upright, strict=True):
        line = wave[0] if vertical else wave[:, 0]
        strongest = int(torch.fft.rfft(line).abs()[1:].argmax()) + 1
        assert 4 <= strongest <= 16


def test_dust_is_black_and_white_and_covers_its_share():
    images = torch.full((40, 1, 64, 64), 0.5)
    worse = spoilt(images, "dust", 1.0)
    assert set(worse.unique().tolist()) == {0.0, 0.5, 1.0}
    for value in (0.0, 1.0):
        assert float((worse == value).double().mean()) == pytest.approx(0.15, abs=0.01)
    specks = worse.view(40, 32, 2, 32, 2)
    assert (specks.amax((2, 4)) == specks.amin((2, 4))).all()  # two pixels wide and high


def test_shading_is_smooth_and_at_most_as_strong_as_it_says():
    images = torch.full((40, 1, 64, 64), 0.5)
    shade = spoilt(images, "shading", 0.5) - 0.5
    assert 0.15 < float(shade.abs().amax()) <= 0.3 + 1e-6
    assert float(shade.diff(dim=-1).abs().amax()) < 0.05
    assert float(shade.diff(dim=-2).abs().amax()) < 0.05


def test_a_double_exposure_is_half_of_another_film_upside_down():
    images = films(3)
    worse = spoilt(images, "ghost", 0.6)
    for row in range(3):
        other = images[row - 1].flip(-2)
        torch.testing.assert_close(worse[row], 0.7 * images[row] + 0.3 * other)
    alone = spoilt(images[:1], "ghost", 0.6)
    torch.testing.assert_close(alone, 0.7 * images[:1] + 0.3 * images[:1].flip(-2))


def test_a_warped_film_is_shifted_by_no_more_than_it_says():
    """Of a ramp, whose grey tells where each pixel came from; nothing outside the film comes in."""
    size = 64
    across = ((torch.arange(size) + 0.5) / size).expand(30, 1, size, size).contiguous()
    for ramp in (across, across.transpose(-1, -2).contiguous()):
        shift = (spoilt(ramp, "warped", 1.0) - ramp).abs()
        assert 0.5 * WARPED_PX < float(shift.amax()) <= WARPED_PX + 1e-4
    flat = torch.full((5, 1, size, size), 0.7)
    torch.testing.assert_close(spoilt(flat, "warped", 1.0), flat)


def test_each_row_has_its_own_severity_and_family():
    """Families draw one after the other, so each row is what its family alone makes of it."""
    images, severity = films(12), torch.linspace(0, 1, 12)
    family = torch.tensor([0, 1, 2, 3, 4, 5] * 2)
    torch.manual_seed(3)
    found = degrade(images, severity, family)
    torch.manual_seed(3)
    assert torch.equal(found[0], images[0])
    for number, name in enumerate(NAMES):
        rows = (family == number) & (severity > 0)
        expected = DEGRADATIONS[name].apply(images[rows], severity[rows]).clamp(0, 1)
        assert torch.equal(found[rows], expected)


def test_families_are_drawn_at_even_odds(monkeypatch):
    """Each family stamps its own grey here."""
    for number, name in enumerate(NAMES):
        stamp = functools.partial(torch.full_like, fill_value=number / 10)
        degradation = DEGRADATIONS[name]
        stamped = type(degradation)("", "", lambda images, severity, stamp=stamp: stamp(images))
        monkeypatch.setitem(DEGRADATIONS, name, stamped)
    torch.manual_seed(0)
    found = degrade(torch.full((6000, 1, 1, 1), 0.9), torch.ones(6000)).flatten()
    counts = [int((found == number / 10).sum()) for number in range(len(NAMES))]
    assert sum(counts) == 6000
    assert min(counts) > 880  # four standard deviations of 29 below a thousand
    assert max(counts) < 1120


def test_a_share_of_the_views_is_spoilt_evenly_badly(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "medprobclip.data.degraded.degrade", lambda flat, amount: seen.append(amount) or flat.clone()
    )
    torch.manual_seed(0)
    views = torch.rand(2, 4000, 1, 2, 2)
    assert torch.equal(degraded_share(views, 0.3, 0.8), views)
    (amount,) = seen
    hit = amount[amount > 0]
    assert len(hit) / 8000 == pytest.approx(0.3, abs=0.021)  # four standard deviations
    assert float(hit.max()) <= 0.8
    quarters = torch.histc(hit, 4, 0, 0.8) / len(hit)
    torch.testing.assert_close(quarters, torch.full((4,), 0.25), atol=0.036, rtol=0)


def test_views_keep_their_places():
    torch.manual_seed(0)
    views = torch.stack([films(5), films(5).flip(-1)])
    found = degraded_share(views, 0.5, 1.0)
    assert found.shape == views.shape
    same = (found == views).all((-1, -2, -3))
    assert 0 < int(same.sum()) < 10
    torch.manual_seed(0)
    assert torch.equal(degraded_share(views, 0.0, 1.0), views)


@pytest.mark.parametrize(
    ("shape", "severity", "message"),
    [
        ((2, 8, 8), torch.ones(2), "needs images"),
        ((2, 3, 8, 8), torch.ones(2), "needs images"),
        ((2, 1, 8, 8), torch.ones(3), "needs images"),
        ((2, 1, 8, 8), torch.ones(2, 1), "needs images"),
        ((2, 1, 8, 8), torch.tensor([0.5, 1.1]), "between 0 and 1"),
        ((2, 1, 8, 8), torch.tensor([0.5, -0.1]), "between 0 and 1"),
        ((2, 1, 8, 8), torch.tensor([0.5, torch.nan]), "between 0 and 1"),
    ],
)
def test_what_cannot_be_degraded_is_refused(shape, severity, message):
    with pytest.raises(ValueError, match=message):
        degrade(torch.zeros(shape), severity)


def test_no_way_to_spoil_a_view_is_a_fault_of_the_evaluation():
    assert not set(DEGRADATIONS) & set(CORRUPTIONS)
    labels = [entry.label for table in (DEGRADATIONS, CORRUPTIONS) for entry in table.values()]
    assert len(set(labels)) == len(labels)


def reached(start: set[str]) -> set[str]:
    """Files of the package that some files import, directly or through others."""
    found, todo = set(), set(start)
    while todo:
        found |= todo
        names = {
            name.removeprefix("medprobclip.").replace(".", "/")
            for module in todo
            for name in imported(ast.parse((PACKAGE / module).read_text(encoding="utf-8")))
            if name.startswith("medprobclip.")
        }
        files = {f"{path}.py" for name in names for path in (name, name.rpartition("/")[0])}
        todo = (files & set(MODULES)) - found
    return found


def test_no_training_sees_the_faults_of_the_evaluation():
    training = {name for name in MODULES if name.startswith("training/")} | {"medprobclip_train.py"}
    files = reached(training)
    assert {"data/degraded.py", "data/augment.py", "evaluation/embedding.py"} <= files
    assert "data/corruptions.py" not in files
    assert "data/corruptions.py" in reached({"paper/tables/robustness.py"})
