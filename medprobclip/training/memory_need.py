"""What a training step needs of memory, counted on tensors without data: no GPU, little time, no memory."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medprobclip.gaussian import Gaussian
from medprobclip.model import MedProbCLIPModel
from medprobclip.objectives import Views, objective_terms
from medprobclip.settings import ObjectiveConfig
from medprobclip.similarity import ScaledSimilarity

MOMENTS = 2  # AdamW's means of the gradient and of its square
PAIRED = (16, 32)  # studies of the two batches from which the memory of pairs is taken


class Held(TorchDispatchMode):
    """Bytes of the storages that are alive of those made under it or given to `hold`: `now`, `most` so far.

    A storage counts once, however many views it has. What a kernel takes for itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: weakref.WeakSet = weakref.WeakSet()

    def hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known.add(storage)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, storage.nbytes())

    def _freed(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self.hold(leaf)
        return made


@contextmanager
def gpu_kernels() -> Iterator[None]:
    """A CPU's kernels that keep what those of a GPU keep for the backward pass.

    Of dropout a mask of one byte an element; of fused attention no probabilities, dropped out or not. Put in
    place of PyTorch's: a mode would not hold where checkpointing computes again.
    """
    dropout, attention = F.dropout, F.scaled_dot_product_attention

    def fused_attention(*arguments, **named) -> Tensor:
        return attention(*arguments, **named | {"dropout_p": 0.0})

    F.dropout, F.scaled_dot_product_attention = _dropout, fused_attention
    try:
        yield
    finally:
        F.dropout, F.scaled_dot_product_attention = dropout, attention


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return torch.native_dropout(input, p, True)[0] if training and p else input


def parameters_by_part(model: MedProbCLIPModel) -> dict[str, dict[str, int]]:
    """Number of parameters by part and whether they learn, {part: {"learning": n, "frozen": n}}.

    Parts: "vision backbone", "text backbone", and "heads" for all else.
    """
    towers = {"vision_model": "vision backbone", "text_model": "text backbone"}
    counts = {part: {"learning": 0, "frozen": 0} for part in (*towers.values(), "heads")}
    for name, parameter in model.named_parameters():
        part = towers.get(name.split(".")[0], "heads")
        counts[part]["learning" if parameter.requires_grad else "frozen"] += parameter.numel()
    return counts


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of a training step on a GPU."""

    weights: int  # parameters and buffers
    gradients: int
    moments: int  # AdamW's two
    activations: int  # inputs and what the forward pass leaves for the backward pass
    most: int  # at one time


def memory_need(
    model: MedProbCLIPModel,
    studies: int,
    tokens: Sequence[int],
    objective: ObjectiveConfig,
    precision: torch.dtype,
    checkpointing: bool,
    chunk: int = 0,
) -> MemoryNeed:
    """What a step on `studies` takes whose texts have so many `tokens`, one number a section that is used;
    `chunk` > 0: so many studies are encoded at a time.

    The encoders run forward and backward with their real shapes on tensors without data, under autocast to
    `precision` (float32: none): every tensor is counted as it comes and goes. What the pairs of the batch
    need is measured on two small batches and extrapolated as b B + c B². Left out: the CUDA context (0.3 to
    0.5 GB), what the allocator cannot use between blocks, workspaces of kernels.
    """
    at_once = min(chunk, studies) if chunk else studies
    weights = sum(_bytes(tensor) for tensor in (*model.parameters(), *model.buffers()))
    gradients = sum(_bytes(parameter) for parameter in model.parameters() if parameter.requires_grad)
    encoders = encoder_bytes(model, at_once, tokens, objective, precision, checkpointing)
    pairs = pair_bytes(objective, studies, model.config.embed_dim)
    before = gradients if at_once < studies else 0  # of the chunks before the last
    step = encoders[1] + pairs + before + MOMENTS * gradients
    update = weights + (1 + MOMENTS + 1) * gradients  # AdamW over all weights at once takes them once more
    return MemoryNeed(weights, gradients, MOMENTS * gradients, encoders[0] + pairs, max(step, update))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def encoder_bytes(
    model: MedProbCLIPModel,
    studies: int,
    tokens: Sequence[int],
    objective: ObjectiveConfig,
    precision: torch.dtype,
    checkpointing: bool,
) -> tuple[int, int]:
    """Bytes that the encoders hold at the end of their forward pass, beyond the weights, and at most in
    forward and backward pass, with weights and gradients. The model is left as it is."""
    views = objective.views + (objective.inclusion_weight > 0)
    fake, held = FakeTensorMode(allow_non_fake_inputs=True), Held()
    hollow = without_data(model, fake).train()
    if checkpointing:
        hollow.activation_checkpointing_enable()
    else:
        hollow.activation_checkpointing_disable()
    hollow.text_model.config.use_cache = False  # of text that is generated; checkpointing would warn of it
    for tensor in (*hollow.parameters(), *hollow.buffers()):
        held.hold(tensor)
    weights, size = held.now, model.config.image_size
    with gpu_kernels(), fake, held:
        pixels = torch.empty(views * studies, 1, size, size)
        texts = [torch.empty(2, studies, length, dtype=torch.int64) for length in tokens]
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            made = [hollow.encode_image(pixels), *(hollow.encode_text(*text) for text in texts)]
        forward = held.now - weights
        loss = sum(gaussian.mean.sum() + gaussian.log_var.sum() for gaussian in made)
        del made
        if loss.requires_grad:
            loss.backward()
        return forward, held.most


def without_data(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """A copy of a model whose tensors have shapes only."""
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): mode.from_tensor(tensor) for tensor in tensors})


def pair_bytes(objective: ObjectiveConfig, studies: int, dim: int) -> int:
    """Bytes that the terms of the objective leave for the backward pass, extrapolated to a batch."""
    small, large = (_paired(objective, n, dim) for n in PAIRED)
    n, m = PAIRED
    square = (large / m - small / n) / (m - n)
    return round(studies * (small / n - square * n) + studies**2 * square)


def _paired(objective: ObjectiveConfig, studies: int, dim: int) -> int:
    """The same, counted on a small batch of random Gaussians."""
    generator = torch.Generator().manual_seed(0)

    def drawn() -> Gaussian:
        mean, log_var = torch.randn(2, studies, dim, generator=generator)
        return Gaussian(mean.requires_grad_(), log_var.requires_grad_())

    images, reports = (tuple(drawn() for _ in range(n)) for n in (objective.views, objective.sections))
    views = Views(images, reports, None, drawn() if objective.inclusion_weight else None)
    similarity = ScaledSimilarity(objective.score, objective.scale, objective.shift, objective.max_scale)
    with Held() as held:
        terms = objective_terms(views, similarity, objective)
        return held.now if terms else 0
