"""Embed a held-out set once, keep it with its study ids, and score it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from medprobclip.data.augment import normalise, to_float
from medprobclip.data.dataset import SECTIONS, StudyDataset, Texts, padded
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.strangeness import FeatureDensity, Strangeness
from medprobclip.support.files import replaced_file
from medprobclip.support.precision import autocast
from medprobclip.support.progress import with_progress

EVALUATION_SECTION = "findings"  # the one section that stands for a study's report in every evaluation


@dataclass(frozen=True)
class Embeddings:
    """One radiograph and one report section per study, on the CPU in float32: Gaussian `[N, D]` each.

    `text_ids` int64 `[N]` are equal where the sections are worded alike: all of them are right answers.
    `image_strangeness` and `report_strangeness` `[N]` say how unlike the training inputs each is
    (`strangeness.py`), None where nobody fitted that.
    """

    study_ids: list[str]
    image: Gaussian
    report: Gaussian
    text_ids: Tensor
    image_strangeness: Tensor | None = None
    report_strangeness: Tensor | None = None

    def __len__(self) -> int:
        return len(self.study_ids)

    def matches(self) -> np.ndarray:
        """bool `[N, N]`: radiograph i (row) and report j (column) belong together or read alike."""
        ids = self.text_ids.numpy()
        return ids[:, None] == ids[None, :]

    @torch.no_grad()
    def scores(self, model: MedProbCLIPModel) -> np.ndarray:
        """Image × report logits `[N, N]` of the model's similarity."""
        device = model.device
        return model.similarity(self.image.to(device), self.report.to(device)).cpu().numpy()

    def save(self, path: Path, source: dict[str, str] | None = None) -> None:
        """Write as safetensors with the study ids, and what it was made from, in its metadata."""
        tensors = {
            "image_mean": self.image.mean,
            "image_log_var": self.image.log_var,
            "report_mean": self.report.mean,
            "report_log_var": self.report.log_var,
            "text_ids": self.text_ids,
            "image_strangeness": self.image_strangeness,
            "report_strangeness": self.report_strangeness,
        }
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
        with replaced_file(path) as temporary:
            metadata = {"study_ids": json.dumps(self.study_ids), "source": json.dumps(source)}
            save_file(contiguous, temporary, metadata=metadata)

    @staticmethod
    def source_of(path: Path) -> dict[str, str] | None:
        """What the embeddings at `path` were made from; None when unknown or when there is no such file."""
        if not Path(path).exists():
            return None
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata().get("source", "null"))

    @classmethod
    def load(cls, path: Path) -> Embeddings:
        """Inverse of `save`. Raises FileNotFoundError when there is no such file."""
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            study_ids = json.loads(file.metadata()["study_ids"])
        return cls(
            study_ids,
            Gaussian(tensors["image_mean"], tensors["image_log_var"]),
            Gaussian(tensors["report_mean"], tensors["report_log_var"]),
            tensors["text_ids"],
            tensors.get("image_strangeness"),
            tensors.get("report_strangeness"),
        )


def prepare_images(images: Tensor, model: MedProbCLIPModel) -> Tensor:
    """Stored uint8 `[B, S, S]` -> the encoder's input `[B, 1, S, S]` on the model's device."""
    pixels = to_float(images.to(model.device))
    return normalise(pixels, model.config.image_mean, model.config.image_std)


def default_batch(model: MedProbCLIPModel) -> int:
    """Studies embedded at once: on a CPU few, so that activations stay in its caches."""
    return 32 if model.device.type == "cpu" else 256


@torch.no_grad()
def embed_images(
    model: MedProbCLIPModel,
    images: Tensor,
    strangeness: Strangeness | None = None,
    batch_size: int | None = None,
) -> tuple[Gaussian, Tensor | None]:
    """Stored uint8 radiographs `[N, S, S]` -> Gaussian `[N, D]` and their strangeness `[N]`, on the CPU.

    In float32, in order; the strangeness is None without the densities to tell it by.
    """
    batches = images.split(batch_size or default_batch(model))
    with evaluating(model):
        parts = [_image(model, batch, strangeness) for batch in batches]
    return Gaussian.cat([g for g, _ in parts]), _joined([s for _, s in parts])


