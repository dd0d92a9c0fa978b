"""Batches from any step on, by any number of processes, by length: always the same ones."""

import multiprocessing
import os
import pickle
import signal
from collections import Counter
from copy import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from medprobclip.data.dataset import SECTIONS, StudyDataset, padded
from medprobclip.data.grey import ImageError
from medprobclip.data.images import ImageCache, cache_images
from medprobclip.data.reading import BatchReader, ReaderError
from medprobclip.data.reports import varied
from medprobclip.data.studies import read_studies
from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.data.variations import two_variations
from medprobclip.settings import AugmentationConfig

VARIED = AugmentationConfig(sentence_drop=0.5, sentence_shuffle=True)


@pytest.fixture(scope="module")
def dataset(study_tables, tmp_path_factory):
    """40 studies, two of them with one section, of which the second has three radiographs; some coded."""
    studies = read_studies(study_tables["train"])
    words = [f"Lung {i} is clear. No effusion. " * (1 + i % 5) for i in range(40)]
    studies = studies.assign(findings=words, codes=[(f"code {i % 7}",) for i in range(40)])
    studies.loc[[2, 4], "impression"] = ""
    studies.at[4, "image_paths"] = (*studies["image_paths"][4], studies["image_paths"][5][0])
    paths = [path for images in studies["image_paths"] for path in images]
    images = cache_images(paths, 32, tmp_path_factory.mktemp("cache"))
    tokenizer = train_tokenizer(studies["findings"] + " " + studies["impression"], 100, 64)
    return StudyDataset(studies, images, tokenizer, one_section=True)


def naive(dataset, batch_size, seed, epoch, how, part):
    """Draws and reads study by study, as the one generator did of which all figures were made."""
    order_of, words_of = np.random.default_rng((seed, epoch)), np.random.default_rng((seed, epoch, 1))
    order = order_of.permutation(len(dataset)).tolist()
    while len(order) >= batch_size:
        rows, order = order[:batch_size], order[batch_size:]
        images = []
        for row in rows:
            paths = dataset.studies["image_paths"][row]
            chosen = order_of.choice(len(paths), 2, replace=False) if len(paths) > 1 else (0, 0)
            images.append([dataset.images[paths[i]] for i in chosen])
        texts = [[dataset.studies[section][row] for row in rows] for section in SECTIONS]
        if how.sentence_drop:
            vary = lambda text: varied(text, how.sentence_drop, how.sentence_shuffle, words_of)  # noqa: E731
            texts = [[vary(text) for text in section] for section in texts]
        for i, row in enumerate(rows):
            if dataset.alone[row]:
                whole = dataset.studies["findings"][row]
                texts[0][i], texts[1][i] = two_variations(whole, how.sentence_drop, words_of, dataset._key)
        tokens = [dataset.tokenizer(section[part], truncation=True)["input_ids"] for section in texts]
        images = np.stack(images[part], axis=1)
        yield rows, images, [padded(ids, 0) for ids in tokens]


def alike(one, other) -> bool:
    tensors = [
        (b.rows, b.images, *b.text_ids, b.coding, *(t for s in b.sections for t in vars(s).values()))
        for b in (one, other)
    ]
    return all(torch.equal(a, b) for a, b in zip(*tensors, strict=True))


