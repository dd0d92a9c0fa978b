"""The bank's terms of real runs, and the strength of them that is best on validation studies."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import skew
from test_scored_runs import made_results

from medprobclip.data.augment import normalise
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.embedding import Embeddings
from medprobclip.evaluation.hubs import STRENGTHS
from medprobclip.evaluation.retrieval import expected_map_at_r, rsum
from medprobclip.gaussian import Gaussian
from medprobclip.paper.tables import hubs
from medprobclip.paper.tables.hubs import less_hubs, run_terms, run_without_hubs, strength_table
from medprobclip.paper.tables.scored_runs import Result, Truth
from medprobclip.settings import ObjectiveConfig
from medprobclip.training.runs import embed_run, load_run, train_run

TURNS = {"i2t": np.asarray, "t2i": np.transpose}
CSV = "train.csv"  # of no file: `made_terms` does not look


def made_terms(run: Result, train_csv: str) -> tuple[np.ndarray, np.ndarray]:
    """Of reports what their column has too much, of radiographs other numbers."""
    assert train_csv == CSV
    generator = np.random.default_rng(run.seed)
    return run.scores.mean(0) + generator.normal(size=len(run.truth)), 5 * generator.random(len(run.truth))


@pytest.fixture(autouse=True)
def _made(monkeypatch):
    """Tables ask for made terms; those of a model are `run_terms`, imported above."""
    monkeypatch.setattr(hubs, "run_terms", made_terms)


@pytest.fixture(scope="module")
def validation():
    return made_results({"clip": 3.0, "medprobclip": 1.0}, n=30)


@pytest.fixture(scope="module")
def test():
    return made_results({"clip": 3.0, "medprobclip": 1.0}, n=40)


def corrected(run: Result, strength: float) -> np.ndarray:
    """Pair by pair: the score less what the report and the radiograph have too much."""
    reports, images = made_terms(run, CSV)
    pairs = [
        [s - strength * (reports[j] + images[i]) for j, s in enumerate(r)] for i, r in enumerate(run.scores)
    ]
    return np.array(pairs)


def test_nothing_but_the_scores_of_a_run_changes(test):
    run = test["clip"][1]
    kept = run.scores.copy()
    found = run_without_hubs(run, CSV, 0.5)
    np.testing.assert_allclose(found.scores, corrected(run, 0.5))
    np.testing.assert_array_equal(run.scores, kept)
    assert replace(found, scores=run.scores).__dict__.keys() == run.__dict__.keys() - {"ranks"}
    assert (found.folder, found.seed, found.embeddings, found.truth) == (
        run.folder, run.seed, run.embeddings, run.truth,
    )  # fmt: skip
    for direction in TURNS:  # ranks are those of the new scores
        assert (found.ranks[direction] != run.ranks[direction]).any()


def test_ranks_of_each_direction_know_their_own_gallery_only(test):
    """Of a radiograph's query the reports' terms count, of a report's the radiographs'."""
    run = test["clip"][0]
    reports, images = made_terms(run, CSV)
    found = run_without_hubs(run, CSV, 1.0)
    one_sided = {"i2t": run.scores - reports, "t2i": (run.scores - images[:, None]).T}
    for direction, scores in one_sided.items():
        matches = TURNS[direction](run.truth.matches)
        for i, row in enumerate(scores):
            best = max(row[matches[i]])
            assert found.ranks[direction][i] == 1 + sum(row[~matches[i]] >= best)


def test_every_strength_is_measured_on_every_run(validation):
    table = strength_table(validation, CSV)
    columns = ["method", "strength", "mAP@R", "RSUM", "skew", "orphans", "chosen"]
    assert table.columns.tolist() == columns
    assert table[["method", "strength"]].values.tolist() == [[m, s] for m in validation for s in STRENGTHS]
    rows = table.set_index(["method", "strength"])
    for method, runs in validation.items():
        for strength in STRENGTHS:
            measured = {name: [] for name in columns[2:-1]}
            for run in runs:
                scores, truth = corrected(run, strength), run.truth
                measured["RSUM"].append(rsum(scores, truth.matches))
                precision, uneven, unseen = [], [], []
                for turn in TURNS.values():
                    first = np.argsort(-turn(scores), axis=1)[:, :10]
                    counts = np.bincount(first.ravel(), minlength=30)
                    precision.append(expected_map_at_r(turn(scores), turn(truth.relevant)))
                    uneven.append(skew(counts))
                    unseen.append(100 * (counts == 0).mean())
                measured["mAP@R"].append(np.mean(precision))
                measured["skew"].append(np.mean(uneven))
                measured["orphans"].append(np.mean(unseen))
            row = rows.loc[(method, strength)]
            for name, values in measured.items():
                assert row[name] == pytest.approx(np.mean(values)), name


def test_the_strength_with_the_best_precision_is_chosen_for_each_method(validation):
    table = strength_table(validation, CSV)
    assert table["chosen"].sum() == 2
    for _, rows in table.groupby("method"):
        values = dict(zip(rows["strength"], rows["mAP@R"], strict=True))
        assert rows.loc[rows["chosen"], "strength"].tolist() == [max(values, key=values.get)]
    assert table["mAP@R"].nunique() > 5


def test_of_equally_good_strengths_the_least_is_chosen(validation, monkeypatch):
    """Terms that are alike for all change no order."""
    monkeypatch.setattr(hubs, "run_terms", lambda run, csv: (np.ones(30), np.ones(30)))
    table = strength_table(validation, CSV)
    assert table.loc[table["chosen"], "strength"].tolist() == [0, 0]


def test_a_made_hub_is_found_out(validation):
    """One report is 50 closer to every radiograph, and its term says so: the whole term is best."""
    hub = 50.0 * (np.arange(30) == 4)
    runs = {"clip": [replace(run, scores=run.scores + hub) for run in validation["clip"]]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hubs, "run_terms", lambda run, csv: (hub, np.zeros(30)))
        table = strength_table(runs, CSV).set_index("strength")
        (found, *_) = less_hubs(runs, CSV, strength_table(runs, CSV))["clip"]
    assert table["chosen"].tolist() == [False] * 4 + [True]
    assert table["mAP@R"].idxmax() == 1
    assert table.loc[1, "skew"] < table.loc[0, "skew"]
    np.testing.assert_allclose(found.scores, validation["clip"][0].scores, atol=1e-5)


def test_test_runs_are_corrected_by_the_strength_of_their_method(validation, test):
    strengths = strength_table(validation, CSV)
    for first, second in ((0.25, 1.0), (0.0, 0.5)):
        chosen = [(m, s) in {("clip", first), ("medprobclip", second)} for m, s in strengths.values[:, :2]]
        found = less_hubs(test, CSV, strengths.assign(chosen=chosen))
        assert list(found) == list(test)
        for method, strength in {"clip": first, "medprobclip": second}.items():
            for run, own in zip(found[method], test[method], strict=True):
                np.testing.assert_allclose(run.scores, corrected(own, strength))
                assert (run.seed, run.truth) == (own.seed, own.truth)


def test_terms_are_sums_over_the_training_studies(study_tables, tiny_profile, tmp_path, float32):
    """Of a trained run, one study at a time; a score that is not symmetric tells who asks."""
    profile = replace(
        tiny_profile,
        training=replace(tiny_profile.training, epochs=1),
        objective=ObjectiveConfig(score="kl", scale=0.1),
    )
    train_run(study_tables["train"], study_tables["validate"], tmp_path, profile)
    embeddings, dataset, _ = embed_run(tmp_path, study_tables["test"])
    model, tokenizer = load_run(tmp_path)
    truth = Truth(dataset.studies, embeddings.matches())
    run = Result(tmp_path, 42, embeddings, embeddings.scores(model), truth)
    images, reports = [], []
    with torch.no_grad():
        for row in read_studies(study_tables["train"]).itertuples():
            picture = Image.open(row.image_paths[row.view_names.index("PA")])
            pixels = torch.from_numpy(np.array(picture)).float() / 255
            tokens = tokenizer(row.findings, return_tensors="pt")
            images.append(model.encode_image(normalise(pixels, 0.5, 0.25)[None, None]))
            reports.append(model.encode_text(tokens["input_ids"], tokens["attention_mask"]))
        images, reports = Gaussian.cat(images), Gaussian.cat(reports)
        assert len(images) == 40
        found = run_terms(run, study_tables["train"])
        of_reports = model.similarity(images, embeddings.report).T.tolist()  # 40 radiographs ask for each
        of_images = model.similarity(embeddings.image, reports).tolist()
        turned = model.similarity(reports, embeddings.image).T.tolist()
    expected = [[math.log(sum(map(math.exp, row))) for row in rows] for rows in (of_reports, of_images)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)  # other batches round otherwise
    assert np.abs(found[1] - [math.log(sum(map(math.exp, row))) for row in turned]).max() > 1e-2
    assert run_terms(run, study_tables["train"]) is found
    assert_kept(tmp_path, images)


def assert_kept(folder, images: Gaussian) -> None:
    """The bank has a file of its own, and that of the test studies is what it was."""
    bank = Embeddings.load(folder / "embeddings-train.safetensors")
    torch.testing.assert_close(bank.image.mean, images.mean, atol=1e-4, rtol=1e-4)
    assert bank.study_ids[0] == "train-0"
    assert Embeddings.load(folder / "embeddings.safetensors").study_ids[0] == "test-0"
