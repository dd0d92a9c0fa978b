"""Embeddings: in table order whatever the batches, stored with their study ids."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from medprobclip.data.dataset import StudyDataset
from medprobclip.data.studies import read_studies
from medprobclip.evaluation.embedding import Embeddings, embed, embed_images
from medprobclip.training.encoders import build_model, build_tokenizer
from medprobclip.training.runs import open_table


@pytest.fixture(scope="module")
def parts(study_tables, tiny_profile):
    texts = read_studies(study_tables["train"])["findings"]
    tokenizer = build_tokenizer(tiny_profile.encoders, texts)
    torch.manual_seed(0)
    table = open_table(study_tables["test"], tiny_profile.encoders.image_size)
    return build_model(tiny_profile.encoders, tokenizer), StudyDataset(table.studies, table.images, tokenizer)


def test_batches_change_nothing(parts, float32):
    model, dataset = parts
    one, three = embed(model, dataset, batch_size=1), embed(model, dataset, batch_size=5)
    assert one.study_ids == dataset.study_ids
    for ours, theirs in ((one.image, three.image), (one.report, three.report)):
        torch.testing.assert_close(ours.mean, theirs.mean, atol=1e-4, rtol=1e-4)  # rounding is about 1e-6
        torch.testing.assert_close(ours.log_var, theirs.log_var, atol=1e-4, rtol=1e-4)


def test_the_model_comes_back_in_the_mode_it_had(parts):
    model, dataset = parts
    embed(model.train(), dataset)
    assert model.training


def test_matches_are_equal_wordings(parts):
    model, dataset = parts
    matches = embed(model, dataset).matches()
    words = dataset.studies["findings"].tolist()
    np.testing.assert_array_equal(matches, [[a == b for b in words] for a in words])


def test_round_trip_through_a_file(parts, tmp_path):
    model, dataset = parts
    embeddings = embed(model, dataset)
    embeddings.save(tmp_path / "e.safetensors")
    loaded = Embeddings.load(tmp_path / "e.safetensors")
    assert loaded.study_ids == embeddings.study_ids
    for ours, theirs in ((loaded.image, embeddings.image), (loaded.report, embeddings.report)):
        assert torch.equal(ours.mean, theirs.mean)
        assert torch.equal(ours.log_var, theirs.log_var)
    np.testing.assert_array_equal(loaded.matches(), embeddings.matches())
    assert [path.name for path in tmp_path.iterdir()] == ["e.safetensors"]


def test_a_file_says_what_it_was_made_from(parts, tmp_path):
    model, dataset = parts
    embeddings, path = embed(model, dataset), tmp_path / "e.safetensors"
    assert Embeddings.source_of(path) is None
    embeddings.save(path)
    assert Embeddings.source_of(path) is None
    source = {"checkpoint": "3f", "test_data": "ä"}
    embeddings.save(path, source)
    assert Embeddings.source_of(path) == source
    assert Embeddings.load(path).study_ids == embeddings.study_ids


def test_files_of_before_do_not_say(parts, tmp_path):
    """Stored without a source: usable, of unknown origin."""
    model, dataset = parts
    path = tmp_path / "e.safetensors"
    embed(model, dataset).save(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = {"study_ids": file.metadata()["study_ids"]}
    save_file(tensors, path, metadata=metadata)
    assert Embeddings.source_of(path) is None
    assert len(Embeddings.load(path)) == len(dataset)


def test_images_alone_are_embedded_as_beside_their_reports(parts, float32):
    model, dataset = parts
    images = dataset.reference_images(np.arange(len(dataset)))
    both = embed(model, dataset).image
    for batch_size in (1, 5, 256):
        alone, strangeness = embed_images(model.train(), images, batch_size=batch_size)
        assert strangeness is None  # no densities to tell it by
        assert model.training
        assert not alone.mean.requires_grad
        torch.testing.assert_close(alone.mean, both.mean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(alone.log_var, both.log_var, atol=1e-4, rtol=1e-4)
