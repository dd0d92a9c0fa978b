"""Batches: two views, two sections, the reference view, padding, order."""

import re

import numpy as np
import pytest
import torch

from medprobclip.data.dataset import StudyDataset, draw_two
from medprobclip.data.images import cache_images
from medprobclip.data.radiographs import read_image
from medprobclip.data.studies import read_studies
from medprobclip.data.tokenizer import train_tokenizer
from medprobclip.data.views import reference_view
from medprobclip.settings import AugmentationConfig


@pytest.fixture(scope="module")
def studies(study_tables):
    return read_studies(study_tables["train"])


@pytest.fixture(scope="module")
def dataset(studies, tmp_path_factory):
    paths = [path for images in studies["image_paths"] for path in images]
    images = cache_images(paths, 32, tmp_path_factory.mktemp("cache"))
    return StudyDataset(studies, images, dataset_tokenizer(studies))


def dataset_tokenizer(studies):
    return train_tokenizer(studies["findings"] + " " + studies["impression"], 100, 32)


def test_an_epoch_visits_every_study_once(dataset):
    batches = list(dataset.batches(8, seed=1, epoch=0))
    assert [len(batch.text_ids[0]) for batch in batches] == [8] * 5
    impressions = np.concatenate([batch.text_ids[1] for batch in batches])
    assert sorted(impressions) == sorted(dataset.text_ids["impression"])


def test_images_belong_to_the_texts(dataset, studies):
    """Every view of a batch is one of the study's own two files, and both are there."""
    by_findings = {}
    for row, words in enumerate(dataset.text_ids["findings"]):
        by_findings.setdefault(int(words), []).append(row)
    for batch in dataset.batches(8, seed=2, epoch=3):
        for j, words in enumerate(batch.text_ids[0].tolist()):
            seen = sorted(batch.images[:, j].flatten(1).tolist())
            options = [
                sorted(read_image(path).ravel().tolist() for path in studies["image_paths"].iloc[row])
                for row in by_findings[words]
            ]
            options = [pair * (3 - len(pair)) for pair in options]  # a single image stands in twice
            assert seen in options


def test_order_follows_seed_and_epoch(dataset):
    first = lambda **k: next(dataset.batches(8, **k)).text_ids[0].tolist()  # noqa: E731
    assert first(seed=1, epoch=0) == first(seed=1, epoch=0)
    assert first(seed=1, epoch=0) != first(seed=1, epoch=1)
    assert first(seed=1, epoch=0) != first(seed=2, epoch=0)


def test_rows_name_the_studies_of_the_batch(dataset, studies):
    for batch in dataset.batches(8, seed=1, epoch=0):
        for name, ids, texts in zip(("findings", "impression"), batch.text_ids, batch.sections, strict=True):
            assert torch.equal(ids, torch.from_numpy(dataset.text_ids[name][batch.rows.numpy()]))
            assert torch.equal(texts.input_ids, dataset.texts(batch.rows.numpy(), name).input_ids)
        assert batch.coding is None
    coded = StudyDataset(
        studies.assign(codes=[(f"code {i % 3}",) for i in range(40)]),
        dataset.images,
        dataset_tokenizer(studies),
    )
    batch = next(coded.batches(8, seed=1, epoch=0)).to(torch.device("cpu"))
    same = batch.rows[:, None] % 3 == batch.rows % 3
    assert torch.equal(batch.coding[:, None] == batch.coding, same)


def test_reports_are_whole(dataset, studies):
    assert dataset.reports[3] == f"{studies['findings'][3]} {studies['impression'][3]}"
    assert len(dataset.reports) == 40


def test_texts_are_padded_to_the_longest_of_the_batch(dataset):
    rows = np.array([0, 5])
    texts = dataset.texts(rows, "findings")
    lengths = [len(dataset.tokens["findings"][row]) for row in rows]
    assert texts.input_ids.shape == (2, max(lengths))
    assert texts.attention_mask.sum(1).tolist() == lengths


def test_reference_image_is_the_pa_view(dataset, studies):
    images = dataset.reference_images(np.array([3, 1]))
    for image, row in zip(images, (3, 1), strict=True):
        path = studies["image_paths"].iloc[row][studies["view_names"].iloc[row].index("PA")]
        np.testing.assert_array_equal(image, read_image(path))


@pytest.mark.parametrize(
    ("views", "index"),
    [(("LATERAL", "PA"), 1), (("AP", "pa"), 1), (("LL", "AP"), 1), (("LATERAL", "LL"), 0), (("",), 0)],
)
def test_reference_view(views, index):
    assert reference_view(views) == index


def test_two_views_are_never_the_same_file():
    generator = np.random.default_rng(0)
    draws = {draw_two(("a", "b", "c"), generator) for _ in range(200)}
    assert len(draws) == 6
    assert all(first != second for first, second in draws)
    assert draw_two(("a",), generator) == ("a", "a")


def test_evaluation_needs_only_its_own_section(studies, dataset):
    tokenizer = train_tokenizer(studies["findings"], 100, 32)
    alone = StudyDataset(studies.assign(impression=""), dataset.images, tokenizer, required=("findings",))
    assert (len(alone), alone.left_out) == (40, 0)


