"""A training loop in the published style (arXiv 2602.16019), and what may be done otherwise.

Written from its description, with Pillow and torch's own DataLoader: every radiograph is decoded anew, in
colour, with an unchanged copy beside it; each is cropped, turned, brightened and blurred by itself; texts are
tokenised anew and padded to 256 tokens; every view and every section is a forward of its own; the score is a
broadcast. Nothing is slower than it must be: no flips, blur by Pillow, scores in float32 once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch.utils.data import DataLoader, Dataset

from medprobclip.data.augment import TrainingViews, normalise
from medprobclip.data.dataset import SECTIONS, StudyDataset, Texts, draw_two
from medprobclip.evaluation.scaling import broadcast
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.objectives import Views, objective_terms
from medprobclip.settings import AugmentationConfig
from medprobclip.support.memory import keep_freed_memory
from medprobclip.support.precision import autocast
from medprobclip.training.steps import encode_texts
from medprobclip.training_settings import TrainingConfig

TOKENS = 256  # that every text is padded to


@dataclass(frozen=True)
class Ways:
    """What is done as in this project; all False is the published style."""

    cached: bool = False  # radiographs come from the cache, without a copy that nobody reads
    batched: bool = False  # views are made in batches
    tokenised: bool = False  # texts are tokenised once
    short: bool = False  # and padded to the longest of the batch
    grouped: bool = False  # in groups of similar length
    plain_attention: bool = False  # by plain matrix products
    one_forward: bool = False  # for both views
    channels_last: bool = False  # in memory
    tiled: bool = False  # scores by the project's kernels
    keeps_memory: bool = False  # that was freed, for the next step


class PublishedStudies(Dataset):
    """One study at a time: two views `[3, S, S]`, the same unchanged, two sections of 256 tokens."""

    def __init__(
        self, studies: StudyDataset, augmentation: AugmentationConfig, ways: Ways, films: dict[str, Path]
    ) -> None:
        self.studies, self.augmentation, self.ways, self.films = studies, augmentation, ways, films
        self.size = studies.images.size_px
        self.table = studies.studies
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.studies)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        paths = draw_two(self.table["image_paths"].iloc[row], self.generator)
        item = {}
        for number, path in enumerate(paths, 1):
            if self.ways.cached:
                grey = Image.fromarray(self.studies.images[path])
            else:
                grey = Image.open(self.films.get(path, path)).convert("L")
            colour = Image.merge("RGB", (grey, grey, grey))
            if not self.ways.cached:
                same = colour.resize((self.size, self.size), Image.Resampling.BICUBIC)
                item[f"unchanged{number}"] = to_tensor(same)
            item[f"view{number}"] = (to_tensor(self.view(colour, number)) - 0.5) / 0.25
        for number, section in enumerate(SECTIONS, 1):
            text = self.table[section].iloc[row]
            kind = dict(padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
            item[f"text{number}"] = self.studies.tokenizer(text, **kind)["input_ids"][0]
        return item

    def view(self, image: Image.Image, number: int) -> Image.Image:
        """One random view: of the second kind half are turned, half brightened, some blurred."""
        draw, settings = self.generator.uniform, self.augmentation
        area = draw((settings.crop_area_1, settings.crop_area_2)[number - 1], 1) * image.width * image.height
        ratio = math.exp(draw(math.log(3 / 4), math.log(4 / 3)))
        width = min(math.sqrt(area * ratio), image.width)
        height = min(math.sqrt(area / ratio), image.height)
        left, top = draw(0, image.width - width), draw(0, image.height - height)
        box = (left, top, left + width, top + height)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        if number == 1:
            return image
        if draw() < 0.5:
            image = image.rotate(draw(-settings.rotation, settings.rotation))
        if draw() < 0.5:
            change = settings.brightness, settings.contrast
            image = ImageEnhance.Brightness(image).enhance(1 + draw(-change[0], change[0]))
            image = ImageEnhance.Contrast(image).enhance(1 + draw(-change[1], change[1]))
        if draw() < 0.15:
            image = image.filter(ImageFilter.GaussianBlur(draw(0.1, 2.0)))
        return image


def enlarged(studies: StudyDataset, size_px: int, folder: Path) -> dict[str, Path]:
    """Every radiograph as a JPEG of `size_px`, as large as films are before anyone resizes them."""
    films = {}
    for path in dict.fromkeys(path for paths in studies.studies["image_paths"] for path in paths):
        films[path] = folder / f"{len(films)}.jpg"
        film = Image.open(path).convert("L").resize((size_px, size_px), Image.Resampling.BICUBIC)
        film.save(films[path], quality=90)
    return films


def to_tensor(image: Image.Image) -> torch.Tensor:
    """Colours `[3, S, S]` in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255


