"""Faulty radiographs: rows by hand, and what was measured is kept, read back, and measured anew on change."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from medprobclip.data.corruptions import CORRUPTIONS, corrupt
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.calibration import Platt
from medprobclip.evaluation.embedding import Embeddings, embed_images
from medprobclip.evaluation.reliability import risk_coverage
from medprobclip.gaussian import Gaussian
from medprobclip.paper.tables import robustness
from medprobclip.paper.tables.experiments import METHODS, comparison
from medprobclip.paper.tables.robustness import (
    Fault,
    mean_over_corruptions,
    reference_radiographs,
    robustness_table,
)
from medprobclip.paper.tables.scored_runs import load_methods
from medprobclip.support import precision
from medprobclip.training.runs import load_run, train_run

CHOSEN = {(method, direction): "variance" for method in METHODS for direction in ("i2t", "t2i")}
KEYS = ["method", "corruption", "severity"]
FAULTS, SEVERITIES = ("rotation", "noise"), (1, 3, 4)  # of all, for speed


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
        if run.folder.name in ("medprobclip", "clip"):
            train_run(study_tables["train"], study_tables["validate"], folder / run.folder, run.profile)
    return [load_methods(folder, profile, study_tables[split]) for split in ("calibrate", "test")]


@pytest.fixture
def measure(results, study_tables, monkeypatch):
    """A call for the table, with nothing kept before; R@2, since twelve studies are few for ten."""
    monkeypatch.setattr(robustness, "CORRUPTIONS", {name: CORRUPTIONS[name] for name in FAULTS})
    monkeypatch.setattr(robustness, "SEVERITIES", SEVERITIES)
    monkeypatch.setattr(robustness, "K", 2)
    for run, *_ in results[1].values():
        shutil.rmtree(run.folder / "robustness", ignore_errors=True)
    return lambda chosen=CHOSEN: robustness_table(*results, study_tables["test"], chosen)


@pytest.fixture
def embedded(monkeypatch):
    """Counts how often radiographs are embedded."""
    calls = []

    def count(model, images):
        calls.append(model)
        return embed_images(model, images)

    monkeypatch.setattr(robustness, "embed_images", count)
    return calls


def test_every_fault_at_every_severity_and_none(measure):
    table = measure()
    for _, part in table.groupby("method"):
        expected = [("none", 0), *((name, severity) for name in FAULTS for severity in SEVERITIES)]
        assert list(part[["corruption", "severity"]].itertuples(index=False, name=None)) == expected
    assert set(table["method"]) == {"medprobclip", "clip"}
    for name in ("recall", "aurc", "variance"):
        assert (table[f"{name}_low"] <= table[name] + 1e-9).all()
        assert (table[name] <= table[f"{name}_high"] + 1e-9).all()


def test_without_a_fault_it_is_the_run_itself(measure, results):
    table = measure().set_index(["corruption", "method"]).loc["none"]
    for method, (run, *_) in results[1].items():
        row = table.loc[method]
        assert row["variance"] == pytest.approx(1, rel=1e-4)  # rounding of other batches is about 1e-6
        assert row["detects"] == pytest.approx(0.5, abs=0.1)  # a near-tie may turn, and each is 1/144
        recall = np.mean([run.ranks[direction] <= 2 for direction in ("i2t", "t2i")])
        assert row["recall"] == pytest.approx(100 * recall, abs=5)  # one rank of 24 may turn likewise
        area = risk_coverage(-run.total_variance["i2t"], run.ranks["i2t"] > 2).aurc
        assert row["aurc"] == pytest.approx(area, abs=0.1)


def test_the_radiographs_are_the_reference_views(study_tables):
    studies = read_studies(study_tables["test"])
    images = reference_radiographs(studies, study_tables["test"], 32)
    assert images.shape == (12, 32, 32)
    for row, image in zip(studies.itertuples(), images, strict=True):
        pixels = np.array(Image.open(row.image_paths[row.view_names.index("PA")]))
        np.testing.assert_array_equal(image, pixels)


def test_a_row_by_hand(measure, results, study_tables):
    """Noise at severity 4, reports as they were."""
    row = measure().set_index(KEYS).loc[("medprobclip", "noise", 4)]
    run = results[1]["medprobclip"][0]
    images = reference_radiographs(run.truth.studies, study_tables["test"], 32)
    model, _ = load_run(run.folder)
    worse = corrupt(images, "noise", 4, run.truth.studies["study_id"].tolist())
    image = embed_images(model, torch.from_numpy(worse))
    with torch.no_grad():
        scores = model.similarity(image, run.embeddings.report).numpy()
    hits = np.zeros((2, 12))
    for direction, s in enumerate((scores, scores.T)):
        for i in range(12):
            first = sorted(range(12), key=lambda j, s=s, i=i: -s[i, j])[:2]
            hits[direction, i] = any(run.truth.matches[i, j] for j in first)
    now, clean = image.total_variance().numpy(), run.embeddings.image.total_variance().numpy()
    assert row["recall"] == pytest.approx(100 * hits.mean())
    assert row["aurc"] == pytest.approx(risk_coverage(-now, 1 - hits[0]).aurc)
    assert row["variance"] == pytest.approx(now.mean() / clean.mean())
    assert row["detects"] == pytest.approx(roc_auc_score([1] * 12 + [0] * 12, [*now, *clean]))
    rows = np.random.default_rng((0, 0)).integers(0, 12, (2000, 12))
    drawn = {
        "recall": [100 * hits[:, r].mean() for r in rows],
        "aurc": [risk_coverage(-now[r], 1 - hits[0][r]).aurc for r in rows],
        "variance": [now[r].sum() / clean[r].sum() for r in rows],
    }
    for name, values in drawn.items():
        np.testing.assert_allclose(
            row[[f"{name}_low", f"{name}_high"]].astype(float), np.percentile(values, [2.5, 97.5]), rtol=1e-5
        )


def test_a_variance_that_grows_with_the_fault_detects_it(measure, monkeypatch):
    """Every σ² times e⁹: above 0.5 means larger on faulty radiographs, not smaller."""

    def grown(model, images):
        image = embed_images(model, images)
        return Gaussian(image.mean, image.log_var + 9)

    monkeypatch.setattr(robustness, "embed_images", grown)
    row = measure().set_index(KEYS).loc[("medprobclip", "noise", 4)]
    assert row["detects"] == 1
    assert row["variance"] > 1000


def test_what_was_measured_is_read_back(measure, monkeypatch):
    table = measure()
    monkeypatch.setattr(robustness, "embed_images", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(robustness, "load_run", lambda *_: pytest.fail("loaded again"))
    monkeypatch.setattr(robustness, "corrupt", lambda *_: pytest.fail("drawn again"))
    pd.testing.assert_frame_equal(measure(), table)


def test_another_confidence_is_measured_anew_for_its_method_only(measure, embedded):
    before = measure().set_index(KEYS).sort_index()
    assert len(embedded) == 2 * 7
    embedded.clear()
    after = measure({**CHOSEN, ("clip", "i2t"): "margin"}).set_index(KEYS).sort_index()
    assert len(embedded) == 7
    pd.testing.assert_frame_equal(after.loc[["medprobclip"]], before.loc[["medprobclip"]])
    same = ["recall", "variance", "detects"]
    pd.testing.assert_frame_equal(after[same], before[same])
    assert not after.loc["clip", "aurc"].equals(before.loc["clip", "aurc"])
    measure({**CHOSEN, ("clip", "t2i"): "margin", ("clip", "i2t"): "margin"})  # of reports: not asked
    assert len(embedded) == 7


def test_match_probabilities_are_fitted_on_calibration_studies(measure, results, study_tables):
    """Without a fault, where the scores are those of the run."""
    chosen = {**CHOSEN, ("clip", "i2t"): "match_probability"}
    area = measure(chosen).set_index(KEYS).loc[("clip", "none", 0), "aurc"]
    fitted, run = (of["clip"][0] for of in results)
    assert [of.truth.studies["study_id"].iloc[0] for of in (fitted, run)] == ["calibrate-0", "test-0"]
    p = Platt.fit(fitted.scores, fitted.truth.matches)(run.scores)  # in a gallery of the same size
    first = np.sort(p, axis=1)[:, -2:]
    sure = 1 - (1 - first[:, 0]) * (1 - first[:, 1])
    assert area == pytest.approx(risk_coverage(sure, run.ranks["i2t"] > 2).aurc, abs=0.1)  # as above
    model = load_run(run.folder)[0]
    images = torch.from_numpy(reference_radiographs(run.truth.studies, study_tables["test"], 32))
    worse = replace(fitted, scores=-fitted.scores)  # a match is where the score is low
    rows = [Fault("clip", of, run, "match_probability").measure(model, images) for of in (fitted, worse)]
    assert rows[0]["aurc"] == pytest.approx(area)
    assert rows[1]["aurc"] != pytest.approx(area)
    assert rows[1] | {"aurc": 0, "aurc_low": 0, "aurc_high": 0} == {
        **rows[0], "aurc": 0, "aurc_low": 0, "aurc_high": 0,
    }  # fmt: skip


def test_other_code_or_embeddings_are_measured_anew(measure, embedded, results, monkeypatch):
    measure()
    run = results[1]["clip"][0]
    fault = Fault("clip", results[0]["clip"][0], run, "variance")
    assert [row["severity"] for row in fault.stored("noise")] == [1, 3, 4]
    assert fault.source("noise") != fault.source("rotation")
    monkeypatch.setattr(robustness, "file_hash", lambda path: f"other {path.name}")
    assert fault.stored("noise") is None
    embedded.clear()
    measure()
    assert len(embedded) == 2 * 7
    assert fault.stored("noise") is not None
    source = Embeddings.source_of(run.folder / "embeddings.safetensors")
    other = {**source, "checkpoint": "another"}
    monkeypatch.setattr(Embeddings, "source_of", lambda path: other)
    assert fault.stored("noise") is None


def test_every_measure_that_a_row_is_made_of_is_known_by_its_code():
    source = Path(robustness.__file__)
    used = re.findall(r"^from medprobclip\.evaluation\.(\w+) import", source.read_text(), re.MULTILINE)
    assert len(used) > 3
    assert {f"evaluation/{name}.py" for name in used} <= set(robustness.CODE)
    assert all((source.parents[2] / name).exists() for name in robustness.CODE)


def test_an_interruption_keeps_what_was_measured(measure, embedded, results, monkeypatch):
    def stop_at_noise(images, name, severity, ids):
        if (name, severity) == ("noise", 3):
            raise KeyboardInterrupt
        return corrupt(images, name, severity, ids)

    with monkeypatch.context() as patch:
        patch.setattr(robustness, "corrupt", stop_at_noise)
        with pytest.raises(KeyboardInterrupt):
            measure()
    folder = results[1]["clip"][0].folder / "robustness"
    assert sorted(path.name for path in folder.iterdir()) == ["none.json", "rotation.json"]
    assert len(json.loads((folder / "rotation.json").read_text())["rows"]) == 3
    embedded.clear()
    whole = measure()
    assert len(embedded) == 2 * 3
    for run, *_ in results[1].values():
        shutil.rmtree(run.folder / "robustness")
    pd.testing.assert_frame_equal(measure(), whole)


def test_means_over_the_corruptions():
    rows = [("a", "none", 0, 80), ("a", "x", 1, 70), ("a", "x", 2, 60), ("a", "y", 1, 50), ("a", "y", 2, 20),
            ("b", "none", 0, 90), ("b", "x", 1, 10)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["method", "corruption", "severity", "recall"])
    table = table.assign(aurc=table["recall"] / 100, variance=1.0, detects=0.5, recall_low=0.0)
    mean = mean_over_corruptions(table)
    assert list(mean[["method", "severity", "recall"]].itertuples(index=False, name=None)) == [
        ("a", 0, 80), ("a", 1, 60), ("a", 2, 40), ("b", 0, 90), ("b", 1, 10),
    ]  # fmt: skip
    np.testing.assert_allclose(mean["aurc"], mean["recall"] / 100)
