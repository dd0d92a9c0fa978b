"""A finished run knows how unlike its training inputs something is: kept, told of embeddings, fitted anew."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import medprobclip.training.runs
from medprobclip.data.dataset import StudyDataset
from medprobclip.evaluation.conformal import p_values
from medprobclip.evaluation.embedding import Embeddings, embed, embed_images, embed_texts, fit_strangeness
from medprobclip.gaussian import Gaussian
from medprobclip.strangeness import FILE, FeatureDensity, Strangeness
from medprobclip.training.calibrating import calibrate_run
from medprobclip.training.runs import (
    embed_run,
    evaluate_run,
    load_run,
    load_strangeness,
    open_table,
    train_run,
)


@pytest.fixture(scope="module")
def once(tiny_profile):
    return replace(tiny_profile, training=replace(tiny_profile.training, epochs=1))


@pytest.fixture(scope="module")
def trained(study_tables, once, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    train_run(study_tables["train"], study_tables["validate"], out, once)
    return out


@pytest.fixture
def run(trained, tmp_path):
    """A copy to break."""
    return shutil.copytree(trained, tmp_path / "run")


def dataset_of(run, csv, step: int = 1) -> tuple:
    model, tokenizer = load_run(run)
    table = open_table(csv, model.config.image_size)
    return model, StudyDataset(table.studies[::step].reset_index(drop=True), table.images, tokenizer)


@torch.no_grad()
def inner_one_by_one(model, dataset, paths) -> tuple[torch.Tensor, torch.Tensor]:
    """Inner features of each radiograph and each section by itself, float64."""
    pixels = torch.from_numpy(dataset.images.rows(paths)).float() / 255
    normed = (pixels - model.config.image_mean) / model.config.image_std
    images = [model.encode_image_and_inner(image[None, None])[1] for image in normed]
    texts = [torch.tensor([ids]) for name in ("findings", "impression") for ids in dataset.tokens[name]]
    reports = [model.encode_text_and_inner(ids, torch.ones_like(ids))[1] for ids in texts]
    return torch.cat(images).double(), torch.cat(reports).double()


def test_the_densities_are_those_of_all_training_films_and_sections(trained, study_tables, float32):
    """Laterals and impressions too: 79 films of 40 studies, 80 sections; each encoded by itself here."""
    model, dataset = dataset_of(trained, study_tables["train"])
    paths = [path for images in dataset.studies["image_paths"] for path in images]
    assert len(paths) == 79
    fitted, kept = fit_strangeness(model, dataset), load_strangeness(trained)
    for side, features in zip(("image", "report"), inner_one_by_one(model, dataset, paths), strict=True):
        assert len(features) == {"image": 79, "report": 80}[side]
        density = getattr(fitted, side)
        torch.testing.assert_close(density.mean.double(), features.mean(0), rtol=1e-4, atol=1e-5)
        covariance = torch.from_numpy(np.cov(features.numpy(), rowvar=False))
        shrunk = covariance + 1e-3 * covariance.diagonal().mean() * torch.eye(len(covariance))
        whitening = density.whitening.double()  # W Wᵀ is the inverse, so Wᵀ Σ W = I
        torch.testing.assert_close(
            whitening.T @ shrunk @ whitening, torch.eye(len(shrunk), dtype=torch.float64), atol=0.02, rtol=0
        )
        square = torch.trace(torch.linalg.solve(shrunk, covariance)) / len(covariance)
        assert 0.7 < square < 1  # about 1 where shrinkage matters little
        for told in (density, getattr(kept, side)):  # kept ones perhaps in half precision
            mean_square = float(told.strangeness(features).square().mean())
            assert mean_square == pytest.approx(float(square) * (1 - 1 / len(features)), rel=0.05)


def test_what_was_lost_is_fitted_again_by_the_next_call_and_nothing_is_trained(
    run, study_tables, once, monkeypatch
):
    tables, path = (study_tables["train"], study_tables["validate"]), run / "checkpoint" / FILE
    assert load_strangeness(run) is not None
    before = Strangeness.load(run / "checkpoint")
    path.unlink()
    assert load_strangeness(run) is None
    monkeypatch.setattr(medprobclip.training.runs, "train", lambda *_, **__: pytest.fail("trained again"))
    train_run(*tables, run, once)
    again = load_strangeness(run)
    for side in ("image", "report"):
        torch.testing.assert_close(getattr(again, side).mean, getattr(before, side).mean)
        torch.testing.assert_close(
            getattr(again, side).whitening, getattr(before, side).whitening, rtol=1e-3, atol=1e-3
        )
    monkeypatch.setattr(medprobclip.training.runs, "fit_strangeness", lambda *_, **__: pytest.fail("fitted"))
    train_run(*tables, run, once)


def test_a_run_without_densities_is_scored_all_the_same(run, study_tables, once, monkeypatch, capsys):
    """Where inputs or encoder give none, training says so and ends well."""
    (run / "checkpoint" / FILE).unlink()

    def none(*_, **__):
        raise ValueError("the same for every input")

    monkeypatch.setattr(medprobclip.training.runs, "fit_strangeness", none)
    assert len(train_run(study_tables["train"], study_tables["validate"], run, once)) == 1
    assert (
        "nothing will tell strange inputs from others (the same for every input)" in capsys.readouterr().out
    )
    _, embeddings = evaluate_run(run, study_tables["test"])
    assert embeddings.image_strangeness is None
    assert embeddings.report_strangeness is None
    assert calibrate_run(run, study_tables["calibrate"])["strangeness"] == {}


@torch.no_grad()
def test_embeddings_carry_it_in_table_order_whatever_the_batches(trained, study_tables, float32):
    model, dataset = dataset_of(trained, study_tables["test"], step=-1)  # the long texts first
    known = load_strangeness(trained)
    paths = [images[views.index("PA")] for images, views in zip(
        dataset.studies["image_paths"], dataset.studies["view_names"], strict=True
    )]  # fmt: skip
    images, reports = inner_one_by_one(model, dataset, paths)
    expected = known.image.strangeness(images), known.report.strangeness(reports[: len(dataset)])
    pixels = dataset.reference_images(np.arange(len(dataset)))
    tokens, pad = dataset.tokens["findings"], dataset.tokenizer.pad_token_id
    lengths = [len(ids) for ids in tokens]
    assert lengths != sorted(lengths)  # so that texts are sorted, and put back
    singles = [
        model.encode_text(ids, torch.ones_like(ids)) for ids in map(torch.tensor, ([t] for t in tokens))
    ]
    for size in (1, 5, 256):
        whole = embed(model, dataset, known, size)
        alone = embed_images(model, pixels, known, size), embed_texts(model, tokens, pad, known, size)
        found = (whole.image_strangeness, whole.report_strangeness), tuple(told for _, told in alone)
        for image, report in found:
            torch.testing.assert_close(image, expected[0], rtol=1e-2, atol=1e-3)
            torch.testing.assert_close(report, expected[1], rtol=1e-2, atol=1e-3)
        for gaussian, own in zip((g for g, _ in alone), (whole.image, whole.report), strict=True):
            torch.testing.assert_close(gaussian.mean, own.mean, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(gaussian.log_var, own.log_var, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(whole.report.mean, Gaussian.cat(singles).mean, rtol=1e-4, atol=1e-4)
    for values in expected:  # no two of them the same, but the studies that are worded alike
        assert len(values.unique()) >= 10


def test_knowing_it_changes_no_embedding(trained, study_tables, float32):
    model, dataset = dataset_of(trained, study_tables["test"])
    plain, told = embed(model, dataset), embed(model, dataset, load_strangeness(trained))
    assert plain.image_strangeness is plain.report_strangeness is None
    for ours, theirs in ((plain.image, told.image), (plain.report, told.report)):
        torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.log_var, theirs.log_var, rtol=1e-4, atol=1e-4)


def test_it_is_stored_with_the_embeddings(run, study_tables):
    _, embeddings = evaluate_run(run, study_tables["test"])
    loaded = Embeddings.load(run / "embeddings.safetensors")
    for side in ("image_strangeness", "report_strangeness"):
        assert getattr(embeddings, side).shape == (12,)
        assert getattr(embeddings, side).dtype == torch.float32
        assert torch.equal(getattr(loaded, side), getattr(embeddings, side))


def test_calibration_keeps_it_sorted(run, study_tables):
    record = calibrate_run(run, study_tables["calibrate"])
    assert json.loads((run / "calibration.json").read_text()) == record
    embeddings = Embeddings.load(run / "embeddings-calibrate.safetensors")
    assert set(record["strangeness"]) == {"image", "report"}
    for side, values in record["strangeness"].items():
        own = getattr(embeddings, f"{side}_strangeness").tolist()
        assert values == sorted(own)
        assert sorted(p_values(np.array(own), np.array(values))) == pytest.approx(
            sorted((1 + sum(v >= x for v in own)) / 13 for x in own)
        )


def test_embeddings_are_made_anew_when_a_density_changes(run, study_tables):
    embeddings, _, source = embed_run(run, study_tables["test"])
    stored = (run / "embeddings.safetensors").stat().st_mtime_ns
    embed_run(run, study_tables["test"])
    assert (run / "embeddings.safetensors").stat().st_mtime_ns == stored
    known = load_strangeness(run)
    wider = FeatureDensity(known.image.mean, known.image.whitening / 2)
    Strangeness(wider, known.report).save(run / "checkpoint")
    again, _, other = embed_run(run, study_tables["test"])
    assert {name for name in source if source[name] != other[name]} == {"strangeness"}
    torch.testing.assert_close(again.image_strangeness, embeddings.image_strangeness / 2)
    torch.testing.assert_close(again.report_strangeness, embeddings.report_strangeness)


def test_embeddings_of_before_are_made_anew_once_it_is_known(run, study_tables, once):
    (run / "checkpoint" / FILE).unlink()
    before, _, source = embed_run(run, study_tables["test"])
    assert "strangeness" not in source
    assert before.image_strangeness is None
    train_run(study_tables["train"], study_tables["validate"], run, once)
    after, _, _ = embed_run(run, study_tables["test"])
    assert after.image_strangeness.shape == (12,)


def test_films_of_noise_are_strange(trained, study_tables):
    """Each stranger than every held-out film: whatever the encoder has learned in one epoch."""
    model, dataset = dataset_of(trained, study_tables["test"])
    known = load_strangeness(trained)
    own = embed(model, dataset, known).image_strangeness
    noise = torch.randint(0, 256, (20, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert embed_images(model, noise, known)[1].min() > own.max()


@pytest.mark.parametrize("training", [False, True])
def test_fitting_leaves_the_model_as_it_was(trained, study_tables, training):
    model, dataset = dataset_of(trained, study_tables["train"])
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit_strangeness(model, dataset)
    assert model.training == training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
