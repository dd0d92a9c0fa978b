"""The training loop: epochs, validation, the best checkpoint, and a state to resume from."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedTokenizerBase, get_cosine_schedule_with_warmup

from medprobclip.data.augment import TrainingViews, normalise
from medprobclip.data.dataset import SECTIONS, Batch, StudyDataset, Texts
from medprobclip.data.report_similarity import ReportSimilarity, report_similarity
from medprobclip.evaluation.embedding import embed
from medprobclip.evaluation.retrieval import first_match_ranks, recall_at, rsum
from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.objectives import Views, batch_targets, objective_terms
from medprobclip.processor import MedProbCLIPProcessor
from medprobclip.settings import AugmentationConfig, ObjectiveConfig, TrainingConfig
from medprobclip.support.files import recovered_folder, replaced_file, replaced_folder, to_json
from medprobclip.support.memory import keep_freed_memory
from medprobclip.support.precision import autocast
from medprobclip.support.progress import progress_bar
from medprobclip.targets import BatchTargets
from medprobclip.training.mixing import Mix

TEXT_GROUPS = 4  # of a section's texts in a batch, by length: 4 were quicker than 2 or 8


class TrainingError(RuntimeError):
    """Training cannot start, resume or go on; the message says what to do."""


def answers(batch: Batch, objective: ObjectiveConfig, reports: ReportSimilarity | None) -> BatchTargets:
    """What is right, partly right or left out in a batch.

    `reports` are those of the batch's dataset, for soft targets. Raises ValueError when the objective asks
    for a coding or a similarity that is not there.
    """
    similarity = None if reports is None else reports.between(batch.rows).to(batch.images.device)
    return batch_targets(objective, batch.text_ids, batch.coding, similarity)


def encode_views(
    model: MedProbCLIPModel,
    batch: Batch,
    pixels: torch.Tensor,
    targets: BatchTargets | None = None,
    sections: int = len(SECTIONS),
    spoilt: bool = False,
) -> Views:
    """One forward for all views and one for each of the first sections: pixels `[V, B, 1, S, S]` -> Views.

    With `spoilt` the last of the V are copies of the first for the inclusion term. The sections differ in
    length (an impression is short), so each is padded to its own longest text.
    """
    with autocast(pixels.device):
        images = model.encode_image(pixels.flatten(0, 1))
        reports = tuple(encode_texts(model, texts) for texts in batch.sections[:sections])
    *images, copies = images.chunk(len(pixels)) if spoilt else (*images.chunk(len(pixels)), None)
    return Views(tuple(images), reports, targets, copies)


def encode_texts(model: MedProbCLIPModel, texts: Texts) -> Gaussian:
    """As `encode_text` of all together; on a CPU in groups of similar length, each padded to its longest.

    Most of a batch's tokens are padding otherwise: a third less time. A GPU would wait for its launches.
    """
    if texts.input_ids.device.type != "cpu":
        return model.encode_text(texts.input_ids, texts.attention_mask)
    lengths = texts.attention_mask.sum(1)
    order = lengths.argsort(stable=True)
    parts = []
    for rows in order.chunk(TEXT_GROUPS):
        longest = int(lengths[rows].max())
        parts.append(model.encode_text(texts.input_ids[rows, :longest], texts.attention_mask[rows, :longest]))
    return Gaussian.cat(parts)[order.argsort()]


def train(
    model: MedProbCLIPModel,
    tokenizer: PreTrainedTokenizerBase,
    training_set: StudyDataset,
    validation_set: StudyDataset,
    out: Path,
    config: TrainingConfig | None = None,
    objective: ObjectiveConfig | None = None,
    augmentation: AugmentationConfig | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Train, keep the epoch with the best validation RSUM, and return the history, one row an epoch.

    Writes `out/checkpoint` (best model and its processor), `out/history.csv`, `out/tensorboard` and, after
    each epoch, `out/last`, from which an interrupted call goes on exactly where that epoch ended.
    `on_epoch` is called with the history so far. Raises TrainingError when there are fewer studies than
    one batch, on several processes, when the objective needs expert codes that the table lacks, or when the
    loss is no longer finite.
    """
    config, objective = config or TrainingConfig(), objective or ObjectiveConfig()
    augmentation = augmentation or AugmentationConfig()
    accelerator = Accelerator()
    refuse_several_processes(accelerator.num_processes)
    steps = len(training_set) // config.batch_size
    if steps == 0:
        raise TrainingError(
            f"{len(training_set)} training studies do not fill one batch of {config.batch_size}; "
            "lower batch_size"
        )
    if objective.equal_coding != "negative" and training_set.coding is None:
        raise TrainingError(
            f"equal_coding '{objective.equal_coding}' needs expert codes: the training table has no column "
            "`codes`. Add it, or leave equal_coding at negative"
        )
    keep_freed_memory()
    set_seed(config.seed)
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(parameter_groups(model, config), weight_decay=config.weight_decay)
    total = steps * config.epochs
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(config.warmup * total), total)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    # Before any state is loaded: a resumed run measures by the untrained encoder, too.
    try:
        reports = report_similarity(objective.soft, training_set.reports, model.text_model, tokenizer)
    except ValueError as error:
        raise TrainingError(
            f"soft '{objective.soft}': the training reports are of no use ({error})"
        ) from error

    history = load_state(accelerator, out)
    write_history(out, history)
    if 0 < len(history) < config.epochs:
        print(f"Resuming after epoch {len(history)} of {config.epochs}")
    with SummaryWriter(out / "tensorboard", purge_step=len(history) * steps) as writer:
        loop = EpochLoop(
            model, accelerator, optimizer, schedule, writer, config, objective, augmentation,
            TrainingViews(model.config.image_size, augmentation).to(accelerator.device), reports,
        )  # fmt: skip
        for epoch in range(len(history), config.epochs):
            started = time.perf_counter()
            row = {"epoch": epoch + 1, **loop.run(training_set, epoch), **validate(model, validation_set)}
            row["seconds"] = time.perf_counter() - started
            if row["val_rsum"] > max((past["val_rsum"] for past in history), default=-math.inf):
                with replaced_folder(out / "checkpoint") as folder:
                    accelerator.unwrap_model(model).save_pretrained(folder)
                    MedProbCLIPProcessor.for_model(model.config, tokenizer).save_pretrained(folder)
            for name in (name for name in row if name.startswith("val_")):
                writer.add_scalar(name.replace("val_", "validation/"), row[name], (epoch + 1) * steps)
            history.append(row)
            save_state(accelerator, out, history)
            print(
                f"epoch {row['epoch']}/{config.epochs}: loss {row['loss']:.3f}, validation RSUM "
                f"{row['val_rsum']:.1f}, {row['seconds']:.0f} s",
                flush=True,
            )
            if on_epoch:
                on_epoch(pd.DataFrame(history))
    return pd.DataFrame(history)


