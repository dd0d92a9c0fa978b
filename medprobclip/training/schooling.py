"""The chest encoder's school: a small image encoder learns to name what was drawn, and becomes a folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate.utils import set_seed
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import ResNetModel, get_cosine_schedule_with_warmup

from medprobclip.data.augment import TrainingViews, normalise, to_float
from medprobclip.evaluation.discrimination import auroc
from medprobclip.school_settings import SchoolConfig
from medprobclip.settings import AugmentationConfig, GreyConfig
from medprobclip.support.files import replaced_file
from medprobclip.support.memory import keep_freed_memory
from medprobclip.support.precision import autocast
from medprobclip.support.progress import progress_bar
from medprobclip.training.encoders import small_vision_config
from medprobclip.training.errors import TrainingError

# Milder than for the model: crops must not cut off the edges of the picture, where some findings lie.
LIGHT = AugmentationConfig(
    crop_area_1=0.9, crop_area_2=0.9, rotation=3.0, brightness=0.04, contrast=0.05, blur_share=0.0
)
WARMUP = 0.05  # share of all steps with a rising rate: the encoder starts from nothing


class Pupil(nn.Module):
    """The small image encoder and one linear layer that names what a film shows."""

    def __init__(self, vision: str, outputs: int) -> None:
        super().__init__()
        config = small_vision_config(vision)
        self.encoder = ResNetModel(config)
        self.linear = nn.Linear(config.hidden_sizes[-1], outputs)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised radiographs `[V, B, 1, S, S]` -> logits `[V, B, outputs]`, each film by itself.

        The mean over V is the answer to a patient's films together: the layer is linear.
        """
        flat = pixels.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = self.encoder(pixel_values=flat).last_hidden_state.mean((2, 3))
        return self.linear(features).float().unflatten(0, pixels.shape[:2])


def school(
    images: Tensor, labels: np.ndarray, parts: Mapping[str, np.ndarray], config: SchoolConfig, out: Path
) -> tuple[Pupil, pd.DataFrame]:
    """Learn the labels of the training patients, from the PA film, the lateral one, and both together.

    Args:
        images: uint8 `[N, 2, S, S]`, PA and lateral.
        labels: bool `[N, K]`.
        parts: rows of "train" and "validation"; no others are looked at.
        out: receives, after each epoch, `last.pt`, from which an interrupted call goes on exactly, and
            `history.csv`.

    Returns the network after the last epoch and its history: epoch, loss, validation (mean AUROC of PA
    films). The last epoch is taken, not the best: with a rate that falls to nothing they are one.
    Raises TrainingError for fewer training patients than one batch, a validation part without positives,
    a loss that is no longer finite, or an `out` of other lessons.
    """
    steps = len(parts["train"]) // config.batch_size
    if steps == 0:
        raise TrainingError(
            f"{len(parts['train'])} training patients do not fill one batch of {config.batch_size}; "
            "lower batch_size"
        )
    keep_freed_memory()
    set_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Pupil(config.vision, labels.shape[1]).to(device, memory_format=torch.channels_last)
    views = TrainingViews(images.shape[-1], LIGHT).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    total = steps * config.epochs
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(WARMUP * total), total)
    targets = torch.from_numpy(labels).float().to(device)
    history = resume(out / "last.pt", {"model": model, "optimizer": optimizer, "schedule": schedule})
    start = len(history)
    for epoch in range(start, config.epochs):
        name = f"epoch {epoch + 1}/{config.epochs}"
        set_seed(config.seed + epoch)  # of the augmentation: a resumed call draws the same
        order = np.random.default_rng((config.seed, epoch)).permutation(parts["train"])
        losses = []
        model.train()
        batches = np.split(order[: steps * config.batch_size], steps)
        with progress_bar(steps, f"naming findings, {name}", "step", line=False) as bar:
            for batch in batches:
                pixels = views(images[batch].transpose(0, 1).to(device))
                with autocast(device):
                    logits = model(normalise(pixels, GreyConfig.mean, GreyConfig.std))
                answers = torch.cat([logits, logits.mean(0, keepdim=True)])
                wanted = targets[batch].expand_as(answers)
                loss = nn.functional.binary_cross_entropy_with_logits(answers, wanted)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
                bar.update()
        if not np.isfinite(losses).all():
            raise TrainingError(f"epoch {epoch + 1}: the loss is not finite; lower learning_rate")
        rows = parts["validation"]
        score = mean_auroc(predict(model, images[rows])[:, 0], labels[rows])
        history.append({"epoch": epoch + 1, "loss": float(np.mean(losses)), "validation": score})
        print(f"{name}: loss {history[-1]['loss']:.4f}, validation AUROC {score:.3f}", flush=True)
        keep(out, {"model": model, "optimizer": optimizer, "schedule": schedule}, history)
    return model, pd.DataFrame(history)


def keep(out: Path, parts: Mapping[str, object], history: list[dict]) -> None:
    """Everything after an epoch, whole or not at all."""
    with replaced_file(out / "last.pt") as temporary:
        states = {name: part.state_dict() for name, part in parts.items()}
        torch.save(states | {"history": history}, temporary)
    with replaced_file(out / "history.csv") as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False, float_format="%.6g")


def resume(path: Path, parts: Mapping[str, object]) -> list[dict]:
    """Inverse of `keep`: fills the parts and returns the history, empty where nothing was kept."""
    if not path.exists():
        return []
    kept = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        try:
            part.load_state_dict(kept[name])
        except (RuntimeError, ValueError) as error:
            raise TrainingError(f"{path} is of other lessons ({error}); delete it to begin anew") from error
    return kept["history"]


@torch.no_grad()
def predict(model: Pupil, images: Tensor) -> np.ndarray:
    """Logits of uint8 radiographs `[N, V, S, S]`, film by film -> float32 `[N, V, K]`, not augmented."""
    model.eval()
    device = model.linear.weight.device
    logits = []
    for block in images.split(128):
        pixels = torch.stack([to_float(view) for view in block.to(device).unbind(1)])
        with autocast(device):
            answers = model(normalise(pixels, GreyConfig.mean, GreyConfig.std))
        logits.append(answers.transpose(0, 1).cpu())
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


def save_encoder(encoder: ResNetModel, folder: Path, provenance: Mapping[str, str]) -> None:
    """The encoder in half precision as a transformers folder; `provenance` goes into the file's metadata."""
    half = {name: w.half() if w.is_floating_point() else w for name, w in encoder.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    encoder.config.save_pretrained(folder)
    with replaced_file(folder / "model.safetensors") as temporary:
        contiguous = {name: weight.cpu().contiguous() for name, weight in half.items()}
        save_file(contiguous, temporary, metadata={"format": "pt", **provenance})
