"""The film: Beer-Lambert, rays from a point, monotone, noise by dose, exposure from the patient."""

from dataclasses import replace

import numpy as np
import pytest

from medprobclip.simulator.projection import (
    Exposure,
    FilmConfig,
    _log_signal,
    develop,
    magnification,
    measure_exposure,
    project,
)

FILM = FilmConfig()
QUIET = FilmConfig(photons=1e12, scatter=0.0, blur_mm=0.01, detail=())
POINT = FilmConfig(source_mm=1830.0)
EXPOSURE = Exposure(lung=2.0, mediastinum=4.0)


def test_beer_lambert_without_scatter():
    path = np.array([[0.0, 50.0, 100.0]])
    np.testing.assert_allclose(_log_signal(path, 2.5, QUIET), 0.02 * path, atol=1e-6)


def test_parallel_projection_is_the_sum_along_the_beam():
    body = np.random.default_rng(0).random((5, 7, 7)).astype(np.float32)  # back to front, upwards, right-left
    pa = project(body, "pa", 2.0, 3.0, FILM)
    lateral = project(body, "lateral", 2.0, 3.0, FILM)
    assert pa.shape == (7, 7)
    assert lateral.shape == (7, 5)
    for z in range(7):
        for x in range(7):
            assert pa[6 - z, x] == pytest.approx(3.0 * body[:, z, x].sum(), rel=1e-5)
        for y in range(5):  # the patient looks to the image's left
            assert lateral[6 - z, 4 - y] == pytest.approx(2.0 * body[y, z, :].sum(), rel=1e-5)


@pytest.mark.parametrize("view", ["pa", "lateral"])
def test_point_source_magnifies_by_similar_triangles(view):
    """A small ball off the central ray lands where the straight line from the source through it ends."""
    n, pixel = 64, 5.0
    extent = np.full(3, n * pixel)
    along, up, across = 10, 44, 47  # voxel indices: along the beam, upwards, across it
    index = (along, up, across) if view == "pa" else (across, up, along)
    body = np.zeros((n, n, n), np.float32)
    body[index] = 1.0
    path = project(body, view, pixel, pixel, POINT)
    rows, columns = np.indices(path.shape)
    found = [(path * c).sum() / path.sum() for c in (rows, columns)]
    from_source = POINT.source_mm - (n - along - 0.5) * pixel
    factor = POINT.source_mm / from_source
    assert magnification(view, np.array([(along + 0.5) * pixel]), extent, POINT)[0] == pytest.approx(factor)
    middle = (n - 1) / 2
    expected_across = middle + factor * (across - middle) * (1 if view == "pa" else -1)
    assert found[0] == pytest.approx(middle - factor * (up - middle), abs=0.15)
    assert found[1] == pytest.approx(expected_across, abs=0.15)
    assert path.sum() / pixel > 1.1  # seen larger: the same path length over a larger spot


def test_a_distant_source_is_parallel():
    body = np.random.default_rng(0).random((8, 16, 16)).astype(np.float32)
    far = replace(FILM, source_mm=1e7)
    for view in ("pa", "lateral"):
        near = project(body, view, 2.0, 2.0, FILM)
        np.testing.assert_allclose(project(body, view, 2.0, 2.0, far), near, rtol=1e-3)


def test_scatter_lowers_contrast():
    path = np.full((64, 64), 200.0)
    path[:, 32:] = 250.0
    plain, hazy = (_log_signal(path, 2.5, film) for film in (QUIET, FILM))
    step = [signal[32, 33] - signal[32, 30] for signal in (plain, hazy)]
    assert step[1] < 0.99 * step[0]


def test_more_tissue_is_brighter_and_anchors_hold():
    path = np.tile(np.linspace(0, 300, 61), (61, 1))
    film = develop(path, EXPOSURE, QUIET, 2.5, np.random.default_rng(0))
    assert film.dtype == np.uint8
    assert (np.diff(film[30].astype(int)) >= 0).all()
    assert film[30, 20] / 255 == pytest.approx(QUIET.lung_grey, abs=0.01)  # path 100 mm: signal 2
    assert film[30, 40] / 255 == pytest.approx(QUIET.mediastinum_grey, abs=0.01)


def test_enhancement_sharpens_edges_and_leaves_flat_parts():
    path = np.full((64, 64), 120.0)
    path[:, 32:] = 140.0
    sharp = replace(QUIET, detail=FILM.detail)
    plain, enhanced = (
        develop(path, EXPOSURE, film, 2.5, np.random.default_rng(0)).astype(float) for film in (QUIET, sharp)
    )
    assert enhanced[32, 32] - enhanced[32, 31] > 1.5 * (plain[32, 32] - plain[32, 31])
    assert abs(enhanced[32, 2] - plain[32, 2]) <= 2


def test_less_dose_is_noisier():
    path = np.full((64, 64), 150.0)
    spread = [
        develop(path, EXPOSURE, FILM, 2.5, np.random.default_rng(0), dose).astype(float).std()
        for dose in (1.0, 0.05)
    ]
    assert spread[1] > 2 * spread[0]


def test_exposure_follows_the_patient():
    path = np.full((32, 32), 100.0)
    path[:, 12:20] = 200.0
    thin, thick = (measure_exposure(path * k, 10.0, FILM, "pa") for k in (1.0, 1.2))
    assert thin.lung < thin.mediastinum
    assert thick.lung > thin.lung
    assert thick.mediastinum > thin.mediastinum