@dataclass(frozen=True)
class Loop:
    """The loop over an epoch, `done` called after each step."""

    model: MedProbCLIPModel
    studies: StudyDataset
    config: TrainingConfig
    ways: Ways
    workers: int
    films: dict[str, Path]  # radiograph -> the file that is decoded in its place
    done: Callable[[], None]

    def run(self) -> None:
        model, ways = self.model.train(), self.ways
        if ways.channels_last:
            model.to(memory_format=torch.channels_last)
        if ways.keeps_memory:
            keep_freed_memory()
        model.text_model.set_attn_implementation("eager" if ways.plain_attention else "sdpa")
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        for pixels, sections in self.batches():
            loss = self.loss(pixels, sections)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), self.config.clip_norm)
            optimizer.step()
            self.done()

    def loss(self, pixels: torch.Tensor, sections: tuple[Texts, Texts]) -> torch.Tensor:
        """Pixels `[2, B, 1, S, S]` and texts -> the published objective."""
        model, ways = self.model, self.ways
        with autocast(pixels.device):
            if ways.one_forward:
                images = tuple(model.encode_image(pixels.flatten(0, 1)).chunk(2))
            else:
                images = tuple(model.encode_image(view) for view in pixels)
            if ways.grouped:
                reports = tuple(encode_texts(model, texts) for texts in sections)
            else:
                reports = tuple(model.encode_text(t.input_ids, t.attention_mask) for t in sections)

        def published(x: Gaussian, y: Gaussian) -> torch.Tensor:
            return model.similarity.a * broadcast(x, y) + model.similarity.b

        return objective_terms(Views(images, reports), model.similarity if ways.tiled else published)["loss"]

    def batches(self) -> Iterator[tuple[torch.Tensor, tuple[Texts, Texts]]]:
        """Pixels `[2, B, 1, S, S]` and two sections of each batch."""
        ways, studies, augmentation = self.ways, self.studies, AugmentationConfig()
        size, pad = self.config.batch_size, studies.tokenizer.pad_token_id
        if not ways.tokenised:  # then views are made one by one, too
            items = PublishedStudies(studies, augmentation, ways, self.films)
            torch.manual_seed(0)
            views = TrainingViews(studies.images.size_px, augmentation)
            loader = batches_of_rows(items, size) if ways.batched else DataLoader(
                items, size, shuffle=True, drop_last=True, num_workers=self.workers
            )  # fmt: skip
            for batch in loader:
                ids = (batch["text1"], batch["text2"])
                texts = tuple(Texts(i, (i != pad).long()) for i in ids)
                if ways.batched:
                    pixels = normalise(views(batch["images"]), 0.5, 0.25)
                else:
                    pixels = torch.stack([batch["view1"], batch["view2"]])[:, :, :1]  # the encoder is grey
                yield pixels, texts
            return
        views = TrainingViews(studies.images.size_px, augmentation)
        for batch in studies.batches(size, self.config.seed, 0, augmentation):
            texts = batch.sections if ways.short else tuple(filled(t, pad) for t in batch.sections)
            yield normalise(views(batch.images), 0.5, 0.25), texts


def batches_of_rows(items: PublishedStudies, size: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches with the texts of `PublishedStudies` and images uint8 `[2, B, S, S]` for `TrainingViews`."""
    kind = dict(padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
    for batch in items.studies.batches(size, 0, 0, items.augmentation):
        rows = batch.rows.numpy()
        texts = {
            f"text{number}": torch.cat(
                [
                    items.studies.tokenizer(text, **kind)["input_ids"]
                    for text in items.table[section].iloc[rows]
                ]
            )
            for number, section in enumerate(SECTIONS, 1)
        }
        yield {"images": batch.images, **texts}


def filled(texts: Texts, pad: int) -> Texts:
    """The same with padding up to 256 tokens."""
    more = (0, TOKENS - texts.input_ids.shape[1])
    fill = torch.nn.functional.pad
    return Texts(fill(texts.input_ids, more, value=pad), fill(texts.attention_mask, more))
