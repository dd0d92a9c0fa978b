"""The training loop: epochs, validation, the best checkpoint, and a state to resume from.

The same for one process and for several, on accelerate: each encodes its part of every batch, and all
contrast the whole batch.
"""

from __future__ import annotations

import math
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from accelerate.utils import set_seed
from safetensors import SafetensorError
from torch import nn
from torch.optim import AdamW
from transformers import PreTrainedTokenizerBase, get_cosine_schedule_with_warmup

from medprobclip.data.augment import TrainingViews
from medprobclip.data.dataset import StudyDataset
from medprobclip.data.reading import BatchReader, ReaderError
from medprobclip.data.report_similarity import report_similarity
from medprobclip.evaluation.retrieval import first_match_ranks, recall_at, rsum
from medprobclip.model import MedProbCLIPModel
from medprobclip.processor import MedProbCLIPProcessor
from medprobclip.settings import AugmentationConfig, ObjectiveConfig
from medprobclip.support.files import replaced_folder
from medprobclip.support.memory import keep_freed_memory
from medprobclip.support.precision import autocast
from medprobclip.training.chunks import refuse_batch_normalisation
from medprobclip.training.engine import accelerator_for, refuse_processes, set_rates
from medprobclip.training.errors import TrainingError
from medprobclip.training.processes import Team
from medprobclip.training.rates import parameter_groups
from medprobclip.training.sharing_out import embed_together
from medprobclip.training.state import Progress, load_state, save_state, states, write_history
from medprobclip.training.steps import BatchLoss
from medprobclip.training.stopping import StopRequest, TrainingStopped
from medprobclip.training.telling import Telling
from medprobclip.training.updates import Updates, floats
from medprobclip.training_settings import MachineConfig, TrainingConfig