@torch.no_grad()
def embed_texts(
    model: MedProbCLIPModel,
    tokens: Sequence[Sequence[int]],
    pad: int,
    strangeness: Strangeness | None = None,
    batch_size: int | None = None,
) -> tuple[Gaussian, Tensor | None]:
    """Tokenised texts, N of them -> Gaussian `[N, D]` and their strangeness `[N]`, on the CPU, in order.

    Texts of similar length share a batch, so that little is spent on padding with `pad`.
    """
    order = np.argsort([len(ids) for ids in tokens], kind="stable")
    size = batch_size or default_batch(model)
    with evaluating(model):
        parts = [
            _text(model, padded([tokens[row] for row in order[start : start + size]], pad), strangeness)
            for start in range(0, len(order), size)
        ]
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    told = _joined([s for _, s in parts])
    return Gaussian.cat([g for g, _ in parts])[back], None if told is None else told[back]


@torch.no_grad()
def embed(
    model: MedProbCLIPModel,
    dataset: StudyDataset,
    strangeness: Strangeness | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Embeddings:
    """Embed each study's reference radiograph and its evaluation section, in table order."""
    size = batch_size or default_batch(model)
    images = []
    with evaluating(model):
        for start in with_progress(range(0, len(dataset), size), "embedding", "batch", shown=progress):
            rows = np.arange(start, min(start + size, len(dataset)))
            images.append(_image(model, dataset.reference_images(rows), strangeness))
        pad = dataset.tokenizer.pad_token_id
        report, told = embed_texts(model, dataset.tokens[EVALUATION_SECTION], pad, strangeness, size)
    text_ids = torch.from_numpy(dataset.text_ids[EVALUATION_SECTION])
    image = Gaussian.cat([g for g, _ in images])
    return Embeddings(dataset.study_ids, image, report, text_ids, _joined([s for _, s in images]), told)


@torch.no_grad()
def fit_strangeness(model: MedProbCLIPModel, dataset: StudyDataset, progress: bool = False) -> Strangeness:
    """Densities of all radiographs and both sections of the training studies, each as it is, none augmented.

    Raises ValueError as `FeatureDensity.fit`.
    """
    size = default_batch(model)
    paths = [path for images in dataset.studies["image_paths"] for path in images]
    pad = dataset.tokenizer.pad_token_id
    texts = sorted((ids for section in SECTIONS for ids in dataset.tokens[section]), key=len)

    def images() -> Iterator[Tensor]:
        for start in with_progress(range(0, len(paths), size), "training films", "batch", shown=progress):
            pixels = torch.from_numpy(dataset.images.rows(paths[start : start + size]))
            yield model.encode_image_and_inner(prepare_images(pixels, model))[1]

    def reports() -> Iterator[Tensor]:
        for start in range(0, len(texts), size):
            batch = padded(texts[start : start + size], pad).to(model.device)
            yield model.encode_text_and_inner(batch.input_ids, batch.attention_mask)[1]

    with evaluating(model):
        return Strangeness(FeatureDensity.fit(images()), FeatureDensity.fit(reports()))


@contextmanager
def evaluating(model: MedProbCLIPModel) -> Iterator[None]:
    """In evaluation mode and the device's precision meanwhile."""
    training = model.training
    model.eval()
    try:
        with autocast(model.device):
            yield
    finally:
        model.train(training)


Part = tuple[Gaussian, Tensor | None]


def _image(model: MedProbCLIPModel, images: Tensor, strangeness: Strangeness | None) -> Part:
    pixels = prepare_images(images, model)
    if strangeness is None:
        return model.encode_image(pixels).float().to("cpu"), None
    gaussian, inner = model.encode_image_and_inner(pixels)
    return gaussian.float().to("cpu"), strangeness.image.strangeness(inner)


def _text(model: MedProbCLIPModel, texts: Texts, strangeness: Strangeness | None) -> Part:
    texts = texts.to(model.device)
    if strangeness is None:
        return model.encode_text(texts.input_ids, texts.attention_mask).float().to("cpu"), None
    gaussian, inner = model.encode_text_and_inner(texts.input_ids, texts.attention_mask)
    return gaussian.float().to("cpu"), strangeness.report.strangeness(inner)


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    return None if any(part is None for part in parts) else torch.cat(parts)
