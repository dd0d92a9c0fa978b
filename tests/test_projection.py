"""The film: Beer-Lambert, monotone, noise by dose, exposure from the patient."""

import numpy as np
import pytest

from medprobclip.data.projection import Exposure, FilmConfig, _log_signal, develop, measure_exposure

FILM = FilmConfig()
QUIET = FilmConfig(photons=1e12, scatter=0.0, blur_px=0.01, detail=0.0)
EXPOSURE = Exposure(lung=2.0, mediastinum=4.0)


def test_beer_lambert_without_scatter():
    path = np.array([[0.0, 50.0, 100.0]])
    np.testing.assert_allclose(_log_signal(path, 2.5, QUIET), 0.02 * path, atol=1e-6)


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
    thin, thick = (measure_exposure(path * k, 10.0, FILM) for k in (1.0, 1.2))
    assert thin.lung < thin.mediastinum
    assert thick.lung > thin.lung
    assert thick.mediastinum > thin.mediastinum
