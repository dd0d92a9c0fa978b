"""The corpus `openi-sim`: resumable, idempotent, split by patient."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medprobclip.data.radiographs import read_image
from medprobclip.data.studies import COLUMNS, read_studies
from medprobclip.simulator import openi_sim
from medprobclip.simulator.corpus import image_paths
from medprobclip.simulator.findings import side_choices
from medprobclip.simulator.openi_sim import build_openi_sim


@pytest.fixture
def drawn(monkeypatch):
    """Replaces the simulator by grey squares; gives the study ids it has drawn and when to interrupt it."""
    ids, interrupt_after = [], [None]

    def simulate_corpus(studies, folder, config, workers):
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for study_id, codes, views in studies[["study_id", "codes", "views"]].itertuples(index=False):
            rows += [
                {"study_id": study_id, "code": code, "side": side}
                for code in codes
                for side in (side_choices(code) or [()])[0]
            ]
            for path in image_paths(folder, study_id, views):
                if not path.is_file() or read_image(path).shape[0] != config.size_px:
                    ids.append(study_id)
                    picture = Image.new("L", (config.size_px, config.size_px), 90)
                    picture.paste(30, (0, 0, config.size_px // 2, config.size_px))
                    picture.save(path)
                if len(ids) == interrupt_after[0]:
                    raise KeyboardInterrupt
        return pd.DataFrame(rows)

    monkeypatch.setattr(openi_sim, "simulate_corpus", simulate_corpus)
    return ids, interrupt_after


def test_build_writes_the_published_schema_split_by_patient(tmp_path, drawn):
    studies = build_openi_sim(tmp_path, size_px=16, n_studies=40)
    assert studies.columns[:5].tolist() == list(COLUMNS)
    assert {"patient_id", "codes", "sex", "appearance", "split"} <= set(studies.columns)
    assert "views" not in studies
    assert {("PA", "LATERAL"), ("PA",)} <= set(studies["view_names"])
    assert (studies["findings"].str.len() > 0).all()
    assert (studies["impression"].str.len() > 0).all()
    sizes = {"train": 26, "calibrate": 3, "validate": 3, "test": 8}
    parts = {split: read_studies(tmp_path / f"{split}.csv") for split in sizes}
    assert {split: len(part) for split, part in parts.items()} == sizes
    assert sorted(pd.concat(parts.values())["study_id"]) == sorted(studies["study_id"])
    for split, part in parts.items():
        assert (part["split"] == split).all()
    for study_id, paths, views in studies[["study_id", "image_paths", "view_names"]].itertuples(index=False):
        assert [Path(path).name for path in paths] == [f"{study_id}_{view.lower()}.png" for view in views]
    for codes, entries in zip(studies["codes"], studies["appearance"], strict=True):
        assert len(entries) == sum(bool(side_choices(code)) for code in codes)
    assert len(pd.read_csv(tmp_path / "rendered.csv")) > 20
    record = json.loads((tmp_path / "corpus.json").read_text())
    assert record["counts"]["studies"] == 40
    assert {split: record["counts"][split] for split in sizes} == sizes


def test_training_codes_are_those_of_training_studies_alone(monkeypatch):
    """Forty studies with a code that says whose it is, one in three with a second, one without any."""
    codes = [(f"code {i}", "shared")[: 2 if i % 3 == 0 else 1] if i else () for i in range(40)]
    reports = pd.DataFrame({
        "study_id": [f"CXR{i}" for i in range(40)],
        "patient_id": [f"{i // 2:02}" for i in range(40)],  # two studies each
        "codes": codes,
    })  # fmt: skip
    monkeypatch.setattr(openi_sim, "load_reports", lambda: reports)
    order = np.random.default_rng(42).permutation(20)  # of twenty patients the first 13 are trained on
    trained = sorted(study for patient in order[:13] for study in (2 * patient, 2 * patient + 1))
    expected = [code for study in trained for code in codes[study]]
    assert openi_sim.training_codes() == expected
    assert 1 < expected.count("shared") < sum("shared" in of for of in codes)


def test_corpora_of_other_shares_are_made_anew(tmp_path, drawn):
    """Of before there were calibration studies: the pictures stay, the tables are split again."""
    studies = build_openi_sim(tmp_path, size_px=16, n_studies=40)
    path = tmp_path / "corpus.json"
    record = json.loads(path.read_text())
    shares = record["made_with"]["split_shares"]
    assert shares == {"train": 0.65, "calibrate": 0.075, "validate": 0.075, "test": 0.2}
    del record["made_with"]["split_shares"]
    path.write_text(json.dumps(record))
    (tmp_path / "test.csv").write_text("old")
    again = build_openi_sim(tmp_path, size_px=16, n_studies=40)
    assert again.to_dict("list") == studies.to_dict("list")
    assert json.loads(path.read_text())["made_with"]["split_shares"] == shares
    assert len(read_studies(tmp_path / "test.csv")) == 8


def test_build_is_idempotent_and_makes_only_what_is_missing(tmp_path, drawn):
    ids, _ = drawn
    first = build_openi_sim(tmp_path, size_px=16, n_studies=20)
    stamp = (tmp_path / "studies.csv").stat().st_mtime_ns
    ids.clear()
    again = build_openi_sim(tmp_path, size_px=16, n_studies=20)
    assert ids == []
    assert (tmp_path / "studies.csv").stat().st_mtime_ns == stamp
    assert again.to_dict("list") == first.to_dict("list")
    Path(first["image_paths"][7][-1]).unlink()
    build_openi_sim(tmp_path, size_px=16, n_studies=20)
    assert ids == [first["study_id"][7]]
    build_openi_sim(tmp_path, size_px=16, n_studies=25)
    assert len(read_studies(tmp_path / "studies.csv")) == 25


def test_interrupted_build_resumes_to_the_same_corpus(tmp_path, drawn):
    ids, interrupt_after = drawn
    interrupt_after[0] = 9
    with pytest.raises(KeyboardInterrupt):
        build_openi_sim(tmp_path / "a", size_px=16, n_studies=20)
    assert not list((tmp_path / "a").glob("*.csv"))
    interrupt_after[0] = None
    studies = build_openi_sim(tmp_path / "a", size_px=16, n_studies=20)
    assert len(ids) == studies["image_paths"].map(len).sum()  # nothing drawn twice
    build_openi_sim(tmp_path / "b", size_px=16, n_studies=20)
    for name in ("studies.csv", "train.csv", "rendered.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_other_settings_or_simulator_replace_the_corpus(tmp_path, drawn, monkeypatch):
    ids, interrupt_after = drawn
    build_openi_sim(tmp_path, size_px=16, n_studies=20)
    studies = build_openi_sim(tmp_path, size_px=24, n_studies=20)
    assert {read_image(p).shape for paths in studies["image_paths"] for p in paths} == {(24, 24)}
    monkeypatch.setattr(openi_sim, "PREPARATION_VERSION", -1)
    interrupt_after[0] = len(ids)
    with pytest.raises(KeyboardInterrupt):
        build_openi_sim(tmp_path, size_px=24, n_studies=20)
    assert not (tmp_path / "studies.csv").exists()


def test_build_reports_what_is_not_drawn(tmp_path, drawn, capsys):
    studies = build_openi_sim(tmp_path, size_px=16, n_studies=200)
    counts = json.loads((tmp_path / "corpus.json").read_text())["counts"]
    assert counts["codings_drawn"] + counts["codings_not_drawn"] == studies["codes"].map(len).sum()
    assert counts["codings_not_drawn"] > 0
    assert f"{counts['codings_not_drawn']} of" in capsys.readouterr().out


def test_build_with_the_real_simulator(tmp_path):
    studies = build_openi_sim(tmp_path, size_px=64, n_studies=12, workers=1)
    for paths in studies["image_paths"]:
        for path in paths:
            image = read_image(path)
            assert image.shape == (64, 64)
            assert np.ptp(image) > 100
    rendered = pd.read_csv(tmp_path / "rendered.csv")
    assert set(rendered["study_id"]) <= set(studies["study_id"])
    assert build_openi_sim(tmp_path, size_px=64, n_studies=12).to_dict("list") == studies.to_dict("list")


@pytest.mark.parametrize("n_studies", [0, 3420])
def test_subset_out_of_range(tmp_path, drawn, n_studies):
    with pytest.raises(ValueError, match="1 to 3419"):
        build_openi_sim(tmp_path, n_studies=n_studies)
