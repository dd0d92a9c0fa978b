"""Texts in training: in groups of similar length the same Gaussians; sections vary where that is asked."""

from dataclasses import replace

import pytest
import torch
from tiny import RESNET, build

from medprobclip.data.dataset import StudyDataset, Texts
from medprobclip.settings import AugmentationConfig
from medprobclip.training.runs import train_run
from medprobclip.training.steps import encode_texts


def made_texts(lengths: list[int]) -> Texts:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(4, 50, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return Texts(tokens * mask, mask)


@pytest.mark.parametrize("lengths", [[9, 2, 7, 7, 3, 12, 2, 5, 8], [4], [3, 6, 2]])
def test_the_order_of_the_batch_is_kept(lengths):
    model, texts = build(RESNET), made_texts(lengths)
    with torch.no_grad():
        grouped = encode_texts(model, texts)
        for i, length in enumerate(lengths):
            alone = model.encode_text(
                texts.input_ids[i : i + 1, :length], texts.attention_mask[i : i + 1, :length]
            )
            torch.testing.assert_close(grouped.mean[i], alone.mean[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(grouped.log_var[i], alone.log_var[0], atol=1e-5, rtol=1e-4)


def test_short_texts_are_not_padded_to_the_longest(monkeypatch):
    model, texts = build(RESNET), made_texts([3, 30, 4, 3, 29, 4, 3, 4])
    widths = []
    encode = model.encode_text
    monkeypatch.setattr(
        model, "encode_text", lambda ids, mask: widths.append(ids.shape[1]) or encode(ids, mask)
    )
    encode_texts(model, texts)
    assert sorted(widths) == [3, 4, 4, 30]


def test_training_asks_for_the_profiles_sentences(study_tables, tiny_profile, tmp_path, monkeypatch):
    asked, drawn = [], StudyDataset.drawn
    monkeypatch.setattr(StudyDataset, "drawn", lambda *a: asked.append(a[4]) or drawn(*a))
    how = AugmentationConfig(sentence_drop=0.5, sentence_shuffle=True)
    once = replace(tiny_profile.training, epochs=1)
    profile = replace(tiny_profile, training=once, augmentation=how)
    train_run(study_tables["train"], study_tables["validate"], tmp_path, profile)
    assert asked == [how]
