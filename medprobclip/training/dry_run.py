"""What a training would take, before it is begun: parameters, memory, steps, time. Nothing is written."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from transformers import BertConfig, ViTConfig

from medprobclip.data.augment import TrainingViews
from medprobclip.data.dataset import SECTIONS, Batch, Texts
from medprobclip.data.studies import read_studies
from medprobclip.model import MedProbCLIPConfig, MedProbCLIPModel
from medprobclip.settings import EncoderConfig
from medprobclip.support.precision import autocast, has_bfloat16
from medprobclip.support.threads import pinned_threads
from medprobclip.training.chunks import refuse_batch_normalisation
from medprobclip.training.encoders import MODEL_FIELDS, build_model
from medprobclip.training.engine import accelerator_for, refuse_processes
from medprobclip.training.errors import TrainingError
from medprobclip.training.memory_need import MemoryNeed, memory_need, parameters_by_part
from medprobclip.training.preflight import complete_studies
from medprobclip.training.processes import Team
from medprobclip.training.profiles import Profile
from medprobclip.training.rates import parameter_groups
from medprobclip.training.steps import BatchLoss
from medprobclip.training.updates import Updates

GB = 1e9  # as everywhere in `benchmarks`
BATCH_SIZES = (8, 16, 32, 64, 128, 256)
STEPS = 2
LESS = "a smaller --batch_size, --gradient_checkpointing or --chunk"
TIMES = "; seconds a step, linear from those measured, a third more with checkpointing"
MORE_TIME = 4 / 3  # checkpointing adds a forward pass to one forward and a backward pass of two
# The paper's encoders by their hub names; the configurations' defaults are their sizes: ViT-B/16 (Dosovitskiy
# 2021, arXiv 2010.11929, Table 1; as on the hub without dropout) and BERT base with BiomedBERT's 30,522
# words (Gu 2021, arXiv 2007.15779).
KNOWN = {
    "google/vit-base-patch16-224": lambda: ViTConfig(num_channels=1, image_size=224),
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext": lambda: BertConfig(vocab_size=30522),
}


@dataclass(frozen=True)
class MadeUpTokenizer:
    """What building a small text model asks of a tokenizer: as many words as it may have."""

    words: int
    pad_token_id: int = 0

    def __len__(self) -> int:
        return self.words


def dry_run(profile: Profile, tables: Mapping[str, Path] | None = None) -> pd.DataFrame:
    """Print what training this profile takes, and train two steps on made-up input; returns `memory_table`.

    Of the tables only "training" is read, for the number of steps; no picture is. Raises StudyTableError for
    it, OSError and ValueError for encoders as `build_model`, TrainingError when a step is not finite, or
    processes, precision or chunk do not fit the encoders or the device.
    """
    team, config, accelerator = Team.here(), profile.training, accelerator_for(profile.training)
    precision = precision_on(accelerator.device, config.precision)
    model, told = made_up_model(profile)
    refuse_processes(team, model, config, accelerator.device)
    try:  # as the training does, before anything is told
        autocast(accelerator.device, config.precision)
        if profile.machine.chunk:
            refuse_batch_normalisation(model.train())
    except ValueError as error:
        raise TrainingError(str(error)) from error
    for line in told:
        team.say(line)
    team.say(parameter_text(model))
    team.say(steps_text(profile, (tables or {}).get("training")))
    own = team.sizes(config.batch_size)[0]  # of a batch, where it is shared out
    need = profile_need(model, profile, own, precision, profile.encoders.gradient_checkpointing)
    team.say(need_text(need, own, profile, precision, team))
    table = memory_table(model, profile, precision)  # before the weights move to the device
    try:
        refuse_too_much(need, accelerator.device, team)
        with pinned_threads(config.threads):
            seconds, most = trial_steps(model, profile, team, accelerator)
    except (torch.OutOfMemoryError, MemoryError) as error:
        team.say(f"\nNo step was trained, none would fit: {error}. Try {LESS}")
    else:
        team.say(trial_text(seconds, most, need, config.batch_size, accelerator.device))
        table = with_seconds(table, profile, seconds[-1] / config.batch_size)
    told = table.to_string(index=False, float_format=lambda x: f"{x:.3g}")
    team.say(
        f"\nBatch sizes on one process, estimated: GB at most{TIMES if 'plain_s' in table else ''}\n{told}"
    )
    team.say("Nothing was written.")
    return table


def precision_on(device: torch.device, precision: str) -> torch.dtype:
    """The type that the encoders compute in there."""
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    return getattr(torch, precision)


def made_up_model(profile: Profile) -> tuple[MedProbCLIPModel, list[str]]:
    """The model of a profile, and what is to be told of it.

    The paper's encoders are built from their sizes, with weights at random: nothing is downloaded. Raises
    what `build_model` does for others.
    """
    encoders, settings = profile.encoders, profile.objective.model_settings()
    set_seed(profile.training.seed)
    if not {encoders.vision, encoders.text} <= KNOWN.keys():
        return build_model(encoders, MadeUpTokenizer(encoders.vocab_size), **settings), []
    settings |= {name: getattr(encoders, name) for name in MODEL_FIELDS}
    vision, text = KNOWN[encoders.vision](), KNOWN[encoders.text]()
    model = MedProbCLIPModel(MedProbCLIPConfig(vision_config=vision, text_config=text, **settings))
    model.freeze(encoders.freeze)
    if encoders.gradient_checkpointing:
        model.activation_checkpointing_enable()
    names = f"{encoders.vision} and {encoders.text}"
    return model, [f"{names}: built from their sizes, weights at random, nothing downloaded"]


def profile_need(
    model: MedProbCLIPModel, profile: Profile, studies: int, precision: torch.dtype, checkpointing: bool
) -> MemoryNeed:
    """`memory_need` with the other settings of a profile; texts are as long as they may be."""
    objective, chunk = profile.objective, profile.machine.chunk
    tokens = objective.sections * [longest_text(model, profile.encoders)]
    return memory_need(model, studies, tokens, objective, precision, checkpointing, chunk)


def longest_text(model: MedProbCLIPModel, encoders: EncoderConfig) -> int:
    """Tokens of the longest text that is not cut."""
    return min(encoders.max_tokens, getattr(model.config.text_config, "max_position_embeddings", 2**31))


def memory_table(model: MedProbCLIPModel, profile: Profile, precision: torch.dtype) -> pd.DataFrame:
    """Batch size against estimated GB at one time, with and without gradient checkpointing."""
    rows = []
    for studies in BATCH_SIZES:
        needs = [profile_need(model, profile, studies, precision, again) for again in (False, True)]
        plain, checkpointing = (need.most / GB for need in needs)
        rows.append({"batch_size": studies, "plain_gb": plain, "checkpointing_gb": checkpointing})
    return pd.DataFrame(rows)


def with_seconds(table: pd.DataFrame, profile: Profile, seconds: float) -> pd.DataFrame:
    """`memory_table` with seconds a step, linear from the measured `seconds` a study."""
    measured = profile.encoders.gradient_checkpointing
    columns = {"plain_s": MORE_TIME**-measured, "checkpointing_s": MORE_TIME ** (1 - measured)}
    return table.assign(**{name: table["batch_size"] * seconds * factor for name, factor in columns.items()})


def refuse_too_much(need: MemoryNeed, device: torch.device, team: Team) -> None:
    """Raise MemoryError where a step on a CPU would need more than the machine has: it would be killed."""
    if device.type != "cpu" or not hasattr(os, "sysconf"):
        return
    there, wanted = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), need.most * team.number
    if wanted > there:
        raise MemoryError(f"{wanted / GB:.1f} GB are needed, this machine has {there / GB:.1f} GB")


def made_up_batch(model: MedProbCLIPModel, profile: Profile, part: slice) -> Batch:
    """Studies of noise whose texts are as long as they may be; of a `part` of them images and texts."""
    studies, px, generator = profile.training.batch_size, model.config.image_size, torch.Generator()
    generator.manual_seed(profile.training.seed)
    rows, tokens = torch.arange(studies), longest_text(model, profile.encoders)
    images = torch.randint(0, 256, (2, studies, px, px), generator=generator, dtype=torch.uint8)

    def texts() -> Texts:
        shape = studies, tokens
        ids = torch.randint(1, model.config.text_config.vocab_size, shape, generator=generator)[part]
        return Texts(ids, torch.ones_like(ids))

    coding = rows if profile.objective.equal_coding != "negative" else None
    return Batch(rows, images[:, part], (texts(), texts()), (rows, rows), coding)


class MadeUpReports:
    """Stands for the reports of a soft objective: each is like itself only."""

    def between(self, rows: Tensor) -> Tensor:
        """Similarities `[B, B]`."""
        return torch.eye(len(rows))


def trial_steps(
    model: MedProbCLIPModel, profile: Profile, team: Team, accelerator: Accelerator
) -> tuple[list[float], int | None]:
    """Seconds of each of two steps of the training, and the most bytes held on a GPU (None on a CPU)."""
    config, objective = profile.training, profile.objective
    batch = made_up_batch(model, profile, team.part(config.batch_size))
    model.to(memory_format=torch.channels_last).train()
    if profile.machine.compile:
        model.vision_model.compile()
        model.text_model.compile(dynamic=True)
    optimizer = AdamW(parameter_groups(model, config), weight_decay=config.weight_decay)
    batch_loss, optimizer, schedule = accelerator.prepare(
        BatchLoss(model, objective, team, config.precision), optimizer, LambdaLR(optimizer, lambda _: 1.0)
    )
    views = TrainingViews(model.config.image_size, profile.augmentation).to(accelerator.device)
    reports = MadeUpReports() if objective.soft != "none" else None
    updates = Updates(
        model, batch_loss, team, accelerator, optimizer, schedule, config, profile.machine, objective, views,
        reports,
    )  # fmt: skip
    gpu, seconds = accelerator.device.type == "cuda", []
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(STEPS):
        began = time.perf_counter()
        updates.step(batch)  # its terms come back as numbers: the device is done then
        if gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds, torch.cuda.max_memory_allocated() if gpu else None


def parameter_text(model: MedProbCLIPModel) -> str:
    """Parameters by part."""
    counts = parameters_by_part(model)
    counts["in all"] = {kind: sum(part[kind] for part in counts.values()) for kind in ("learning", "frozen")}
    lines = [f"{part:16}{n['learning']:>14,}{n['frozen']:>14,}" for part, n in counts.items()]
    return "\n".join([f"{'Parameters':16}{'learning':>14}{'frozen':>14}", *lines])


def steps_text(profile: Profile, csv: Path | None) -> str:
    """Steps an epoch and in all, where a table says how many studies there are."""
    size, epochs = profile.training.batch_size, profile.training.epochs
    if csv is None:
        return f"\nSteps: studies // {size} an epoch, {epochs} epochs (--train_csv tells how many studies)"
    studies = complete_studies(read_studies(csv), SECTIONS, profile.augmentation.one_section)
    steps = studies // size
    lack = "" if steps else ": too few for one batch"
    return f"\nSteps: {studies:,} studies, {steps:,} an epoch, {steps * epochs:,} in {epochs} epochs{lack}"


def need_text(need: MemoryNeed, studies: int, profile: Profile, precision: torch.dtype, team: Team) -> str:
    """The estimate, part by part."""
    how = [str(precision).removeprefix("torch.")]
    how += ["gradient checkpointing"] if profile.encoders.gradient_checkpointing else []
    how += [f"{profile.machine.chunk} at a time"] if profile.machine.chunk else []
    where = "" if team.number == 1 else f" on each of {team.number} processes"
    parts = {
        "weights": need.weights,
        "gradients": need.gradients,
        "AdamW's moments": need.moments,
        "activations": need.activations,
        "most at one time": need.most,
    }
    lines = [f"{name:16}{size_text(size):>12}" for name, size in parts.items()]
    title = f"\nMemory of a step on {studies} studies{where}, {', '.join(how)}, longest texts (estimated)"
    return "\n".join([title, *lines, "Beyond it: CUDA itself, 0.3 to 0.5 GB, and gaps between blocks."])


def size_text(size: int) -> str:
    """Bytes in GB or MB."""
    return f"{size / GB:.2f} GB" if size >= GB else f"{1e3 * size / GB:.2f} MB"


def trial_text(
    seconds: list[float], most: int | None, need: MemoryNeed, studies: int, device: torch.device
) -> str:
    """What the steps on made-up input took."""
    times = " and ".join(f"{s:.3g} s" for s in seconds)
    text = f"\n{len(seconds)} steps on made-up input, {device.type}: {times}; {studies / seconds[-1]:.3g}"
    text += " studies a second"
    if most is None:
        return f"{text}. Memory is measured on a GPU only."
    return f"{text}; {size_text(most)} at most, estimated {size_text(need.most)}"