def all_alike(some, others) -> bool:
    return all(alike(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("how", [AugmentationConfig(), VARIED], ids=["whole", "varied"])
@pytest.mark.parametrize("part", [slice(None), slice(3, 6)], ids=["all", "part"])
def test_an_epoch_is_what_it_always_was(dataset, how, part):
    reader = BatchReader(dataset, 8, 5, how, part)
    batches = list(reader.epoch(2))
    assert len(batches) == reader.steps == 5
    for batch, (rows, images, sections) in zip(batches, naive(dataset, 8, 5, 2, how, part), strict=True):
        assert batch.rows.tolist() == rows
        assert np.array_equal(batch.images, images)
        for texts, expected in zip(batch.sections, sections, strict=True):
            assert torch.equal(texts.input_ids, expected.input_ids)
            assert torch.equal(texts.attention_mask, expected.attention_mask)
        assert batch.coding.tolist() == dataset.coding[rows].tolist()
    assert all_alike(batches, dataset.batches(8, 5, 2, how, part))


@pytest.mark.parametrize("buckets", [0, 2])
def test_from_the_middle_comes_the_tail(dataset, buckets, monkeypatch):
    """And nothing that was before is looked up."""
    reader = BatchReader(dataset, 6, 1, VARIED, buckets=buckets)
    whole, asked = list(reader.epoch(3)), []
    places = ImageCache.places
    monkeypatch.setattr(ImageCache, "places", lambda *given: asked.append(1) or places(*given))
    for start in (1, 4, 6):
        assert all_alike(reader.epoch(3, start), whole[start:])
    assert len(asked) == 2 * (5 + 2)


def test_fewer_studies_than_a_batch_give_none(dataset):
    for workers in (0, 1):
        assert list(BatchReader(dataset, 41, 1, workers=workers).epoch(0)) == []


def test_batches_by_length_have_every_study_once_and_less_padding(dataset):
    def padding(batches):
        masks = [texts.attention_mask for batch in batches for texts in batch.sections]
        return sum(int((mask == 0).sum()) for mask in masks)

    plain, sorted_ = (list(BatchReader(dataset, 6, 1, buckets=n).epoch(0)) for n in (0, 3))
    seen = [Counter(row for batch in batches for row in batch.rows.tolist()) for batches in (plain, sorted_)]
    assert seen[0] == seen[1]  # the same rest is dropped
    assert (set(seen[1].values()), seen[1].total()) == ({1}, 36)
    assert padding(sorted_) < 0.6 * padding(plain)


def test_of_some_neighbouring_batches_lengths_do_not_overlap(dataset):
    """All six batches are one bucket: in some order each has longer texts than the one before."""
    lengths = np.array([[len(ids) for ids in dataset.tokens[section]] for section in SECTIONS]).sum(0)
    orders, shuffled = [], False
    for epoch in range(3):
        rows = [drawn.rows for drawn in dataset.drawn(6, 1, epoch, buckets=6)]
        firsts = [lengths[batch].min() for batch in rows]
        ordered = [rows[i] for i in np.argsort(firsts, kind="stable")]
        for shorter, longer in pairwise(sorted(ordered, key=lambda batch: lengths[batch].sum())):
            assert lengths[shorter].max() <= lengths[longer].min()
        orders.append(tuple(np.argsort(firsts, kind="stable")))
        shuffled |= any((np.diff(lengths[batch]) < 0).any() for batch in rows)
    assert len(set(orders)) == 3  # the order of the batches is drawn
    assert shuffled  # inside of a batch, too: processes that share one have about equal work


@pytest.fixture(scope="module")
def reader(dataset):
    with BatchReader(dataset, 8, 5, VARIED, slice(2, 7), workers=1, buckets=2) as reader:
        yield reader
    assert not multiprocessing.active_children()


def test_other_processes_read_the_same_wherever_one_starts(dataset, reader):
    """Across an epoch's end, from the middle, after one that was left; and nobody else's draws change."""
    alone = BatchReader(dataset, 8, 5, VARIED, slice(2, 7), buckets=2)
    state = torch.get_rng_state()
    assert all_alike(reader.epoch(0), alone.epoch(0))
    ahead = reader._stream
    assert all_alike(reader.epoch(1), alone.epoch(1))
    left, again = reader.epoch(4), reader.epoch(4)
    assert all_alike([next(left), next(again), next(left)], [*(list(alone.epoch(4))[i] for i in (0, 0, 1))])
    assert all_alike(reader.epoch(4, 3), alone.epoch(4, 3))
    assert all_alike(reader.epoch(5), alone.epoch(5))
    assert reader._stream is ahead  # of the same processes
    assert torch.equal(torch.get_rng_state(), state)


def test_what_queues_send_to_all_does_not_end_those_that_read(dataset, reader):
    batches = reader.epoch(7)
    first = next(batches)
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
    alone = BatchReader(dataset, 8, 5, VARIED, slice(2, 7), buckets=2)
    assert all_alike([first, *batches], alone.epoch(7))


@pytest.mark.parametrize("broken", ["missing", "cut"])
def test_a_broken_cache_file_is_named(dataset, reader, broken, tmp_path, monkeypatch):
    file = tmp_path / f"{broken}.npy"
    if broken == "cut":
        whole = next(iter(dataset.images._places.values()))[0]
        file.write_bytes(Path(whole).read_bytes()[:500])
    places = dict.fromkeys(dataset.images._places, (file, 0))
    monkeypatch.setattr(dataset.images, "_places", places)
    alone = BatchReader(dataset, 8, 5)
    for one in (reader, alone):
        with pytest.raises(ImageError, match=f"{broken}.npy: cannot be read .*Delete this file") as caught:
            list(one.epoch(9))
        assert "Traceback" not in str(caught.value)


def test_little_travels(dataset):
    """Neither table nor tokens nor pixels: a hundred times as many studies are sent as quickly."""
    many = copy(dataset)
    many.tokens = {section: ids * 100 for section, ids in dataset.tokens.items()}
    many.images = ImageCache(32, {f"/{i}.png": (Path("cache.npy"), i) for i in range(9000)})
    sizes = [len(pickle.dumps(BatchReader(of, 8, 5)._read)) for of in (dataset, many)]
    assert sizes[0] == sizes[1] < 20_000


def killed_while_training(reader):
    with reader:
        next(reader.epoch(11))
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        while True:
            list(reader.epoch(11))


def test_a_process_that_dies_is_one_clear_error(reader):
    clear = (
        r"^a process that reads radiographs ended \(.*(killed|exited).*\): start with fewer --workers, or 0$"
    )
    with pytest.raises(ReaderError, match=clear):
        killed_while_training(reader)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("said", "kind"),
    [("DataLoader worker (pid 7) is killed by signal: Killed. ", ReaderError), ("the loss", RuntimeError)],
)
def test_so_it_is_when_the_training_hears_of_it_elsewhere(dataset, said, kind):
    """torch raises this in the middle of whatever is computed; other errors stay what they are."""
    with pytest.raises(RuntimeError) as caught, BatchReader(dataset, 8, 5):
        raise RuntimeError(said)
    assert caught.type is kind
    assert str(caught.value).endswith("or 0" if kind is ReaderError else said)
