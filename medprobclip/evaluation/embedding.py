"""Embed a held-out set once, keep it with its study ids, and score it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from medprobclip.data.augment import normalise, to_float
from medprobclip.data.dataset import StudyDataset, Texts
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.support.files import replaced_file
from medprobclip.support.precision import autocast

EVALUATION_SECTION = "findings"  # the one section that stands for a study's report in every evaluation


@dataclass(frozen=True)
class Embeddings:
    """One radiograph and one report section per study, on the CPU in float32: Gaussian `[N, D]` each.

    `text_ids` int64 `[N]` are equal where the sections are worded alike: all of them are right answers.
    """

    study_ids: list[str]
    image: Gaussian
    report: Gaussian
    text_ids: Tensor

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
        }
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
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
        )


def prepare_images(images: Tensor, model: MedProbCLIPModel) -> Tensor:
    """Stored uint8 `[B, S, S]` -> the encoder's input `[B, 1, S, S]` on the model's device."""
    pixels = to_float(images.to(model.device))
    return normalise(pixels, model.config.image_mean, model.config.image_std)


def default_batch(model: MedProbCLIPModel) -> int:
    """Studies embedded at once: on a CPU few, so that activations stay in its caches."""
    return 32 if model.device.type == "cpu" else 256


@torch.no_grad()
def embed_images(model: MedProbCLIPModel, images: Tensor, batch_size: int | None = None) -> Gaussian:
    """Stored uint8 radiographs `[N, S, S]` -> Gaussian `[N, D]` on the CPU in float32, in order."""
    training = model.training
    model.eval()
    parts = []
    for batch in images.split(batch_size or default_batch(model)):
        with autocast(model.device):
            parts.append(model.encode_image(prepare_images(batch, model)).float().to("cpu"))
    model.train(training)
    return Gaussian.cat(parts)


@torch.no_grad()
def embed(
    model: MedProbCLIPModel, dataset: StudyDataset, batch_size: int | None = None, progress: bool = False
) -> Embeddings:
    """Embed each study's reference radiograph and its evaluation section, in table order.

    Texts of similar length share a batch, so that little is spent on padding.
    """
    training = model.training
    model.eval()
    batch_size = batch_size or default_batch(model)
    order = np.argsort([len(tokens) for tokens in dataset.tokens[EVALUATION_SECTION]], kind="stable")
    images, reports = [], []
    blocks = range(0, len(order), batch_size)
    for start in tqdm(blocks, "embedding", unit="batch", disable=not progress):
        rows = order[start : start + batch_size]
        texts: Texts = dataset.texts(rows, EVALUATION_SECTION).to(model.device)
        with autocast(model.device):
            image, report = model(
                prepare_images(dataset.reference_images(rows), model), texts.input_ids, texts.attention_mask
            )
        images.append(image.float().to("cpu"))
        reports.append(report.float().to("cpu"))
    model.train(training)
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    return Embeddings(
        dataset.study_ids,
        Gaussian.cat(images)[back],
        Gaussian.cat(reports)[back],
        torch.from_numpy(dataset.text_ids[EVALUATION_SECTION]),
    )