# What gloo and NCCL say when the other end is gone.
_LOST = re.compile(r"[Cc]onnection (closed|reset)|Broken pipe|remote process exited|peer|NCCL")


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
    machine: MachineConfig | None = None,
) -> pd.DataFrame:
    """Train, keep the epoch with the best validation RSUM, and return the history, one row an epoch.

    Writes `out/checkpoint` (best model and its processor), `out/history.csv`, `out/metrics.jsonl`,
    `out/tensorboard` and, after each epoch, every `save_every` steps and when a signal asks to stop,
    `out/states`, from which an interrupted call goes on exactly where it was. `on_epoch` is called with the
    history so far. Raises TrainingError when there are fewer studies than one batch, for more processes than
    studies in a batch, when the objective needs expert codes that the table lacks, when several processes on
    CPUs would normalise batches, when a term is no longer finite, when a state cannot be written or read, or
    a process that reads ahead ends; TrainingStopped after a signal.
    """
    config, objective = config or TrainingConfig(), objective or ObjectiveConfig()
    augmentation, machine = augmentation or AugmentationConfig(), machine or MachineConfig()
    team = Team.here()
    accelerator = accelerator_for(config)
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
    set_seed((config.seed + team.rank) % 2**32)  # of views and dropout; the order of studies has its own
    model.to(memory_format=torch.channels_last)
    try:
        optimizer = AdamW(parameter_groups(model, config), weight_decay=config.weight_decay)
    except ValueError as error:
        raise TrainingError(str(error)) from error
    total = steps * config.epochs
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(config.warmup * total), total)
    if team.number > 1 and accelerator.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    try:
        autocast(accelerator.device, config.precision)
        if machine.chunk:
            refuse_batch_normalisation(model.train())
    except ValueError as error:
        raise TrainingError(str(error)) from error
    if machine.compile:
        model.vision_model.compile()  # in place: the names of the weights stay
        model.text_model.compile(dynamic=True)  # texts differ in length
    batch_loss, optimizer, schedule = accelerator.prepare(
        BatchLoss(model, objective, team, config.precision), optimizer, schedule
    )
    # Before any state is loaded: a resumed run measures by the untrained encoder, too.
    try:
        reports = report_similarity(objective.soft, training_set.reports, model.text_model, tokenizer)
    except ValueError as error:
        raise TrainingError(
            f"soft '{objective.soft}': the training reports are of no use ({error})"
        ) from error

    progress = load_state(accelerator, team, out, config.seed)
    set_rates(optimizer, schedule)
    if team.leads:
        write_history(out, progress.history)
    if (progress.epoch or progress.step) and progress.epoch < config.epochs:
        team.say(f"Resuming after {progress.place(steps, config.epochs)}")
    views = TrainingViews(model.config.image_size, augmentation).to(accelerator.device)
    updates = Updates(
        model, batch_loss, team, accelerator, optimizer, schedule, config, machine, objective, views, reports
    )
    part = team.part(config.batch_size)
    try:
        told = Telling(
            out, team, asdict(config) | asdict(objective) | asdict(augmentation), machine.report_to,
            config.epochs, steps, config.batch_size, (progress.epoch, progress.step), accelerator.device,
        )  # fmt: skip
    except ValueError as error:
        raise TrainingError(str(error)) from error
    try:
        with (
            StopRequest() as stop,
            BatchReader(
                training_set, config.batch_size, config.seed, augmentation, part, machine.workers,
                config.length_buckets,
            ) as reader,
            told,
        ):  # fmt: skip
            loop = Loop(updates, reader, out, progress, steps, stop, told)
            while progress.epoch < config.epochs:
                with loop.clear_errors():
                    loop.epoch()
                    loop.validated(validation_set, tokenizer)
                if team.leads and on_epoch:
                    on_epoch(pd.DataFrame(progress.history))
                loop.heed()
            told.end(progress.history)
    except ReaderError as error:  # torch tells it wherever the training happens to be
        raise TrainingError(f"{error}. {kept(out)}") from error
    return pd.DataFrame(progress.history)


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
class Loop:
    """Steps and epochs of one training, with what is saved and told of them."""

    updates: Updates
    reader: BatchReader
    out: Path
    progress: Progress
    steps: int  # an epoch
    stop: StopRequest
    told: Telling

    def epoch(self) -> None:
        """Train to the end of the epoch, from wherever it was left; its state is saved."""
        progress, updates, config = self.progress, self.updates, self.updates.config
        updates.model.train()
        start = progress.step
        began, name = time.perf_counter() - progress.seconds, f"epoch {progress.epoch + 1}/{config.epochs}"
        with self.told.during(progress.epoch, progress.step):
            for batch in self.reader.epoch(progress.epoch, progress.step):
                try:
                    terms, told = updates.step(batch)
                except TrainingError as error:
                    said = f"{name}, step {progress.step + 1}: {error}. {kept(self.out)}"
                    raise TrainingError(said) from error
                progress.count(terms)
                progress.seconds = time.perf_counter() - began
                overall = progress.epoch * self.steps + progress.step
                self.told.step(overall, terms | told)
                if progress.step < self.steps:
                    self.heed(save=True)
                    if overall % updates.machine.save_every == 0:
                        self.save()
        if progress.step > start:  # else it was read from there
            self.save()  # validation may take long
        self.heed()

    def validated(self, dataset: StudyDataset, tokenizer: PreTrainedTokenizerBase) -> None:
        """The epoch's row: mean terms, last rate, a and b, validation; the best model is kept."""
        progress, updates = self.progress, self.updates
        model, team, began = updates.model, updates.team, time.perf_counter()
        with self.stop.at_once(team.number == 1):
            try:
                found = validate(model, dataset, team)
            except TrainingStopped as error:
                raise self.stopped() from error
        row = {
            "epoch": progress.epoch + 1,
            **{term: total / self.steps for term, total in progress.sums.items()},
            "learning_rate": updates.schedule.get_last_lr()[0],
            **floats(updates.scale_and_shift()),
            **found,
            "seconds": progress.seconds + time.perf_counter() - began,
        }
        best = max((past["val_rsum"] for past in progress.history), default=-math.inf)
        if row["val_rsum"] > best:
            self.keep_best(tokenizer)
        progress.finish(row)
        self.told.epoch(progress.epoch * self.steps, row)
        self.save()

    def keep_best(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """The model as it is now, into `checkpoint`; the one before stays where that fails."""
        model, place = self.updates.model, self.out / "checkpoint"
        try:
            with self.updates.team.all_or_none():
                if self.updates.team.leads:
                    with replaced_folder(place) as folder:
                        model.save_pretrained(folder)
                        MedProbCLIPProcessor.for_model(model.config, tokenizer).save_pretrained(folder)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise TrainingError(f"{place}: cannot be saved ({error}). {kept(self.out)}") from error

    def save(self) -> None:
        """The state as it is now."""
        updates = self.updates
        self.told.flush()
        save_state(updates.accelerator, updates.team, self.out, self.progress, updates.machine.keep_states)

    def heed(self, save: bool = False) -> None:
        """Raise TrainingStopped where a signal asked to stop, here or in another process; `save` before."""
        if self.updates.team.anyone(bool(self.stop.number)):
            if save:
                self.save()
            raise self.stopped()

    def stopped(self) -> TrainingStopped:
        """What is said then."""
        place = self.progress.place(self.steps, self.updates.config.epochs)
        number = self.stop.number or signal.SIGTERM  # of another process
        if not self.updates.team.leads:
            return TrainingStopped("", number)  # the first one says it
        said = f"Stopped by {signal.Signals(number).name} after {place}; the state is saved: the same goes on"
        return TrainingStopped(said, number)

    @contextmanager
    def clear_errors(self) -> Iterator[None]:
        """A process that died, of those that read or that train, in words, and where the training goes on."""
        try:
            yield
        except TrainingError:
            raise
        except RuntimeError as error:
            if self.updates.team.number == 1 or not _LOST.search(str(error)):
                raise
            said = f"another process of this training ended, see what it said ({str(error).splitlines()[0]})"
            raise TrainingError(f"{said}. {kept(self.out)}") from error


def kept(out: Path) -> str:
    """Where an ended training goes on."""
    last = states(out)
    return f"{last[0]} is as it was" if last else "No state was saved yet"