def launched_processes() -> int:
    """How many processes a distributed launcher says it has started."""
    said = os.environ.get("WORLD_SIZE", "")
    return int(said) if said.isdecimal() else 1


def refuse_several_processes(count: int) -> None:
    """Raise TrainingError when there is more than one."""
    if count > 1:
        raise TrainingError(
            "training runs in one process: several would each contrast their own part of the batch only. "
            "Start it without a distributed launcher (torchrun, accelerate launch)"
        )


def parameter_groups(model: MedProbCLIPModel, config: TrainingConfig) -> list[dict]:
    """What AdamW shall learn, and how fast: all but the vision backbone, and then that."""
    vision = list(model.vision_model.parameters())
    known = set(map(id, vision))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {"params": rest, "lr": config.learning_rate},
        {"params": vision, "lr": config.learning_rate * config.vision_rate},
    ]


def validate(model: MedProbCLIPModel, dataset: StudyDataset) -> dict[str, float]:
    """Retrieval on the validation studies: RSUM, and R@10 both ways, in percent points."""
    embeddings = embed(model, dataset)
    scores, matches = embeddings.scores(model), embeddings.matches()
    return {
        "val_rsum": rsum(scores, matches),
        "val_R@10_i2t": recall_at(first_match_ranks(scores, matches), 10),
        "val_R@10_t2i": recall_at(first_match_ranks(scores.T, matches.T), 10),
    }


