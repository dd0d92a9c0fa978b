"""Films under every fault: rows by hand, and what was measured is kept, read back, and measured anew."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from medprobclip.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from medprobclip.data.degraded import DEGRADATIONS, degraded_copies
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.calibration import ForGallery, Platt
from medprobclip.evaluation.confidence import LABELS
from medprobclip.evaluation.embedding import embed_images
from medprobclip.paper.tables.experiments import comparison
from medprobclip.paper.tables.faulty_films import (
    HELD_BACK,
    MADE_UP,
    Fault,
    doubts,
    faulty_films,
    reference_radiographs,
)
from medprobclip.paper.tables.scored_runs import load_methods
from medprobclip.support import precision
from medprobclip.training.errors import TrainingError
from medprobclip.training.runs import load_run, load_strangeness, train_run

module = sys.modules[Fault.__module__]  # the package has a function of its name
METHODS = ("medprobclip", "clip")
FEW = replace(HELD_BACK, names=("rotation", "noise"), severities=(1, 3, 4))  # of all, for speed
CELLS = [("none", 0), *((name, severity) for name in FEW.names for severity in FEW.severities)]
KEYS = ["method", "corruption", "severity"]


@pytest.fixture(scope="module", autouse=True)
def _float32():
    """No half precision, also where the processor has it, so that a radiograph has one embedding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "has_bfloat16", lambda device: False)
        yield


@pytest.fixture(scope="module")
def results(study_tables, tiny_profile, tmp_path_factory):
    """Two methods on calibration and test studies, one epoch each."""
    folder = tmp_path_factory.mktemp("runs")
    profile = replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))
    for run in comparison(profile):
        if str(run.folder) in METHODS:
            train_run(study_tables["train"], study_tables["validate"], folder / run.folder, run.profile)
    return [load_methods(folder, profile, study_tables[split]) for split in ("calibrate", "test")]


@pytest.fixture
def measure(results, study_tables):
    """A call for the films, with nothing kept before."""
    for run, *_ in results[1].values():
        for folder in (HELD_BACK.folder, MADE_UP.folder):
            shutil.rmtree(run.folder / folder, ignore_errors=True)
    return lambda faults=FEW: faulty_films(*results, study_tables["test"], faults)


@pytest.fixture
def embedded(monkeypatch):
    """Counts how often radiographs are embedded."""
    calls = []

    def count(model, images, known):
        calls.append(model)
        return embed_images(model, images, known)

    monkeypatch.setattr(module, "embed_images", count)
    return calls


def test_every_fault_at_every_severity_and_none(measure):
    films = measure()
    assert list(films.columns) == [
        "method", "corruption", "film", "rank_i2t", "rank_t2i", "best_right", *LABELS, "log_variance",
        "strangeness", "severity",
    ]  # fmt: skip
    expected = [(method, *cell) for method in METHODS for cell in CELLS]
    assert sorted(films[KEYS].drop_duplicates().itertuples(index=False, name=None)) == sorted(expected)
    for _, part in films.groupby(KEYS):
        assert part["film"].tolist() == list(range(12))
    assert np.isfinite(films.drop(columns=["method", "corruption"]).to_numpy(float)).all()


def test_the_faults_are_all_of_the_evaluation_and_all_that_a_training_may_see():
    assert HELD_BACK.names == tuple(CORRUPTIONS)
    assert HELD_BACK.severities == SEVERITIES
    assert HELD_BACK.apply is corrupt
    assert MADE_UP.names == tuple(DEGRADATIONS)
    assert not {*MADE_UP.names} & {*HELD_BACK.names}
    assert MADE_UP.folder != HELD_BACK.folder


def test_without_a_fault_it_is_the_run_itself(measure, results):
    films = measure().set_index(["corruption", "method"])
    for method, (run, *_) in results[1].items():
        rows = films.loc[("none", method)]
        np.testing.assert_allclose(-rows["variance"], run.total_variance["i2t"], rtol=1e-4)  # other batches
        np.testing.assert_allclose(rows["strangeness"], run.embeddings.image_strangeness, rtol=1e-3)
        np.testing.assert_allclose(rows["top_score"], run.scores.max(1), rtol=1e-3, atol=1e-3)
        best = [run.scores[i][matches].max() for i, matches in enumerate(run.truth.matches)]
        np.testing.assert_allclose(rows["best_right"], best, rtol=1e-3, atol=1e-3)
        same = [(rows[f"rank_{d}"].to_numpy() == run.ranks[d]).mean() for d in ("i2t", "t2i")]
        assert np.mean(same) >= 0.8  # a near-tie may turn by rounding


