"""Runs of a comparison: what is known of their studies, and which runs are loaded and which refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import medprobclip.paper.tables.scored_runs
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.ceiling import reader_scores
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.gaussian import Gaussian
from medprobclip.paper.tables.experiments import comparison
from medprobclip.paper.tables.scored_runs import (
    Result,
    Truth,
    load_ablation,
    load_degraded,
    load_methods,
    reference_of,
)
from medprobclip.similarity import expected_likelihood
from medprobclip.training.errors import TrainingError
from medprobclip.training.runs import load_run, train_run
from medprobclip.training.state import states


def made_truth(n: int = 40) -> Truth:
    """n studies in five codings that share a code; studies 0 and 5 are worded alike, the last not coded."""
    groups = np.arange(n) % 5
    codes = [("heart", f"place {g}") for g in groups[:-1]] + [()]
    appearance = [(f"a{g}",) for g in groups]
    studies = pd.DataFrame(
        {"study_id": [f"s{i}" for i in range(n)], "codes": codes, "appearance": appearance}
    )
    words = np.arange(n)
    words[5] = 0
    return Truth(studies, words[:, None] == words)


def made_result(truth: Truth, noise: float, seed: int, dim: int = 4, fixed: bool = False) -> Result:
    """A run whose radiographs lie near their reports, and those near others coded alike; more noise is worse.

    Radiographs that lie farther off are less sure, unless the variance is fixed.
    """
    generator = torch.Generator().manual_seed(1000 * seed + int(100 * noise))
    n = len(truth)
    centres = torch.randn(5, dim, generator=torch.Generator().manual_seed(0))
    report = centres[torch.arange(n) % 5] + 0.5 * torch.randn(n, dim, generator=generator)
    far = noise * torch.rand(n, 1, generator=generator)
    image = report + far * torch.randn(n, dim, generator=generator)
    log_var = far - 1 + 0.3 * torch.randn(n, dim, generator=generator)
    parts = [Gaussian(image, log_var), Gaussian(report, 0.3 * torch.randn(n, dim, generator=generator))]
    if fixed:
        parts = [Gaussian(part.mean, torch.zeros_like(part.mean)) for part in parts]
    ids = torch.from_numpy(truth.matches.argmax(1))
    embeddings = Embeddings(truth.studies["study_id"].tolist(), *parts, ids)
    scores = expected_likelihood(*parts).numpy()
    return Result(Path(f"{noise}-{seed}"), seed, embeddings, scores, truth)


def made_results(noises: dict[str, float], seeds: int = 2, n: int = 40) -> dict[str, list[Result]]:
    """So many runs of each method on the same n studies."""
    truth = made_truth(n)
    return {
        name: [made_result(truth, noise, seed) for seed in range(seeds)] for name, noise in noises.items()
    }


def test_what_is_known_of_the_studies():
    truth = made_truth(12)
    assert len(truth) == 12
    for i in range(12):
        for j in range(12):
            coded = i < 11 and j < 11
            assert truth.relevant[i, j] == (i == j or (coded and i % 5 == j % 5))
            overlap = 1 if truth.relevant[i, j] else (1 / 3 if coded else 0)
            assert truth.overlap[i, j] == pytest.approx(overlap)
    np.testing.assert_array_equal(truth.reader, reader_scores(truth.studies["appearance"].tolist()))
    assert truth.reader[0].tolist() == pytest.approx([1 / 3 if j % 5 == 0 else 0 for j in range(12)])


def test_a_run_ranks_both_ways_and_knows_its_variances():
    run = made_result(made_truth(12), 2.0, 0)
    for direction, (scores, queries) in {
        "i2t": (run.scores, run.embeddings.image),
        "t2i": (run.scores.T, run.embeddings.report),
    }.items():
        for i in range(12):
            best = max(scores[i, j] for j in ((0, 5) if i in (0, 5) else (i,)))
            wrong = [j for j in range(12) if j != i and {i, j} != {0, 5}]
            assert run.ranks[direction][i] == 1 + sum(scores[i, j] >= best for j in wrong)
            variance = sum(np.exp(float(v)) for v in queries.log_var[i])
            assert run.total_variance[direction][i] == pytest.approx(variance, rel=1e-5)
    assert any((run.ranks["i2t"] > 1) != (run.ranks["t2i"] > 1))


@pytest.fixture(scope="module")
def profile(tiny_profile):
    return replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))


@pytest.fixture(scope="module")
def trained(study_tables, profile, tmp_path_factory):
    """Eight finished runs of many: two models, the others copies under their own settings."""
    folder = tmp_path_factory.mktemp("runs")
    profiles = {str(run.folder): run.profile for run in comparison(profile, full=True)}
    for name in ("medprobclip", "ablation/fixed-variance"):
        train_run(study_tables["train"], study_tables["validate"], folder / name, profiles[name])
    degraded = ("degraded/medprobclip", "seed-43/degraded/medprobclip")
    for name in ("clip", "seed-43/medprobclip", "ablation/csd", "seed-43/ablation/csd", *degraded):
        shutil.copytree(folder / "medprobclip", folder / name)
        settings = json.loads((folder / name / "settings.json").read_text()) | profiles[name].settings()
        (folder / name / "settings.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def runs(trained, tmp_path):
    """A copy to break."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def test_finished_runs_are_loaded_by_method_and_seed(trained, study_tables, profile):
    results = load_methods(trained, profile, study_tables["test"])
    assert list(results) == ["medprobclip", "clip"]
    assert [run.seed for run in results["medprobclip"]] == [42, 43]
    assert [run.folder for run in results["medprobclip"]] == [
        trained / "medprobclip", trained / "seed-43" / "medprobclip",
    ]  # fmt: skip
    assert reference_of(results) == "medprobclip"
    studies = read_studies(study_tables["test"])["study_id"].tolist()
    for run in (run for of in results.values() for run in of):
        assert run.truth is results["clip"][0].truth
        assert run.truth.studies["study_id"].tolist() == run.embeddings.study_ids == studies
        np.testing.assert_array_equal(run.scores, run.embeddings.scores(load_run(run.folder)[0]))
        np.testing.assert_array_equal(run.truth.matches, run.embeddings.matches())


