"""Radiographs that tell less: six ways to spoil a training view, none of them a fault of the evaluation.

The evaluation's eleven faults (`corruptions.py`) are held back: no training sees them, and nothing is chosen
by them. What a training may see, and what a choice may be made by on validation patients, is made here, on
the images' own device, from torch's own random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Apply = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Degradation:
    """One family: its name in figures, what a severity of 1 means, and what it does.

    `apply(images, severity)` takes images `[B, 1, S, S]` in [0, 1] and severities `[B]` in (0, 1].
    """

    label: str
    at_one: str
    apply: Apply


def degrade(images: Tensor, severity: Tensor, family: Tensor | None = None) -> Tensor:
    """Images `[B, 1, S, S]` in [0, 1], each spoilt in one way -> the same shape and range, a copy.

    `severity` `[B]` in [0, 1], 0 leaves an image as it is; `family` int64 `[B]` counts `DEGRADATIONS`, drawn
    at even odds when it is not given. Uses torch's own generator of the CPU, so that a resumed training draws
    the same on any device. Raises ValueError for other shapes or severities.
    """
    if images.ndim != 4 or images.shape[1] != 1 or severity.shape != images.shape[:1]:
        raise ValueError(
            f"degrade needs images [B, 1, S, S] and severities [B], got {tuple(images.shape)} and "
            f"{tuple(severity.shape)}"
        )
    if not ((severity >= 0) & (severity <= 1)).all():
        raise ValueError("severities lie between 0 and 1")
    if family is None:
        family = torch.randint(len(DEGRADATIONS), (len(images),))
    worse = images.clone()
    for number, degradation in enumerate(DEGRADATIONS.values()):
        rows = (family.to(images.device) == number) & (severity.to(images.device) > 0)
        if rows.any():
            amount = severity.to(images)[rows]
            worse[rows] = degradation.apply(images[rows], amount).clamp(0, 1)
    return worse


def degraded_share(views: Tensor, share: float, severity: float) -> Tensor:
    """Spoil each view with probability `share`: `[V, B, 1, S, S]` in [0, 1] -> the same shape.

    How badly is drawn evenly between 0 and `severity`.
    """
    flat = views.flatten(0, 1)
    amount = severity * torch.rand(len(flat)) * (torch.rand(len(flat)) < share)
    return degrade(flat, amount).view_as(views)


def degraded_copies(images: np.ndarray, name: str, severity: float, ids: Sequence[str]) -> np.ndarray:
    """Stored radiographs with one family at one severity, uint8 `[B, S, S]` -> the same, for choices.

    As `corruptions.corrupt` gives them, always the same for the same images in the same order, whatever
    `ids`. torch's own random numbers are as they were afterwards. Raises KeyError for an unknown name.
    """
    number = list(DEGRADATIONS).index(name) if name in DEGRADATIONS else DEGRADATIONS[name]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number)  # the CPU's alone: no other is put back
        pixels = torch.from_numpy(images)[:, None].float() / 255
        family = torch.full((len(images),), number)
        worse = degrade(pixels, torch.full((len(images),), float(severity)), family)
    return (255 * worse[:, 0]).round().to(torch.uint8).numpy()


def _uniform(images: Tensor, *shape: int) -> Tensor:
    """Numbers in [0, 1), `[B, *shape]`, drawn on the CPU."""
    return torch.rand(len(images), *shape).to(images)


def _field(images: Tensor, nodes: int) -> Tensor:
    """A smooth random field `[B, 1, S, S]` of values in [−1, 1], from so many nodes along the edge."""
    coarse = 2 * _uniform(images, 1, nodes, nodes) - 1
    return F.interpolate(coarse, images.shape[-2:], mode="bicubic", align_corners=True).clamp(-1, 1)


def _erased(images: Tensor, severity: Tensor) -> Tensor:
    size = images.shape[-1]
    at = (torch.arange(size, device=images.device) + 0.5) / size
    area = 0.5 * severity
    ratio = 2 ** (2 * _uniform(images) - 1)  # width to height, 1:2 to 2:1
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    left, top = _uniform(images) * (1 - width), _uniform(images) * (1 - height)
    across = (at >= left[:, None]) & (at < (left + width)[:, None])
    down = (at >= top[:, None]) & (at < (top + height)[:, None])
    grey = _uniform(images)[:, None, None, None]
    return torch.where((down[:, None, :, None] & across[:, None, None, :]), grey, images)


def _stripes(images: Tensor, severity: Tensor) -> Tensor:
    size = images.shape[-1]
    at = torch.arange(size, device=images.device) / size
    lines, phase = 4 + 12 * _uniform(images), _uniform(images)
    wave = torch.sin(2 * torch.pi * (lines[:, None] * at + phase[:, None]))[:, None]
    upright = (_uniform(images) < 0.5)[:, None, None, None]
    pattern = torch.where(upright, wave[..., None, :], wave[..., None])
    return images + 0.35 * severity[:, None, None, None] * pattern


def _dust(images: Tensor, severity: Tensor) -> Tensor:
    cells = images.shape[-1] // 2  # specks two pixels wide
    lot = F.interpolate(_uniform(images, 1, cells, cells), images.shape[-2:], mode="nearest")
    share = 0.15 * severity[:, None, None, None]
    return torch.where(lot < share, 0.0, torch.where(lot > 1 - share, 1.0, images))


def _shading(images: Tensor, severity: Tensor) -> Tensor:
    return images + 0.6 * severity[:, None, None, None] * _field(images, 3)


def _ghost(images: Tensor, severity: Tensor) -> Tensor:
    other = images.roll(1, 0).flip(-2)  # of one image alone, itself
    return images + 0.5 * severity[:, None, None, None] * (other - images)


def _warped(images: Tensor, severity: Tensor) -> Tensor:
    grid = F.affine_grid(
        torch.eye(2, 3, device=images.device).expand(len(images), 2, 3), list(images.shape),
        align_corners=False,
    )  # fmt: skip
    shift = torch.cat([_field(images, 7), _field(images, 7)], 1).permute(0, 2, 3, 1)
    grid = grid + 0.12 * severity[:, None, None, None] * shift
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


DEGRADATIONS: dict[str, Degradation] = {
    "erased": Degradation("erased rectangle", "half of the area in one grey", _erased),
    "stripes": Degradation("grid lines", "4 to 16 waves of 0.35 of white, upright or across", _stripes),
    "dust": Degradation("dust", "specks of two pixels, black or white, on 30 % of the area", _dust),
    "shading": Degradation("uneven shading", "a smooth field of up to 0.6 of white", _shading),
    "ghost": Degradation("double exposure", "half of another film, upside down", _ghost),
    "warped": Degradation("warped film", "a smooth shift of up to 6 % of the edge", _warped),
}