def test_the_radiographs_are_the_reference_views(study_tables):
    studies = read_studies(study_tables["test"])
    images = reference_radiographs(studies, study_tables["test"], 32)
    assert images.shape == (12, 32, 32)
    for row, image in zip(studies.itertuples(), images, strict=True):
        pixels = np.array(Image.open(row.image_paths[row.view_names.index("PA")]))
        np.testing.assert_array_equal(image, pixels)


def test_rows_by_hand(measure, results, study_tables):
    """Noise at severity 4, reports as they were; probabilities fitted on the calibration studies."""
    rows = measure().set_index(KEYS).sort_index().loc[("medprobclip", "noise", 4)]
    fitted, run = (of["medprobclip"][0] for of in results)
    assert [of.truth.studies["study_id"].iloc[0] for of in (fitted, run)] == ["calibrate-0", "test-0"]
    images = reference_radiographs(run.truth.studies, study_tables["test"], 32)
    worse = corrupt(images, "noise", 4, run.truth.studies["study_id"].tolist())
    model, _ = load_run(run.folder)
    image, strange = embed_images(model, torch.from_numpy(worse), load_strangeness(run.folder))
    with torch.no_grad():
        scores = model.similarity(image, run.embeddings.report).numpy()
    for direction, s, matches in (("i2t", scores, run.truth.matches), ("t2i", scores.T, run.truth.matches.T)):
        for i in range(12):
            best = s[i][matches[i]].max()
            assert rows[f"rank_{direction}"].iloc[i] == 1 + (s[i][~matches[i]] >= best).sum()
    log_var = image.log_var.double()
    np.testing.assert_allclose(-rows["variance"], log_var.exp().sum(1), rtol=1e-5)
    np.testing.assert_allclose(rows["log_variance"], log_var.sum(1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rows["strangeness"], strange, rtol=1e-5)
    p = torch.from_numpy(scores).double().softmax(1)
    np.testing.assert_allclose(rows["entropy"], (p * p.log()).sum(1), rtol=1e-4, atol=1e-6)
    platt = ForGallery(Platt.fit(fitted.scores, fitted.truth.matches), 12, 12)
    first = platt(np.sort(scores, axis=1)[:, -10:])  # by score: a slope may be negative
    np.testing.assert_allclose(rows["match_probability"], 1 - np.prod(1 - first, axis=1), atol=1e-6)


def test_doubts_are_larger_where_there_is_more():
    films = pd.DataFrame({
        "variance": [-3.0, -1.0], "entropy": [-0.5, 0.0], "log_variance": [-7.0, 4.0],
        "strangeness": [2.0, 1.0],
    })  # fmt: skip
    expected = {"variance": [3, 1], "log_variance": [-7, 4], "entropy": [0.5, 0], "strangeness": [2, 1]}
    assert {name: values.tolist() for name, values in doubts(films).items()} == expected


def test_what_was_measured_is_read_back(measure, results, study_tables, monkeypatch):
    films = measure()
    for name in ("embed_images", "load_run", "reference_radiographs"):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("measured again"))
    without = replace(FEW, apply=lambda *_: pytest.fail("drawn again"))
    again = faulty_films(*results, study_tables["test"], without)
    pd.testing.assert_frame_equal(again, films)


def test_a_model_is_loaded_once(measure, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "load_run", lambda folder: calls.append(folder) or load_run(folder))
    measure()
    assert len(calls) == len(METHODS)


