"""The simulator: same bytes whoever renders, the patient apart from the findings, resumable corpora."""

import hashlib
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from medprobclip.data import simulate as module
from medprobclip.data.anatomy import load_anatomy
from medprobclip.data.simulate import (
    SimulationConfig,
    draw_patient,
    image_paths,
    simulate_corpus,
    simulate_study,
)

CODES = ("Pleural Effusion/right/small", "Opacity/lung/base/left", "Cardiomegaly/mild", "Nipple Shadow")
CONFIG = SimulationConfig()


@pytest.fixture(scope="module")
def chest():
    return load_anatomy(2.5)


def table(n):
    codes = [CODES, ("normal",), ("Emphysema", "Scoliosis/mild"), ()]
    return pd.DataFrame(
        {"study_id": [f"CXR{i}" for i in range(n)], "codes": [codes[i % 4] for i in range(n)]}
    )


def digest(folder):
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_two_square_grey_pictures(chest):
    study = simulate_study("CXR9", CODES, CONFIG, chest)
    for image in (study.pa, study.lateral):
        assert image.shape == (128, 128)
        assert image.dtype == np.uint8
    lung, spine = study.pa[40:75, 28:45], study.pa[40:75, 62:72]
    assert np.median(lung) + 70 < np.median(spine)  # bone bright
    assert study.uncovered == ("Nipple Shadow",)


def test_heart_is_at_the_image_right(chest):
    """The patient's right is at the image's left, so the heart's mass lies right of the spine."""
    pa = simulate_study("CXR9", (), CONFIG, chest).pa.astype(float)
    assert pa[75:92, 70:88].mean() > pa[75:92, 40:58].mean() + 25


def test_same_bytes_for_any_number_of_threads(chest):
    before = torch.get_num_threads()
    try:
        pictures = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            study = simulate_study("CXR9", CODES, CONFIG, chest)
            pictures.append(study.pa.tobytes() + study.lateral.tobytes())
    finally:
        torch.set_num_threads(before)
    assert pictures[0] == pictures[1]


def test_order_of_codes_and_unknown_codes_change_nothing(chest):
    one = simulate_study("CXR9", ("Nodule/lung/left", "Opacity/lung/base/right"), CONFIG, chest)
    two = simulate_study(
        "CXR9", ("Opacity/lung/base/right", "Nodule/lung/left", "Nipple Shadow"), CONFIG, chest
    )
    assert np.abs(one.pa.astype(int) - two.pa).max() <= 1  # sums of floats in another order


def test_patients_differ_and_do_not_depend_on_codes(chest):
    assert draw_patient("CXR1", CONFIG).size != draw_patient("CXR2", CONFIG).size
    assert draw_patient("CXR1", CONFIG) == draw_patient("CXR1", CONFIG)
    far = simulate_study("CXR1", ("Calcified Granuloma/lung/apex/right",), CONFIG, chest).pa[70:]
    same = simulate_study("CXR1", (), CONFIG, chest).pa[70:]
    assert np.abs(far.astype(int) - same).max() <= 3
    other = simulate_study("CXR2", (), CONFIG, chest).pa[70:]
    assert np.abs(other.astype(int) - same).mean() > 3


def test_normal_draws_nothing(chest):
    study = simulate_study("CXR5", ("normal",), CONFIG, chest)
    assert study.rendered == []
    assert np.array_equal(study.pa, simulate_study("CXR5", (), CONFIG, chest).pa)


def test_rendered_truth_is_complete(chest):
    study = simulate_study("CXR9", CODES, CONFIG, chest)
    assert [(r.kind, r.side) for r in study.rendered] == [
        ("effusion", "right"),
        ("airspace opacity", "left"),
        ("cardiomegaly", "midline"),
    ]
    for row in study.rendered:
        assert 0 <= row.pa_left <= row.pa_right < 128
        assert 0 <= row.pa_top <= row.pa_bottom < 128
        assert row.pa_left <= row.x_mm / 2.5 <= row.pa_right + 1
        assert row.pa_top <= (320 - row.z_mm) / 2.5 <= row.pa_bottom + 1
        assert row.size_mm > 5


def test_corpus_is_the_same_for_one_and_two_workers(tmp_path):
    studies = table(18)  # enough to start the pool
    one = simulate_corpus(studies, tmp_path / "one", CONFIG, workers=1)
    two = simulate_corpus(studies, tmp_path / "two", CONFIG, workers=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    pd.testing.assert_frame_equal(one, two)
    assert len(one) == one["study_id"].isin(studies["study_id"]).sum() > 15


def test_interrupted_corpus_resumes_and_mends(tmp_path, monkeypatch):
    calls = []

    def counted(study_id, *args):
        calls.append(study_id)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return simulate_study(study_id, *args)

    monkeypatch.setattr(module, "simulate_study", counted)
    studies = table(6)
    with pytest.raises(KeyboardInterrupt):
        simulate_corpus(studies, tmp_path, CONFIG, workers=1)
    assert not list(tmp_path.rglob("*.part"))
    first = simulate_corpus(studies, tmp_path, CONFIG, workers=1)
    assert calls == [f"CXR{i}" for i in (0, 1, 2, 3, 3, 4, 5)]  # nothing finished is made again

    again = simulate_corpus(studies, tmp_path, CONFIG, workers=1)
    assert len(calls) == 7
    pd.testing.assert_frame_equal(first, again)

    lost = image_paths(tmp_path, "CXR1")[0]
    before = lost.read_bytes()
    lost.unlink()
    studies.at[2, "codes"] = ("Cardiomegaly",)
    changed = simulate_corpus(studies, tmp_path, CONFIG, workers=1)
    assert calls[7:] == ["CXR1", "CXR2"]  # the lost picture and the study with other codes
    assert lost.read_bytes() == before
    assert set(changed.loc[changed["study_id"] == "CXR2", "kind"]) == {"cardiomegaly"}
    assert Image.open(lost).size == (128, 128)


def test_other_configuration_or_version_rebuilds(tmp_path, monkeypatch):
    studies = table(2)
    simulate_corpus(studies, tmp_path, CONFIG, workers=1)
    old = [path.read_bytes() for path in image_paths(tmp_path, "CXR0")]
    stamp = json.loads((tmp_path / "simulation.json").read_text())
    (tmp_path / "simulation.json").write_text(json.dumps({**stamp, "version": -1}))
    os.utime(image_paths(tmp_path, "CXR0")[0], (0, 0))
    simulate_corpus(studies, tmp_path, CONFIG, workers=1)
    assert image_paths(tmp_path, "CXR0")[0].stat().st_mtime > 0
    simulate_corpus(studies, tmp_path, SimulationConfig(seed=7), workers=1)
    assert [path.read_bytes() for path in image_paths(tmp_path, "CXR0")] != old


def test_coverage_is_written(tmp_path):
    simulate_corpus(table(2), tmp_path, CONFIG, workers=1)
    coverage = pd.read_csv(tmp_path / "coverage.csv").set_index("heading")
    assert coverage.loc["Nipple Shadow", "undrawn"] == 1
    assert coverage.loc["Cardiomegaly", "drawn"] == 1