def test_each_table_has_embeddings_of_its_own(runs, study_tables, profile):
    """What the notebooks before have kept of the test set is read, not overwritten."""
    load_methods(runs, profile, study_tables["test"])
    kept = (runs / "clip" / "embeddings.safetensors").read_bytes()
    validation = load_methods(runs, profile, study_tables["validate"])
    assert validation["clip"][0].embeddings.study_ids[0] == "validate-0"
    assert Embeddings.load(runs / "clip" / "embeddings-validate.safetensors").study_ids[0] == "validate-0"
    assert (runs / "clip" / "embeddings.safetensors").read_bytes() == kept


def test_the_ablation_is_the_reference_and_its_finished_variants(trained, study_tables, profile):
    """Of every seed, the profile's own first; methods are no variants."""
    results = load_ablation(trained, profile, study_tables["test"])
    assert {name: [run.seed for run in of] for name, of in results.items()} == {
        "medprobclip": [42, 43], "csd": [42, 43], "fixed-variance": [42],
    }  # fmt: skip
    folders = ["medprobclip", "seed-43/medprobclip", "ablation/csd", "seed-43/ablation/csd"]
    found = [run.folder for name in ("medprobclip", "csd") for run in results[name]]
    assert found == [trained / folder for folder in folders]
    (fixed,), own = results["fixed-variance"], results["medprobclip"][0]
    assert (fixed.embeddings.image.log_var == 0).all()
    assert (own.embeddings.image.log_var != 0).any()
    assert len(set(fixed.total_variance["t2i"])) == 1


