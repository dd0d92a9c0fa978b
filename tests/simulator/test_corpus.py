"""The corpus: the same bytes whoever renders, resumable, rebuilt when its settings change."""

import hashlib
import json
import os

import pandas as pd
import pytest
from PIL import Image

from medprobclip.simulator import corpus as module
from medprobclip.simulator.corpus import image_paths, simulate_corpus
from medprobclip.simulator.simulate import SimulationConfig, simulate_study

CODES = ("Pleural Effusion/right/small", "Opacity/lung/base/left", "Cardiomegaly/mild", "Nipple Shadow")
CONFIG = SimulationConfig()


def table(n):
    codes = [CODES, ("normal",), ("Emphysema", "Scoliosis/mild"), ()]
    return pd.DataFrame(
        {"study_id": [f"CXR{i}" for i in range(n)], "codes": [codes[i % 4] for i in range(n)]}
    )


def digest(folder):
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_corpus_is_the_same_for_one_and_two_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)  # more than that start the pool
    studies = table(6)
    one = simulate_corpus(studies, tmp_path / "one", CONFIG, workers=1)
    two = simulate_corpus(studies, tmp_path / "two", CONFIG, workers=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    pd.testing.assert_frame_equal(one, two)
    assert len(one) == one["study_id"].isin(studies["study_id"]).sum() > 5


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


def test_only_the_views_of_a_study_are_taken(tmp_path):
    studies = table(3).assign(views=[("pa",), ("lateral",), ("pa", "lateral")], sex=["female", "", "male"])
    rendered = simulate_corpus(studies, tmp_path, CONFIG, workers=1)
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"CXR0_pa.png", "CXR1_lateral.png", "CXR2_pa.png", "CXR2_lateral.png"}
    first = rendered[rendered["study_id"] == "CXR0"]
    assert first["lateral_left"].isna().all()
    assert first["pa_left"].notna().all()
    kept = image_paths(tmp_path, "CXR2")[0].stat().st_mtime_ns
    studies.at[0, "views"], studies.at[1, "sex"] = ("lateral",), "male"
    simulate_corpus(studies, tmp_path, CONFIG, workers=1)
    assert (tmp_path / "CXR0_lateral.png").exists()
    assert json.loads((tmp_path / "truth" / "CXR1.json").read_text())["sex"] == "male"
    assert image_paths(tmp_path, "CXR2")[0].stat().st_mtime_ns == kept  # nothing else is made again


def test_coverage_is_written(tmp_path):
    simulate_corpus(table(2), tmp_path, CONFIG, workers=1)
    coverage = pd.read_csv(tmp_path / "coverage.csv").set_index("heading")
    assert coverage.loc["Nipple Shadow", "undrawn"] == 1
    assert coverage.loc["Cardiomegaly", "drawn"] == 1