def test_studies_with_one_section_are_left_out_and_counted(studies, dataset):
    partial = studies.copy()
    partial.loc[[0, 3], "impression"] = " "
    tokenizer = train_tokenizer(studies["findings"], 100, 32)
    smaller = StudyDataset(partial, dataset.images, tokenizer)
    assert (len(smaller), smaller.left_out) == (38, 2)
    assert "train-3" not in smaller.study_ids
    with pytest.raises(ValueError, match="none of 40 studies"):
        StudyDataset(studies.assign(impression=""), dataset.images, tokenizer)


def test_sections_vary_and_nothing_else_does(dataset, studies):
    """Pictures, order and ids are those of whole sections; words are some of the section's own."""
    how = AugmentationConfig(sentence_drop=0.5, sentence_shuffle=True)
    two = studies.assign(findings=[f"First {i}. Second {i}. Third {i}." for i in range(len(studies))])
    varied = StudyDataset(two, dataset.images, dataset_tokenizer(two))
    changed = 0
    batches = zip(
        varied.batches(8, 1, 0), varied.batches(8, 1, 0, how), varied.batches(8, 1, 0, how), strict=True
    )
    for whole, batch, again in batches:
        assert torch.equal(whole.rows, batch.rows)
        assert torch.equal(whole.images, batch.images)
        assert torch.equal(batch.sections[0].input_ids, again.sections[0].input_ids)
        assert all(torch.equal(a, b) for a, b in zip(whole.text_ids, batch.text_ids, strict=True))
        for row, ids, mask in zip(
            batch.rows, batch.sections[0].input_ids, batch.sections[0].attention_mask, strict=True
        ):
            text = varied.tokenizer.decode(ids[mask.bool()], skip_special_tokens=True)
            text = re.sub("[ #]", "", text.lower())
            own = [f"{word}{int(row)}" for word in ("first", "second", "third")]
            kept = [sentence for sentence in own if sentence in text]
            assert kept
            changed += len(kept) < 3
    assert changed > 20


def test_plain_batches_are_those_of_the_papers_augmentation(dataset):
    for plain, same in zip(
        dataset.batches(8, 1, 0), dataset.batches(8, 1, 0, AugmentationConfig()), strict=True
    ):
        assert torch.equal(plain.sections[0].input_ids, same.sections[0].input_ids)


@pytest.fixture
def partial(studies):
    """Study 0 has an impression only, 3 findings only, of two sentences each; 5 one sentence; 7 no text."""
    table = studies.copy()
    table.loc[[0, 3, 5, 7], ["findings", "impression"]] = [
        ["", "Right nodule. Clips on the left."], ["Effusion on the right. No edema.", " "],
        ["", "A nodule. It is calcified"], ["", ""],
    ]  # fmt: skip
    return table


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_one_section_becomes_two_different_texts(partial, dataset, drop):
    """Its sentences whole, never the same text twice; nothing changes for the other studies."""
    tokenizer = train_tokenizer(partial["findings"] + " " + partial["impression"], 300, 32)
    both = StudyDataset(partial, dataset.images, tokenizer)
    one = StudyDataset(partial, dataset.images, tokenizer, one_section=True)
    assert (len(both), both.left_out, both.alone.sum()) == (36, 4, 0)
    assert (len(one), one.left_out) == (38, 2)
    assert one.studies["study_id"][one.alone].tolist() == ["train-0", "train-3"]
    assert one.reports[0] == "Right nodule. Clips on the left."
    expected = {
        0: ({"right nodule.", "clips on the left."}, "Right nodule. Clips on the left."),
        2 + 1: ({"effusion on the right.", "no edema."}, "Effusion on the right. No edema."),
    }
    how, seen = AugmentationConfig(sentence_drop=drop), 0
    for epoch in range(6):
        for batch in one.batches(8, 1, epoch, how):
            for place, row in enumerate(batch.rows.tolist()):
                pair = [
                    tokenizer.decode(texts.input_ids[place][texts.attention_mask[place].bool()][1:-1])
                    for texts in batch.sections
                ]
                if row not in expected:
                    assert drop or pair[0] == tokenizer.decode(one.tokens["findings"][row][1:-1])
                    continue
                seen += 1
                assert pair[0] != pair[1]
                for text in pair:
                    own = "".join(text.split())
                    pieces = ["".join(sentence.split()) for sentence in expected[row][0]]
                    assert own in {*pieces, pieces[0] + pieces[1], pieces[1] + pieces[0]}
    assert seen >= 8


def test_a_study_alone_is_the_twin_only_of_equal_texts(partial, dataset):
    """Its missing section makes it no duplicate of others that lack one, too."""
    tokenizer = train_tokenizer(partial["findings"] + " " + partial["impression"], 300, 32)
    one = StudyDataset(partial, dataset.images, tokenizer, one_section=True)
    for ids in one.text_ids.values():
        assert (ids == ids[0]).sum() == (ids == ids[3]).sum() == 1