@dataclass(frozen=True)
class EpochLoop:
    """What one pass over the training studies needs."""

    model: MedProbCLIPModel
    accelerator: Accelerator
    optimizer: Optimizer
    schedule: LRScheduler
    writer: SummaryWriter
    config: TrainingConfig
    objective: ObjectiveConfig
    augmentation: AugmentationConfig
    views: TrainingViews
    reports: ReportSimilarity | None

    def run(self, dataset: StudyDataset, epoch: int) -> dict[str, float]:
        """Train for one epoch; returns the mean of every term, the last learning rate, and a and b."""
        self.model.train()
        steps = len(dataset) // self.config.batch_size
        sums: dict[str, float] = {}
        batches = dataset.batches(self.config.batch_size, self.config.seed, epoch, self.augmentation)
        name = f"epoch {epoch + 1}/{self.config.epochs}"
        with progress_bar(steps, name, "step", line=False) as bar:
            for step, batch in enumerate(batches):
                terms = self.step(batch)
                if not math.isfinite(terms["loss"]):
                    raise TrainingError(f"{name}, step {step + 1}: not finite: {terms}; lower learning_rate")
                for term, value in terms.items():
                    sums[term] = sums.get(term, 0.0) + value
                    self.writer.add_scalar(f"train/{term}", value, epoch * steps + step)
                bar.set_postfix(loss=f"{terms['loss']:.3f}", refresh=False)
                bar.update()
        return {term: total / steps for term, total in sums.items()} | {
            "learning_rate": self.schedule.get_last_lr()[0],
            "scale_a": float(self.model.similarity.a.detach()),
            "shift_b": float(self.model.similarity.b.detach()),
        }

    def step(self, batch: Batch) -> dict[str, float]:
        """One update of the weights; returns the terms of the objective before it."""
        batch = batch.to(self.accelerator.device)
        settings, objective = self.model.config, self.objective
        spoilt = objective.inclusion_weight > 0
        augmented = self.views(batch.images[: objective.views], spoilt)
        pixels = normalise(augmented, settings.image_mean, settings.image_std)
        targets = answers(batch, objective, self.reports)
        if objective.mixed_share:
            mix = Mix.draw(len(batch.rows), objective.mixed_share, settings.image_size)
            pixels, targets = mix.images(pixels), mix.targets(targets)
        views = encode_views(self.model, batch, pixels, targets, objective.sections, spoilt)
        terms = objective_terms(views, self.model.similarity, objective)
        self.optimizer.zero_grad()
        self.accelerator.backward(terms["loss"])
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return {name: float(term.detach()) for name, term in terms.items()}


def save_state(accelerator: Accelerator, out: Path, history: list[dict]) -> None:
    """Model, optimizer, schedule, random states and history after an epoch, whole or not at all."""
    with replaced_folder(out / "last") as folder:
        accelerator.save_state(str(folder))
        (folder / "history.json").write_text(to_json(history))
    write_history(out, history)


def write_history(out: Path, history: list[dict]) -> None:
    """`history.csv`, for people; what counts is the copy inside the saved state."""
    with replaced_file(out / "history.csv") as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


def read_history(out: Path) -> pd.DataFrame:
    """The finished epochs of the run in `out`, one row each, empty before the first."""
    folder = recovered_folder(Path(out) / "last")
    return pd.DataFrame(json.loads((folder / "history.json").read_text()) if folder else [])


def load_state(accelerator: Accelerator, out: Path) -> list[dict]:
    """Inverse of `save_state`: restores the state in place and returns the history, empty when fresh."""
    folder = recovered_folder(out / "last")
    if folder is None:
        return []
    accelerator.load_state(str(folder))
    return json.loads((folder / "history.json").read_text())
