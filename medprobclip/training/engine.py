"""What accelerate makes of a training: device, processes, loss scaler; and rates after a resume."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from medprobclip.model import MedProbCLIPModel
from medprobclip.training.errors import TrainingError
from medprobclip.training.processes import Team
from medprobclip.training_settings import TrainingConfig


def accelerator_for(config: TrainingConfig) -> Accelerator:
    """accelerate's, with a loss scaler for float16 and for nothing else.

    Neither `accelerate config` nor a training before, in the same notebook, decides on precision or divides
    the loss: the settings of a run say all that there is. Not every objective uses every weight (the pooling
    layer of a BERT, for one), but the same in each step.
    """
    handlers = [DistributedDataParallelKwargs(static_graph=True)]
    mixed = "fp16" if config.precision == "float16" else "no"
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != mixed:
        AcceleratorState._reset_state()  # that of a training before
    # The schedule counts steps of all processes together.
    return Accelerator(
        mixed_precision=mixed, kwargs_handlers=handlers, step_scheduler_with_optimizer=False,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )  # fmt: skip


def set_rates(optimizer: Optimizer, schedule: LRScheduler) -> None:
    """Those of the schedule's present step: a restored optimizer has those that its last schedule left."""
    inner = schedule.scheduler  # of accelerate's own
    for group, base, rate in zip(optimizer.param_groups, inner.base_lrs, inner.lr_lambdas, strict=True):
        group["lr"] = base * rate(inner.last_epoch)


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
