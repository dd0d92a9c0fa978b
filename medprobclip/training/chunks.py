"""A step whose activations do not fit: the encoders see a few studies at a time, the loss all of them.

Summing the losses of parts of a batch would contrast each part with itself only: an easier objective. But the
loss reaches the encoders' weights by way of the Gaussians alone, and these are small. So they are made a
chunk of studies at a time, and only they are kept; the loss of all of them gives the gradient at each; then
every chunk is encoded again, to take its share of it down to the weights: GradCache (Gao 2021, arXiv
2101.06983). The price is one more forward pass of the encoders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medprobclip.data.dataset import Batch, Texts
from medprobclip.gaussian import Gaussian
from medprobclip.objectives import Views
from medprobclip.targets import BatchTargets
from medprobclip.training.processes import Team
from medprobclip.training.steps import BatchLoss


def backward_in_chunks(
    batch_loss: BatchLoss,
    batch: Batch,
    pixels: Tensor,
    targets: BatchTargets,
    spoilt: bool,
    chunk: int,
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> dict[str, Tensor]:
    """`batch_loss(batch, pixels, targets, spoilt)` and the gradients of its loss, `chunk` studies at a time.

    `batch_loss` is the bare one, not inside of DistributedDataParallel: gradients are averaged over the
    processes here. Parameters must have none yet (`zero_grad`). `backward` is that of the loss, once a step
    (`Accelerator.backward` scales it for float16). Each study is encoded twice with the same dropout, and
    the random generators go on as if it had been once. Returns the terms, detached. Raises ValueError for
    `chunk` < 1, and where batches would be normalised.
    """
    refuse_batch_normalisation(batch_loss.model)
    objective, team, studies = batch_loss.objective, batch_loss.team, len(batch.rows)
    parts = cut(batch, pixels, chunk)
    states, found = [], []
    for part in parts:
        states.append(random_states(pixels.device))
        # With a graph that goes at once, so that both passes run the same kernels, which then draw the same
        # (compiled, a pass without is another program). It costs no time, and no memory beyond the second's.
        found.append([gaussian.detach() for gaussian in encoded(batch_loss, *part, spoilt)])
    own = [Gaussian.cat(of).map(Tensor.requires_grad_) for of in zip(*found, strict=True)]

    joined = [team.gaussian(gaussian, studies) for gaussian in own]
    copies = joined.pop() if spoilt else None
    images, reports = joined[: -objective.sections], joined[-objective.sections :]
    terms = batch_loss.terms(Views(tuple(images), tuple(reports), targets, copies))
    backward(terms["loss"])

    start = 0
    for part, state in zip(parts, states, strict=True):
        set_random_states(pixels.device, state)
        made = encoded(batch_loss, *part, spoilt)
        rows = slice(start, start + len(made[0]))
        hand_down(made, own, rows)
        start = rows.stop
    average_gradients(batch_loss.model, team)
    return {name: term.detach() for name, term in terms.items()}


def refuse_batch_normalisation(model: nn.Module) -> None:
    """Raise ValueError where a layer would normalise by its batch: that of a chunk is another one."""
    batch_norm = nn.modules.batchnorm._BatchNorm
    if any(isinstance(module, batch_norm) and module.training for module in model.modules()):
        raise ValueError(
            "chunk: this vision encoder has batch normalisation, which would see a chunk, not the batch. Set "
            "chunk to 0, freeze the vision encoder, or take one without (ViT)"
        )


def cut(batch: Batch, pixels: Tensor, chunk: int) -> list[tuple[Batch, Tensor]]:
    """This process's m studies, `chunk` at a time: sections and pixels `[V, chunk, 1, S, S]`.

    Raises ValueError for a chunk below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be 1 at least, got {chunk}")
    parts = []
    for start in range(0, pixels.shape[1], chunk):
        rows = slice(start, start + chunk)
        sections = tuple(Texts(t.input_ids[rows], t.attention_mask[rows]) for t in batch.sections)
        parts.append((replace(batch, sections=sections), pixels[:, rows]))
    return parts


def encoded(batch_loss: BatchLoss, batch: Batch, pixels: Tensor, spoilt: bool) -> list[Gaussian]:
    """Views, sections and, with `spoilt`, the spoilt copies: Gaussian `[m, D]` each."""
    views = batch_loss.encoded(batch, pixels, spoilt)
    return [*views.images, *views.reports, *([views.spoilt] if spoilt else [])]


def hand_down(made: list[Gaussian], own: list[Gaussian], rows: slice) -> None:
    """From the gradients at `own` `[m, D]` to the weights behind `made`, some rows of them encoded anew.

    What the loss does not use (variances, to a cosine) or no weight decides (variances that are not
    learned) has no gradient.
    """
    pairs = [
        (tensor, leaf.grad[rows])
        for new, old in zip(made, own, strict=True)
        for tensor, leaf in ((new.mean, old.mean), (new.log_var, old.log_var))
        if tensor.requires_grad and leaf.grad is not None
    ]
    torch.autograd.backward(*zip(*pairs, strict=True))


def average_gradients(model: nn.Module, team: Team) -> None:
    """Over all processes, as DistributedDataParallel does; who has none keeps none.

    The same parameters have one everywhere: every process runs the same encoders, on a study at least.
    """
    if team.number == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    whole = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(whole)
    whole /= team.number
    parts = whole.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def random_states(device: torch.device) -> list[Tensor]:
    """Of the generators that dropout may draw from: the CPU's, and the device's own."""
    return [of.get_rng_state() for of in _generators(device)]


def set_random_states(device: torch.device, states: list[Tensor]) -> None:
    """Back to what `random_states` found."""
    for of, state in zip(_generators(device), states, strict=True):
        of.set_rng_state(state)


def _generators(device: torch.device) -> tuple:
    return (torch,) if device.type == "cpu" else (torch, torch.get_device_module(device))