def test_runs_with_degraded_views_are_a_group_of_their_own(runs, study_tables, profile):
    """No methods, no ablation; and that there is none yet is no error."""
    results = load_degraded(runs, profile, study_tables["test"])
    assert {name: [run.seed for run in of] for name, of in results.items()} == {
        "degraded/medprobclip": [42, 43]
    }
    assert [run.folder for run in results["degraded/medprobclip"]] == [
        runs / "degraded" / "medprobclip", runs / "seed-43" / "degraded" / "medprobclip",
    ]  # fmt: skip
    shutil.rmtree(runs / "degraded")
    (later,) = load_degraded(runs, profile, study_tables["test"])["degraded/medprobclip"]
    assert later.seed == 43
    shutil.rmtree(runs / "seed-43")
    assert load_degraded(runs, profile, study_tables["test"]) == {}


def test_unfinished_runs_are_left_out(runs, study_tables, profile):
    newest, *_ = states(runs / "clip")
    progress = json.loads((newest / "progress.json").read_text())
    (newest / "progress.json").write_text(json.dumps(progress | {"history": []}))
    shutil.rmtree(runs / "seed-43" / "medprobclip" / "checkpoint")
    shutil.rmtree(runs / "ablation" / "csd")
    results = load_methods(runs, profile, study_tables["test"])
    assert {name: [run.seed for run in of] for name, of in results.items()} == {"medprobclip": [42]}
    results = load_ablation(runs, profile, study_tables["test"])
    assert {name: [run.seed for run in of] for name, of in results.items()} == {
        "medprobclip": [42], "csd": [43], "fixed-variance": [42],
    }  # fmt: skip


def test_without_the_reference_there_is_only_the_given_method(runs, study_tables, profile):
    shutil.rmtree(runs / "medprobclip")
    results = load_methods(runs, profile, study_tables["test"], "clip")
    assert list(results) == ["clip"]
    assert reference_of(results) == "clip"
    with pytest.raises(TrainingError, match=r"pcme\+\+ holds no finished training"):
        load_methods(runs, profile, study_tables["test"], "pcme++")
    with pytest.raises(TrainingError, match="medprobclip holds no finished training"):
        load_methods(runs, profile, study_tables["test"])


def test_an_ablation_without_its_reference_is_refused(runs, study_tables, profile):
    shutil.rmtree(runs / "medprobclip")
    with pytest.raises(TrainingError, match="medprobclip holds no finished training"):
        load_ablation(runs, profile, study_tables["test"])


@pytest.mark.parametrize("load", [load_methods, load_ablation])
def test_nothing_trained_is_said(load, study_tables, profile, tmp_path):
    with pytest.raises(TrainingError, match=r"medprobclip holds no finished training; train it first"):
        load(tmp_path, profile, study_tables["test"])


def test_runs_with_other_settings_are_refused(runs, study_tables, profile):
    other = replace(profile, training=replace(profile.training, learning_rate=1e-4))
    with pytest.raises(TrainingError, match=r"medprobclip was trained with other settings \(training\)"):
        load_methods(runs, other, study_tables["test"])
    path = runs / "seed-43" / "ablation" / "csd" / "settings.json"
    settings = json.loads(path.read_text())
    settings["objective"]["score"] = "cosine"
    del settings["augmentation"]
    path.write_text(json.dumps(settings))
    load_methods(runs, profile, study_tables["test"])
    with pytest.raises(TrainingError, match=r"csd was trained .* \(augmentation, objective\)"):
        load_ablation(runs, profile, study_tables["test"])


def test_runs_scored_on_other_studies_are_refused(trained, study_tables, profile, monkeypatch):
    embed_run = medprobclip.paper.tables.scored_runs.embed_run

    def turned(folder, csv, name):
        embeddings, *rest = embed_run(folder, csv, name)
        if folder.name == "clip":
            embeddings = replace(embeddings, study_ids=embeddings.study_ids[::-1])
        return embeddings, *rest

    monkeypatch.setattr(medprobclip.paper.tables.scored_runs, "embed_run", turned)
    with pytest.raises(TrainingError, match="clip was scored on other studies"):
        load_methods(trained, profile, study_tables["test"])