def test_made_up_faults_are_kept_elsewhere(measure, results, embedded, study_tables):
    few = replace(MADE_UP, names=("stripes",), severities=(0.5, 1.0))
    films = measure(few)
    assert set(films["corruption"]) == {"none", "stripes"}
    assert set(films["severity"]) == {0, 0.5, 1}
    run = results[1]["clip"][0]
    assert sorted(path.name for path in (run.folder / "spoilt").iterdir()) == ["none.npz", "stripes.npz"]
    assert not (run.folder / "faulty").exists()
    images = reference_radiographs(run.truth.studies, study_tables["test"], 32)
    worse = degraded_copies(images, "stripes", 0.5, ())
    image, _ = embed_images(load_run(run.folder)[0], torch.from_numpy(worse))
    rows = films.set_index(KEYS).sort_index().loc[("clip", "stripes", 0.5)]
    np.testing.assert_allclose(-rows["variance"], image.total_variance(), rtol=1e-4)
    embedded.clear()
    assert set(measure()["corruption"]) == {"none", *FEW.names}
    assert len(embedded) == len(METHODS) * len(CELLS)  # the films without a fault, too


def test_other_code_embeddings_or_calibration_studies_are_measured_anew(
    measure, embedded, results, study_tables, monkeypatch
):
    measure()
    fitted, run = (of["clip"][0] for of in results)
    fault = Fault("clip", fitted, run)
    assert fault.stored("noise")["severity"].tolist() == np.repeat([1, 3, 4], 12).tolist()
    assert fault.source("noise") != fault.source("rotation")
    own = run.embeddings
    strange = replace(own, image_strangeness=own.image_strangeness + 1)
    reports = replace(own, report=own.report.map(lambda values: values + 1))
    for changed in (strange, reports):
        assert Fault("clip", fitted, replace(run, embeddings=changed)).stored("noise") is None
        assert Fault("clip", replace(fitted, embeddings=changed), run).stored("noise") is None
    with monkeypatch.context() as patch:
        patch.setattr(module, "file_hash", lambda path: f"other {path.name}")
        assert fault.stored("noise") is None
        embedded.clear()
        faulty_films(*results, study_tables["test"], FEW)
        assert len(embedded) == len(METHODS) * len(CELLS)
    assert fault.stored("noise") is None  # what is kept now is of the other code


def test_only_the_method_that_changed_is_measured_anew(measure, embedded, results, study_tables):
    films = measure().set_index(KEYS)
    run = results[1]["clip"][0]
    (run.folder / "faulty" / "noise.npz").unlink()
    embedded.clear()
    again = faulty_films(*results, study_tables["test"], FEW).set_index(KEYS)
    assert len(embedded) == len(FEW.severities)
    pd.testing.assert_frame_equal(again, films)


def test_every_measure_that_a_row_is_made_of_is_known_by_its_code():
    source = Path(module.__file__)
    package = source.parents[2]
    used = re.findall(r"^from medprobclip\.(data|evaluation)\.(\w+) import", source.read_text(), re.MULTILINE)
    names = {f"{folder}/{name}.py" for folder, name in used} - {"data/views.py"}  # part of the tables' digest
    assert len(names) >= 4
    assert names <= set(module.CODE)
    assert all((package / name).exists() for name in module.CODE)


def test_an_interruption_keeps_what_was_measured(measure, embedded, results, study_tables):
    def stop_at_noise(images, name, severity, ids):
        if (name, severity) == ("noise", 3):
            raise KeyboardInterrupt
        return corrupt(images, name, severity, ids)

    with pytest.raises(KeyboardInterrupt):
        measure(replace(FEW, apply=stop_at_noise))
    folder = results[1]["clip"][0].folder / "faulty"
    assert sorted(path.name for path in folder.iterdir()) == ["none.npz", "rotation.npz"]
    embedded.clear()
    whole = faulty_films(*results, study_tables["test"], FEW)
    assert len(embedded) == len(METHODS) * len(FEW.severities)
    shutil.rmtree(folder)
    pd.testing.assert_frame_equal(measure(), whole)


def test_a_run_that_cannot_tell_strange_films_is_refused(measure, results):
    run = results[1]["clip"][0]
    density = run.folder / "checkpoint" / "strangeness.safetensors"
    kept = density.read_bytes()
    density.unlink()
    try:
        with pytest.raises(TrainingError, match=r"clip cannot tell strange films: train it once more"):
            measure()
    finally:
        density.write_bytes(kept)
    assert "clip" in set(measure()["method"])
