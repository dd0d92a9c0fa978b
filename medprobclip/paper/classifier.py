"""A small network that names what it sees: multi-label classification of PA and lateral radiographs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from tqdm import tqdm
from transformers import ResNetConfig, ResNetModel, get_cosine_schedule_with_warmup

from medprobclip.data.augment import TrainingViews, normalise, to_float
from medprobclip.evaluation.discrimination import auroc
from medprobclip.settings import AugmentationConfig, ClassifierConfig, GreyConfig
from medprobclip.support.precision import autocast
from medprobclip.training.encoders import SMALL_VISION
from medprobclip.training.loop import TrainingError

# Milder than for the model: crops must not cut off the edges of the picture, where some findings lie.
LIGHT = AugmentationConfig(
    crop_area_1=0.9, crop_area_2=0.9, rotation=3.0, brightness=0.04, contrast=0.05, blur_share=0.0
)
WARMUP = 0.05  # share of all steps with a rising rate: the encoder starts from nothing


class Classifier(nn.Module):
    """The small image encoder on both views, its mean features side by side, one linear layer."""

    def __init__(self, encoder: str, outputs: int) -> None:
        super().__init__()
        config = ResNetConfig(num_channels=1, layer_type="basic", **SMALL_VISION[encoder])
        self.encoder = ResNetModel(config)
        self.linear = nn.Linear(2 * config.hidden_sizes[-1], outputs)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised PA and lateral radiographs `[2, B, 1, S, S]` -> logits `[B, outputs]`."""
        flat = pixels.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = self.encoder(pixel_values=flat).last_hidden_state.mean((2, 3))
        return self.linear(torch.cat(features.chunk(2), dim=1)).float()


def train(
    images: Tensor, labels: np.ndarray, parts: Mapping[str, np.ndarray], config: ClassifierConfig
) -> tuple[Classifier, pd.DataFrame]:
    """Learn the labels of the training patients; the epoch with the best mean validation AUROC is kept.

    Args:
        images: uint8 `[N, 2, S, S]`, PA and lateral.
        labels: bool `[N, K]`.
        parts: rows of "train" and "validation"; no others are looked at.

    Returns the classifier and its history: epoch, loss, validation (mean AUROC).
    Raises TrainingError for fewer training patients than one batch, a validation part without positives,
    or a loss that is no longer finite.
    """
    steps = len(parts["train"]) // config.batch_size
    if steps == 0:
        raise TrainingError(
            f"{len(parts['train'])} training patients do not fill one batch of {config.batch_size}; "
            "lower batch_size"
        )
    set_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Classifier(config.encoder, labels.shape[1]).to(device, memory_format=torch.channels_last)
    views = TrainingViews(images.shape[-1], LIGHT).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    total = steps * config.epochs
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(WARMUP * total), total)
    targets = torch.from_numpy(labels).float().to(device)
    history, best = [], {}
    with tqdm(total=total, desc="learning the findings", unit="step", mininterval=1) as bar:
        for epoch in range(config.epochs):
            order = np.random.default_rng((config.seed, epoch)).permutation(parts["train"])
            losses = []
            model.train()
            for batch in np.split(order[: steps * config.batch_size], steps):
                pixels = normalise(
                    views(images[batch].transpose(0, 1).to(device)), GreyConfig.mean, GreyConfig.std
                )
                with autocast(device):
                    logits = model(pixels)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, targets[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
                bar.update()
            if not np.isfinite(losses).all():
                raise TrainingError(f"epoch {epoch + 1}: the loss is not finite; lower learning_rate")
            score = mean_auroc(predict(model, images[parts["validation"]]), labels[parts["validation"]])
            if score > max((row["validation"] for row in history), default=-math.inf):
                best = {name: value.clone() for name, value in model.state_dict().items()}
            history.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), "validation": score})
            bar.set_postfix(loss=f"{history[-1]['loss']:.3f}", validation_auroc=f"{score:.3f}")
    model.load_state_dict(best)
    return model, pd.DataFrame(history)


@torch.no_grad()
def predict(model: Classifier, images: Tensor) -> np.ndarray:
    """Logits of uint8 radiographs `[N, 2, S, S]` -> float32 `[N, K]`, without augmentation."""
    model.eval()
    device = model.linear.weight.device
    logits = []
    for block in images.split(256):
        pixels = torch.stack([to_float(view) for view in block.to(device).unbind(1)])
        with autocast(device):
            logits.append(model(normalise(pixels, GreyConfig.mean, GreyConfig.std)).cpu())
    return torch.cat(logits).numpy()


def measurable(labels: np.ndarray) -> np.ndarray:
    """Which columns of labels `[N, K]` hold both a positive and a negative: bool `[K]`."""
    return labels.any(0) & ~labels.all(0)


def mean_auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the measurable columns of scores and labels `[N, K]`; TrainingError if there is none."""
    columns = np.flatnonzero(measurable(labels))
    if not len(columns):
        raise TrainingError(f"no finding to tell apart among {len(labels)} patients; raise patients")
    return float(np.mean([auroc(scores[:, i], labels[:, i]) for i in columns]))
