"""The training loop: epochs, validation, the best checkpoint, and a state to resume from.

The same for one process and for several, on accelerate: each encodes its part of every batch, and all
contrast the whole batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.tensorboard import SummaryWriter
from transformers import PreTrainedTokenizerBase, get_cosine_schedule_with_warmup

from medprobclip.data.augment import TrainingViews, normalise
from medprobclip.data.dataset import Batch, StudyDataset
from medprobclip.data.report_similarity import ReportSimilarity, report_similarity
from medprobclip.evaluation.retrieval import first_match_ranks, recall_at, rsum
from medprobclip.model import MedProbCLIPModel
from medprobclip.processor import MedProbCLIPProcessor
from medprobclip.settings import AugmentationConfig, ObjectiveConfig, TrainingConfig
from medprobclip.support.files import replaced_folder
from medprobclip.support.memory import keep_freed_memory
from medprobclip.support.progress import progress_bar
from medprobclip.targets import BatchTargets
from medprobclip.training.mixing import Mix
from medprobclip.training.processes import Team
from medprobclip.training.sharing_out import embed_together
from medprobclip.training.state import load_state, save_state, write_history
from medprobclip.training.steps import BatchLoss, answers


class TrainingError(RuntimeError):
    """Training cannot start, resume or go on; the message says what to do."""


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
    one batch, for more processes than studies in a batch, when the objective needs expert codes that the
    table lacks, when several processes on CPUs would normalise batches, or when the loss is no longer finite.
    """
    config, objective = config or TrainingConfig(), objective or ObjectiveConfig()
    augmentation = augmentation or AugmentationConfig()
    team = Team.here()
    # Not every objective uses every weight (the pooling layer of a BERT, for one), but the same in each step.
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(static_graph=True)])
    refuse_processes(team, model, config, accelerator.device)
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
    set_seed(config.seed + team.rank)  # of views and dropout; the order of studies has its own
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(parameter_groups(model, config), weight_decay=config.weight_decay)
    total = steps * config.epochs
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(config.warmup * total), total)
    if team.number > 1 and accelerator.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    batch_loss, optimizer, schedule = accelerator.prepare(
        BatchLoss(model, objective, team), optimizer, schedule
    )
    # Before any state is loaded: a resumed run measures by the untrained encoder, too.
    try:
        reports = report_similarity(objective.soft, training_set.reports, model.text_model, tokenizer)
    except ValueError as error:
        raise TrainingError(
            f"soft '{objective.soft}': the training reports are of no use ({error})"
        ) from error

    history = load_state(accelerator, team, out)
    if team.leads:
        write_history(out, history)
        if 0 < len(history) < config.epochs:
            print(f"Resuming after epoch {len(history)} of {config.epochs}")
    with writer_of(team, out / "tensorboard", len(history) * steps) as writer:
        loop = EpochLoop(
            model, batch_loss, team, accelerator, optimizer, schedule, writer, config, objective,
            augmentation, TrainingViews(model.config.image_size, augmentation).to(accelerator.device),
            reports,
        )  # fmt: skip
        for epoch in range(len(history), config.epochs):
            started = time.perf_counter()
            row = {
                "epoch": epoch + 1,
                **loop.run(training_set, epoch),
                **validate(model, validation_set, team),
            }
            row["seconds"] = time.perf_counter() - started
            better = row["val_rsum"] > max((past["val_rsum"] for past in history), default=-math.inf)
            if better and team.leads:
                with replaced_folder(out / "checkpoint") as folder:
                    model.save_pretrained(folder)
                    MedProbCLIPProcessor.for_model(model.config, tokenizer).save_pretrained(folder)
            for name in (name for name in row if writer and name.startswith("val_")):
                writer.add_scalar(name.replace("val_", "validation/"), row[name], (epoch + 1) * steps)
            history.append(row)
            save_state(accelerator, team, out, history)
            if not team.leads:
                continue
            print(
                f"epoch {row['epoch']}/{config.epochs}: loss {row['loss']:.3f}, validation RSUM "
                f"{row['val_rsum']:.1f}, {row['seconds']:.0f} s",
                flush=True,
            )
            if on_epoch:
                on_epoch(pd.DataFrame(history))
    return pd.DataFrame(history)


def refuse_processes(
    team: Team, model: MedProbCLIPModel, config: TrainingConfig, device: torch.device
) -> None:
    """Raise TrainingError where several processes cannot do what one would."""
    if team.number > config.batch_size:
        raise TrainingError(f"{team.number} processes for batches of {config.batch_size}: start fewer")
    normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    if team.number > 1 and normalised and device.type != "cuda":
        raise TrainingError(
            f"{team.number} processes on CPUs would each normalise their own part of the batch only: this "
            "vision encoder has batch normalisation. Start one process, or take an encoder without (ViT)"
        )


def writer_of(team: Team, folder: Path, purge_step: int) -> AbstractContextManager[SummaryWriter | None]:
    """TensorBoard's, of the process that writes."""
    return SummaryWriter(folder, purge_step=purge_step) if team.leads else nullcontext()


def parameter_groups(model: MedProbCLIPModel, config: TrainingConfig) -> list[dict]:
    """What AdamW shall learn, and how fast: all but the vision backbone, and then that."""
    vision = list(model.vision_model.parameters())
    known = set(map(id, vision))
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {"params": rest, "lr": config.learning_rate},
        {"params": vision, "lr": config.learning_rate * config.vision_rate},
    ]


def validate(model: MedProbCLIPModel, dataset: StudyDataset, team: Team | None = None) -> dict[str, float]:
    """Retrieval on the validation studies: RSUM, and R@10 both ways, in percent points.

    Shared out over the processes, and joined in the order of the table.
    """
    embeddings = embed_together(model, dataset, team or Team())
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
    batch_loss: nn.Module  # `BatchLoss` of it, perhaps inside of DistributedDataParallel
    team: Team
    accelerator: Accelerator
    optimizer: Optimizer
    schedule: LRScheduler
    writer: SummaryWriter | None
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
        part = self.team.part(self.config.batch_size)
        batches = dataset.batches(self.config.batch_size, self.config.seed, epoch, self.augmentation, part)
        name = f"epoch {epoch + 1}/{self.config.epochs}"
        with progress_bar(steps, name, "step", shown=self.team.leads, line=False) as bar:
            for step, batch in enumerate(batches):
                terms = self.step(batch)
                if not math.isfinite(terms["loss"]):
                    raise TrainingError(f"{name}, step {step + 1}: not finite: {terms}; lower learning_rate")
                for term, value in terms.items():
                    sums[term] = sums.get(term, 0.0) + value
                    if self.writer:
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
            pixels, targets = self.mixed(pixels, targets, len(batch.rows))
        terms = self.batch_loss(batch, pixels, targets, spoilt)
        self.optimizer.zero_grad()
        self.accelerator.backward(terms["loss"])
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return {name: float(term.detach()) for name, term in terms.items()}

    def mixed(
        self, pixels: torch.Tensor, targets: BatchTargets, studies: int
    ) -> tuple[torch.Tensor, BatchTargets]:
        """Mix radiographs of the whole batch; pixels `[V, m, 1, S, S]` are this process's part of it."""
        mix = self.team.agreed(Mix.draw(studies, self.objective.mixed_share, self.model.config.image_size))
        if self.team.number == 1:
            return mix.images(pixels), mix.targets(targets)
        whole = self.team.joined(pixels.transpose(0, 1).contiguous(), studies).transpose(0, 1)
        return mix.images(whole)[:, self.team.part(studies)], mix.targets(targets)
