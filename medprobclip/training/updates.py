"""One update of the weights: a batch -> terms, gradients, a step; or an error that leaves all as it was."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from medprobclip.data.augment import TrainingViews, normalise
from medprobclip.data.dataset import Batch
from medprobclip.data.report_similarity import ReportSimilarity
from medprobclip.model import MedProbCLIPModel
from medprobclip.settings import ObjectiveConfig
from medprobclip.targets import BatchTargets
from medprobclip.training.chunks import backward_in_chunks
from medprobclip.training.errors import TrainingError
from medprobclip.training.mixing import Mix
from medprobclip.training.processes import Team
from medprobclip.training.steps import answers
from medprobclip.training_settings import MachineConfig, TrainingConfig


@dataclass(frozen=True)
class Updates:
    """What an update of the weights needs."""

    model: MedProbCLIPModel
    batch_loss: nn.Module  # `BatchLoss` of it, perhaps inside of DistributedDataParallel
    team: Team
    accelerator: Accelerator
    optimizer: Optimizer
    schedule: LRScheduler
    config: TrainingConfig
    machine: MachineConfig
    objective: ObjectiveConfig
    views: TrainingViews
    reports: ReportSimilarity | None

    def step(self, batch: Batch) -> tuple[dict[str, float], dict[str, float]]:
        """Update the weights once; returns the terms of the objective before it, and what else is told of it.

        Raises TrainingError, before any weight changes, when a term or the gradient is not finite. With
        float16 see `finite`: its scaler then leaves the step out, and scales less.
        """
        batch = batch.to(self.accelerator.device)
        settings, objective = self.model.config, self.objective
        spoilt = objective.inclusion_weight > 0
        augmented = self.views(batch.images[: objective.views], spoilt)
        pixels = normalise(augmented, settings.image_mean, settings.image_std)
        targets = answers(batch, objective, self.reports)
        if objective.mixed_share:
            pixels, targets = self.mixed(pixels, targets, len(batch.rows))
        self.optimizer.zero_grad()
        terms = self.backward(batch, pixels, targets, spoilt)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        found = floats({**terms, "gradient_norm": norm, **self.scale_and_shift()})
        told = {name: found.pop(name) for name in list(found) if name not in terms or "/" in name}
        gradient = told["gradient_norm"]
        scaler = self.accelerator.scaler
        if not finite(found.values(), gradient, scaler.get_scale() if scaler else None):
            raise TrainingError(f"not finite: {found}, gradient {gradient}; lower learning_rate")
        self.optimizer.step()
        if not self.accelerator.optimizer_step_was_skipped:
            self.schedule.step()
        return found, told | self.rates()

    def backward(
        self, batch: Batch, pixels: Tensor, targets: BatchTargets, spoilt: bool
    ) -> dict[str, Tensor]:
        """The terms of the batch, and the gradients of its loss."""
        if self.machine.chunk:
            bare = self.accelerator.unwrap_model(self.batch_loss)
            what = (batch, pixels, targets, spoilt, self.machine.chunk, self.accelerator.backward)
            return backward_in_chunks(bare, *what)
        terms = self.batch_loss(batch, pixels, targets, spoilt)
        self.accelerator.backward(terms["loss"])
        return terms

    def rates(self) -> dict[str, float]:
        """The fastest rate of heads, vision and text."""
        found: dict[str, float] = {}
        for group in self.optimizer.param_groups:
            name = f"rate/{group['name']}"
            found[name] = max(found.get(name, 0.0), group["lr"])
        return found

    def scale_and_shift(self) -> dict[str, Tensor]:
        """a and b of the logits."""
        similarity = self.model.similarity
        return {"scale_a": similarity.a.detach(), "shift_b": similarity.b.detach()}

    def mixed(self, pixels: Tensor, targets: BatchTargets, studies: int) -> tuple[Tensor, BatchTargets]:
        """Mix radiographs of the whole batch; pixels `[V, m, 1, S, S]` are this process's part of it."""
        mix = self.team.agreed(Mix.draw(studies, self.objective.mixed_share, self.model.config.image_size))
        if self.team.number == 1:
            return mix.images(pixels), mix.targets(targets)
        whole = self.team.joined(pixels.transpose(0, 1).contiguous(), studies).transpose(0, 1)
        return mix.images(whole)[:, self.team.part(studies)], mix.targets(targets)


def finite(terms: Iterable[float], gradient: float, scale: float | None = None) -> bool:
    """Are the terms of a step numbers, and its gradient?

    With a loss scaler at `scale` the gradient may be infinite, which makes it scale less, but not below 1:
    then what is not finite is not so by the scale.
    """
    return all(map(math.isfinite, terms)) and (math.isfinite(gradient) or (scale is not None and scale >= 1))


def floats(scalars: dict[str, Tensor]) -> dict[str, float]:
    """0-dimensional tensors as numbers, in one transfer from the device."""
    values = torch.stack([value.detach().float() for value in scalars.values()]).tolist()
    return dict(zip(scalars, values, strict=True))
